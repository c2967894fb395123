"""One backend's process: proves its backend, then measures the trials it is sent, one at a time.

The only module of `bench`, with `trials`, that runs where Keras is. It reads one JSON request a
line on stdin and answers on what was stdout; whatever a framework prints goes to stderr.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

from pydantic import Field, TypeAdapter

from bench.machine import peak_rss_bytes, pin, reset_peak_rss
from bench.plan import Backend, Device, Frozen, Group, Trial
from bench.records import Accuracy, Failure, Speed, Way, Worker
from seqsum_core.parity_case import Case, Quantity


class Start(Frozen):
    """What a worker is started as; its only command-line argument.

    Args:
        backend: must be what KERAS_BACKEND says.
        device: where tensors must lie.
        cores: logical cores to stay on.
        started_at_s: wall clock just before the process was started.
    """

    backend: Backend
    device: Device
    cores: tuple[int, ...]
    started_at_s: float


class Request(Frozen):
    """What a worker is asked.

    Args:
        do: "measure" a trial; "step" measures a speed trial too, but parks its fit after the warm-up
            until a line says how many epochs shall follow, and tells when each of them ends; "check"
            only builds the model.
        trial: which.
    """

    do: Literal["measure", "step", "check"]
    trial: Trial


class TrainRequest(Frozen):
    """A worker is asked to train seeds of one cell together."""

    do: Literal["train"] = "train"
    group: Group


class TimeRequest(Frozen):
    """A worker is asked how long seeds of one cell take, trained in one way."""

    do: Literal["time"] = "time"
    group: Group
    way: Way


class ReplayRequest(Frozen):
    """A worker is asked to repeat a run of 2017: one of the package's, or that of a file.

    Args:
        dtype: precision of the replay.
        case: name of one of the package's runs, or
        file: a reference file.
    """

    do: Literal["replay"] = "replay"
    dtype: Literal["float32", "float64"]
    case: str | None = None
    file: Path | None = None


class ParityRequest(Frozen):
    """A worker is asked for its side of a case of a parity certificate."""

    do: Literal["parity"] = "parity"
    case: Case


class Ready(Frozen):
    """The backend is imported and proved."""

    answer: Literal["ready"] = "ready"
    worker: Worker
    import_s: float


class Phase(Frozen):
    """A phase begins; the coordinator's patience starts anew."""

    answer: Literal["phase"] = "phase"
    phase: str


class Epoch(Frozen):
    """An epoch of a stepped fit has ended; behind the last warm-up epoch the fit is parked."""

    answer: Literal["epoch"] = "epoch"
    epoch_s: float


class Done(Frozen):
    """The request is done; a check has no record."""

    answer: Literal["done"] = "done"
    record: Speed | None = None


class GroupDone(Frozen):
    """All trials of a group are done, each as a record."""

    answer: Literal["group"] = "group"
    records: tuple[Accuracy | Failure, ...]


class SeedsTimed(Frozen):
    """All seeds of a group were trained: seconds, last val_loss of each, most memory the process held."""

    answer: Literal["timed"] = "timed"
    train_s: float
    val_loss: tuple[float, ...]
    peak_rss_bytes: int


class ReplayDone(Frozen):
    """A run was repeated; the arrays are those of `seqsum_core.verdict.Replayed`."""

    answer: Literal["replayed"] = "replayed"
    loss: tuple[float, ...]
    val_loss: tuple[float, ...]
    test_predictions: tuple[float, ...]
    stop_predictions: tuple[float, ...]


class Wrong(Frozen):
    """The user's input is wrong: device, backend or model."""

    answer: Literal["wrong"] = "wrong"
    message: str


class Failed(Frozen):
    """The trial failed, the worker goes on."""

    answer: Literal["failed"] = "failed"
    reason: str


class Computed(Frozen):
    """What this backend computed for a parity certificate."""

    answer: Literal["computed"] = "computed"
    quantities: tuple[Quantity, ...]


Answer = Ready | Phase | Epoch | Done | GroupDone | SeedsTimed | ReplayDone | Computed | Wrong | Failed
ANSWER: TypeAdapter[Answer] = TypeAdapter(Annotated[Answer, Field(discriminator="answer")])
AnyRequest = Request | TrainRequest | TimeRequest | ReplayRequest | ParityRequest
REQUEST: TypeAdapter[AnyRequest] = TypeAdapter(Annotated[AnyRequest, Field(discriminator="do")])


