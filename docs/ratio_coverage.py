"""Measure how often intervals of an A/A ratio miss 1, on recorded samples: `python docs/ratio_coverage.py`.

The table that it prints stands in docs/methodology.md, "How sure a ratio is". Of every recorded cell, made-up runs draw
processes at random for two sides that are the same by construction: an interval without 1 is wrong, and 5 % of them
should be. Half a minute on one core.
"""

from collections.abc import Callable
from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bench.analysis.intervals import CONFIDENCE, Interval, mean_interval
from bench.analysis.ratios import of_cells
from bench.analysis.statistics import median_interval
from bench.records.speed import Speed
from bench.records.store import load_runs

RESULTS = Path(__file__).parent.parent / "results"
RUNS = 400
RESAMPLES = 999
PROCESSES = (5, 8, 20)
TAILS = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]

Logs = NDArray[np.float64]
"""Logarithms of the ratios of one made-up run, shape (processes, rounds)."""


def processes_only(logs: Logs, random: np.random.Generator) -> Interval:
    """Resample processes, and take quantiles of their means: the percentile bootstrap at its simplest."""
    values = np.median(logs, axis=1)
    means = values[random.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    return Interval(*map(float, np.quantile(means, TAILS)))


def processes_then_rounds(logs: Logs, random: np.random.Generator) -> Interval:
    """Resample processes, and within each its rounds."""
    count, rounds = logs.shape
    chosen = logs[random.integers(count, size=(RESAMPLES, count))]
    picked = random.integers(rounds, size=(RESAMPLES, count, rounds))
    means = np.median(np.take_along_axis(chosen, picked, axis=2), axis=2).mean(axis=1)
    return Interval(*map(float, np.quantile(means, TAILS)))


def student(logs: Logs, _: np.random.Generator) -> Interval:
    """Return Student's interval over the processes, which takes them as normal."""
    values = np.median(logs, axis=1)
    half = float(special.stdtrit(len(values) - 1, TAILS[1])) * float(values.std(ddof=1)) / sqrt(len(values))
    return Interval(float(values.mean()) - half, float(values.mean()) + half)


def studentised(logs: Logs, _: np.random.Generator) -> Interval:
    """Return the studentised bootstrap of the mean over the processes."""
    return mean_interval(np.median(logs, axis=1))


def of_the_median(logs: Logs, _: np.random.Generator) -> Interval:
    """Return what the tables show: the percentile bootstrap of the median over the processes."""
    return median_interval(np.median(logs, axis=1))


METHODS: dict[str, Callable[[Logs, np.random.Generator], Interval]] = {
    "processes": processes_only,
    "processes, then rounds": processes_then_rounds,
    "Student's t": student,
    "studentised": studentised,
    "median": of_the_median,
}


def recorded_cells() -> list[NDArray[np.float64]]:
    """Return the logarithms of the rounds' medians of each recorded cell, shape (processes, rounds)."""
    cells: list[NDArray[np.float64]] = []
    for run in load_runs(RESULTS / "repeat")[0]:
        both = [record for record in run.records if isinstance(record, Speed)]
        for cell, trials in of_cells(both).items():
            trials = [*trials, *of_cells(both, twins=True).get(cell, [])]
            rounds = min(len(trial.rounds) for trial in trials)
            logs = [np.log([turn.median_s for turn in trial.rounds.values()][:rounds]) for trial in trials]
            if len(logs) >= min(PROCESSES) and rounds > 1:
                cells.append(np.array(logs))
    return cells


def judged(method: Callable[[Logs, np.random.Generator], Interval], processes: int) -> str:
    """Return the share of made-up A/A runs whose interval does not hold 1, and how wide the median one is, in %."""
    random = np.random.default_rng(processes)
    missed: list[bool] = []
    widths: list[float] = []
    for logs in recorded_cells():
        for _ in range(RUNS // 10):
            left, right = (logs[random.integers(len(logs), size=processes)] for _ in range(2))
            interval = method(left - right, random)
            missed.append(not interval.low <= 0 <= interval.high)
            widths.append((interval.high - interval.low) / 2)
    return f"{100 * np.mean(missed):.1f} ({100 * np.median(widths):.0f})"


def coverage_table() -> str:
    """Return a Markdown table of the intervals that miss 1, and in brackets their median half-width, in %."""
    rows = [
        {"processes": f"{count}"} | {name: judged(method, count) for name, method in METHODS.items()}
        for count in PROCESSES
    ]
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True, colalign=["right"] * (1 + len(METHODS)))


if __name__ == "__main__":
    print(coverage_table())
    print(f"\nOf {len(recorded_cells())} recorded cells, {RUNS // 10} made-up runs each.")
