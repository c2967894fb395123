"""Tables as the page shows them: cells as texts, each row with what it belongs to, so that it can be filtered."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.selection import Selection, Table
from bench.output.printing.escaping import visible
from bench.output.printing.output import format_value
from bench.plan.cells import BACKENDS

MOST_ROWS = 400
LONGEST = 600
SIDES = ("model", "backend", "ratio of", "against", "faster epochs")
"""Columns that name backends or models."""


@dataclass(frozen=True)
class Filters:
    """What can be switched off on the page: all values of each axis.

    Args:
        backend: names of backends, with their installations.
        model: names of models.
        length: lengths, as texts.
    """

    backend: tuple[str, ...]
    model: tuple[str, ...]
    length: tuple[str, ...]

    def axes(self) -> dict[str, tuple[str, ...]]:
        """Return the values of each axis by its name."""
        return {"backend": self.backend, "model": self.model, "length": self.length}


@dataclass(frozen=True)
class Column:
    """A heading, and whether figures stand below it."""

    name: str
    numeric: bool


@dataclass(frozen=True)
class ShownRow:
    """Cells as texts, and for each axis the places of the values that the row belongs to."""

    cells: tuple[str, ...]
    belongs: Mapping[str, str]


@dataclass(frozen=True)
class ShownTable:
    """A table for the page.

    Args:
        name: as `seqsum table --show` takes it.
        title: what it is.
        notes: what a reader must know.
        columns: the headings.
        rows: at most `MOST_ROWS`.
        left_out: how many more there are.
    """

    name: str
    title: str
    notes: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[ShownRow, ...]
    left_out: int


def find_filters(chosen: Selection) -> Filters:
    """Return all backends, models and lengths of some records."""
    cells = [record.cell for record in chosen.records if hasattr(record, "cell")]
    found = {cell.side: BACKENDS.index(cell.backend) for cell in cells}
    return Filters(
        backend=tuple(sorted(found, key=lambda side: (found[side], side))),
        model=tuple(sorted({cell.model for cell in cells})),
        length=tuple(str(length) for length in sorted({cell.length for cell in cells})),
    )


def show_table(name: str, table: Table, filters: Filters) -> ShownTable:
    """Return a table with its cells as texts; of a very long one the first rows."""
    frame = table.frame
    head = frame.head(MOST_ROWS)
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    columns = tuple(Column(str(title), number) for title, number in zip(frame.columns, numeric, strict=True))
    rows = tuple(_shown(list(frame.columns), row, filters) for row in head.itertuples(index=False, name=None))
    return ShownTable(name, table.title, table.notes, columns, rows, len(frame) - len(head))


def _shown(names: Sequence[str], row: Sequence[Any], filters: Filters) -> ShownRow:
    values = dict(zip(names, row, strict=True))
    sides = {side for name in SIDES if isinstance(text := values.get(name), str) for side in text.split(" / ")}
    belongs = {
        "backend": _places(filters.backend, sides),
        "model": _places(filters.model, sides),
        "length": _places(filters.length, {format(values.get("length"))}),
    }
    cells = tuple(_cut(visible(format_value(value))) for value in row)
    return ShownRow(cells, {axis: places for axis, places in belongs.items() if places})


def _places(known: Sequence[str], named: Iterable[str]) -> str:
    inside = set(named)
    return " ".join(str(place) for place, value in enumerate(known) if value in inside)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
