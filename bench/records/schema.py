"""What a run leaves behind: raw seconds, losses and counts, never a mean.

`schema_version` says how a record is written, `protocol_version` what its numbers mean; numbers of
unequal protocols are not compared. Times are seconds of a monotonic clock, sizes are bytes.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from bench.frozen import Frozen, Rounded
from bench.plan.cells import DEFAULT, Backend, Cell, Device, side_of
from bench.plan.sweep import Sweep
from bench.records.speed import Speed
from seqsum_core.metrics import Errors

SCHEMA_VERSION = 4
PROTOCOL_VERSION = 2

RUN_NAME = r"^\w[\w.+-]*$"
"""What a run may be called: it becomes a folder's name, and must not lead out of where it stands."""

Harness = Literal["seqsum run", "pytest"]
KerasWay = Literal["replica", "alone"]
Way = KerasWay | Literal["plain"]


class Worker(Frozen):
    """What one backend's process proved about itself before anything was measured."""

    backend: Backend
    device: Device
    device_name: str
    threads: int
    float32_precision: str
    deterministic: bool = False
    python: str
    versions: dict[str, str]
    environment: dict[str, str]
    installation: str = DEFAULT

    @property
    def side(self) -> str:
        """Return the name under which this installation of a backend is compared."""
        return side_of(self.backend, self.installation)


class Machine(Frozen):
    """Where it was measured.

    Args:
        cpu: model name of the processor.
        cores: logical cores this process may use.
        memory_bytes: installed memory.
        system: operating system, its release and the architecture.
        governor: CPU frequency governor, or "unknown".
        gpus: name, driver, CUDA version, highest clock and power limit of each GPU.
    """

    cpu: str
    cores: int
    memory_bytes: int
    system: str
    governor: str
    gpus: tuple[str, ...] = ()


class Node(Frozen):
    """One of several machines that a run was measured on; the header's machine describes each of them.

    Args:
        name: that its cluster gave it.
        load_average: of the minute before the run began there.
    """

    name: str
    load_average: float


class Header(Frozen):
    """What is true of a whole run; written before the first trial.

    Args:
        nodes: of a cluster that measured it; none if it was this machine.
    """

    schema_version: int = SCHEMA_VERSION
    protocol_version: int = PROTOCOL_VERSION
    run: Annotated[str, Field(pattern=RUN_NAME)]
    started_at: str
    seqsum_version: str
    commit: str
    harness: Harness
    profile: str
    command: str
    load_average: float
    machine: Machine
    sweep: Sweep
    workers: tuple[Worker, ...]
    nodes: tuple[Node, ...] = ()


Single = Annotated[float, Rounded(lambda value: float(f"{value:.9g}"))]
"""What was computed in float32; nine digits hold any such number, more would fill the disk with noise."""


class Memory(Frozen):
    """What a trained model keeps of the digit k steps before the end; one value for each k.

    Args:
        steps_back: the k: 0 is the last digit.
        rows: test rows that have a digit there which can grow by one.
        moved: mean change of the output when that digit grows by one; 1 is perfect memory.
        gradient_start: mean norm of the loss gradient with respect to the hidden state k steps
            back, with the starting weights, by name of the state: "h", for an LSTM also "c".
        gradient: the same with the trained weights.
    """

    steps_back: tuple[int, ...]
    rows: tuple[int, ...]
    moved: tuple[Single, ...]
    gradient_start: dict[str, tuple[Single, ...]]
    gradient: dict[str, tuple[Single, ...]]


class Accuracy(Frozen):
    """One cell trained once from one seed, judged where one patience ends it.

    Args:
        patience: epochs without a better val_loss that were endured; negative: all of them.
        seed: of the starting weights and the batch order; the same pair on every backend.
        start: "numpy" if the weights were drawn in NumPy, "keras" for a model of the user's whose
            weights Keras drew: such seeds are not pairs.
        loss: training loss of each epoch.
        val_loss: validation loss of each epoch.
        stopped_early: whether patience ended it.
        test: errors on the test rows with the weights of the last epoch.
        test_by_length: the same by true length.
        predictions: outputs for the first six test rows.
        sums: their true sums.
        way: "alone", or "replica" if other seeds were trained in the same Keras model.
        memory: what it keeps of earlier digits, or None for a user's own model.
        node: of the cluster that trained it, or None.
    """

    kind: Literal["accuracy"] = "accuracy"
    cell: Cell
    seed: int
    patience: int
    start: Literal["numpy", "keras"]
    loss: tuple[Single, ...]
    val_loss: tuple[Single, ...]
    stopped_early: bool
    test: Errors
    test_by_length: dict[int, Errors]
    predictions: tuple[Single, ...]
    sums: tuple[int, ...]
    way: KerasWay
    memory: Memory | None
    node: str | None = None

    @property
    def epochs(self) -> int:
        """Count the epochs that ran."""
        return len(self.loss)


class Baseline(Frozen):
    """What a model without recurrence gets on the same test rows."""

    kind: Literal["baseline"] = "baseline"
    name: str
    length: int
    test: Errors


Fault = Literal[
    "crashed",
    "killed",
    "silent",
    "out of memory",
    "not finite",
    "not started",
    "garbled",
    "raised",
    "not available",
    "lost",
    "unknown",
]
"""How a trial can fail: docs/reliability.md says what each is; "unknown": an older schema did not say."""


class Failure(Frozen):
    """A trial that left no numbers: in which phase it ended, and how.

    Args:
        trial: what was to be measured.
        index: the seed of an accuracy trial, the number of the process of a speed trial.
        twin: whether it was a control.
        phase: what the worker was at.
        fault: what kind of end it was.
        reason: the same in a line.
        exit_code: of the worker, the negative number of the signal if one ended it; None while it lives.
        printed: the last lines that it wrote on stderr.
        node: of the cluster that it failed on, or None.
    """

    kind: Literal["failure"] = "failure"
    trial: Literal["speed", "accuracy"]
    cell: Cell
    index: int
    twin: bool
    phase: str
    fault: Fault
    reason: str
    exit_code: int | None
    printed: tuple[str, ...]
    node: str | None = None


class Resumed(Frozen):
    """A run that had been interrupted goes on from here.

    Args:
        at: when, in UTC.
        command: what the user typed.
        load_average: of the minute before.
        dropped: lines of the file whose records are measured again, since the others of their block are missing
            or, if asked for, because they failed.
        nodes: of a cluster that measures it from here on.
    """

    kind: Literal["resumed"] = "resumed"
    at: str
    command: str
    load_average: float
    dropped: tuple[int, ...]
    nodes: tuple[Node, ...] = ()


Record = Speed | Accuracy | Baseline | Failure
LINE: TypeAdapter[Record | Resumed] = TypeAdapter(Annotated[Record | Resumed, Field(discriminator="kind")])
