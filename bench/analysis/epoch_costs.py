"""What an epoch costs however few steps it has: the same rows in batches of several sizes.

Epoch = fixed + per step x steps. The rows are the same, so that their arithmetic hides in the fixed part; where
sequences are short, that is little.
"""

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from bench.analysis.intervals import Interval
from bench.analysis.length_costs import Array, Line, fit_line, line_intervals
from bench.analysis.selection import Selection
from bench.plan.cells import Cell
from bench.records.speed import Speed

LEAST_SIZES = 3


@dataclass(frozen=True)
class EpochCost:
    """What steps cost cells that differ in their batch size alone.

    Args:
        cell: what they have in common; its variant has no batch size.
        steps: of an epoch, fewest first, shape (sizes,).
        epoch_s: seconds of a steady epoch, medians of processes, shape (sizes,).
        line: what is fitted to them.
        fixed: 95 % interval of what an epoch costs without its steps; NaN if a size has fewer than 5 processes.
        step: 95 % interval of what a step adds.
    """

    cell: Cell
    steps: Array
    epoch_s: Array
    line: Line
    fixed: Interval
    step: Interval

    @property
    def residuals(self) -> Array:
        """Return by which share of the line each number of steps misses it, shape (sizes,)."""
        return self.epoch_s / self.line.at(self.steps) - 1


def epoch_costs(chosen: Selection) -> list[EpochCost]:
    """Return what steps cost all cells that were timed at three batch sizes or more, by length, model and backend."""
    groups: dict[Cell, dict[int, list[Speed]]] = defaultdict(dict)
    for cell, trials in chosen.timed.items():
        alike = cell.model_copy(update={"variant": replace(cell.variant, batch_size=None)})
        groups[alike][trials[0].steps_per_epoch] = trials
    return [_cost(cell, by_steps) for cell, by_steps in groups.items() if len(by_steps) >= LEAST_SIZES]


def _cost(cell: Cell, by_steps: dict[int, list[Speed]]) -> EpochCost:
    steps = np.array(sorted(by_steps), np.float64)
    times = [np.array([trial.median_s for trial in by_steps[int(count)]]) for count in steps]
    medians = np.array([np.median(one) for one in times])
    return EpochCost(cell, steps, medians, fit_line(steps, medians), *line_intervals(steps, times))
