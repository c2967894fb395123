"""Two runs as tables and JSON, and a gate: whether NEW is slower than is allowed."""

import json
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from rich.console import Console
from rich.text import Text

from bench.analysis.compare import Comparison, changed_settings, differences
from bench.output.formats import print_text, table_document, to_markdown
from bench.output.numbers import interval, number, visible
from bench.output.tables.table import Column, Table, cell_name, cell_table, sort_rows, texts, with_interval
from bench.plan.gate import Gate
from bench.records.frame import CELL
from bench.records.schema import Header

MS, PERCENT, LEVEL = 1e3, 100, 0.95


@dataclass(frozen=True)
class Judgement:
    """What a gate decides, and why.

    Args:
        gate: the gate.
        verdict: "slower" if any cell is, or if trials failed in NEW only; "within" if no cell is and all are shown not
            to be; else "undecided".
        lines: the reasons; none if all cells are within.
    """

    gate: Gate
    verdict: Literal["slower", "within", "undecided"]
    lines: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """Return what the command exits with."""
        return {"within": 0, "slower": 1, "undecided": 3}[self.verdict]


def judge(comparison: Comparison, gate: Gate, *, anyway: bool = False) -> Judgement:
    """Judge a comparison: a cell is slower only if its whole interval is beyond the share, within if none of it is.

    Nothing is judged between machines or settings, unless `anyway`.
    """
    if not anyway and (others := _others(comparison)):
        reason = f"Undecided, {gate}: the runs differ in more than the code ({others}). --anyway judges them."
        return Judgement(gate, "undecided", (visible(reason),))
    cells, limit = comparison.speed, 1 + gate.share
    slow = cells[cells["ratio_low"] > limit]
    open_ = cells[~(cells["ratio_low"] > limit) & ~(cells["ratio_high"] <= limit)]
    failed = comparison.failures[(comparison.failures["new"] > 0) & (comparison.failures["base"] == 0)]
    lost = [
        f"Failed in NEW only: {row.trial} {cell_name(row)}, in {row.phase}: {row.reason}" for row in failed.itertuples()
    ]
    lines = [*_gate_lines(slow, f"Slower, beyond {gate}"), *lost, *_gate_lines(open_, f"Undecided, {gate}")]
    if len(slow) or lost:
        return Judgement(gate, "slower", tuple(map(visible, lines)))
    if cells.empty:
        lines.append(f"Undecided, {gate}: no cell was timed in both runs.")
    return Judgement(gate, "undecided" if lines else "within", tuple(map(visible, lines)))


def _gate_lines(cells: pd.DataFrame, why: str) -> list[str]:
    return [
        f"{why}: {cell_name(row)}, ratio {number(row.ratio)} "
        f"({interval(row.ratio_low, row.ratio_high) or 'no interval: measure 6 processes or more in both runs'})"
        for row in cells.itertuples()
    ]


def print_comparison(
    comparison: Comparison, judgement: Judgement | None, *, form: Literal["text", "markdown", "json"], console: Console
) -> None:
    """Print a comparison; the judgement is in the JSON only, a command prints its lines."""
    tables, lines = comparison_tables(comparison), [visible(line) for line in heading(comparison)]
    if form == "json":
        print(json.dumps(comparison_document(comparison, judgement), indent=1))
    elif form == "markdown":
        print("\n".join(f"- {line}" for line in lines))
        print("\n" + "\n\n".join(map(to_markdown, tables)))
    else:
        for line in lines:
            console.print(Text(line))
        for table in tables:
            print_text(table, console)


def heading(comparison: Comparison) -> list[str]:
    """Name the two runs, and what their ratios compare besides the code."""
    base, new = comparison.base.header, comparison.new.header
    lines = [f"BASE: {_run_name(base)}", f"NEW: {_run_name(new)}"]
    if others := _others(comparison):
        lines.append(f"These ratios compare more than the code: {others}.")
    return lines


