"""How seqsum measures: plan, workers, records, analysis, output. Imports Keras in `bench.worker` only.

For notebooks: `bench.load("results")` returns what was measured as a pandas frame (docs/reading.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bench.records.frame import Kind


def load(results: str | Path = "results", *, kind: Kind = "turns") -> pd.DataFrame:
    """Return what was measured as a tidy frame, a row for each observation.

        turns = bench.load("results/reference")
        counted = turns[turns["counted"] & ~turns["is_control"]]
        counted.groupby(["model", "length", "environment"])["epoch_s"].median()

    Args:
        results: folder of all runs, or of one.
        kind: "turns": a row for each turn; "speed": for each turn that counts; "trainings" (or "accuracy"): for each
            training; "losses": for each of its epochs; "lengths": for each true length of its test rows; "memory":
            for each step back in time; "predictions": for the first test rows; "baselines": for each model without
            recurrence and length; "failures": for each trial that left no numbers.

    Returns:
        The frame; the names of the columns have the units, times are seconds. It holds all runs: choose comparable
        ones by the columns `run`, `protocol_version` and `machine`.

    Raises:
        UserError: if there is no run or no such kind.
    """
    from bench.records import frame  # importing pandas takes a third of a second, which workers need not pay

    return frame.load(results, kind=kind)
