"""Turn raw seconds into figures to read. Derived on reading, never stored. NumPy only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.records import Speed


@dataclass(frozen=True)
class EpochTime:
    """Steady epochs of one cell.

    Args:
        processes: how many fresh processes were timed.
        epochs: how many epochs were counted in all of them.
        median_s: median of the medians of the processes.
        quarter_s: a quarter of all counted epochs were faster.
        three_quarters_s: three quarters were.
    """

    processes: int
    epochs: int
    median_s: float
    quarter_s: float
    three_quarters_s: float


def epoch_time(trials: Sequence[Speed]) -> EpochTime:
    """Summarise the trials of one cell; medians, since single outliers ruin means."""
    steady_s = np.concatenate([trial.steady_s for trial in trials])
    quarter_s, three_quarters_s = np.percentile(steady_s, [25, 75])
    return EpochTime(
        processes=len(trials),
        epochs=len(steady_s),
        median_s=float(np.median([np.median(trial.steady_s) for trial in trials])),
        quarter_s=float(quarter_s),
        three_quarters_s=float(three_quarters_s),
    )


def undisturbed(trials: Iterable[Speed]) -> list[Speed]:
    """Keep one trial of each process: the last one, and an undisturbed one if there is any."""
    best: dict[int, Speed] = {}
    for trial in trials:
        earlier = best.get(trial.process)
        if earlier is None or earlier.disturbed or not trial.disturbed:
            best[trial.process] = trial
    return list(best.values())


def median(values: Iterable[float | None]) -> float | None:
    """Return the median of the values that were measured, or None."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
