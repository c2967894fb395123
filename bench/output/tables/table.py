"""A table: a frame of figures, what its columns are called, and what a reader must know beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from bench.analysis.select import Selection
from bench.records.frame import CELL


@dataclass(frozen=True)
class Column:
    """A column of a table as it is shown; one that holds nothing is not.

    Args:
        name: column of the frame.
        heading: what stands above it, with the unit.
        scale: what its figures are multiplied by: 1e3 for seconds shown as milliseconds.
        low: column of the lower end of its interval; empty: it has none.
        high: column of the upper end.
        level: column of the level of its intervals, or their common level.
        kind: "axis" names what a row is about and is repeated where a wide table is split; "count" is a whole number,
            also where it is a median.
        about: the environment that the column is about, in a table that has a column for each.
    """

    name: str
    heading: str
    scale: float = 1.0
    low: str = ""
    high: str = ""
    level: str | float = "level"
    kind: Literal["axis", "figure", "count", "text"] = "figure"
    about: str = ""


def with_interval(name: str, heading: str, scale: float = 1.0, **more: Any) -> Column:
    """Return the column of a figure whose interval is in <name>_low and <name>_high."""
    return Column(name, heading, scale, low=f"{name}_low", high=f"{name}_high", **more)


def texts(*names: str) -> list[Column]:
    """Return columns of texts under their own names."""
    return [Column(name, name, kind="text") for name in names]


@dataclass(frozen=True)
class Table:
    """A frame of figures with what a reader must know beside it.

    Args:
        name: as `--show` takes it.
        title: what it holds.
        frame: a row for each cell or comparison, all digits, SI units.
        columns: what is shown of it, in this order.
        notes: short sentences below it.
        best: the figures that are marked: label of the row in the frame's index, and column of the frame.
    """

    name: str
    title: str
    frame: pd.DataFrame
    columns: Sequence[Column]
    notes: tuple[str, ...] = ()
    best: frozenset[tuple[int, str]] = frozenset()


AXES = (
    Column("model", "model", kind="axis"),
    Column("length", "length", kind="axis"),
    Column("environment", "backend", kind="axis"),
    Column("device", "device", kind="axis"),
    Column("threads", "threads", kind="axis"),
    Column("variant", "variant", kind="axis"),
)
OPTIONAL = {"device": "cpu", "threads": "1", "variant": "default"}
"""Axes that are shown only where a row has another value than this."""


def axes(frame: pd.DataFrame) -> list[Column]:
    """Return the columns that name the cells of a frame; device, threads and variant only where they matter."""
    usual = {name for name, value in OPTIONAL.items() if name in frame and (frame[name] == value).all()}
    return [column for column in AXES if column.name in frame and column.name not in usual]


def cell_table(
    name: str,
    title: str,
    frame: pd.DataFrame,
    columns: Sequence[Column],
    *notes: str,
    best: frozenset[tuple[int, str]] = frozenset(),
) -> Table:
    """Return a table of cells: their axes before the other columns; without rows or text there is no note."""
    return Table(name, title, frame, [*axes(frame), *columns], tuple(filter(None, notes)) if len(frame) else (), best)


def sort_rows(frame: pd.DataFrame, *others: str) -> pd.DataFrame:
    """Sort rows by length, model, environment and the other axes, then by other columns, and number them anew."""
    names = [name for name in ("length", "model", "environment", *OPTIONAL, *others) if name in frame]
    return frame.sort_values(names, kind="stable", ignore_index=True, key=_natural)


def _natural(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return what texts are sorted by so that numbers in them count as such: units 4 before units 16."""
    if not pd.api.types.is_string_dtype(values):
        return values
    return values.str.replace(r"\d+", lambda match: match[0].zfill(9), regex=True)


MOST_NAMED = 8


def add_status(frame: pd.DataFrame, selection: Selection, trial: str) -> pd.DataFrame:
    """Add what became of failed trials ("speed" or "accuracy"): a column "status", a row for each cell without figures.

    Args:
        frame: a row for each cell, with the columns `CELL`.
        selection: where it is from.
        trial: the kind of trials.
    """
    failures = selection.frames.failures
    failed = failures[failures["trial"] == trial]
    if failed.empty:
        return frame
    cells = failed.groupby(CELL, sort=False).agg(
        count=("fault", "size"), fault=("fault", "first"), phase=("phase", "first")
    )
    measured = pd.MultiIndex.from_frame(frame[CELL])
    some = cells["count"].astype(str) + " failed"
    none = cells["fault"].where(cells["fault"] == "not available", "failed in " + cells["phase"])
    cells["status"] = some.where(cells.index.isin(measured), none)
    counts = {name: "Int64" for name in frame.select_dtypes("integer") if name not in CELL}
    rows = cells[~cells.index.isin(measured)].reset_index()[[*CELL, "status"]]
    known = frame.astype(counts).merge(cells["status"].reset_index(), on=CELL, how="left")
    return pd.concat([known, rows], ignore_index=True)


def missing_notes(selection: Selection, trial: str) -> tuple[str, ...]:
    """Name the cells without figures: those whose trials failed, and those that were planned and not measured."""
    frames = selection.frames
    planned = selection.planned[selection.planned["trial"] == trial]
    failed = frames.failures[frames.failures["trial"] == trial]
    measured = _names(frames.turns if trial == "speed" else frames.trainings)
    without = {
        "Without figures, see failures": _names(failed) - measured,
        "Planned but not measured": _names(planned) - _names(failed) - measured,
    }
    notes = []
    for what, names in without.items():
        named, more = sorted(names)[:MOST_NAMED], len(names) - MOST_NAMED
        if names:
            notes.append(f"{what}: {', '.join(named)}{f' and {more} more' if more > 0 else ''}.")
    return tuple(notes)


def _names(cells: pd.DataFrame) -> set[str]:
    return {cell_name(cell) for cell in cells[CELL].drop_duplicates().itertuples()}


def cell_name(cell: Any) -> str:
    """Name a cell as the command line does, by a row of a frame with the columns `CELL`."""
    threads = {"1": "", "default": " default threads"}.get(cell.threads, f" {cell.threads} threads")
    variant = "" if cell.variant == "default" else f" ({cell.variant})"
    return f"{cell.environment} {cell.model} {cell.length}{threads}{variant}"
