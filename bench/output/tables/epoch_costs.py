"""The table of what an epoch costs without its steps, and what each step adds."""

import numpy as np
import pandas as pd

from bench.analysis.epoch_costs import LEAST_SIZES, epoch_costs
from bench.analysis.intervals import LEAST_SEEDS
from bench.analysis.selection import USUAL, Selection, Table, axes, name_usual, sort_rows


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
