"""What a run leaves behind: raw seconds, losses and counts, never a mean.

`schema_version` says how a record is written, `protocol_version` what its numbers mean; numbers of
unequal protocols are not compared. Times are seconds of a monotonic clock, sizes are bytes.
"""

from collections.abc import Callable
from functools import cached_property
from math import nan
from statistics import median
from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import core_schema

from bench.cells import DEFAULT, Backend, Cell, Device, side_of
from bench.frozen import Frozen
from bench.plan import Sweep
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


class Rounded:
    """Round a float where a record is made; what is read was rounded when it was written, and is read fast."""

    def __init__(self, digits: Callable[[float], float]) -> None:
        self._digits = digits

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        number = handler(source)
        rounded = core_schema.no_info_after_validator_function(self._digits, number)
        return core_schema.json_or_python_schema(json_schema=number, python_schema=rounded)


Seconds = Annotated[float, Rounded(lambda value: round(value, 9))]
"""Of a monotonic clock, whose digits end at nanoseconds."""


class Slice(Frozen):
    """One turn of a worker: epochs that ran behind each other in its fit.

    Args:
        round: which of the turns, from 0; a disturbed turn is measured again under the same number.
        begun_at_s: since the run began.
        epochs_s: every epoch of the turn: the warm-up, then the counted ones.
        warmup_epochs: how many of them are warm-up.
        others_cpu_s: CPU seconds that other processes took meanwhile, the hypervisor's steal included.
        steal_s: CPU seconds that the hypervisor gave to other machines.
        involuntary_switches: how often the worker had to make room on its core.
        energy_j: joules that the GPU used meanwhile; None without one, and in older records.
        late_s: from stopping the last epoch's clock until the device had nothing left to do; None in older records.
        probes_s: a fixed piece of work on the worker's core, just before the turn and just after it: `bench.pace`.
            None in older records, and where nobody asked.
        fastest_probe_s: the least that such a piece had taken on that core, since the run began or went on.
    """

    round: int
    begun_at_s: Seconds
    epochs_s: tuple[Seconds, ...]
    warmup_epochs: int
    others_cpu_s: Seconds
    steal_s: Seconds
    involuntary_switches: int
    energy_j: float | None = None
    late_s: Seconds | None = None
    probes_s: tuple[Seconds, Seconds] | None = None
    fastest_probe_s: Seconds | None = None

    @property
    def steady_s(self) -> tuple[float, ...]:
        """Return the counted epochs."""
        return self.epochs_s[self.warmup_epochs :]

    @cached_property
    def median_s(self) -> float:
        """Return the median of the counted epochs."""
        return median(self.steady_s)

    @property
    def slowdown(self) -> float | None:
        """Return how many times as long the host let a piece of work take as it can; None where nobody asked."""
        return None if not (self.probes_s and self.fastest_probe_s) else max(self.probes_s) / self.fastest_probe_s

    @property
    def slowed(self) -> bool:
        """Tell whether the host withheld a part of the core just before or just after."""
        return (self.slowdown or 1.0) > SLOW_HOST

    @property
    def crowded(self) -> bool:
        """Tell whether other processes took more than a tenth of a core meanwhile."""
        return self.others_cpu_s > DISTURBED_SHARE * sum(self.epochs_s)

    @cached_property
    def disturbed(self) -> bool:
        """Tell whether other processes or the host disturbed it."""
        return self.crowded or self.slowed


DISTURBED_SHARE = 0.1
SLOW_HOST = 1.25
"""From which slowdown on a host disturbs."""


class Witness(Frozen):
    """Which recurrent path ran: `seqsum_core.witness.Witness`, as it is stored."""

    recurrence: str
    xla: bool
    compilations: int
    evidence: str

    def __str__(self) -> str:
        return self.recurrence.replace("_", " ") + (", XLA" if self.xla else "")


class Speed(Frozen):
    """One cell timed in one fresh process, in turns with the other cells of its block.

    Args:
        process: which of the fresh processes this was, from 0.
        twin: whether it is the control: the same cell once more, as if it were another.
        process_start_s: from starting the process to its first line of Python, or None where the
            process had other work first (pytest).
        import_s: importing Keras and the framework, and touching the device.
        build_s: building and compiling the Keras model.
        start_epochs_s: epochs before the first turn: the first one (tracing and compilation), then
            warm-up.
        slices: the turns, in the order of measuring.
        validation_s: calls of `evaluate`; the first one compiles.
        steps_per_epoch: training steps in an epoch.
        rows_per_epoch: sequences in an epoch.
        padding_share: of all timesteps of an epoch those that are padding; None where older records do not say.
        peak_rss_bytes: most memory the process held during the fit, libraries included.
        peak_device_bytes: most memory held on the GPU, or None.
        witness: which recurrent path ran; None in records of protocol 1.
        node: of the cluster that measured it, or None.
    """

    kind: Literal["speed"] = "speed"
    cell: Cell
    process: int
    twin: bool
    process_start_s: Seconds | None
    import_s: Seconds
    build_s: Seconds
    start_epochs_s: tuple[Seconds, ...]
    slices: tuple[Slice, ...]
    validation_s: tuple[Seconds, ...]
    steps_per_epoch: int
    rows_per_epoch: int
    padding_share: float | None = None
    peak_rss_bytes: int
    peak_device_bytes: int | None
    witness: Witness | None
    node: str | None = None

    @property
    def first_epoch_s(self) -> float:
        """Return the epoch that contains tracing and compilation."""
        return self.start_epochs_s[0]

    @property
    def steady_validation_s(self) -> float:
        """Return the median call of `evaluate`, the compiling one left out; NaN without any."""
        return median(self.validation_s[1:] or (nan,))

    @property
    def start_s(self) -> float:
        """Return the seconds from starting the process to the end of the first epoch."""
        return (self.process_start_s or 0.0) + self.import_s + self.build_s + self.first_epoch_s

    @cached_property
    def rounds(self) -> dict[int, Slice]:
        """Return one turn of each round: the last undisturbed one, or the last one if there is none."""
        chosen: dict[int, Slice] = {}
        for turn in self.slices:
            earlier = chosen.get(turn.round)
            if earlier is None or earlier.disturbed or not turn.disturbed:
                chosen[turn.round] = turn
        return chosen

    @property
    def steady_s(self) -> tuple[float, ...]:
        """Return the counted epochs of all rounds."""
        return tuple(seconds for turn in self.rounds.values() for seconds in turn.steady_s)

    @cached_property
    def median_s(self) -> float:
        """Return the median of the rounds' medians."""
        return median(turn.median_s for turn in self.rounds.values())


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
