"""How seqsum measures: plan, workers, records, tables. Never imports Keras outside a worker.

For notebooks: `bench.load("results")` returns what was measured as a pandas frame (docs/reading.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bench.records.frame import Kind


def load(results: str | Path = "results", *, kind: Kind = "speed") -> pd.DataFrame:
    """Return what was measured as a tidy frame, one row for each observation.

    Args:
        results: folder of all runs, or of one.
        kind: "speed": a row for each turn that counts; "accuracy": for each training; "failures": for each trial
            that left no numbers; "baselines": for each model without recurrence and length.

    Returns:
        The frame; units stand in the names of the columns, times are seconds. Runs are not sorted out: choose those
        that are comparable by the columns `run`, `protocol_version` and `machine`.

    Raises:
        UserError: if there is no run or no such kind.
    """
    from bench.records import frame as frames  # pandas takes a third of a second to import, which workers shall not pay

    return frames.load(results, kind=kind)
