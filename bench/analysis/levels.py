"""How the same cells changed from run to run: their levels, and where a new one begins.

The runs took no turns, so what the machine did between them is in these figures: a step of every cell in the same run
is the machine's, or of a package that all of them use. Calls of Python functions are counted exactly and know no
machine.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import ruptures
from numpy.typing import ArrayLike

from bench.analysis import speed
from bench.analysis.compare import changed_settings
from bench.records.frame import CELL, Frames
from bench.records.store import Run

LEAST_RUNS = 6
"""Runs of a cell from which on steps are searched."""
LEAST_LEVEL = 3
"""Runs of a level: what stands out in one or two is none."""
PENALTY = 6.0
"""What a step must explain, in standard deviations: at most 5 % of series without a step show one (simulated)."""


def like_newest(runs: Sequence[Run]) -> list[Run]:
    """Return the runs that have protocol, machine and settings of the newest one, whatever their versions and code."""
    newest = runs[-1].header
    return [
        run
        for run in runs
        if (run.header.protocol_version, run.header.machine) == (newest.protocol_version, newest.machine)
        and not changed_settings(run.header, newest)
    ]


def levels(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the levels of each cell of runs, the oldest first.

    Returns:
        `CELL`, quantity ("epoch", "calls"), since (the run with which it begins), before (the run before it, or
        None), runs (how many have it), value (median: seconds, calls), step (value / that of the level before; NaN of
        the first).
    """
    turns = Frames(runs).turns
    epochs = speed.epoch_times(turns).rename(columns={"epoch_s": "value"}).assign(quantity="epoch")
    calls = turns.groupby(["run", *CELL], sort=False)["python_calls"].first().rename("value").reset_index()
    figures = pd.concat([epochs, calls.assign(quantity="calls")])[["run", *CELL, "quantity", "value"]].dropna()
    rows = []
    for key, series in figures.groupby([*CELL, "quantity"], sort=False):
        names, logs, last = list(series["run"]), np.log(series["value"].to_numpy(float)), np.nan
        for begin, end in pairwise([0, *change_points(logs), len(logs)]):
            value = float(np.exp(np.median(logs[begin:end])))
            before = names[begin - 1] if begin else None
            rows.append((*key, names[begin], before, end - begin, value, value / last))
            last = value
    return pd.DataFrame(rows, columns=[*CELL, "quantity", "since", "before", "runs", "value", "step"])


def change_points(values: ArrayLike) -> list[int]:
    """Return where new levels of a series begin; none in fewer than 6 figures.

    The levels and their number minimise absolute deviations from the medians plus a penalty for each step, in units of
    the noise that the differences of neighbours have. Source: Killick, Fearnhead and Eckley, Optimal detection of
    changepoints with a linear computational cost, 2012.
    """
    series = np.asarray(values, float)
    if len(series) < LEAST_RUNS:
        return []
    noise = np.median(np.abs(np.diff(series))) / (0.6745 * np.sqrt(2))
    scaled = series / max(float(noise), 1e-9)
    return list(ruptures.Pelt("l1", min_size=LEAST_LEVEL, jump=1).fit(scaled).predict(PENALTY))[:-1]
