"""Two runs beside each other as tables: what differs, speed, accuracy, what only one side has, failures."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.compare import Comparison, SpeedChange
from bench.analysis.differences import differences, warnings
from bench.analysis.intervals import LEAST_SEEDS
from bench.analysis.patience import say_patience
from bench.analysis.selection import Row, Table, axes, name_usual
from bench.output.gate import Gate
from bench.output.printing.documents import Document
from bench.output.tables.accuracy import VERDICTS
from bench.plan.cells import Cell
from bench.records.speed import Speed
from bench.records.store import Run


def comparison_tables(comparison: Comparison) -> list[Table]:
    """Return the tables that have rows."""
    tables = (
        differences_table(comparison),
        speed_changes_table(comparison),
        accuracy_changes_table(comparison),
        one_side_table(comparison),
        lost_table(comparison),
    )
    return [table for table in tables if not table.frame.empty]


def heading(comparison: Comparison) -> list[str]:
    """Name the two runs, and what their ratios compare beside the code."""
    sides = [("BASE", comparison.base), ("NEW", comparison.new)]
    lines = [f"{side}: {_named(run)}" for side, run in sides]
    return [*lines, *warnings(comparison.base.header, comparison.new.header)]


def _named(run: Run) -> str:
    header = run.header
    return f"{header.run}, commit {header.commit}, begun {header.started_at}, on {header.machine.cpu}"


def differences_table(comparison: Comparison) -> Table:
    """Tabulate what differs between the runs beside their figures."""
    found = differences(comparison.base.header, comparison.new.header)
    rows = [{"what": one.what, "BASE": one.base, "NEW": one.new} for one in found]
    return Table("What differs", pd.DataFrame(rows))


def speed_changes_table(comparison: Comparison) -> Table:
    """Tabulate how many times as long an epoch takes in NEW, with the recurrent paths if another one ran."""
    paths = {one.cell: _path(one) for one in comparison.speed if "->" in _path(one)}
    rows = [
        axes(one.cell)
        | {"BASE ms": _median_ms(one.base), "NEW ms": _median_ms(one.new), "NEW / BASE": one.ratio}
        | {"low": one.interval.low, "high": one.interval.high, "verdict": one.verdict}
        | ({"path": paths.get(one.cell, "the same")} if paths else {})
        for one in comparison.speed
    ]
    notes = (
        "Median of the medians of fresh processes, and NEW / BASE of them with its 95 % interval (from "
        f"{LEAST_SEEDS} processes on each side). no difference: the interval holds 1. What the machine did between the "
        "two runs is not in the interval.",
    )
    return Table("Speed", name_usual(pd.DataFrame(rows)), notes)


def _median_ms(trials: Sequence[Speed]) -> float:
    return 1e3 * float(np.median([trial.median_s for trial in trials]))


def _path(change: SpeedChange) -> str:
    """Name the recurrent path that ran, both if it is another one."""
    base, new = (
        ", ".join(sorted({str(trial.witness) for trial in trials if trial.witness}))
        for trials in (change.base, change.new)
    )
    return new if base == new else f"{base or 'unknown'} -> {new or 'unknown'}"


def accuracy_changes_table(comparison: Comparison) -> Table:
    """Tabulate whether NEW learns what BASE learned, seed by seed."""
    rows: list[Row] = [
        axes(one.cell)
        | {"training ends at": say_patience(one.patience), "pairs": one.mse.pairs, "mse ratio": one.mse.value}
        | {"low": one.mse.interval.low, "high": one.mse.interval.high, "exact sums": 100 * one.exact.value}
        | {"low points": 100 * one.exact.interval.low, "high points": 100 * one.exact.interval.high}
        | {"verdict": one.verdict}
        for one in comparison.accuracy
    ]
    notes = (
        "Pairs of seeds: the same start and batches in both runs. mse ratio: geometric mean of NEW / BASE; exact sums: "
        "NEW - BASE in points; 95 % intervals.",
        VERDICTS,
    )
    return Table("Accuracy", name_usual(pd.DataFrame(rows)), notes)


def one_side_table(comparison: Comparison) -> Table:
    """Tabulate the cells that only one of the runs measured, those that differ in length alone in one row."""
    rows: dict[tuple[str, str, Cell], Row] = {}
    lengths: dict[tuple[str, str, Cell], list[int]] = defaultdict(list)
    for side, cells in (("BASE", comparison.only_base), ("NEW", comparison.only_new)):
        for kind, cell in cells:
            alike = (side, kind, cell.model_copy(update={"length": 0}))
            lengths[alike].append(cell.length)
            said = ", ".join(map(str, sorted(lengths[alike])))
            rows[alike] = axes(cell) | {"length": said, "measured": kind, "only in": side}
    return Table("Only on one side", name_usual(pd.DataFrame(list(rows.values()))))


def lost_table(comparison: Comparison) -> Table:
    """Tabulate the trials that failed on either side."""
    rows = [
        axes(one.cell) | {"trial": one.kind, "BASE": one.base, "NEW": one.new, "phase": one.phase, "reason": one.reason}
        for one in comparison.lost
    ]
    notes = ("How many trials failed; phase and reason of the first one, in NEW if any failed there.",)
    return Table("Failures", name_usual(pd.DataFrame(rows)), notes)


def comparison_document(comparison: Comparison, gate: Gate | None, refused: Sequence[str]) -> Document:
    """Return everything for JSON, each row with its whole cell."""
    base, new = comparison.base.header, comparison.new.header
    return {
        "base": base.model_dump(mode="json"),
        "new": new.model_dump(mode="json"),
        "warnings": warnings(base, new),
        "differences": [{"what": one.what, "base": one.base, "new": one.new} for one in differences(base, new)],
        "speed": [
            _cell(one.cell)
            | {"base_epoch_s": _median_ms(one.base) / 1e3, "new_epoch_s": _median_ms(one.new) / 1e3}
            | {"base_processes": len(one.base), "new_processes": len(one.new), "ratio": one.ratio}
            | {"low": _number(one.interval.low), "high": _number(one.interval.high), "verdict": one.verdict}
            for one in comparison.speed
        ],
        "accuracy": [
            _cell(one.cell)
            | {"patience": one.patience, "pairs": one.mse.pairs, "mse_ratio": _number(one.mse.value)}
            | {"mse_low": _number(one.mse.interval.low), "mse_high": _number(one.mse.interval.high)}
            | {"exact_sum_rate_difference": _number(one.exact.value), "verdict": one.verdict}
            | {"exact_low": _number(one.exact.interval.low), "exact_high": _number(one.exact.interval.high)}
            for one in comparison.accuracy
        ],
        "only_in_base": [_cell(cell) | {"kind": kind} for kind, cell in comparison.only_base],
        "only_in_new": [_cell(cell) | {"kind": kind} for kind, cell in comparison.only_new],
        "failures": [
            _cell(one.cell)
            | {"kind": one.kind, "base": one.base, "new": one.new, "phase": one.phase, "reason": one.reason}
            for one in comparison.lost
        ],
        "fail_on": None if gate is None else str(gate),
        "refused": list(refused),
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {"cell": cell.model_dump(mode="json")}


def _number(value: float) -> float | None:
    """Return a figure as JSON knows it."""
    return value if np.isfinite(value) else None
