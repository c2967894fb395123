"""A table: a frame of figures, what its columns are called, and what a reader must know beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd


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
        kind: "axis" names what a row is about and is repeated where a wide table is split; "figure" is one.
        about: the environment that the column is about, in a table that has a column for each.
    """

    name: str
    heading: str
    scale: float = 1.0
    low: str = ""
    high: str = ""
    level: str | float = "level"
    kind: Literal["axis", "figure", "text"] = "figure"
    about: str = ""


def with_interval(name: str, heading: str, scale: float = 1.0, level: str | float = "level") -> Column:
    """Return the column of a figure whose interval is in <name>_low and <name>_high."""
    return Column(name, heading, scale, low=f"{name}_low", high=f"{name}_high", level=level)


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
