"""What an epoch costs however few steps it has: the same rows in batches of several sizes.

Epoch = fixed + per step x steps. The rows are the same, so that their arithmetic hides in the fixed part; where
sequences are short, that is little.
"""

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bench.cells import Cell
from bench.intervals import LEAST_SEEDS, Interval
from bench.length_costs import Array, Line, fit_line, line_intervals
from bench.selection import USUAL, Selection, Table, axes, name_usual, sort_rows
from bench.speed_records import Speed

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


def epoch_cost_table(chosen: Selection) -> Table:
    """Tabulate what an epoch costs without its steps, and what each step adds."""
    rows = []
    for one in epoch_costs(chosen):
        worst = int(np.argmax(np.abs(one.residuals)))
        rows.append(
            axes(one.cell)
            | {
                "steps": ", ".join(f"{count:.0f}" for count in one.steps),
                "fixed ms": 1e3 * one.line.fixed,
                "low ms": 1e3 * one.fixed.low,
                "high ms": 1e3 * one.fixed.high,
                "per step ms": 1e3 * one.line.slope,
                "low": 1e3 * one.step.low,
                "high": 1e3 * one.step.high,
                "off by %": 100 * float(one.residuals[worst]),
                "at steps": int(one.steps[worst]),
            }
        )
    notes = (
        "Steady epoch = fixed + per step x steps: the line with the least squares of relative residuals to the medians "
        f"of fresh processes at {LEAST_SIZES} batch sizes or more of the same rows, with 95 % intervals (from "
        f"{LEAST_SEEDS} processes a size on). What the rows need in batches of any size is in the fixed part.",
        "Off by: how far, in %, the number of steps that the line fits worst lies above (+) or below (-) it.",
    )
    frame = sort_rows(name_usual(pd.DataFrame(rows)), ["length", "model", "backend", *USUAL])
    return Table("Cost of an epoch", frame, notes)
