"""What of the tables is shown: rows of some backends, models and lengths, and some columns.

The figures stay those of all records: a verdict that was corrected for ten rows is not made anew for the two that
are shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bench.analysis.selection import Selection, Table
from bench.names import choose_name
from bench.records.schema import Accuracy, Failure
from bench.records.speed import Speed

AXES = ("model", "length", "patience", "backend", "threads", "variant", "ratio of", "against", "true length", "k")
SIDES = ("backend", "model", "ratio of", "against", "faster epochs")
"""Columns that name backends or models; "ratio of" names two."""


@dataclass(frozen=True)
class Wanted:
    """What a person asked for; empty means everything.

    Args:
        backends: rows of these; a second installation is backend@name.
        models: rows of these.
        lengths: rows of these.
        columns: these, in this order.
    """

    backends: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()


def parse_columns(text: str | None) -> tuple[str, ...]:
    """Read names of columns between commas."""
    return () if text is None else tuple(dict.fromkeys(name.strip() for name in text.split(",")))


def choose(tables: Sequence[Table], wanted: Wanted, chosen: Selection) -> list[Table]:
    """Return tables with the rows and columns that are wanted; those with nothing to show are left out.

    A row that compares two backends or models is kept if both are wanted. A row that belongs to none, as that of a
    baseline, is kept.

    Raises:
        UserError: if nothing was measured on a backend, model or length, or no table has a column.
    """
    unwanted = _left(wanted.backends, chosen, "side", "--backend") | _left(wanted.models, chosen, "model", "--model")
    lengths = _left(wanted.lengths, chosen, "length", "--length")
    known = dict.fromkeys(str(name) for table in tables for name in table.frame.columns)
    for name in wanted.columns if known else ():
        choose_name(name, known, "--columns")
    kept = [replace(table, frame=_without(table.frame, unwanted, lengths), columns=wanted.columns) for table in tables]
    return [table for table in kept if not table.frame.empty and _has_columns(table)]


def _left(names: Sequence[str | int], chosen: Selection, field: str, option: str) -> set[str]:
    """Return what was measured on an axis and is not wanted.

    Raises:
        UserError: if one of the names was not measured.
    """
    cells = [record.cell for record in chosen.records if isinstance(record, Speed | Accuracy | Failure)]
    measured = [str(value) for value in sorted({getattr(cell, field) for cell in cells})]
    wanted = {choose_name(str(name), measured, option) for name in names}
    return set(measured) - wanted if wanted else set()


def _without(frame: pd.DataFrame, unwanted: set[str], lengths: set[str]) -> pd.DataFrame:
    """Leave out what is about something unwanted: rows, and the overview's columns of a backend."""
    if "length" in frame:
        frame = frame[~frame["length"].astype(str).isin(lengths)]
    for name in (name for name in SIDES if name in frame):
        frame = frame[[unwanted.isdisjoint(str(value).split(" / ")) for value in frame[name]]]
    return frame[[name for name in frame.columns if str(name).partition(" ")[0] not in unwanted]]


def _has_columns(table: Table) -> bool:
    """Tell whether a table has one of the columns that were asked for, besides the axes that all tables have."""
    asked = [name for name in table.columns if name not in AXES] or table.columns
    return not asked or any(name in table.frame for name in asked)
