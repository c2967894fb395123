"""What length costs: a training step as a fixed cost and one for each timestep, and where that makes sides cross.

The line has the least squares of relative residuals, so that a short sequence counts as much as a long one. Single slow
processes are dealt with by fitting medians of processes. What is left is that steps are not quite a line: the times of
the reference run bend, and there this line misses its worst length by 2 to 12 %, that of Theil and Sen by 4 to 20 %.
Theirs is better only where one of five or more lengths is far off (its errors are then 2 to 6 times smaller on made-up
cells), and worse under noise alone; ordinary least squares is worse in every case.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import inf, isfinite, isnan, nan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.findings import place
from bench.intervals import CONFIDENCE, LEAST_SEEDS, RESAMPLES, Interval
from bench.plan import Cell
from bench.ratios import of_cells
from bench.records import Speed
from bench.selection import Selection
from bench.statistics import MANY, median_interval

LEAST_LENGTHS = 3
Array = NDArray[np.float64]
Value = Callable[[Speed], float]


@dataclass(frozen=True)
class Line:
    """A fixed cost and one for each timestep.

    Args:
        fixed: what the line says at length 0.
        slope: what a timestep adds.
    """

    fixed: float
    slope: float

    def at(self, lengths: ArrayLike) -> Array:
        """Return what the line says at some lengths."""
        return np.asarray(self.fixed + self.slope * np.asarray(lengths, np.float64))


@dataclass(frozen=True)
class LengthCost:
    """What length costs cells that differ in nothing else.

    Args:
        cell: what they have in common; its length is 0.
        lengths: shortest first, shape (lengths,).
        step_s: seconds of a training step, medians of processes, shape (lengths,).
        intervals: 95 % intervals of those; NaN with fewer than 5 processes.
        line: what is fitted to them.
        fixed: 95 % interval of the fixed cost; NaN if a length has fewer than 5 processes.
        slope: 95 % interval of the cost of a timestep.
        validation: a line through the seconds of a call of `evaluate`.
        memory: bytes at their peak, medians of processes, shape (lengths,).
        memory_line: a line through those.
    """

    cell: Cell
    lengths: Array
    step_s: Array
    intervals: tuple[Interval, ...]
    line: Line
    fixed: Interval
    slope: Interval
    validation: Line
    memory: Array
    memory_line: Line

    @property
    def residuals(self) -> Array:
        """Return by which share of the line each length misses it: above 0 it takes longer, shape (lengths,)."""
        return self.step_s / self.line.at(self.lengths) - 1


def fit_lines(lengths: Array, values: Array) -> tuple[Array, Array]:
    """Fit a line to each row of values.

    Args:
        lengths: all different, shape (lengths,).
        values: positive, shape (..., lengths).

    Returns:
        What each line says at length 0, and its slope, each of shape (...).

    Source:
        Björck, Numerical Methods for Least Squares Problems (1996), section 4.4: weights of one over the squares.
    """
    weights = values**-2.0
    weights /= weights.sum(axis=-1, keepdims=True)
    x, y = ((weights * one).sum(axis=-1) for one in (lengths, values))
    apart = lengths - x[..., None]
    slopes = (weights * apart * (values - y[..., None])).sum(axis=-1) / (weights * apart**2).sum(axis=-1)
    return y - slopes * x, slopes


def length_costs(chosen: Selection) -> list[LengthCost]:
    """Return what length costs all cells that were timed at three lengths or more, by model and backend."""
    groups: dict[Cell, dict[int, list[Speed]]] = defaultdict(dict)
    for cell, trials in of_cells(chosen.records).items():
        groups[cell.model_copy(update={"length": 0})][cell.length] = trials
    found = [
        _cost(cell, dict(sorted(by_length.items())))
        for cell, by_length in groups.items()
        if len(by_length) >= LEAST_LENGTHS
    ]
    return sorted(found, key=lambda one: (one.cell.model, str(one.cell.threads), str(one.cell.variant), one.cell.side))


def step_s(trial: Speed) -> float:
    """Return the seconds of a steady training step."""
    return trial.median_s / trial.steps_per_epoch


def _cost(cell: Cell, by_length: dict[int, list[Speed]]) -> LengthCost:
    lengths = np.array(list(by_length), np.float64)
    times = [np.array([step_s(trial) for trial in trials]) for trials in by_length.values()]
    medians, memory = _medians(by_length, step_s), _medians(by_length, lambda trial: float(trial.peak_rss_bytes))
    validation = _medians(by_length, lambda trial: float(np.median(trial.validation_s[1:] or nan)))
    fixed, slope = Interval(nan, nan), Interval(nan, nan)
    if min(map(len, times)) >= LEAST_SEEDS:
        drawn = _draw([len(one) for one in times])
        lines = fit_lines(lengths, _resampled(times, drawn))
        fixed, slope = (_middle(one, one) for one in lines)
    return LengthCost(
        cell=cell,
        lengths=lengths,
        step_s=medians,
        intervals=tuple(map(median_interval, times)),
        line=_line(lengths, medians),
        fixed=fixed,
        slope=slope,
        validation=_line(lengths, validation),
        memory=memory,
        memory_line=_line(lengths, memory),
    )


def _medians(by_length: dict[int, list[Speed]], value: Value) -> Array:
    return np.array([np.median([value(trial) for trial in trials]) for trials in by_length.values()])


def _line(lengths: Array, values: Array) -> Line:
    fixed, slope = fit_lines(lengths, values)
    return Line(float(fixed), float(slope))


def _draw(counts: Sequence[int]) -> list[NDArray[np.int64]]:
    """Draw processes with replacement within each length: of each, shape (resamples, processes)."""
    source = np.random.default_rng(0)
    resamples = max(999, min(RESAMPLES, MANY * RESAMPLES // max(counts)))  # many processes would fill the memory
    return [source.integers(count, size=(resamples, count)) for count in counts]


def _resampled(times: Sequence[Array], drawn: Sequence[NDArray[np.int64]]) -> Array:
    """Return the medians of the drawn processes, shape (resamples, lengths)."""
    return np.stack([np.median(one[places], axis=1) for one, places in zip(times, drawn, strict=True)], axis=1)


def _middle(lows: Array, highs: Array) -> Interval:
    """Return the percentile interval of resamples that are known to lie between two ends each."""
    low = np.quantile(lows, (1 - CONFIDENCE) / 2, method="nearest")
    high = np.quantile(highs, (1 + CONFIDENCE) / 2, method="nearest")
    return Interval(float(low), float(high))


@dataclass(frozen=True)
class Crossing:
    """From which length on another backend is the faster one, by the fitted lines.

    Args:
        first: the cell that is faster at the shortest length; its length is 0.
        second: the other one.
        shortest: the shortest length that was timed.
        longest: the longest one.
        length: from which on the second is faster; infinite if the first is over the whole range.
        interval: 95 % interval of it, beyond the range infinite; NaN with fewer than 5 pairs of processes at a length.
        changes: every two neighbouring lengths between whose medians the faster one changes.
    """

    first: Cell
    second: Cell
    shortest: int
    longest: int
    length: float
    interval: Interval
    changes: tuple[tuple[int, int], ...]

    @property
    def undecided(self) -> bool:
        """Tell whether the interval holds both a crossing and none, or has an end beyond the range."""
        low, high = self.interval.low, self.interval.high
        return not isnan(low) and not (low == high == inf) and not (isfinite(low) and isfinite(high))


def crossings(chosen: Selection) -> list[Crossing]:
    """Return for every two backends, all else equal, where the faster one changes; three common lengths or more.

    Only cells of the same run are compared. Processes of the same number took turns, and are drawn together.
    """
    places: dict[Cell, dict[Cell, dict[int, tuple[int, list[Speed]]]]] = defaultdict(lambda: defaultdict(dict))
    for run, records in enumerate(chosen.by_run):
        for cell, trials in of_cells(records).items():
            side = cell.model_copy(update={"length": 0})
            places[place(side)][side][cell.length] = run, trials
    found: list[Crossing] = []
    for sides in places.values():
        for one, other in combinations(sorted(sides, key=lambda cell: cell.side), 2):
            both = [
                (length, sides[one][length][1], sides[other][length][1])
                for length in sorted(sides[one].keys() & sides[other].keys())
                if sides[one][length][0] == sides[other][length][0]
            ]
            if len(both) >= LEAST_LENGTHS:
                found.append(_crossing(one, other, both))
    return sorted(found, key=lambda one: (one.first.model, str(one.first.threads), str(one.first.variant)))


def _crossing(one: Cell, other: Cell, both: Sequence[tuple[int, list[Speed], list[Speed]]]) -> Crossing:
    lengths = np.array([length for length, _, _ in both], np.float64)
    medians = np.array([[np.median([step_s(trial) for trial in side]) for side in sides] for _, *sides in both]).T
    leads = _leads(lengths, medians[0], medians[1])
    swapped = bool(leads[0] < 0)
    sign = -1 if swapped else 1
    ahead = np.sign(medians[1] - medians[0])
    known = [int(length) for length in lengths]
    return Crossing(
        *((other, one) if swapped else (one, other)),
        shortest=known[0],
        longest=known[-1],
        length=float(_lengths_ahead(lengths, sign * leads)[1]),
        interval=_crossing_interval(lengths, both, sign),
        changes=tuple(
            ends for ends, (left, right) in zip(pairwise(known), pairwise(ahead), strict=True) if left * right < 0
        ),
    )


def _crossing_interval(lengths: Array, both: Sequence[tuple[int, list[Speed], list[Speed]]], sign: int) -> Interval:
    times: list[list[Array]] = [[], []]
    for _, *sides in both:
        of_process = [{trial.process: step_s(trial) for trial in side} for side in sides]
        paired = sorted(of_process[0].keys() & of_process[1].keys())
        for kept, known in zip(times, of_process, strict=True):
            kept.append(np.array([known[number] for number in paired]))
    counts = [len(one) for one in times[0]]
    if min(counts) < LEAST_SEEDS:
        return Interval(nan, nan)
    drawn = _draw(counts)
    leads = _leads(lengths, *(_resampled(side, drawn) for side in times))
    return _middle(*_lengths_ahead(lengths, sign * leads))


def _leads(lengths: Array, first: Array, second: Array) -> Array:
    """Return by how much the first line lies below the second at the shortest and longest length, shape (2, ...)."""
    lines = [fit_lines(lengths, values) for values in (first, second)]
    return np.array([np.subtract(*(fixed + slope * end for fixed, slope in lines[::-1])) for end in lengths[[0, -1]]])


def _lengths_ahead(lengths: Array, leads: Array) -> tuple[Array, Array]:
    """Return from which length on the second side is ahead, as two ends between which it is known to lie.

    The ends differ only where the sides cross the other way round, of which no such length can be named.

    Args:
        lengths: shape (lengths,).
        leads: of the first side at the shortest and the longest length, shape (2, ...).
    """
    start, end = leads
    with np.errstate(divide="ignore", invalid="ignore"):
        met = lengths[0] + (lengths[-1] - lengths[0]) * start / (start - end)
    inside = np.where(end >= 0, inf, met)
    return np.where(start < 0, -inf, inside), np.where((start < 0) & (end < 0), -inf, inside)
