"""How sure a mean over seeds is, and whether two sides differ by more than seeds do.

Knows numbers, not records. NumPy and SciPy. Why these methods and margins:
docs/methodology.md, "Accuracy over seeds".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, log, nan, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

CONFIDENCE = 0.95
LEVEL = 0.05
LEAST_SEEDS = 5
RESAMPLES = 9_999
MOST_T = 1_000.0
MANY_SEEDS = 1_000
"""Seeds from which on their skewness hardly moves the interval of a mean, and resamples would fill the memory."""
RATIO_MARGIN = 1.1
RATE_MARGIN = 0.02

Verdict = Literal["equal", "different", "open"]


@dataclass(frozen=True)
class Interval:
    """Where a figure lies; both ends are NaN where too few seeds were measured to say."""

    low: float
    high: float


@dataclass(frozen=True)
class Contrast:
    """What pairs of seeds say about two sides.

    Args:
        pairs: how many seeds both sides have.
        value: geometric mean of the ratios, or mean of the differences; NaN without pairs.
        interval: 95 % interval of the value, for this contrast alone.
        equivalent: whether the 90 % interval lies within the margins.
        p_value: of the test that there is no difference; NaN with too few pairs.
    """

    pairs: int
    value: float
    interval: Interval
    equivalent: bool
    p_value: float


def mean_interval(values: ArrayLike, *, bounds: tuple[float, float] = (-inf, inf)) -> Interval:
    """Return the 95 % interval of a mean, by the studentised bootstrap.

    Every resample is judged by its own spread, which is what a skewed sample needs. The resamples
    are the same in every call. Where too many of them hardly vary (nearly all seeds equal, one or
    two far off), and from `MANY_SEEDS` seeds on, the interval is Student's.

    Args:
        values: one figure for each seed, in any order, shape (seeds,); those that are not finite
            are left out.
        bounds: smallest and largest possible figure; the interval is cut there.

    Returns:
        The interval: NaN with fewer than 5 figures, of no width where all are the same.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 12.5.
    """
    known = np.sort(np.asarray(values, np.float64))  # so that the order does not choose the resamples
    known = known[np.isfinite(known)]
    seeds = len(known)
    if seeds < LEAST_SEEDS:
        return Interval(nan, nan)
    mean, spread = float(known.mean()), float(known.std())
    if known[0] == known[-1]:
        return Interval(mean, mean)
    low, high = _resampled_t((known - mean) / spread) if seeds < MANY_SEEDS else (-inf, inf)
    if max(-low, high) > MOST_T:
        high = float(special.stdtrit(seeds - 1, (1 + CONFIDENCE) / 2)) / sqrt(seeds - 1)
        low = -high
    return Interval(max(bounds[0], mean - high * spread), min(bounds[1], mean - low * spread))


def _resampled_t(standard: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % quantile of the resamples' means, each over its own spread.

    Args:
        standard: the sample with mean 0 and standard deviation 1, shape (seeds,).
    """
    shares = _resamples(len(standard))
    means = shares @ standard
    variances = np.maximum(shares @ standard**2 - means**2, 1e-12)  # rounding can make a constant one negative
    t = np.sort(means / np.sqrt(variances))
    tail = round((RESAMPLES + 1) * (1 - CONFIDENCE) / 2)
    return float(t[tail - 1]), float(t[-tail])


@lru_cache(maxsize=8)
def _resamples(seeds: int) -> NDArray[np.float64]:
    """Return the share that each seed has in each resample, shape (resamples, seeds)."""
    return np.random.default_rng(0).multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds


def paired_ratio(first: ArrayLike, second: ArrayLike, *, margin: float = RATIO_MARGIN) -> Contrast:
    """Compare two sides by the ratio first / second of each seed.

    Args:
        first: positive figures of one side, shape (seeds,).
        second: those of the other side, in the same order of seeds, shape (seeds,).
        margin: ratios between 1 / margin and margin do not matter; above 1.

    Returns:
        The contrast; its value is the geometric mean. A pair with a figure that is not positive
        and finite is left out.
    """
    logs = np.log(_pairs(first, second, above=0))
    found = _student(logs[0] - logs[1], log(margin))
    with np.errstate(over="ignore"):
        value, low, high = (float(np.exp(end)) for end in (found.value, found.interval.low, found.interval.high))
    return Contrast(found.pairs, value, Interval(low, high), found.equivalent, found.p_value)


def paired_difference(first: ArrayLike, second: ArrayLike, *, margin: float = RATE_MARGIN) -> Contrast:
    """Compare two sides by the difference first - second of each seed.

    Args:
        first: figures of one side, shape (seeds,).
        second: those of the other side, in the same order of seeds, shape (seeds,).
        margin: differences from -margin to margin do not matter.

    Returns:
        The contrast; its value is the mean. A pair with a figure that is not finite is left out.
    """
    pairs = _pairs(first, second)
    return _student(pairs[0] - pairs[1], margin)


def _pairs(first: ArrayLike, second: ArrayLike, *, above: float = -inf) -> NDArray[np.float64]:
    """Return the pairs whose figures are both finite and above a number, shape (2, pairs)."""
    pairs = np.stack([np.asarray(side, np.float64) for side in (first, second)])
    return pairs[:, ((pairs > above) & np.isfinite(pairs)).all(axis=0)]


def _student(differences: NDArray[np.float64], margin: float) -> Contrast:
    """Judge differences by Student's t, and by two one-sided tests whether they are within the margin.

    Source:
        Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987), 657-680.
    """
    pairs = len(differences)
    mean = float(differences.mean()) if pairs else nan
    if pairs < LEAST_SEEDS:
        return Contrast(pairs, mean, Interval(nan, nan), False, nan)
    error = float(differences.std(ddof=1)) / sqrt(pairs)
    half = error * float(special.stdtrit(pairs - 1, (1 + CONFIDENCE) / 2))
    reach = abs(mean) + error * float(special.stdtrit(pairs - 1, 1 - LEVEL))
    t = abs(mean) / error if error else (inf if mean else 0.0)
    p_value = 2 * float(special.stdtr(pairs - 1, -t))
    return Contrast(pairs, mean, Interval(mean - half, mean + half), reach <= margin, p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """Raise p-values so that the chance of any false finding among them stays what is asked for one.

    Args:
        p_values: of tests that are read together; NaN is no test, does not count and stays.

    Returns:
        The raised p-values in the same order, at most 1.

    Source:
        Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    raised, least = list(p_values), 0.0
    order = sorted((place for place, p in enumerate(p_values) if p == p), key=lambda place: p_values[place])
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p_values[place]))
        raised[place] = least
    return raised


def verdicts(comparisons: Sequence[Sequence[Contrast]]) -> list[Verdict]:
    """Judge comparisons that stand in one table, each by all of its contrasts.

    Args:
        comparisons: the contrasts of each comparison, at least one.

    Returns:
        For each comparison "equal" if every contrast is within its margins, even if it is no
        accident; else "different" if any contrast is none by Holm's correction over all contrasts
        of the table; else "open": more seeds are needed.
    """
    raised = iter(holm([contrast.p_value for contrasts in comparisons for contrast in contrasts]))
    found: list[Verdict] = []
    for contrasts in comparisons:
        significant = [next(raised) < LEVEL for _ in contrasts]
        if all(contrast.equivalent for contrast in contrasts):
            found.append("equal")
        else:
            found.append("different" if any(significant) else "open")
    return found