def main() -> None:
    """Serve requests until stdin ends."""
    begun_at_s = time.time()
    answers = _private_stdout()
    start = Start.model_validate_json(sys.argv[1])
    pin(list(start.cores))
    die_with_parent()
    try:
        ready = import_backend(start.backend, start.device)
    except ValueError as error:
        return _say(answers, Wrong(message=str(error)))
    except Exception as error:  # each framework says in its own way that it finds no GPU
        if start.device == "cpu":
            raise
        message = f"`device` gpu was asked for, but {start.backend} cannot use one. Received: {_reason(error)}. "
        return _say(answers, Wrong(message=message + "Use --device cpu, or an environment that has CUDA."))
    _say(answers, ready)
    while line := sys.stdin.readline():
        request = REQUEST.validate_json(line)
        if isinstance(request, ReplayRequest):
            _say(answers, serve_replay(request, answers))
            continue
        if isinstance(request, TrainRequest):
            _say(answers, serve_group(request, answers))
            continue
        if isinstance(request, TimeRequest):
            _say(answers, serve_timing(request, answers))
            continue
        if isinstance(request, ParityRequest):
            _say(answers, serve_parity(request))
            continue
        _say(answers, serve(request, answers, process_start_s=begun_at_s - start.started_at_s, import_s=ready.import_s))


def import_backend(backend: str, device: str) -> Ready:
    """Import Keras and its backend and prove them.

    Raises:
        ValueError: if another backend or device runs than was asked for.
    """
    begin = time.perf_counter()
    from seqsum_core.backend import prove

    proof = prove(backend=backend, device=device)
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
        "CUDA_",
        "NVIDIA_",
        "PYTHONHASHSEED",
    )
    return name.startswith(prefixes)


def serve(request: Request, answers: TextIO, *, process_start_s: float, import_s: float) -> Answer:
    """Answer one request; whatever goes wrong in it is an answer too."""
    from bench import trials

    steady_epochs = 0

    def stepped(epochs_s: list[float]) -> bool:
        nonlocal steady_epochs
        warm = 1 + trial.settings.timing.warmup_epochs
        if len(epochs_s) < warm:
            return True
        _say(answers, Epoch(epoch_s=epochs_s[-1]))
        if len(epochs_s) == warm:
            steady_epochs = int(sys.stdin.readline())
        return len(epochs_s) < warm + steady_epochs

    trial = request.trial
    try:
        if request.do == "check":
            trials.check_model(trial)
            return Done()
        return Done(
            record=trials.measure_speed(
                trial,
                process_start_s=process_start_s,
                import_s=import_s,
                report=_reporter(answers),
                go_on=stepped if request.do == "step" else trials.enough_epochs(trial.settings),
            )
        )
    except ValueError as error:
        if request.do == "check":
            return Wrong(message=str(error))
        return Failed(reason=_reason(error))
    except Exception as error:  # whatever a framework raises ends this trial, not the run
        return Failed(reason=_reason(error))


def serve_group(request: TrainRequest, answers: TextIO) -> Answer:
    """Train the seeds of one cell; whatever goes wrong for all of them is an answer too."""
    from bench import trials

    try:
        return GroupDone(records=tuple(trials.measure_group(request.group, report=_reporter(answers))))
    except Exception as error:  # whatever a framework raises ends this group, not the run
        return Failed(reason=_reason(error))


def serve_timing(request: TimeRequest, answers: TextIO) -> Answer:
    """Time the seeds of one cell; whatever goes wrong is an answer too."""
    from bench import trials

    try:
        reset_peak_rss()
        train_s, val_loss = trials.time_seeds(request.group, request.way, report=_reporter(answers))
        return SeedsTimed(train_s=train_s, val_loss=val_loss, peak_rss_bytes=peak_rss_bytes())
    except Exception as error:  # whatever a framework raises ends this timing, not the others
        return Failed(reason=_reason(error))


def serve_replay(request: ReplayRequest, answers: TextIO) -> Answer:
    """Repeat a run of 2017; whatever goes wrong in it is an answer too."""
    from bench import trials

    try:
        replayed = trials.replay_run(request.dtype, case=request.case, file=request.file, report=_reporter(answers))
        return ReplayDone(
            loss=tuple(replayed.loss.tolist()),
            val_loss=tuple(replayed.val_loss.tolist()),
            test_predictions=tuple(replayed.test_predictions.tolist()),
            stop_predictions=tuple(replayed.stop_predictions.tolist()),
        )
    except Exception as error:  # whatever a framework raises ends this replay, not the others
        return Failed(reason=_reason(error))


def serve_parity(request: ParityRequest) -> Answer:
    """Answer one request for a side of a parity certificate."""
    from seqsum_core import parity

    try:
        return Computed(quantities=tuple(parity.compute(request.case)))
    except Exception as error:  # whatever a framework raises is this backend's failure
        return Failed(reason=_reason(error))


def _reporter(answers: TextIO) -> Callable[[str], None]:
    """Return what tells the coordinator that a phase begins."""
    return lambda phase: _say(answers, Phase(phase=phase))


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
    """Ask Linux to end this process when its coordinator ends, however that happens."""
    if sys.platform == "linux":
        import ctypes
        import signal

        set_parent_death_signal = 1  # PR_SET_PDEATHSIG in <sys/prctl.h>
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


if __name__ == "__main__":
    main()
