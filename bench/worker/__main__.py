"""One backend's process: checks its backend, then does what it is asked, one request at a time.

It reads one request of `bench.worker.messages` a line on stdin, and replies on what was stdout; whatever a framework
prints goes to stderr. Keras is imported after the memory limit and the pinning, inside the functions.
"""

import os
import sys
import time
import traceback
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bench.host import pin
from bench.plan.cells import backend_of, packages_of
from bench.plan.timing import DECISIVE
from bench.records.failures import raised
from bench.records.schema import Worker
from bench.worker import FIRST_LINE_S, messages
from bench.worker.messages import REQUEST, Error, Ready, Reply, Request, Start

if TYPE_CHECKING:  # it imports Keras
    from bench.worker.speed import SpeedTrial

REPLAYED = ("loss", "val_loss", "test_predictions", "stop_predictions")


def main() -> None:
    """Serve requests until stdin ends."""
    replies = _private_stdout()
    sys.path.append(str(Path.cwd()))  # a user's own model may lie there; last, so that it stands in nobody's way
    start = Start.model_validate_json(sys.argv[1])
    pin(list(start.cores))
    _die_with_parent()
    if start.memory_gib is not None:
        _limit_memory(start.memory_gib)
    ready = check_in(start)
    _send(replies, ready)
    if isinstance(ready, Ready):
        server = Server(replies, process_start_s=FIRST_LINE_S - start.started_at_s, import_s=ready.import_s)
        while line := sys.stdin.readline():
            _send(replies, server.reply(REQUEST.validate_json(line)))


def check_in(start: Start) -> Ready | Error:
    """Import and check the backend; an error is the user's: another backend or device runs than was asked for."""
    try:
        return import_backend(start)
    except Exception as error:  # each framework finds no GPU in its own words
        if Path(traceback.extract_tb(error.__traceback__)[-1].filename).match("keras/src/backend/config.py"):
            rule = "The file keras.json, of ~/.keras or of /tmp/.keras, must be one that Keras reads."
            return Error(fault="user", reason=f"{rule} Received: {raised(error)}. Correct or remove it.")
        if isinstance(error, ValueError):
            return Error(fault="user", reason=str(error))
        if start.device == "cpu":
            raise
        backend = backend_of(start.environment)
        message = f"`device` gpu was asked for, but {backend} cannot use one. Received: {raised(error)}. "
        return Error(fault="user", reason=message + "Use --device cpu, or an environment that has CUDA.")


def import_backend(start: Start) -> Ready:
    """Import Keras and its backend, check them, and touch the device; raise `ValueError` if it is another one."""
    begin_s = time.perf_counter()
    from seqsum_core.nn.backend import check_backend

    info = check_backend(
        backend=backend_of(start.environment),
        device=start.device,
        tf32=start.runtime.tf32,
        deterministic=start.runtime.deterministic,
    )
    import_s = time.perf_counter() - begin_s
    described = {name: value for name, value in asdict(info).items() if name != "backend"}
    for package in packages_of(start.environment):
        described["versions"].setdefault(package, metadata.version(package))
    named = dict(start.runtime.variables)
    variables = {name: os.environ[name] for name in sorted(os.environ) if name.startswith(DECISIVE) or name in named}
    worker = Worker(environment=start.environment, **described, python=sys.version.split()[0], variables=variables)
    return Ready(worker=worker, import_s=import_s)


class Server:
    """Does what the coordinator asks, and reports phases among the replies."""

    def __init__(self, replies: TextIO, *, process_start_s: float, import_s: float) -> None:
        self._replies, self._process_start_s, self._import_s = replies, process_start_s, import_s
        self._trial: SpeedTrial | None = None

    def reply(self, request: Request) -> Reply:
        """Return what came out; whatever goes wrong is a reply too, and the worker goes on."""
        try:
            return self._do(request)
        except Exception as error:  # whatever a framework raises ends this request, not the worker
            lost = raised(error)
            return Error(fault=lost.fault, reason=str(lost), printed=lost.printed)

    def _do(self, request: Request) -> Reply:
        match request:
            case messages.Check():
                return _check(request)
            case messages.Judge(task=task, length=length):
                from bench.records.baselines import baselines

                return messages.Judged(baselines=baselines(task, length))
            case messages.OpenTrial(trial=trial, starts=starts):
                from bench.worker import speed

                self._trial = speed.SpeedTrial(
                    trial,
                    process_start_s=self._process_start_s,
                    import_s=self._import_s,
                    report=self._report,
                    starts=starts,
                )
                return messages.Opened()
            case messages.RunTurn(round=number, started_after_s=started_after_s):
                return messages.TurnDone(turn=self._open_trial.run_turn(number, started_after_s=started_after_s))
            case messages.CloseTrial():
                return messages.Closed(record=self._open_trial.close())
            case messages.Train(group=group, starts=starts):
                from bench.worker import accuracy

                records = accuracy.train_group(group, report=self._report, starts=starts)
                return messages.Trained(records=tuple(records))
            case messages.Replay(dtype=dtype, case=case, file=file):
                from bench.worker import accuracy

                replayed = accuracy.replay_run(dtype, case=case, file=file, report=self._report)
                return messages.Replayed(**{name: getattr(replayed, name).tolist() for name in REPLAYED})
            case messages.Parity(case=parity_case):
                from seqsum_core.nn import parity

                return messages.ParityDone(quantities=tuple(parity.compute(parity_case)))

    @property
    def _open_trial(self) -> "SpeedTrial":
        if self._trial is None:
            raise RuntimeError("no trial is open")
        return self._trial

    def _report(self, phase: str) -> None:
        _send(self._replies, messages.Phase(phase=phase))


def _check(request: messages.Check) -> messages.Checked | Error:
    from bench.worker import own

    try:
        return own.check(request)
    except ValueError as error:
        return Error(fault="user", reason=str(error))


def _private_stdout() -> TextIO:
    """Keep stdout for replies and send everything else that is printed to stderr."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    print(file=replies)  # what was printed before may have no end
    os.dup2(2, 1)
    return replies


def _send(replies: TextIO, reply: Reply) -> None:
    print(reply.model_dump_json(), file=replies, flush=True)


def _die_with_parent() -> None:
    """Ask Linux to end this process when its coordinator ends, however that happens.

    If the coordinator has ended before this line, stdin has ended too: nobody asks for anything.
    """
    if sys.platform == "linux":
        import ctypes
        import signal

        set_parent_death_signal = 1  # PR_SET_PDEATHSIG in <sys/prctl.h>
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _limit_memory(gib: float) -> None:
    """Let the system refuse this process more memory than that: what it allocates, not what it maps from files."""
    if sys.platform != "win32":
        import resource

        most = int(gib * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    main()
