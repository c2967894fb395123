"""What trained models keep of earlier digits, and how far back the gradient of their loss reaches.

Frames in, frames out. The digit k steps before the end grows by one, in all test rows that have one there which can;
the output should grow by one too.
"""

import pandas as pd

from bench.analysis import statistics
from bench.analysis.accuracy import longest
from bench.records.frame import CELL

LEAST_ROWS = 20
"""Test rows below which a point says little about a model: its interval is of seeds, not of rows."""
GRADIENTS = ["gradient_start_h", "gradient_h", "gradient_start_c", "gradient_c"]


def curves(memory: pd.DataFrame) -> pd.DataFrame:
    """Summarise the longest trainings of each cell over their seeds.

    Returns:
        The cell's columns, `patience`, `steps_back` from 0, the last digit, and:
        `rows`: test rows of the point; `few_rows`: whether they are fewer than 20; `seeds`;
        `moved`: the mean change of the output, 1 is perfect memory, with its 95 % interval;
        `gradient_start_h`, `gradient_h`, `gradient_start_c`, `gradient_c`: the median norm of the loss gradient with
        respect to the states h and c there, relative to that of h at 0 steps back, with the starting weights and
        with the trained ones; NaN where there is no such state or no gradient.
    """
    keys = [*CELL, "patience", "steps_back"]
    relative = _relative_gradients(longest(memory).sort_values("steps_back", kind="stable"))
    groups = relative.groupby(keys, sort=False)
    points = groups.agg(rows=("rows", "first"), seeds=("seed", "nunique"), moved=("moved", "mean"))
    ends = [statistics.mean_interval(moved) for _, moved in groups["moved"]]
    points["moved_low"], points["moved_high"] = [end.low for end in ends], [end.high for end in ends]
    points["few_rows"] = points["rows"] < LEAST_ROWS
    return points.join(groups[GRADIENTS].median()).reset_index()


def _relative_gradients(memory: pd.DataFrame) -> pd.DataFrame:
    """Divide the gradients of each training by that of its h at the end."""
    trainings = memory.groupby([*CELL, "patience", "seed"], sort=False)
    relative = memory.copy()
    for weights in ("gradient_start", "gradient"):
        at_end = trainings[f"{weights}_h"].transform("first")
        for state in "hc":
            relative[f"{weights}_{state}"] = memory[f"{weights}_{state}"] / at_end.where(at_end > 0)
    return relative
