"""What a timed process leaves behind, and which of its epochs count. Times are seconds of a monotonic clock."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain, compress, pairwise
from math import nan
from statistics import median
from typing import Annotated, Literal

from pydantic import model_validator

from bench.frozen import Frozen, Rounded
from bench.plan.cells import Cell

Seconds = Annotated[float, Rounded(lambda value: round(value, 9))]
"""Of a monotonic clock, whose digits end at nanoseconds."""

DISTURBED_SHARE = 0.1
SLOW_HOST = 1.25
"""From which slowdown on a host disturbs."""

FEWEST_CALM = 3
"""So many epochs of a turn must be calm, if it has as many, for these alone to count."""


class Slice(Frozen):
    """One turn of a worker: epochs that ran behind each other in its fit.

    Args:
        round: which of the turns, from 0; a disturbed turn is measured again under the same number.
        begun_at_s: since the run began.
        epochs_s: every epoch of the turn: the warm-up, then the others.
        warmup_epochs: how many of them are warm-up.
        others_cpu_s: CPU seconds that other processes took meanwhile, the hypervisor's steal included.
        steal_s: CPU seconds that the hypervisor gave to other machines.
        involuntary_switches: how often the worker had to make room on its core.
        energy_j: joules that the GPU used meanwhile; None without one, and in older records.
        late_s: from stopping the last epoch's clock until the device had nothing left to do; None in older records.
        probes_s: CPU seconds of a fixed piece of work between epochs: `bench.worker.pace`. None where nobody
            asked and in older records.
        probed_after: how many epochs of the turn had ended at each probe; None in older records, whose two probes
            stand before the turn and behind it.
        fastest_probe_s: the least that such a piece had taken in any process of this side so far.
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
    probes_s: tuple[Seconds, ...] | None = None
    probed_after: tuple[int, ...] | None = None
    fastest_probe_s: Seconds | None = None

    @model_validator(mode="after")
    def _check_probes(self) -> "Slice":
        after = self.probed_after
        if after is None:
            return self
        if len(after) != len(self.probes_s or ()) or list(after) != sorted(after):
            raise ValueError(f"`probed_after` must rise, with a count for each probe. Received: {after}.")
        if (after[:1], after[-1:]) != ((0,), (len(self.epochs_s),)):
            raise ValueError(f"`probed_after` must begin with 0 and end with all {len(self.epochs_s)} epochs.")
        return self

    @property
    def warm_s(self) -> tuple[float, ...]:
        """Return the epochs behind the warm-up."""
        return self.epochs_s[self.warmup_epochs :]

    @property
    def steady_s(self) -> tuple[float, ...]:
        """Return the epochs that count: those behind the warm-up, and of them the calm ones unless too few are."""
        return self.warm_s if self.probes_s is None or self.slowed else self.calm_s

    @cached_property
    def median_s(self) -> float:
        """Return the median of the epochs that count."""
        return median(self.steady_s)

    @property
    def slowdown(self) -> float | None:
        """Return the largest slowdown beside an epoch that counts; None where nobody asked."""
        found = self._slowdowns if self.slowed else [one for one in self._slowdowns if one <= SLOW_HOST]
        return max(found, default=None)

    @property
    def slowed(self) -> bool:
        """Tell whether the host withheld a part of the core beside too many epochs."""
        return self.probes_s is not None and len(self.calm_s) < min(FEWEST_CALM, len(self.warm_s))

    @property
    def slow_s(self) -> tuple[float, ...]:
        """Return the epochs behind the warm-up beside which the host slowed the core."""
        return tuple(compress(self.warm_s, [one > SLOW_HOST for one in self._slowdowns]))

    @cached_property
    def calm_s(self) -> tuple[float, ...]:
        """Return the epochs behind the warm-up beside which it did not, as far as is known."""
        if not self._slowdowns:
            return self.warm_s
        return tuple(compress(self.warm_s, [one <= SLOW_HOST for one in self._slowdowns]))

    @property
    def crowded(self) -> bool:
        """Tell whether other processes took more than a tenth of a core meanwhile."""
        return self.others_cpu_s > DISTURBED_SHARE * sum(self.epochs_s)

    @cached_property
    def disturbed(self) -> bool:
        """Tell whether other processes or the host disturbed it."""
        return self.crowded or self.slowed

    @cached_property
    def _slowdowns(self) -> list[float]:
        """Return the slowdown beside each epoch behind the warm-up; nothing where nobody asked."""
        if not (self.probes_s and self.fastest_probe_s):
            return []
        after = self.probed_after or (0, len(self.epochs_s))
        return slowdowns(self.probes_s, after, self.fastest_probe_s)[self.warmup_epochs :]


def slowdowns(probes_s: Sequence[float], probed_after: Sequence[int], fastest_s: float) -> list[float]:
    """Return for each epoch between the first probe and the last one how much the host slowed the core beside it.

    Args:
        probes_s: what the probes took.
        probed_after: how many epochs had ended at each of them, from 0.
        fastest_s: the least that a probe takes.

    Returns:
        How many times as long as that the slower one of the probes around each epoch took.
    """
    slower = [max(pair) / fastest_s for pair in pairwise(probes_s)]
    return [one for one, (begin, end) in zip(slower, pairwise(probed_after), strict=True) for _ in range(begin, end)]


def disturbers(turns: Iterable[Slice]) -> str:
    """Name who has disturbed those of some turns that are disturbed: other processes, the host, or both.

    A core that is slow while other processes are at work is slowed by them.
    """
    found = {"other processes" if turn.crowded else "the host" for turn in turns if turn.disturbed}
    return " and ".join(sorted(found))


class Witness(Frozen):
    """Which recurrent path ran: `seqsum_core.nn.execution_path.Witness`, as it is stored."""

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

    @cached_property
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
        return tuple(chain.from_iterable(turn.steady_s for turn in self.rounds.values()))

    @cached_property
    def median_s(self) -> float:
        """Return the median of the rounds' medians."""
        return median(turn.median_s for turn in self.rounds.values())
