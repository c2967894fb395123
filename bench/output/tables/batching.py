"""The table of variable length: what padding wastes, and what buckets and exact lengths cost instead."""

from dataclasses import replace

import numpy as np
import pandas as pd

from bench.analysis.intervals import LEAST_SEEDS
from bench.analysis.selection import USUAL, Row, Selection, Table, axes, name_usual, sort_rows
from bench.analysis.statistics import median
from bench.analysis.targets import longest
from bench.plan.cells import Cell
from bench.records.schema import Accuracy


def batching_table(chosen: Selection) -> Table:
    """Tabulate padding, shapes and speed of each way to make batches, where a run has more than one."""
    found = chosen.against(padded)
    ratios = {one.first: one.ratio for one in found}
    shown = ratios.keys() | {one.second for one in found}
    trained = {cell: longest(trials) for cell, trials in chosen.cells(Accuracy)}
    rows: list[Row] = []
    for cell, trials in chosen.timed.items():
        if cell not in shown:
            continue
        row: Row = axes(padded(cell)) | {"batches": cell.variant.batching}
        if trials[0].padding_share is not None:
            row["padding %"] = 100 * trials[0].padding_share
        row |= {
            "steps": trials[0].steps_per_epoch,
            "compilations": median(trial.witness.compilations for trial in trials if trial.witness),
            "first epoch s": median(trial.first_epoch_s for trial in trials),
            "epoch ms": 1e3 * chosen.epoch_time(cell).median_s,
        }
        if ratio := ratios.get(cell):
            row |= {"times as long": ratio.value, "low": ratio.interval.low, "high": ratio.interval.high}
        if learnt := trained.get(cell):
            row |= {"seeds": len(learnt), "test mse": float(np.mean([trial.test.mse for trial in learnt]))}
        rows.append(row)
    notes = (
        "Padding: the share of timesteps that hold no digit. bucketed: four buckets of about as many rows, each padded "
        "to its longest; exact: each batch holds rows of one length. Steps and compilations: training steps of an "
        "epoch, and programs for them, of which every new shape can need one, in the first epoch.",
        "Times as long: against all rows padded to the longest; the median over processes of the ratios of turns with "
        f"its 95 % interval (from {LEAST_SEEDS} processes on). Seeds and test mse: of the longest trainings of "
        "each way, if it was trained for accuracy too; their intervals are in the table of accuracy.",
    )
    frame = sort_rows(name_usual(pd.DataFrame(rows)), ["length", "model", "backend", *USUAL, "steps"])
    return Table("Variable length", frame, notes)


def padded(cell: Cell) -> Cell:
    """Return the cell that differs in its batches only: all rows padded to the longest."""
    return cell.model_copy(update={"variant": replace(cell.variant, batching="padded")})
