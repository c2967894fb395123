"""Time to accuracy: after how many epochs, sequences and seconds a training first gets to a target.

A training that never gets there is a miss. It counts as infinite: leaving it out would reward the side whose hard
seeds fail. Accuracy trials are packed densely and not timed, so seconds are the epochs times what the same cell needs
where it was timed, without validation.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, nan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bench.analysis.findings import place
from bench.analysis.intervals import CONFIDENCE, Interval
from bench.analysis.patience import patience_order
from bench.analysis.selection import Selection
from bench.errors import UserError
from bench.plan.cells import Cell
from bench.records.schema import Accuracy
from bench.records.speed import Speed

ENOUGH_SEEDS = 10
"""Seeds from which on a share of misses says something."""


def parse_target(value: float) -> float:
    """Return a target that a training can reach.

    Raises:
        UserError: if it is not positive and finite.
    """
    if 0 < value < inf:
        return value
    raise UserError(f"`--target` must be a val_mse, positive and finite. Received: {value:g}. Use 0.25, say.")


@dataclass(frozen=True)
class Reached:
    """When the trainings of one cell got to the target.

    Args:
        cell: which.
        seeds: of the trainings, in order.
        epochs: the first one, counted from 1, at whose end each had got there; infinite for a miss. Shape (seeds,).
        trained: the most epochs that any of them ran.
        stopped: how many misses were stopped early: they might have got there.
        paired: whether the starts are those of the other backends.
        rows: sequences in an epoch.
        first_s: median seconds from starting the process to the end of the first epoch; NaN if not timed.
        epoch_s: median seconds of a steady epoch; NaN if not timed.
    """

    cell: Cell
    seeds: tuple[int, ...]
    epochs: NDArray[np.float64]
    trained: int
    stopped: int
    paired: bool
    rows: int
    first_s: float
    epoch_s: float

    @property
    def hits(self) -> int:
        """Count the seeds that got there."""
        return int(np.isfinite(self.epochs).sum())

    @cached_property
    def median(self) -> float:
        """Return the median epoch over all seeds; infinite if half of them missed."""
        return float(np.median(self.epochs))

    @cached_property
    def interval(self) -> Interval:
        """Return the 95 % interval of the median."""
        return ordered_interval(self.epochs)

    def steady_s(self, epochs: Any) -> Any:
        """Return the seconds that so many steady epochs take."""
        return epochs * self.epoch_s

    def done_s(self, epochs: Any) -> Any:
        """Return the seconds from starting the process to the end of an epoch, counted from 1."""
        return self.first_s + (epochs - 1) * self.epoch_s


def ordered_interval(values: ArrayLike) -> Interval:
    """Return the 95 % interval of a median of values some of which may be infinite.

    Its ends are two of the values themselves, so that nothing is computed with infinity.

    Args:
        values: in any order, shape (values,).

    Returns:
        The interval: NaN with fewer than 6 values, of which no two can be that sure.

    Source:
        Conover, Practical Nonparametric Statistics (1999), section 3.2.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    tails = special.bdtr(np.arange(len(ordered)), len(ordered), 0.5)
    beyond = int((tails <= (1 - CONFIDENCE) / 2).sum())
    if not beyond:
        return Interval(nan, nan)
    return Interval(float(ordered[beyond - 1]), float(ordered[-beyond]))


def reached(chosen: Selection) -> list[Reached]:
    """Return for every cell that was trained when its seeds got to the selection's target, by length and model."""
    timed = chosen.timed
    rows = chosen.runs[-1].header.sweep.task.fitted_rows
    found = [
        _of_cell(cell, longest(trials), timed.get(cell, []), chosen.target, rows)
        for cell, trials in chosen.cells(Accuracy)
    ]
    return sorted(found, key=lambda one: (one.cell.length, one.cell.model, str(one.cell.variant), one.cell.side))


def longest(trials: Iterable[Accuracy]) -> list[Accuracy]:
    """Return of each seed the training of the largest patience, by seed; several patiences end one training."""
    of_seed: dict[int, Accuracy] = {}
    for trial in trials:
        known = of_seed.setdefault(trial.seed, trial)
        if patience_order(trial.patience) > patience_order(known.patience):
            of_seed[trial.seed] = trial
    return [of_seed[seed] for seed in sorted(of_seed)]


def first_epoch(val_loss: Sequence[float], target: float) -> float:
    """Return the first epoch, counted from 1, whose val_mse is at most the target; infinite if there is none."""
    return next((epoch for epoch, loss in enumerate(val_loss, 1) if loss <= target), inf)


def _of_cell(cell: Cell, trials: list[Accuracy], timed: list[Speed], target: float, rows: int) -> Reached:
    epochs = [first_epoch(trial.val_loss, target) for trial in trials]
    return Reached(
        cell=cell,
        seeds=tuple(trial.seed for trial in trials),
        epochs=np.array(epochs, np.float64),
        trained=max(trial.epochs for trial in trials),
        stopped=sum(trial.stopped_early for trial, epoch in zip(trials, epochs, strict=True) if not isfinite(epoch)),
        paired=all(trial.start == "numpy" for trial in trials),
        rows=rows,
        first_s=float(np.median([trial.start_s for trial in timed])) if timed else nan,
        epoch_s=float(np.median([trial.median_s for trial in timed])) if timed else nan,
    )


@dataclass(frozen=True)
class Pairs:
    """How far the backends agree on the epoch of a seed.

    Args:
        seeds: how many all of them have trained, and at least one got to the target.
        same: for how many of those it is the same epoch on all.
        apart: by how many epochs those differ that differ; infinite where one backend missed and another did not.
    """

    seeds: int
    same: int
    apart: tuple[float, ...]


def pairs(found: Iterable[Reached]) -> dict[Cell, Pairs]:
    """Compare backends seed by seed; a seed is the same start and the same batches on each.

    Returns:
        What each group of cells that differ in nothing but their backend says, by `findings.place`.
    """
    groups: dict[Cell, list[Reached]] = defaultdict(list)
    for one in found:
        if one.paired:
            groups[place(one.cell)].append(one)
    return {where: _pairs(group) for where, group in groups.items() if len(group) > 1}


def _pairs(group: list[Reached]) -> Pairs:
    sides = [dict(zip(one.seeds, one.epochs.tolist(), strict=True)) for one in group]
    shared = sorted(set.intersection(*(set(side) for side in sides)))
    epochs = [sorted(side[seed] for side in sides) for seed in shared]
    hits = [of_seed for of_seed in epochs if isfinite(of_seed[0])]
    apart = tuple(last - first for first, *_, last in hits if first != last)
    return Pairs(len(hits), len(hits) - len(apart), apart)
