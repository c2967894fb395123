"""Turn raw seconds into figures to read: medians of processes, ratios of turns. Derived on reading, never stored.

A fresh process is the unit of every sample: its turns share its address layout and its compiled program, so resampling
them too would count their noise twice. docs/methodology.md says what was tried and how often each interval is right.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import exp, isnan, nan
from statistics import median as middle

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.analysis.intervals import CONFIDENCE, LEAST_SEEDS, RESAMPLES, Interval
from bench.records.speed import Speed

MANY = 50
"""Values from which on an interval is found by a shorter way."""


@dataclass(frozen=True)
class EpochTime:
    """Steady epochs of one cell.

    Args:
        processes: how many fresh processes were timed.
        median_s: median of the medians of the processes.
        interval: 95 % interval of it, in seconds; NaN with fewer than 5 processes.
        quarter_s: a quarter of all counted epochs were faster.
        three_quarters_s: three quarters were.
        spread: standard deviation between the medians of processes, as a share of them.
    """

    processes: int
    median_s: float
    interval: Interval
    quarter_s: float
    three_quarters_s: float
    spread: float


def epoch_time(trials: Sequence[Speed]) -> EpochTime:
    """Summarise the processes of one cell; medians, since single outliers ruin means."""
    medians_s = np.array([trial.median_s for trial in trials])
    steady_s = np.fromiter(chain.from_iterable(trial.steady_s for trial in trials), np.float64)
    quarter_s, three_quarters_s = np.percentile(steady_s, [25, 75])
    return EpochTime(
        processes=len(trials),
        median_s=float(np.median(medians_s)),
        interval=median_interval(medians_s),
        quarter_s=float(quarter_s),
        three_quarters_s=float(three_quarters_s),
        spread=float(np.std(np.log(medians_s), ddof=1)) if len(trials) > 1 else nan,
    )


def median_interval(values: NDArray[np.float64]) -> Interval:
    """Return the 95 % interval of a median, by the percentile bootstrap; of many values by their order.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3; Conover, Practical
        Nonparametric Statistics (1999), section 3.2, which from some dozens of values on says the same.
    """
    if len(values) < LEAST_SEEDS:
        return Interval(nan, nan)
    if np.ptp(values) == 0:
        return Interval(float(values[0]), float(values[0]))
    if len(values) >= MANY:
        ordered = stats.quantile_test(values, p=0.5).confidence_interval(CONFIDENCE)
        return Interval(float(ordered.low), float(ordered.high))
    found = stats.bootstrap(
        (np.sort(values),),  # so that the order does not choose the resamples
        np.median,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(float(found.low), float(found.high))


@dataclass(frozen=True)
class Ratio:
    """How many times as long one side takes as another.

    Args:
        processes: how many pairs of processes were compared.
        value: median over the processes; NaN without any.
        interval: 95 % interval of it; NaN with fewer than 5 processes.
    """

    processes: int
    value: float
    interval: Interval

    @property
    def half_width(self) -> float:
        """Return how far the interval reaches to its wider side, as a share of the value."""
        return max(self.interval.high / self.value, self.value / self.interval.low) - 1

    @property
    def undecided(self) -> bool:
        """Tell whether the interval holds 1, or there is none."""
        return not (self.interval.low > 1 or self.interval.high < 1)


def ratio(first: Iterable[Speed], second: Iterable[Speed]) -> Ratio:
    """Compare two sides by the ratio first / second of each round, process by process.

    A process' ratio is the median of its rounds'. Rounds that others disturbed count only where a process has no other.

    Args:
        first: processes of one side.
        second: processes of the other; those of the same number took turns with each other.
    """
    others = {trial.process: trial for trial in second}
    pairs = [(trial, others[trial.process]) for trial in first if trial.process in others]
    return median_ratio([_of_rounds(left, right) for left, right in pairs])


def median_ratio(ratios: Sequence[float]) -> Ratio:
    """Return the median of ratios, one of each process, and its interval; NaN is none.

    On logarithms, so that a ratio and its inverse weigh the same.
    """
    logs = np.log(ratios)
    logs = logs[~np.isnan(logs)]
    if not len(logs):
        return Ratio(0, nan, Interval(nan, nan))
    interval = median_interval(logs)
    return Ratio(len(logs), exp(float(np.median(logs))), Interval(exp(interval.low), exp(interval.high)))


def _of_rounds(first: Speed, second: Speed) -> float:
    others = second.rounds
    both = [(turn, others[number]) for number, turn in first.rounds.items() if number in others]
    calm = [(one, other) for one, other in both if not (one.disturbed or other.disturbed)]
    ratios = [one.median_s / other.median_s for one, other in calm or both]
    return middle(ratios) if ratios else nan


@dataclass(frozen=True)
class Overtaking:
    """From which epoch on one side is ahead of another that starts faster.

    Args:
        epoch: the first one, counted from 1, at whose end it is ahead; infinite if it never is.
        interval: 95 % interval of it; NaN with fewer than 5 processes.
    """

    epoch: float
    interval: Interval


def overtaking(first: Sequence[Speed], second: Sequence[Speed]) -> Overtaking:
    """Say from which epoch on the side with the faster epochs is ahead, start included.

    Args:
        first: processes of the side with the shorter epochs.
        second: processes of the other side.

    Returns:
        Medians decide; the interval is a percentile bootstrap over pairs of processes of the same number,
        which were started right after each other.
    """
    sides = [np.array([[one.start_s for one in side], [one.median_s for one in side]]) for side in (first, second)]
    value = float(_epoch_ahead(*(np.median(side, axis=1) for side in sides)))
    numbers = [np.array([trial.process for trial in side]) for side in (first, second)]
    paired, *places = np.intersect1d(numbers[0], numbers[1], return_indices=True)
    if len(paired) < LEAST_SEEDS:
        return Overtaking(value, Interval(nan, nan))
    resamples = max(99, min(RESAMPLES, MANY * RESAMPLES // len(paired)))  # of many processes few say the same
    drawn = np.random.default_rng(0).integers(len(paired), size=(resamples, len(paired)))
    of_processes = (side[:, place] for side, place in zip(sides, places, strict=True))
    epochs = _epoch_ahead(*(np.median(both[:, drawn], axis=-1, overwrite_input=True) for both in of_processes))
    low, high = np.quantile(epochs, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], method="nearest")
    return Overtaking(value, Interval(float(low), float(high)))


def _epoch_ahead(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the first epoch at whose end the left side is ahead; arrays of start and epoch, shape (2, ...)."""
    lag, gain = left[0] - right[0], right[1] - left[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        later = np.floor(lag / gain) + 2
    return np.where(lag < 0, 1.0, np.where(gain > 0, later, np.inf))


def median(values: Iterable[float | None]) -> float | None:
    """Return the median of the values that were measured, or None."""
    known = [value for value in values if value is not None and not isnan(value)]
    return float(np.median(known)) if known else None
