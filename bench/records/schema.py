"""What a run leaves behind: raw seconds, losses and counts, never a mean.

`schema_version` says how a record is written, `protocol_version` which epochs count; numbers of unequal protocols are
not compared. Times are seconds of a monotonic clock, sizes are bytes.
"""

from functools import cached_property
from math import nan
from statistics import median
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from bench.frozen import Frozen, Rounded
from bench.host import Machine
from bench.plan.cells import BackendName, Cell, Device, EnvironmentName, backend_of
from bench.plan.sweep import Sweep
from seqsum_core.metrics import Errors, Judge
from seqsum_core.tasks.rows import MSE

SCHEMA_VERSION = 6
PROTOCOL_VERSION = 3

RUN_NAME = r"^\w[\w.+-]*$"
"""What a run may be called: it becomes the name of a folder, and must not lead out of its parent."""

Seconds = Annotated[float, Rounded(lambda value: round(value, 9))]
"""Of a monotonic clock, whose digits end at nanoseconds."""
Float32 = Annotated[float, Rounded(lambda value: float(f"{value:.9g}"))]
"""Computed in float32: nine digits hold any such number."""

Harness = Literal["seqsum run", "seqsum advise", "pytest"]
TrainedAs = Literal["replica", "alone"]

DISTURBED_SHARE = 0.1
"""A turn is disturbed if other processes used more than this share of a core meanwhile."""


class Worker(Frozen):
    """What the process of an environment found out about itself before anything was measured.

    Args:
        environment: its name.
        threads: that the framework uses.
        versions: of Python packages, by name.
        variables: environment variables that decide the speed.
    """

    environment: EnvironmentName
    device: Device
    device_name: str
    threads: int
    float32_precision: str
    deterministic: bool = False
    python: str
    versions: dict[str, str]
    variables: dict[str, str]

    @property
    def backend(self) -> BackendName:
        """Return the backend of the environment."""
        return backend_of(self.environment)


class Node(Frozen):
    """One of several machines that a run was measured on; the header's machine describes each of them."""

    name: str
    load_average: float


