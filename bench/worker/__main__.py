"""One backend's process: proves its backend, then measures the trials it is sent, one at a time.

The only module of `bench`, with `trials` and `speed_trials`, that runs where Keras is. It reads one request of
`bench.worker.messages` a line on stdin and answers on what was stdout; whatever a framework prints goes to stderr.
"""

import os
import sys
import time
from dataclasses import asdict
from typing import Any, TextIO

from bench.host import peak_rss_bytes, pin, reset_peak_rss
from bench.plan.timing import Runtime
from bench.records.schema import Worker
from bench.worker.messages import (
    AT_PARK,
    REQUEST,
    Answer,
    AnyRequest,
    AtPark,
    CheckRequest,
    Computed,
    Done,
    Epoch,
    Failed,
    GroupDone,
    Leave,
    OverheadDone,
    OverheadRequest,
    ParityRequest,
    Parked,
    Phase,
    Ready,
    ReplayDone,
    ReplayRequest,
    SeedsTimed,
    SpeedRequest,
    Start,
    TimeRequest,
    TrainRequest,
    TurnDone,
    Wrong,
)


def main() -> None:
    """Serve requests until stdin ends."""
    begun_at_s = time.time()
    answers = _private_stdout()
    start = Start.model_validate_json(sys.argv[1])
    pin(list(start.cores))
    die_with_parent()
    if start.memory_gib is not None:
        limit_memory(start.memory_gib)
    try:
        ready = import_backend(start.backend, start.device, start.runtime)
    except ValueError as error:
        return _say(answers, Wrong(message=str(error)))
    except Exception as error:  # each framework says in its own way that it finds no GPU
        if start.device == "cpu":
            raise
        message = f"`device` gpu was asked for, but {start.backend} cannot use one. Received: {_reason(error)}. "
        return _say(answers, Wrong(message=message + "Use --device cpu, or an environment that has CUDA."))
    _say(answers, ready)
    server = Server(answers, process_start_s=begun_at_s - start.started_at_s, import_s=ready.import_s)
    while line := sys.stdin.readline():
        _say(answers, server.serve(REQUEST.validate_json(line)))


def import_backend(backend: str, device: str, runtime: Runtime) -> Ready:
    """Import Keras and its backend and prove them.

    Raises:
        ValueError: if another backend or device runs than was asked for.
    """
    begin = time.perf_counter()
    from seqsum_core.nn.backend import prove

    proof = prove(backend=backend, device=device, tf32=runtime.tf32, deterministic=runtime.deterministic)
    import_s = time.perf_counter() - begin
    environment = {name: os.environ[name] for name in sorted(os.environ) if name.isupper() and _decides_speed(name)}
    worker = Worker(**asdict(proof), python=sys.version.split()[0], environment=environment)
    return Ready(worker=worker, import_s=import_s)


def _decides_speed(name: str) -> bool:
    prefixes = (
        "KERAS_",
        "TF_",
        "XLA_",
        "JAX_",
        "OMP_",
        "MKL_",
        "OPENBLAS_",
        "CUBLAS_",
        "CUDA_",
        "NVIDIA_",
        "PYTHONHASHSEED",
    )
    return name.startswith(prefixes)


