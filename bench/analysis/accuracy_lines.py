"""What the records say about learning, as lines with bands: pictures and charts are made of it.

A seed is the same work on every backend: its backends are averaged, and the seeds are the sample.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from bench.analysis.memory import memory_of, with_memory
from bench.analysis.patience import most_patient
from bench.analysis.seed_groups import band, by_model, lengths_of, models_of, over_seeds
from bench.analysis.selection import Selection
from bench.records.schema import Accuracy

Figures = Callable[[Accuracy], float]


@dataclass(frozen=True)
class Line:
    """A line with a band around it.

    Args:
        model: whose.
        length: of its sequences; None where the line runs over the lengths.
        x: where its points are, shape (points,).
        middle: the points, shape (points,).
        band: lower and upper edge, shape (2, points); NaN where too few seeds were trained to say.
    """

    model: str
    length: int | None
    x: NDArray[np.int64]
    middle: NDArray[np.float64]
    band: NDArray[np.float64]


def loss_lines(chosen: Selection) -> list[Line]:
    """Return val_loss after each epoch, counted from 1, with the largest patience: medians and quartiles.

    A seed whose training has stopped keeps its last loss.
    """
    return [
        Line(model, length, np.arange(1, seeds.shape[1] + 1), *_median_and_quartiles(seeds))
        for length, model, trials in _groups(most_patient(chosen))
        for seeds in [_losses(trials)]
    ]


def _losses(trials: list[Accuracy]) -> NDArray[np.float64]:
    epochs = max(trial.epochs for trial in trials)
    return over_seeds(trials, lambda trial: trial.val_loss + trial.val_loss[-1:] * (epochs - trial.epochs))


def _median_and_quartiles(seeds: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, middle, high = np.percentile(seeds, (25, 50, 75), axis=0)
    return middle, np.stack([low, high])


def error_lines(chosen: Selection) -> list[Line]:
    """Return the test MSE of the rows of each true length, with the largest patience: means and 95 % intervals."""
    return [
        Line(model, length, np.array(sorted(trials[0].test_by_length)), seeds.mean(axis=0), band(seeds, (0, inf)))
        for length, model, trials in _groups(most_patient(chosen))
        for seeds in [over_seeds(trials, _mse_by_length)]
    ]


def _mse_by_length(trial: Accuracy) -> list[float]:
    return [trial.test_by_length[length].mse for length in sorted(trial.test_by_length)]


def memory_lines(chosen: Selection) -> list[Line]:
    """Return the change of the output with the digit k steps before the end, over k: means and 95 % intervals."""
    return [
        Line(model, length, np.array(memory_of(trials[0]).steps_back), seeds.mean(axis=0), band(seeds))
        for length, model, trials in _groups(with_memory(most_patient(chosen)))
        for seeds in [over_seeds(trials, lambda trial: memory_of(trial).moved)]
    ]


def lines_over_lengths(trials: list[Accuracy], value: Figures, most: float) -> list[Line]:
    """Return a value between 0 and `most` over the lengths, for each model: means and 95 % intervals."""
    lines = []
    for model in models_of(trials):
        of_model = [trial for trial in trials if trial.cell.model == model]
        lengths = lengths_of(of_model)
        groups = [over_seeds(by_model(of_model, length)[model], value)[:, np.newaxis] for length in lengths]
        means = np.array([float(seeds.mean()) for seeds in groups])
        bands = np.concatenate([band(seeds, (0.0, most)) for seeds in groups], axis=1)
        lines.append(Line(model, None, np.array(lengths), means, bands))
    return lines


def _groups(trials: list[Accuracy]) -> list[tuple[int, str, list[Accuracy]]]:
    """Return the records of each length and model."""
    return [
        (length, model, of_model)
        for length in lengths_of(trials)
        for model, of_model in by_model(trials, length).items()
    ]
