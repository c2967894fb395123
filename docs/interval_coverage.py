"""Measure how often three kinds of 95 % intervals hold the mean of a skewed sample: `python docs/interval_coverage.py`.

The table that it prints stands in docs/methodology.md, "Accuracy over seeds". Samples are lognormal, the same in every
run; sigma is the standard deviation of their logarithm. A quarter of a minute on one core.
"""

from collections import defaultdict
from collections.abc import Callable
from math import exp, inf, sqrt
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bench.analysis.intervals import CONFIDENCE, Interval, mean_interval
from bench.records.schema import Accuracy
from bench.records.store import load_runs

STUDY = Path(__file__).parent.parent / "results" / "study"
SAMPLES = 4_000
RESAMPLES = 2_000
SEEDS = (5, 10, 20)
SIGMAS = (0.2, 0.5, 1.0)


def percentile(sample: NDArray[np.float64]) -> Interval:
    """Return the quantiles of the means of resamples, the bootstrap at its simplest."""
    resamples = np.random.default_rng(0).choice(sample, (RESAMPLES, len(sample)))
    low, high = np.quantile(resamples.mean(axis=1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))


def student(sample: NDArray[np.float64]) -> Interval:
    """Return Student's interval, which takes the sample as normal."""
    quantile = float(special.stdtrit(len(sample) - 1, (1 + CONFIDENCE) / 2))
    half = quantile * float(sample.std(ddof=1)) / sqrt(len(sample))
    return Interval(float(sample.mean()) - half, float(sample.mean()) + half)


def studentised(sample: NDArray[np.float64]) -> Interval:
    """Return what the tables show."""
    return mean_interval(sample, bounds=(0, inf))


METHODS: dict[str, Callable[[NDArray[np.float64]], Interval]] = {
    "percentile": percentile,
    "Student's t": student,
    "studentised": studentised,
}


def coverage(method: Callable[[NDArray[np.float64]], Interval], sigma: float, seeds: int) -> tuple[float, float]:
    """Return the share of intervals that hold the mean, and of those that end below it."""
    random, truth = np.random.default_rng(seeds), exp(sigma**2 / 2)
    found = [method(sample) for sample in random.lognormal(0, sigma, (SAMPLES, seeds))]
    held = np.mean([interval.low <= truth <= interval.high for interval in found])
    return float(held), float(np.mean([interval.high < truth for interval in found]))


def coverage_table() -> str:
    """Return a Markdown table: what holds the mean, and in brackets what ends below it, in %."""
    rows = []
    for sigma in SIGMAS:
        for seeds in SEEDS:
            row: dict[str, str] = {"sigma": f"{sigma:g}", "seeds": f"{seeds}"}
            for name, method in METHODS.items():
                held, below = coverage(method, sigma, seeds)
                row[name] = f"{100 * held:.1f} ({100 * below:.1f})"
            rows.append(row)
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True, colalign=["right"] * 5)


def study_sigmas() -> NDArray[np.float64]:
    """Return the sigma of the test MSE of each cell and patience of the study, shape (cells * patiences,)."""
    groups: dict[tuple[str, int], list[float]] = defaultdict(list)
    for record in load_runs(STUDY)[0][-1].records:
        if isinstance(record, Accuracy):
            groups[str(record.cell), record.patience].append(record.test.mse)
    return np.array([np.std(np.log(mse), ddof=1) for mse in groups.values()])


if __name__ == "__main__":
    print(coverage_table())
    sigmas = study_sigmas()
    print(f"\nThe study: sigma {sigmas.min():.2f} to {sigmas.max():.2f}, median {np.median(sigmas):.2f}.")
