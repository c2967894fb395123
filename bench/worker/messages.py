"""What coordinator and worker say to each other: one JSON document a line.

The coordinator starts a worker with a `Start`, then sends requests; the worker says `Ready` first, then
phases and one closing answer to each request.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from bench.frozen import Frozen
from bench.plan.cells import Backend, Device, Group, Trial
from bench.plan.timing import Runtime
from bench.records.schema import Accuracy, Failure, Way, Worker
from bench.records.speed import Slice, Speed
from seqsum_core.parity_case import Case, Quantity


class Start(Frozen):
    """What a worker is started as; its only command-line argument.

    Args:
        backend: must be what KERAS_BACKEND says.
        device: where tensors must lie.
        cores: logical cores to stay on.
        started_at_s: wall clock just before the process was started.
        runtime: what the framework is set to.
        memory_gib: memory it may allocate, in GiB, or None.
    """

    backend: Backend
    device: Device
    cores: tuple[int, ...]
    started_at_s: float
    runtime: Runtime
    memory_gib: float | None


class CheckRequest(Frozen):
    """A worker is asked to build a trial's model, and no more."""

    do: Literal["check"] = "check"
    trial: Trial


class SpeedRequest(Frozen):
    """A worker is asked to time a cell: its fit warms up, parks, and then runs a turn for each `Turn`."""

    do: Literal["speed"] = "speed"
    trial: Trial


class Turn(Frozen):
    """A parked fit shall run a turn.

    Args:
        round: which, from 0.
        begun_at_s: since the run began.
        epochs: how many counted ones; None: as many as the settings say.
        tell: whether the end of the warm-up and of each counted epoch is told.
        calm_s: how many seconds of epochs that the host slows may run before the turn gives up finding others;
            None: nobody asks how fast the host is.
        fastest_probe_s: the least that a probe of the host has taken so far, or None.
    """

    do: Literal["turn"] = "turn"
    round: int
    begun_at_s: float = 0.0
    epochs: int | None = None
    tell: bool = False
    calm_s: float | None = None
    fastest_probe_s: float | None = None


class Leave(Frozen):
    """A parked fit shall end, be validated and leave its record."""

    do: Literal["leave"] = "leave"


class OverheadRequest(Frozen):
    """A worker is asked what timing an epoch adds to a bare fit: `repeats` pairs of fits of `fit_s` seconds each."""

    do: Literal["overhead"] = "overhead"
    trial: Trial
    fit_s: float
    repeats: int


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


class Parked(Frozen):
    """The fit is warm and waits; no CPU is used until a `Turn` or `Leave` arrives.

    Args:
        epoch_s: the last epoch of the warm-up.
        fastest_probe_s: the least that a probe of the host took here.
    """

    answer: Literal["parked"] = "parked"
    epoch_s: float
    fastest_probe_s: float


class Epoch(Frozen):
    """The warm-up of a turn or a counted epoch has ended."""

    answer: Literal["epoch"] = "epoch"
    epoch_s: float


class TurnDone(Frozen):
    """A turn has ended, the fit is parked again."""

    answer: Literal["turned"] = "turned"
    slice: Slice


class OverheadDone(Frozen):
    """Seconds of an epoch in each pair of fits: bare, timed as `seqsum run` does, and in the callback that times."""

    answer: Literal["overhead"] = "overhead"
    bare_s: tuple[float, ...]
    timed_s: tuple[float, ...]
    inside_s: tuple[float, ...]


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
    """A run was repeated; the arrays are those of `seqsum_core.article.verdict.Replayed`."""

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


Answer = (
    Ready
    | Phase
    | Parked
    | Epoch
    | TurnDone
    | OverheadDone
    | Done
    | GroupDone
    | SeedsTimed
    | ReplayDone
    | Computed
    | Wrong
    | Failed
)
ANSWER: TypeAdapter[Answer] = TypeAdapter(Annotated[Answer, Field(discriminator="answer")])
AnyRequest = CheckRequest | SpeedRequest | OverheadRequest | TrainRequest | TimeRequest | ReplayRequest | ParityRequest
REQUEST: TypeAdapter[AnyRequest] = TypeAdapter(Annotated[AnyRequest, Field(discriminator="do")])
AtPark = Turn | Leave
AT_PARK: TypeAdapter[AtPark] = TypeAdapter(Annotated[AtPark, Field(discriminator="do")])
