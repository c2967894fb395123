"""What a run leaves behind: raw seconds, losses and counts, never a mean.

`schema_version` says how a record is written, `protocol_version` what its numbers mean; numbers of
unequal protocols are not compared. Times are seconds of a monotonic clock, sizes are bytes.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter

from bench.plan import Backend, Cell, Device, Frozen, Sweep
from seqsum_core.metrics import Errors

SCHEMA_VERSION = 2
PROTOCOL_VERSION = 1

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
    python: str
    versions: dict[str, str]
    environment: dict[str, str]


class Machine(Frozen):
    """Where it was measured.

    Args:
        cpu: model name of the processor.
        cores: logical cores this process may use.
        memory_bytes: installed memory.
        system: operating system, its release and the architecture.
        governor: CPU frequency governor, or "unknown".
        gpus: name and driver of each GPU.
    """

    cpu: str
    cores: int
    memory_bytes: int
    system: str
    governor: str
    gpus: tuple[str, ...] = ()


class Header(Frozen):
    """What is true of a whole run; written before the first trial."""

    schema_version: int = SCHEMA_VERSION
    protocol_version: int = PROTOCOL_VERSION
    run: str
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


class Speed(Frozen):
    """One cell timed in one fresh process.

    Args:
        process: which of the fresh processes this was, from 0.
        process_start_s: from starting the process to its first line of Python, or None where the
            process had other work first (pytest).
        import_s: importing Keras and the framework, and touching the device.
        build_s: building and compiling the Keras model.
        epochs_s: every epoch of the one fit: the first one (tracing and compilation), then
            `warmup_epochs`, then the steady ones.
        validation_s: calls of `evaluate`; the first one compiles.
        steps_per_epoch: training steps in an epoch.
        rows_per_epoch: sequences in an epoch.
        peak_rss_bytes: most memory the process held from the beginning of the fit on, libraries included.
        peak_device_bytes: most memory held on the GPU, or None.
        others_cpu_s: CPU seconds that other processes took during the steady epochs.
    """

    kind: Literal["speed"] = "speed"
    cell: Cell
    process: int
    process_start_s: float | None
    import_s: float
    build_s: float
    epochs_s: tuple[float, ...]
    warmup_epochs: int
    validation_s: tuple[float, ...]
    steps_per_epoch: int
    rows_per_epoch: int
    peak_rss_bytes: int
    peak_device_bytes: int | None
    others_cpu_s: float

    @property
    def steady_s(self) -> tuple[float, ...]:
        """Return the counted epochs."""
        return self.epochs_s[1 + self.warmup_epochs :]

    @property
    def disturbed(self) -> bool:
        """Tell whether other processes took more than a tenth of a core meanwhile."""
        return self.others_cpu_s > DISTURBED_SHARE * sum(self.steady_s)


DISTURBED_SHARE = 0.1


Single = Annotated[float, AfterValidator(lambda value: float(f"{value:.9g}"))]
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


class Failure(Frozen):
    """A trial that left no numbers: in which phase it ended, and how."""

    kind: Literal["failure"] = "failure"
    trial: Literal["speed", "accuracy"]
    cell: Cell
    index: int
    phase: str
    reason: str


Record = Speed | Accuracy | Baseline | Failure
RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])