class Server:
    """Does what the coordinator asks.

    Args:
        answers: where phases and epochs are told.
        process_start_s: how long this process took to start.
        import_s: how long importing the backend took.
    """

    def __init__(self, answers: TextIO, *, process_start_s: float, import_s: float) -> None:
        self._answers, self._process_start_s, self._import_s = answers, process_start_s, import_s

    def serve(self, request: AnyRequest) -> Answer:
        """Return what came out; whatever goes wrong is an answer too, and the worker goes on."""
        try:
            match request:
                case CheckRequest():
                    return self._check(request)
                case SpeedRequest():
                    return self._measure(request)
                case OverheadRequest():
                    return self._weigh(request)
                case TrainRequest():
                    return self._train(request)
                case TimeRequest():
                    return self._time(request)
                case ReplayRequest():
                    return self._replay(request)
                case ParityRequest():
                    return self._compute(request)
        except Exception as error:  # whatever a framework raises ends this request, not the worker
            return Failed(reason=_reason(error))

    def _check(self, request: CheckRequest) -> Answer:
        from bench.worker import accuracy as trials

        try:
            trials.check_model(request.trial)
        except ValueError as error:
            return Wrong(message=str(error))
        return Done()

    def _measure(self, request: SpeedRequest) -> Answer:
        from bench.worker import speed as speed_trials

        record = speed_trials.measure_speed(
            request.trial,
            process_start_s=self._process_start_s,
            import_s=self._import_s,
            report=self._report,
            park=self._park,
            tell=lambda epoch_s: _say(self._answers, Epoch(epoch_s=epoch_s)),
        )
        return Done(record=record)

    def _park(self, parked: Parked | TurnDone) -> AtPark:
        """Tell where the fit is and wait, without using CPU, for what comes next."""
        _say(self._answers, parked)
        return AT_PARK.validate_json(sys.stdin.readline() or Leave().model_dump_json())

    def _weigh(self, request: OverheadRequest) -> Answer:
        from bench.worker import speed as speed_trials

        seconds = speed_trials.weigh_harness(
            request.trial, fit_s=request.fit_s, repeats=request.repeats, report=self._report
        )
        bare_s, timed_s, inside_s = map(tuple, seconds)
        return OverheadDone(bare_s=bare_s, timed_s=timed_s, inside_s=inside_s)

    def _train(self, request: TrainRequest) -> Answer:
        from bench.worker import accuracy as trials

        return GroupDone(records=tuple(trials.measure_group(request.group, report=self._report)))

    def _time(self, request: TimeRequest) -> Answer:
        from bench.worker import accuracy as trials

        reset_peak_rss()
        train_s, val_loss = trials.time_seeds(request.group, request.way, report=self._report)
        return SeedsTimed(train_s=train_s, val_loss=val_loss, peak_rss_bytes=peak_rss_bytes())

    def _replay(self, request: ReplayRequest) -> Answer:
        from bench.worker import accuracy as trials

        replayed = trials.replay_run(request.dtype, case=request.case, file=request.file, report=self._report)
        return ReplayDone(
            loss=tuple(replayed.loss.tolist()),
            val_loss=tuple(replayed.val_loss.tolist()),
            test_predictions=tuple(replayed.test_predictions.tolist()),
            stop_predictions=tuple(replayed.stop_predictions.tolist()),
        )

    def _compute(self, request: ParityRequest) -> Answer:
        from seqsum_core.nn import parity

        return Computed(quantities=tuple(parity.compute(request.case)))

    def _report(self, phase: str) -> None:
        _say(self._answers, Phase(phase=phase))


def _reason(error: Exception) -> str:
    """Say in one line what was raised."""
    first_line = str(error).strip().partition("\n")[0]
    return ": ".join(filter(None, (type(error).__name__, first_line)))[:500]


def _private_stdout() -> TextIO:
    """Keep stdout for answers and send everything else that is printed to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _say(answers: TextIO, answer: Any) -> None:
    print(answer.model_dump_json(), file=answers, flush=True)


def die_with_parent() -> None:
    """Ask Linux to end this process when its coordinator ends, however that happens.

    One that ended before this line shows where its pipe is read: nobody asks for anything.
    """
    if sys.platform == "linux":
        import ctypes
        import signal

        set_parent_death_signal = 1  # PR_SET_PDEATHSIG in <sys/prctl.h>
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def limit_memory(gib: float) -> None:
    """Let the system refuse this process more memory than that: what it allocates, not what it maps from files."""
    if sys.platform != "win32":
        import resource

        most = int(gib * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    main()
