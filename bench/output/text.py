"""Tables of a selection, printed: which of them, which rows and columns, and where the figures are from."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd
from rich.console import Console
from rich.text import Text

from bench.analysis.select import Selection
from bench.errors import UserError
from bench.host import BUSY_LOAD
from bench.names import choose_name, say_count
from bench.output.formats import print_text, shown_columns, table_document, to_csv, to_latex, to_markdown
from bench.output.numbers import interval, number, visible
from bench.output.tables import TABLES
from bench.output.tables.table import Table
from bench.plan.cells import NIGHTLY, packages_of

__all__ = ["interval", "number", "print_tables", "print_text", "provenance", "to_markdown"]

Form = Literal["text", "markdown", "csv", "latex", "json"]
NAMED = ["environment", "model", "first", "second", "faster", "other"]
"""Columns that hold a backend or a model."""
DEFAULT = ("speed", "speed-by-backend", "controls", "start", "break-even", "accuracy")


@dataclass(frozen=True)
class Wanted:
    """What a user asked for of some tables: rows of backends, models and lengths, and headings of columns, in order.

    Empty means everything. The figures stay those of all records: a verdict that was corrected for ten rows is not
    made anew for two of them.
    """

    backends: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()


def parse_columns(text: str | None) -> tuple[str, ...]:
    """Read headings of columns between commas."""
    return () if text is None else tuple(dict.fromkeys(name.strip() for name in text.split(",")))


def choose(tables: Sequence[Table], wanted: Wanted, selection: Selection) -> list[Table]:
    """Return tables with the rows and columns that are wanted; tables with nothing to show are left out.

    A row that compares two backends or models is kept if both are wanted; a row that is about none is kept.

    Raises:
        UserError: if nothing was measured on a backend, model or length, or no table has a column.
    """
    frames = selection.frames
    measured = pd.concat([frames.turns, frames.trainings, frames.failures])
    names = _others(measured["environment"], wanted.backends, "--backend")
    names |= _others(measured["model"], wanted.models, "--model")
    lengths = _others(measured["length"], wanted.lengths, "--length")
    headings = dict.fromkeys(column.heading for table in tables for column in shown_columns(table))
    for heading in wanted.columns if headings else ():
        choose_name(heading, headings, "--columns")
    kept = []
    for table in tables:
        frame = table.frame
        rows = ~(frame[frame.columns.intersection(NAMED)].isin(names).any(axis=1))
        rows &= ~(frame[frame.columns.intersection(["length", "next_length"])].isin(lengths).any(axis=1))
        columns = [column for column in table.columns if column.about not in names]
        if wanted.columns:
            by_heading = {column.heading: column for column in columns}
            columns = [by_heading[heading] for heading in wanted.columns if heading in by_heading]
        has_figures = any(column.kind != "axis" for column in columns) or len(columns) == len(wanted.columns)
        if rows.any() and has_figures:
            kept.append(replace(table, frame=frame[rows], columns=columns))
    return kept


def _others(measured: "pd.Series[Any]", wanted: Sequence[Any], option: str) -> set[Any]:
    """Return what was measured and is not wanted; nothing if all is wanted."""
    names = {str(value): value for value in sorted(measured.unique())}
    kept = {names[choose_name(str(value), names, option)] for value in wanted}
    return set(names.values()) - kept if kept else set()


def print_tables(
    selection: Selection, names: Sequence[str], *, form: Form = "text", wanted: Wanted | None = None
) -> None:
    """Print some tables, the failures too if there are any, and where the figures are from.

    Example: print_tables(select(runs), ["speed"], form="markdown")

    Args:
        selection: runs that are comparable.
        names: of tables, or "all"; none means `DEFAULT`.
        form: how; CSV holds one table.
        wanted: which rows and columns; None: all.

    Raises:
        UserError: if a name is unknown, or CSV is asked for several tables.
    """
    for name in names:
        choose_name(name, (*TABLES, "all"), "--show")
    if form == "csv" and (len(names) > 1 or "all" in names):
        raise UserError("`--format csv` holds one table. Received: several. Give --show once, speed, say.")
    if form == "csv":
        names = names or ["speed"]
    else:
        names = list(TABLES) if "all" in names else list(names or DEFAULT)
        names += ["failures"] if len(selection.frames.failures) and "failures" not in names else []
    tables = [table for table in (TABLES[name](selection) for name in names) if form == "csv" or len(table.frame)]
    tables = choose(tables, wanted or Wanted(), selection)
    match form:
        case "csv":
            print("".join(map(to_csv, tables)), end="")
        case "json":
            print(json.dumps(tables_document(tables, selection), indent=1))
        case "latex":
            lines = [f"% {' '.join(line.splitlines())}" for line in provenance(selection)]
            print("\n\n".join([*map(to_latex, tables), "\n".join(lines)]))
        case "markdown":
            print("\n\n".join(map(to_markdown, tables)))
            print("\n" + "\n".join(f"- {line}" for line in provenance(selection)))
        case "text":
            console = Console(width=None if sys.stdout.isatty() else 80, highlight=False)
            for line in provenance(selection):
                console.print(Text(line))
            for table in tables:
                print_text(table, console)


def tables_document(tables: Sequence[Table], selection: Selection) -> dict[str, Any]:
    """Return tables for JSON, with the headers of the runs they are made of."""
    return {
        "tables": [table_document(table) for table in tables],
        "provenance": {
            "lines": provenance(selection),
            "runs": [run.header.model_dump(mode="json") for run in selection.runs],
            "left_out": [run.header.run for run in selection.left_out],
        },
    }


def provenance(selection: Selection) -> list[str]:
    """Describe in a few lines where the figures are from, and what is doubtful about them."""
    return [*sources(selection), *doubts(selection).values()]


def sources(selection: Selection) -> list[str]:
    """Name the machine, the versions and the runs; of further environments the versions that their names do not say."""
    header, machine, runs = selection.header, selection.header.machine, selection.runs
    found: dict[str, dict[str, list[str]]] = {}
    for worker in sorted(selection.workers.values(), key=lambda worker: worker.environment):
        exchanged = {name.removesuffix(NIGHTLY) for name in packages_of(worker.environment)}
        for name in sorted({"keras", worker.backend} & worker.versions.keys() - exchanged):
            found.setdefault(name, {}).setdefault(worker.versions[name], []).append(worker.environment)
    versions = []
    for name, environments in found.items():
        for version, those in environments.items():
            is_common = len(environments) == 1 or any("@" not in environment for environment in those)
            versions.append(f"{name} {version}" + ("" if is_common else f" ({', '.join(those)})"))
    names = [run.header.run + (" (resumed)" if run.resumed else "") for run in runs]
    lines = [
        f"{header.sweep.device}: {machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB, "
        f"{machine.system}",
        ", ".join([*versions, f"seqsum {header.seqsum_version} ({header.commit})"]),
        f"{'run' if len(runs) == 1 else 'runs'}: {', '.join(names)}",
    ]
    return [visible(line) for line in lines]


def doubts(selection: Selection) -> dict[str, str]:
    """Say what was not as it should be while the runs were measured, and which runs were left out."""
    machine, turns, found = selection.header.machine, selection.frames.turns, {}
    if disturbed := int(turns["disturbed"].sum()):
        others = "Other processes" + ("" if machine.cpu_quota is None else ", or the quota of a control group,")
        found["disturbed"] = (
            f"{others} disturbed {disturbed:,} of {len(turns):,} turns. These were measured again; they count "
            "only where that did not help."
        )
    if machine.governor not in ("performance", "unknown"):
        found["governor"] = (
            f"The CPU frequency governor was {visible(machine.governor)}: epochs may be slower than they need be."
        )
    if (load := selection.busiest_load) > BUSY_LOAD:
        found["load"] = f"The machine was busy before a run began: load {load:g} in the minute before."
    if selection.left_out:
        left_out = say_count(len(selection.left_out), "older run")
        found["left out"] = f"Left out: {left_out} of another machine, other versions or other settings."
    return found
