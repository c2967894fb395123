"""Intervals and tests, of numbers: medians by their order, means by the bootstrap, pairs by Student's t.

Knows no records. docs/methodology.md says why these methods, and how often each interval was right in simulations.
"""

import warnings
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from math import inf, log, nan, sqrt
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

Array = NDArray[np.float64]
Verdict = Literal["equal", "different", "open"]

CONFIDENCE = 0.95
"""Least level of the interval of a median, and the level of every other interval."""
LEAST_PROCESSES = 6
"""Figures from which on a median has an interval."""
LEAST_SEEDS = 5
"""Figures from which on a mean has an interval, and pairs have a test."""
RESAMPLES = 9_999
MANY_SEEDS = 200
"""Figures from which on their skewness hardly moves the interval of a mean, and resamples would fill the memory."""
RATIO_MARGIN = 1.1
RATE_MARGIN = 0.02


class OrderInterval(NamedTuple):
    """Where a median lies, and in which share of samples such an interval holds it; NaN where there is none."""

    low: float
    high: float
    level: float


def order_interval(values: ArrayLike) -> OrderInterval:
    """Return the interval of a median by the order of its figures: right for every continuous distribution.

    It reaches from the k-th least to the k-th greatest figure, with the largest k whose level is at least 95 %: from
    the 2nd to the 8th of 9 (96.1 %), from the least to the greatest of 6 (96.9 %). Fewer than 6 have none. NaN is left
    out. Source: Conover, Practical Nonparametric Statistics (1999), section 3.2.
    """
    known = np.sort(np.asarray(values, np.float64))
    known = known[~np.isnan(known)]
    rank, level = order_rank(len(known))
    return OrderInterval(float(known[rank - 1]), float(known[-rank]), level) if rank else OrderInterval(nan, nan, nan)


@cache
def order_rank(count: int) -> tuple[int, float]:
    """Return the k of the interval of a median of so many figures, and its level; 0 and NaN if there is none."""
    tail = (1 - CONFIDENCE) / 2
    rank = 0
    while count and special.bdtr(rank, count, 0.5) <= tail:  # at most `rank` of the figures lie below the median
        rank += 1
    return (rank, 1 - 2 * float(special.bdtr(rank - 1, count, 0.5))) if rank else (0, nan)