def _others(comparison: Comparison) -> str:
    """Name what differs besides the code and changes what a ratio means; empty if nothing."""
    base, new = comparison.base.header, comparison.new.header
    machine = ["machine"] if base.machine != new.machine else []
    return ", ".join([*machine, *changed_settings(base, new)])


def _run_name(header: Header) -> str:
    return f"{header.run}, commit {header.commit}, started {header.started_at}, on {header.machine.cpu}"


def comparison_tables(comparison: Comparison) -> list[Table]:
    """Return the tables of a comparison that have rows."""
    changes = differences(comparison.base.header, comparison.new.header)
    sides = [Column("base", "BASE", kind="text"), Column("new", "NEW", kind="text")]
    tables = (
        Table("differences", "What differs", changes, [Column("what", "what", kind="axis"), *sides]),
        _speed(comparison),
        _accuracy(comparison),
        _only(comparison),
        _failures(comparison),
    )
    return [table for table in tables if len(table.frame)]


def _speed(comparison: Comparison) -> Table:
    frame = sort_rows(comparison.speed)
    frame["verdict"] = frame["verdict"].fillna("too few processes")
    changed = frame["base_path"].fillna("unknown") != frame["new_path"].fillna("unknown")
    frame["path"] = (frame["base_path"] + " -> " + frame["new_path"]).where(changed, "")
    columns = [
        Column("base_s", "BASE ms", MS),
        Column("new_s", "NEW ms", MS),
        with_interval("ratio", "NEW / BASE", level=LEVEL),
        *texts("verdict"),
        Column("path", "execution path", kind="text"),
    ]
    note = (
        "Medians over fresh processes. Interval: of about 95 %, by the bootstrap, from 6 processes "
        "in each run on. Verdict: of NEW, significant at 5 % over all rows (Welch's t of the logarithms, Holm). What "
        "the machine did between the two runs is in neither."
    )
    return cell_table("speed", "Speed", frame, columns, note)


def _accuracy(comparison: Comparison) -> Table:
    columns = [
        Column("patiences", "patience", kind="axis"),
        Column("pairs", "pairs of seeds"),
        with_interval("error_ratio", "error NEW / BASE", level=LEVEL),
        with_interval("right_difference", "right rows, points", PERCENT, level=LEVEL),
        *texts("verdict"),
    ]
    note = (
        "Pairs of seeds: the same start and batches in both runs. Exact sums: NEW - BASE. equal: shown to differ by "
        "less than a tenth of the error and 2 points of right rows; different: by more than chance, corrected for all "
        "rows (Holm); open: more seeds are needed."
    )
    return cell_table("accuracy", "Accuracy", sort_rows(comparison.accuracy, "patience"), columns, note)


def _only(comparison: Comparison) -> Table:
    """Return the cells of one run only, those that differ in nothing but their length in one row."""
    key = ["only_in", "trial", *(name for name in CELL if name != "length")]
    lengths = comparison.only.sort_values("length").groupby(key, sort=False)["length"]
    frame = lengths.agg(lambda group: ", ".join(map(str, group))).reset_index()
    columns = [Column("trial", "measured", kind="text"), Column("only_in", "only in", kind="text")]
    return cell_table("only-in-one", "Only in one run", frame, columns)


def _failures(comparison: Comparison) -> Table:
    columns = [*texts("trial"), Column("base", "BASE"), Column("new", "NEW"), *texts("phase", "reason")]
    note = "How many trials failed; phase and reason of the first one, in NEW if any failed there."
    return cell_table("failures", "Failures", sort_rows(comparison.failures), columns, note)


def comparison_document(comparison: Comparison, judgement: Judgement | None) -> dict[str, Any]:
    """Return a comparison for JSON: tables with all digits, both headers, and what the gate decided."""
    gate = judgement and {"gate": str(judgement.gate), "verdict": judgement.verdict, "lines": list(judgement.lines)}
    return {
        "base": comparison.base.header.model_dump(mode="json"),
        "new": comparison.new.header.model_dump(mode="json"),
        "warnings": heading(comparison)[2:],
        "tables": [table_document(table) for table in comparison_tables(comparison)],
        "gate": gate,
    }
