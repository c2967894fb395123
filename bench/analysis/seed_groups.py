"""Group accuracy records for pictures: by model and length, and by seed.

A seed is the same work on every backend, so the backends of a seed are averaged and the seeds are the sample.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import inf

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.analysis.intervals import LEAST_SEEDS, mean_interval
from bench.records.schema import Accuracy

Value = Callable[[Accuracy], ArrayLike]


def models_of(trials: Iterable[Accuracy]) -> list[str]:
    """Return the models in the order in which they come first."""
    return list(dict.fromkeys(trial.cell.model for trial in trials))


def lengths_of(trials: Iterable[Accuracy]) -> list[int]:
    """Return the lengths, shortest first."""
    return sorted({trial.cell.length for trial in trials})


def by_model(trials: Iterable[Accuracy], length: int) -> dict[str, list[Accuracy]]:
    """Return the records of one length by model."""
    groups = defaultdict(list)
    for trial in trials:
        if trial.cell.length == length:
            groups[trial.cell.model].append(trial)
    return groups


def over_seeds(trials: Iterable[Accuracy], value: Value) -> NDArray[np.float64]:
    """Return the value of each seed, averaged over its backends: shape (seeds, ...)."""
    groups: dict[int, list[ArrayLike]] = defaultdict(list)
    for trial in trials:
        groups[trial.seed].append(value(trial))
    return np.array([np.mean(np.array(of_seed), axis=0) for of_seed in groups.values()])


def band(seeds: NDArray[np.float64], bounds: tuple[float, float] = (-inf, inf)) -> NDArray[np.float64]:
    """Return both ends of the interval of each column's mean: shape (2, columns)."""
    intervals = [mean_interval(column, bounds=bounds) for column in seeds.T]
    return np.array([[interval.low for interval in intervals], [interval.high for interval in intervals]])


def say_seeds(trials: Sequence[Accuracy]) -> str:
    """Count the seeds of a model and length, and name the backends that they are averaged over."""
    backends = sorted({trial.cell.backend for trial in trials})
    groups = [group for length in lengths_of(trials) for group in by_model(trials, length).values()]
    counts = [len({trial.seed for trial in group}) for group in groups]
    few, many = min(counts), max(counts)
    count = f"{few} seed{'' if few == 1 else 's'}" if few == many else f"{few} to {many} seeds"
    return f"{count}, averaged over {', '.join(backends)}" if len(backends) > 1 else f"{count} on {backends[0]}"


def say_means(trials: Sequence[Accuracy]) -> str:
    """Say what lines and bands are."""
    return f"Means over {say_seeds(trials)}; bands: 95 % intervals, from {LEAST_SEEDS} seeds on."