def medians(frame: pd.DataFrame, by: Sequence[str], figure: str) -> pd.DataFrame:
    """Return the median of a figure over the processes of each group, a row for each process, with its interval.

    Returns:
        A row for each group, in their order in the frame: the columns of `by`, processes (those with the figure), the
        figure, <figure>_low and <figure>_high (its interval), level, and <figure>_least and <figure>_greatest.
    """
    known = frame[[*by, figure]].dropna(subset=[figure])
    groups = known.groupby(list(by), sort=False, dropna=False).ngroup().to_numpy()
    ordered = known[figure].to_numpy(np.float64)
    ordered = ordered[np.lexsort((ordered, groups))]  # group after group, each from its least to its greatest figure
    counts = np.bincount(groups)
    first = np.cumsum(counts) - counts
    last = first + counts - 1
    ranks = np.array([order_rank(int(count)) for count in counts]).reshape(-1, 2)
    rank, has_interval = ranks[:, 0].astype(int), ranks[:, 0] > 0
    figures = {
        "processes": counts,
        figure: (ordered[(first + last) // 2] + ordered[(first + last + 1) // 2]) / 2,
        f"{figure}_low": np.where(has_interval, ordered[first + rank - 1], nan),
        f"{figure}_high": np.where(has_interval, ordered[np.minimum(last - rank + 1, last)], nan),
        "level": ranks[:, 1],
        f"{figure}_least": ordered[first],
        f"{figure}_greatest": ordered[last],
    }
    return known[list(by)].drop_duplicates(ignore_index=True).assign(**figures)


class MeanInterval(NamedTuple):
    """Where a mean lies at 95 %, NaN if not known, and by which method; "same": all figures are equal."""

    low: float
    high: float
    method: Literal["BCa", "Student", "same", ""]


def mean_interval(values: ArrayLike, *, bounds: tuple[float, float] = (-inf, inf)) -> MeanInterval:
    """Return the 95 % interval of a mean by the bias-corrected and accelerated bootstrap (BCa).

    The percentiles are those of Student's t rather than of a normal distribution, so that few figures are not taken
    for many (Hesterberg). The interval never reaches beyond the least and greatest figure. The resamples are the same
    in every call. From `MANY_SEEDS` figures on the interval is Student's.

    Args:
        values: one figure for each seed, in any order; those that are not finite are left out.
        bounds: smallest and largest possible figure; the interval is cut there.

    Returns:
        The interval: NaN with fewer than 5 figures, of no width where all are the same.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 14.3; Hesterberg, The American
        Statistician 69 (2015), 371-386, section 5.3.
    """
    known = np.sort(np.asarray(values, np.float64))  # so that the order does not choose the resamples
    known = known[np.isfinite(known)]
    seeds = len(known)
    if seeds < LEAST_SEEDS:
        return MeanInterval(nan, nan, "")
    mean = float(known.mean())
    if known[0] == known[-1]:
        return MeanInterval(mean, mean, "same")
    t = float(special.stdtrit(seeds - 1, (1 + CONFIDENCE) / 2))
    if seeds >= MANY_SEEDS:
        half = t * float(known.std(ddof=1)) / sqrt(seeds)
        return MeanInterval(max(bounds[0], mean - half), min(bounds[1], mean + half), "Student")
    low, high = _bca(known, t * sqrt(seeds / (seeds - 1)))
    return MeanInterval(max(bounds[0], low), min(bounds[1], high), "BCa")


def _bca(values: Array, z: float) -> tuple[float, float]:
    """Return the BCa interval of a mean between the normal quantiles -z and z."""
    mean, width = values.mean(), np.ptp(values)
    deviations = (values - mean) / width
    means = np.sort(_resamples(len(values)) @ deviations)
    bias = special.ndtri(np.mean(means < 0) / 2 + np.mean(means <= 0) / 2)
    acceleration = np.sum(deviations**3) / (6 * np.sum(deviations**2) ** 1.5)
    moved = bias + np.array([-z, z])
    shares = special.ndtr(bias + moved / np.maximum(1 - acceleration * moved, 1e-3))
    low, high = mean + width * np.quantile(means, shares)
    return float(low), float(high)


@lru_cache(maxsize=8)
def _resamples(seeds: int) -> Array:
    """Return the share that each seed has in each resample, shape (resamples, seeds)."""
    return np.random.default_rng(0).multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds


@dataclass(frozen=True)
class Contrast:
    """How far two cells differ in pairs of seeds.

    Args:
        value: geometric mean of the ratios, or mean of the differences; NaN without pairs.
        low: of its 95 % interval, for this contrast alone; `high`: the other end; NaN with fewer than 5 pairs.
        p_value: of the test that there is no difference; NaN with fewer than 5 pairs.
        equivalent: whether the 90 % interval lies within the margins.
    """

    pairs: int
    value: float
    low: float
    high: float
    p_value: float
    equivalent: bool


def paired_ratio(first: ArrayLike, second: ArrayLike, *, margin: float = RATIO_MARGIN) -> Contrast:
    """Compare two cells by the ratio first / second of each seed; to exchange them inverts the value exactly.

    A pair with a figure that is not positive and finite is left out. Ratios from 1 / margin to margin do not matter.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.asarray(first, np.float64)) - np.log(np.asarray(second, np.float64))
    contrast = paired_difference(logs, np.zeros_like(logs), margin=log(margin))
    with np.errstate(over="ignore"):
        value, low, high = np.exp([contrast.value, contrast.low, contrast.high]).tolist()
    return replace(contrast, value=value, low=low, high=high)


def paired_difference(first: ArrayLike, second: ArrayLike, *, margin: float = RATE_MARGIN) -> Contrast:
    """Compare two cells by the difference first - second of each seed, with Student's t and two one-sided tests.

    A pair with a figure that is not finite is left out. Differences from -margin to margin do not matter.
    Source: Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987), 657-680.
    """
    with np.errstate(invalid="ignore"):
        differences = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    differences = differences[np.isfinite(differences)]
    pairs = len(differences)
    mean = float(differences.mean()) if pairs else nan
    if pairs < LEAST_SEEDS:
        return Contrast(pairs, mean, nan, nan, nan, False)
    error = float(differences.std(ddof=1)) / sqrt(pairs)
    half = error * float(special.stdtrit(pairs - 1, (1 + CONFIDENCE) / 2))
    reach = abs(mean) + error * float(special.stdtrit(pairs - 1, CONFIDENCE))  # of the 90 % interval
    t = abs(mean) / error if error else (inf if mean else 0.0)
    p_value = 2 * float(special.stdtr(pairs - 1, -t))
    return Contrast(pairs, mean, mean - half, mean + half, p_value, reach <= margin)


def holm(p_values: ArrayLike) -> Array:
    """Raise p-values so that the chance of any false rejection among them is that of a single test; NaN is no test.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    raised = np.array(p_values, np.float64)
    order = np.argsort(raised)[: np.count_nonzero(~np.isnan(raised))]  # NaN come last
    weights = np.arange(len(order), 0, -1)
    raised[order] = np.minimum(1, np.maximum.accumulate(weights * raised[order]))
    return raised


def zero_mean_p_values(values: "pd.Series[float]", groups: "pd.Series[int]") -> "pd.Series[float]":
    """Return for each group the p-value of Student's test that its mean is 0; NaN with fewer than 6 figures."""
    figures = values.groupby(groups, sort=False).agg(["count", "mean", "std"])
    with np.errstate(divide="ignore", invalid="ignore"):  # all figures of a group may be equal
        t = figures["mean"].abs() / (figures["std"] / np.sqrt(figures["count"]))
    p_values = 2 * special.stdtr(figures["count"] - 1, -t.where(figures["mean"] != 0, 0.0))
    return pd.Series(p_values, figures.index).where(figures["count"] >= LEAST_PROCESSES)


PRIOR_VARIANCE = 4.0
"""Of an effect in standard deviations: differences worth finding are some times the spread of a ratio."""


def anytime_p_values(samples: ArrayLike) -> Array:
    """Return p-values that samples lie around 0 which hold however often one looks while the samples grow.

    Each is the inverse of the average of two Bayes factors: of Student's t with a normal prior of the effect, which is
    exact for normal figures, and of the signs with a uniform prior of their share, which is so for every distribution
    with the median 0 and decides where outliers hide a difference. If a sample lies around 0, the chance that its
    p-value ever falls below p is at most p.

    Args:
        samples: figures, shape (..., figures); NaN is left out. A sample of fewer than 2 figures has the p-value NaN.

    Source: Perez-Ortiz, Lardy, de Heide and Gruenwald, Annals of Statistics 52 (2024), 1410-1432; Ramdas, Gruenwald,
        Vovk and Shafer, Statistical Science 38 (2023), 576-601.
    """
    figures = np.asarray(samples, np.float64)
    count = np.sum(~np.isnan(figures), axis=-1)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # of samples without figures
        mean, spread = np.nanmean(figures, axis=-1), np.nanstd(figures, axis=-1, ddof=1)
        x = np.where(mean == 0, 0.0, mean / spread) ** 2 * count / (count - 1)
        wide = 1 + PRIOR_VARIANCE * count
        of_t = count / 2 * (np.log1p(x) - np.log1p(x / wide)) - np.log(wide) / 2
        of_t = np.where(np.isinf(x), inf, of_t)  # all figures are equal, and not 0
        above, signs = np.sum(figures > 0, axis=-1), np.sum((figures > 0) | (figures < 0), axis=-1)
        of_signs = special.betaln(above + 1, signs - above + 1) + signs * log(2)
        p_values = np.minimum(1.0, np.exp(log(2) - np.logaddexp(of_t, of_signs)))
    return np.where(count < 2, nan, p_values)


POWER = 0.8
"""Share of runs in which an effect is to be found."""
SIMULATED = 1000
"""Samples from which it is found how large an effect must be."""


@cache
def smallest_effect(count: int, comparisons: int = 1) -> float:
    """Return the mean, in standard deviations, whose test by `anytime_p_values` finds it in 80 % of normal samples.

    Args:
        count: of figures in a sample.
        comparisons: that share the 5 % of errors; infinite if so few figures can show nothing.
    """
    samples = np.random.default_rng(0).normal(0, 1, (SIMULATED, count))

    def lacks(effect: float) -> float:
        return POWER - float(np.mean(anytime_p_values(samples + effect) < (1 - CONFIDENCE) / comparisons))

    low, high = 0.0, 64.0
    if lacks(high) > 0:
        return inf
    while high - low > 0.005 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if lacks(middle) > 0 else (low, middle)
    return high


MOST_PROCESSES = 200


def processes_for(effect: float, spread: float, comparisons: int = 1) -> int | None:
    """Return how many figures of a spread it takes to find an effect in 80 % of samples; None: more than 200."""
    if not effect > 0:
        return None
    counts = range(2, MOST_PROCESSES + 1)
    place = bisect_left(counts, True, key=lambda count: smallest_effect(count, comparisons) * spread <= effect)
    return counts[place] if place < len(counts) else None


def equal_means_p_value(first: ArrayLike, second: ArrayLike) -> float:
    """Return the p-value of Welch's test that two samples have the same mean; NaN with fewer than 6 figures in one."""
    samples = [np.asarray(sample, np.float64) for sample in (first, second)]
    if min(map(len, samples)) < LEAST_PROCESSES:
        return nan
    errors = [float(sample.var(ddof=1)) / len(sample) for sample in samples]
    difference = abs(float(samples[0].mean() - samples[1].mean()))
    if not sum(errors):
        return 0.0 if difference else 1.0
    freedom = sum(errors) ** 2 / sum(e**2 / (len(sample) - 1) for e, sample in zip(errors, samples, strict=True))
    return 2 * float(special.stdtr(freedom, -difference / sqrt(sum(errors))))


def verdicts(comparisons: Sequence[Sequence[Contrast]]) -> list[Verdict]:
    """Judge the comparisons of one table, each by all of its contrasts.

    Returns:
        For each comparison "equal" if every contrast is within its margins, even if it differs significantly; else
        "different" if any contrast is significant after Holm's correction over all contrasts of the table; else
        "open": more seeds are needed.
    """
    raised = iter(holm([contrast.p_value for contrasts in comparisons for contrast in contrasts]))
    judged: list[Verdict] = []
    for contrasts in comparisons:
        significant = [next(raised) < 1 - CONFIDENCE for _ in contrasts]
        if all(contrast.equivalent for contrast in contrasts):
            judged.append("equal")
        else:
            judged.append("different" if any(significant) else "open")
    return judged


def ratio_of_medians(first: ArrayLike, second: ArrayLike) -> tuple[float, float, float]:
    """Return first / second of the medians of two independent samples, with its 95 % interval by the bootstrap.

    To exchange the samples, of a positive figure for each process and not paired, inverts all three exactly. The ends
    are NaN with fewer than 6 figures in a sample. In simulations of 6 to 20 processes 3 to 6 % of the intervals missed
    the ratio. Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), sections 8.3 and 13.3.
    """
    logs = [np.sort(np.log(np.asarray(sample, np.float64))) for sample in (first, second)]  # order draws no resamples
    ratio = float(np.exp(np.median(logs[0]) - np.median(logs[1])))
    if min(map(len, logs)) < LEAST_PROCESSES:
        return ratio, nan, nan
    if ratio < 1:  # the same resamples for both orders of the samples
        inverse, low, high = ratio_of_medians(second, first)
        return 1 / inverse, 1 / high, 1 / low
    generator = np.random.default_rng(0)
    drawn = [np.median(generator.choice(sample, (RESAMPLES, len(sample))), axis=1) for sample in logs]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.exp(np.quantile(drawn[0] - drawn[1], [tail, 1 - tail]))
    return ratio, float(low), float(high)