class Header(Frozen):
    """What is true of a whole run; written before the first trial.

    Args:
        commit: of the code that measured: `bench.host.code_commit`.
        command: what the user typed.
        load_average: of the minute before.
        order_seed: of the order in which cells take turns, drawn anew for every run.
        nodes: of a cluster that measured it; none if it was this machine.
        own: a hash of each model and task of the user's own, by its name: file, layers and settings, or rows.
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
    order_seed: int
    machine: Machine
    sweep: Sweep
    workers: tuple[Worker, ...]
    nodes: tuple[Node, ...] = ()
    own: dict[str, str] = Field(default_factory=dict)


class Turn(Frozen):
    """One `model.fit` of a worker: warm-up epochs, then counted ones.

    Args:
        round: number of the turn, from 0; a disturbed turn is measured again under the same number.
        started_after_s: since the run began.
        epochs_s: every epoch, the warm-up first.
        warmup_epochs: how many of them are warm-up.
        others_cpu_s: CPU seconds that other processes used meanwhile, the hypervisor's steal included.
        steal_s: CPU seconds that the hypervisor gave to other machines.
        involuntary_switches: how often the worker had to make room on its core.
        throttled_s: for which a control group kept the worker, or others in it, from running.
        device_lag_s: from stopping the last epoch's clock until the device was idle; None in converted records.
        energy_j: joules that the GPU used; None without a GPU that counts them.
    """

    round: int
    started_after_s: Seconds
    epochs_s: tuple[Seconds, ...]
    warmup_epochs: int
    others_cpu_s: Seconds
    steal_s: Seconds
    involuntary_switches: int
    throttled_s: Seconds = 0.0
    device_lag_s: Seconds | None = None
    energy_j: float | None = None

    @property
    def counted_epochs_s(self) -> tuple[float, ...]:
        """Return the epochs after the warm-up."""
        return self.epochs_s[self.warmup_epochs :]

    @property
    def epoch_s(self) -> float:
        """Return counted seconds per counted epoch; NaN if none is counted."""
        counted = self.counted_epochs_s
        return sum(counted) / len(counted) if counted else nan

    @property
    def disturbed(self) -> bool:
        """Tell whether other processes used more than a tenth of a core meanwhile, or throttling took as much."""
        return self.others_cpu_s + self.throttled_s > DISTURBED_SHARE * sum(self.epochs_s)


class ExecutionPath(Frozen):
    """The recurrent path that ran: `seqsum_core.nn.execution_path.ExecutionPath`, as it is stored."""

    recurrence: str
    xla: bool
    compilations: int
    evidence: str


class Speed(Frozen):
    """One cell timed in one fresh process, in turns with the other cells of its block.

    Args:
        process: number of the fresh process, from 0.
        is_control: whether this is the same cell once more, as if it were another.
        process_start_s: from starting the process to its first line of Python; None if the process had other work
            before (pytest).
        import_s: importing Keras and the framework, and touching the device.
        build_s: building and compiling the Keras model.
        start_epochs_s: epochs before the first turn: the first one (tracing and compilation), then warm-up.
        turns: in the order of measuring.
        validation_s: calls of `evaluate`; the first one compiles.
        steps_per_epoch: training steps in an epoch.
        rows_per_epoch: sequences in an epoch.
        padding_share: share of padding in all timesteps of an epoch; None in converted records.
        peak_rss_bytes: most memory the process held during the training, libraries included.
        peak_device_bytes: most memory held on the GPU, or None.
        execution_path: None in records of protocol 1.
        python_calls: of Python functions outside the standard library in a steady epoch, on the main thread, an exact
            count; of the first process of a cell, None of others and in older records.
        compute_dtype: what the layers with weights compute in, read from the model; None for a ceiling, and not known
            in older records.
        node: of the cluster that measured it, or None.
    """

    kind: Literal["speed"] = "speed"
    cell: Cell
    process: int
    is_control: bool
    process_start_s: Seconds | None
    import_s: Seconds
    build_s: Seconds
    start_epochs_s: tuple[Seconds, ...]
    turns: tuple[Turn, ...]
    validation_s: tuple[Seconds, ...]
    steps_per_epoch: int
    rows_per_epoch: int
    padding_share: float | None = None
    peak_rss_bytes: int
    peak_device_bytes: int | None
    execution_path: ExecutionPath | None
    python_calls: int | None = None
    compute_dtype: str | None = None
    node: str | None = None

    @cached_property
    def counted_turns(self) -> dict[int, Turn]:
        """Return one turn of each round: the last undisturbed one, or the last one if all are disturbed."""
        counted: dict[int, Turn] = {}
        for turn in self.turns:
            earlier = counted.get(turn.round)
            if earlier is None or earlier.disturbed or not turn.disturbed:
                counted[turn.round] = turn
        return counted

    @property
    def start_s(self) -> float:
        """Return the seconds from starting the process to the end of the first epoch."""
        return (self.process_start_s or 0.0) + self.import_s + self.build_s + self.start_epochs_s[0]

    @property
    def steady_validation_s(self) -> float | None:
        """Return the median call of `evaluate`, the compiling one left out; None if there was one call."""
        return median(self.validation_s[1:]) if len(self.validation_s) > 1 else None


class Memory(Frozen):
    """What a trained model keeps of earlier digits: `seqsum_core.memory.Memory`, as it is stored."""

    steps_back: tuple[int, ...]
    rows: tuple[int, ...]
    moved: tuple[Float32, ...]
    gradient_start: dict[str, tuple[Float32, ...]]
    gradient: dict[str, tuple[Float32, ...]]


class Accuracy(Frozen):
    """One cell trained once from one seed, judged where one patience ends it.

    Args:
        seed: of the starting weights and the batch order; the same pair on every backend.
        patience: epochs without a better val_loss that were endured; negative: all of them.
        start: "numpy" if the weights were drawn in NumPy; "shared" if a user's own model was built once for each seed
            and its weights given to every backend; "keras" if each backend built its own: such seeds are not pairs.
        start_hash: of the weights of a shared start.
        loss_name: of the loss that was trained, from the model itself.
        judge: how its outputs are judged, see `seqsum_core.metrics`.
        loss: training loss of each epoch.
        val_loss: validation loss of each epoch.
        stopped_early: whether patience ended it.
        test: errors on 20,000 fresh rows with the weights of the last epoch; on the test rows of the split where a task
            has no more rows, and before protocol 3.
        test_by_length: the same by true length.
        split_test: errors on the test rows of the split, which may be fitted rows, too; None if `test` is of these.
        predictions: outputs for the first six test rows of the split: a number, or the likeliest class.
        targets: what was to be output.
        trained_as: "replica" if other seeds were trained in the same Keras model, else "alone".
        memory: what it keeps of earlier digits, or None for a user's own model.
        node: of the cluster that trained it, or None.
    """

    kind: Literal["accuracy"] = "accuracy"
    cell: Cell
    seed: int
    patience: int
    start: Literal["numpy", "shared", "keras"]
    start_hash: str = ""
    loss_name: str = MSE
    judge: Judge = "rounded"
    loss: tuple[Float32, ...]
    val_loss: tuple[Float32, ...]
    stopped_early: bool
    test: Errors
    test_by_length: dict[int, Errors]
    split_test: Errors | None = None
    predictions: tuple[Float32, ...]
    targets: tuple[Float32, ...]
    trained_as: TrainedAs
    memory: Memory | None
    node: str | None = None


class Baseline(Frozen):
    """What a model without recurrence gets on the same rows."""

    kind: Literal["baseline"] = "baseline"
    name: str
    length: int
    test: Errors
    split_test: Errors | None = None


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
"""How a trial can fail: docs/reliability.md explains each; "unknown": a converted record did not say."""


class Failure(Frozen):
    """A trial that left no numbers.

    Args:
        index: the seed of an accuracy trial, the number of the process of a speed trial.
        phase: what the worker was doing.
        fault: kind of the end.
        reason: the same in a line.
        exit_code: of the worker, the negative number of the signal if one ended it; None while it lives.
        printed: the last lines that it wrote on stderr.
        node: of the cluster that it failed on, or None.
    """

    kind: Literal["failure"] = "failure"
    trial: Literal["speed", "accuracy"]
    cell: Cell
    index: int
    is_control: bool
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
