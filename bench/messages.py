"""What coordinator and worker say to each other: one JSON document a line.

The coordinator starts a worker with a `Start`, then sends requests; the worker says `Ready` first, then
phases and one closing answer to each request.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

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
