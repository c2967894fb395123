"""What length costs: a training step as a fixed cost and one for each timestep.

The line has the least squares of relative residuals, so that a short sequence counts as much as a long one. Single slow
processes are dealt with by fitting medians of processes. What is left is that steps are not quite a line: the times of
the reference run bend, and there this line misses its worst length by 2 to 12 %, that of Theil and Sen by 4 to 20 %.
On made-up cells theirs has errors 2 to 5 times smaller where one of five or more lengths is 20 % off, and two thirds
as large where a tenth of the processes is half as slow again; under noise alone they are up to 1.3 times as large.
Ordinary least squares is never better.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.analysis.intervals import CONFIDENCE, LEAST_SEEDS, RESAMPLES, Interval
from bench.analysis.selection import Selection
from bench.analysis.statistics import MANY, median_interval
from bench.plan.cells import Cell
from bench.records.speed import Speed

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
    for cell, trials in chosen.timed.items():
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
    validation = _medians(by_length, lambda trial: trial.steady_validation_s)
    fixed, slope = line_intervals(lengths, times)
    return LengthCost(
        cell=cell,
        lengths=lengths,
        step_s=medians,
        intervals=tuple(map(median_interval, times)),
        line=fit_line(lengths, medians),
        fixed=fixed,
        slope=slope,
        validation=fit_line(lengths, validation),
        memory=memory,
        memory_line=fit_line(lengths, memory),
    )


def _medians(by_length: dict[int, list[Speed]], value: Value) -> Array:
    return np.array([np.median([value(trial) for trial in trials]) for trials in by_length.values()])


def fit_line(lengths: Array, values: Array) -> Line:
    """Fit one line: see `fit_lines`."""
    fixed, slope = fit_lines(lengths, values)
    return Line(float(fixed), float(slope))


def line_intervals(lengths: Array, times: Sequence[Array]) -> tuple[Interval, Interval]:
    """Return 95 % intervals of both parts of a line through medians of processes, by a bootstrap over processes.

    Args:
        lengths: all different, shape (lengths,).
        times: of each length those of its processes.

    Returns:
        Of the fixed cost and of the slope; NaN if a length has fewer than 5 processes.
    """
    if min(map(len, times)) < LEAST_SEEDS:
        return Interval(nan, nan), Interval(nan, nan)
    drawn = draw_processes([len(one) for one in times])
    fixed, slope = (percentiles(one, one) for one in fit_lines(lengths, resampled_medians(times, drawn)))
    return fixed, slope


def draw_processes(counts: Sequence[int]) -> list[NDArray[np.int64]]:
    """Draw processes with replacement within each length: of each, shape (resamples, processes)."""
    source = np.random.default_rng(0)
    resamples = max(999, min(RESAMPLES, MANY * RESAMPLES // max(counts)))  # many processes would fill the memory
    return [source.integers(count, size=(resamples, count)) for count in counts]


def resampled_medians(times: Sequence[Array], drawn: Sequence[NDArray[np.int64]]) -> Array:
    """Return the medians of the drawn processes, shape (resamples, lengths)."""
    return np.stack([np.median(one[places], axis=1) for one, places in zip(times, drawn, strict=True)], axis=1)


def percentiles(lows: Array, highs: Array) -> Interval:
    """Return the percentile interval of resamples that are known to lie between two ends each."""
    low = np.quantile(lows, (1 - CONFIDENCE) / 2, method="nearest")
    high = np.quantile(highs, (1 + CONFIDENCE) / 2, method="nearest")
    return Interval(float(low), float(high))
