"""What coordinator and worker say to each other: one JSON document a line.

The coordinator starts a worker with a `Start`; the worker says `Ready` once its backend is imported and checked. From
then on each request gets one reply: the one named in its docstring, or an `Error`. Phases may come first.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from bench.frozen import Frozen
from bench.plan.cells import Device, EnvironmentName, Group, Trial
from bench.plan.timing import Runtime
from bench.records.schema import Accuracy, Baseline, Failure, Fault, Speed, Turn, Worker
from seqsum_core.parity_case import Case, Quantity
from seqsum_core.settings import TaskSettings, VariantSettings
from seqsum_core.tasks.rows import SUM, Task


class Start(Frozen):
    """What a worker is started as; its only command-line argument.

    Args:
        environment: its backend must be what KERAS_BACKEND says.
        device: where tensors must lie.
        cores: logical cores to stay on.
        started_at_s: `time.monotonic()` just before the process was started; the clock is the system's.
        runtime: what the framework is set to.
        memory_gib: memory it may allocate, in GiB, or None.
    """

    environment: EnvironmentName
    device: Device
    cores: tuple[int, ...]
    started_at_s: float
    runtime: Runtime = Runtime()
    memory_gib: float | None = None


class Check(Frozen):
    """Try a user's own model or task on a real batch; the reply is `Checked`.

    Args:
        variants: that must reach the model, too.
        seeds: whose starting weights are drawn and kept in
        starts: a folder; none are if there is none.
    """

    kind: Literal["check"] = "check"
    trial: Trial
    variants: tuple[VariantSettings, ...] = ()
    seeds: tuple[int, ...] = ()
    starts: Path | None = None


class Judge(Frozen):
    """Judge what models without recurrence get on a user's own task; the reply is `Judged`."""

    kind: Literal["judge"] = "judge"
    task: TaskSettings
    length: int


class OpenTrial(Frozen):
    """Build and compile a cell and run its first fit, in a process that is fresh; the reply is `Opened`.

    `starts` is the folder of the starting weights of models of the user's own, also in `Train`.
    """

    kind: Literal["open"] = "open"
    trial: Trial
    starts: Path | None = None


class RunTurn(Frozen):
    """Run one fit of the open trial: warm-up epochs, then counted ones; the reply is `TurnDone`.

    Args:
        round: its number, from 0.
        started_after_s: since the run began.
    """

    kind: Literal["turn"] = "turn"
    round: int
    started_after_s: float = 0.0


class CloseTrial(Frozen):
    """Detect the execution path and time the validation of the open trial; the reply is `Closed`."""

    kind: Literal["close"] = "close"


class Train(Frozen):
    """Train seeds of one cell and judge them; the reply is `Trained`."""

    kind: Literal["train"] = "train"
    group: Group
    starts: Path | None = None


class Replay(Frozen):
    """Repeat a run of 2017; the reply is `Replayed`.

    Args:
        dtype: precision of the replay.
        case: name of one of the package's runs, or
        file: a reference file.
    """

    kind: Literal["replay"] = "replay"
    dtype: Literal["float32", "float64"]
    case: str | None = None
    file: Path | None = None


class Parity(Frozen):
    """Compute a case, for comparison with NumPy; the reply is `ParityDone`."""

    kind: Literal["parity"] = "parity"
    case: Case


class Ready(Frozen):
    """The backend is imported, checked and set."""

    kind: Literal["ready"] = "ready"
    worker: Worker
    import_s: float


class Phase(Frozen):
    """A phase begins, and with it the time that the worker may be silent."""

    kind: Literal["phase"] = "phase"
    phase: str


class Checked(Frozen):
    """Model and task can be used.

    Args:
        model: a hash of a user's own model; `task`: of the rows of a user's own task; empty where they are not.
        shape: what the task has to be read and output.
        shapes: of the weights of a user's own model.
        compiled: whether its function compiles it.
        loss_name: of the loss that it is trained with.
    """

    kind: Literal["checked"] = "checked"
    model: str = ""
    task: str = ""
    shape: Task = SUM
    shapes: tuple[tuple[int, ...], ...] = ()
    compiled: bool = False
    loss_name: str = ""


class Judged(Frozen):
    """What models without recurrence get."""

    kind: Literal["judged"] = "judged"
    baselines: tuple[Baseline, ...]


class Opened(Frozen):
    """The model is compiled and warm; until the next request the worker waits and uses no CPU."""

    kind: Literal["opened"] = "opened"


class TurnDone(Frozen):
    """A turn has ended, and the worker waits again."""

    kind: Literal["turn done"] = "turn done"
    turn: Turn


class Closed(Frozen):
    """The trial is done: its record, with every turn that was run."""

    kind: Literal["closed"] = "closed"
    record: Speed


class Trained(Frozen):
    """All seeds of a group are done: a record for each seed and patience, or a failure of that seed."""

    kind: Literal["trained"] = "trained"
    records: tuple[Accuracy | Failure, ...]


class Replayed(Frozen):
    """A run was repeated; the arrays are those of `seqsum_core.article.verdict.Replayed`."""

    kind: Literal["replayed"] = "replayed"
    loss: tuple[float, ...]
    val_loss: tuple[float, ...]
    test_predictions: tuple[float, ...]
    stop_predictions: tuple[float, ...]


class ParityDone(Frozen):
    """A case was computed."""

    kind: Literal["parity done"] = "parity done"
    quantities: tuple[Quantity, ...]


class Error(Frozen):
    """The request failed; the worker goes on.

    Args:
        fault: what kind of failure it is; "user": the user's input is wrong.
        reason: the same in a line.
        printed: the last lines of its traceback.
    """

    kind: Literal["error"] = "error"
    fault: Fault | Literal["user"]
    reason: str
    printed: tuple[str, ...] = ()


Request = Check | Judge | OpenTrial | RunTurn | CloseTrial | Train | Replay | Parity
REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])
Reply = Ready | Phase | Checked | Judged | Opened | TurnDone | Closed | Trained | Replayed | ParityDone | Error
REPLY: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="kind")])
