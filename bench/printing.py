"""Print tables: for a terminal (80 columns unless it is wider), as Markdown, as CSV.

Data go to stdout; nothing is derived here.
"""

import sys
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench.errors import UserError
from bench.records import Failure
from bench.selection import Selection, Table, provenance
from bench.tables import TABLES

WIDEST_COLUMN = 20
DEFAULT = ("speed", "ratios", "controls", "start", "breakeven", "accuracy")
AXES = ("model", "length", "patience", "backend", "threads", "ratio of", "against", "true length", "k")


def print_tables(chosen: Selection, names: list[str], *, form: str = "text") -> None:
    """Print some tables, the failures too if there are any, and where the figures are from.

    Args:
        chosen: records that may stand together.
        names: of tables, or "all"; none means those that matter most.
        form: "text", "markdown" or "csv".

    Raises:
        UserError: if a name is unknown, or CSV shall hold several tables.
    """
    for name in names:
        if name not in (*TABLES, "all"):
            raise UserError(f"`--show` must be one of {', '.join(TABLES)} or all. Received: {name!r}. Choose one.")
    if form == "csv":
        if len(names) > 1 or names == ["all"]:
            raise UserError("CSV holds one table. Received: several. Give --show once, speed, say.")
        print(to_csv(TABLES[names[0] if names else "speed"](chosen)), end="")
        return
    names = list(TABLES) if "all" in names else names or list(DEFAULT)
    if chosen.of(Failure) and "failures" not in names:
        names = [*names, "failures"]
    made = [made for name in names if not (made := TABLES[name](chosen)).frame.empty]
    if form == "markdown":
        print("\n\n".join(to_markdown(table) for table in made))
        print("\n" + "\n".join(f"- {line}" for line in provenance(chosen)))
        return
    console = Console(width=None if sys.stdout.isatty() else 80, highlight=False)
    for line in provenance(chosen):
        console.print(Text(line))
    for table in made:
        print_text(table, console)


def print_text(table: Table, console: Console) -> None:
    """Print a table on a terminal, its headings folded to the width of its figures.

    What is wider than the terminal is printed in parts below each other, which all begin with the axes.
    """
    console.print(Text(f"\n{table.title}", style="bold"))
    for frame in _parts(table.frame, console.width):
        console.print(_shown(frame))
    for note in table.notes:
        console.print(Text(note, style="dim"))


def _parts(frame: pd.DataFrame, width: int) -> list[pd.DataFrame]:
    """Split a frame by columns so that each part fits into a width, if it is wide enough for the axes and a figure."""
    names = [name for name in frame.columns if name in AXES]
    taken = sum(_least_width(frame[name]) + 1 for name in names)
    parts, filled = [names.copy()], taken
    for name in frame.columns:
        if name in AXES:
            continue
        needed = _least_width(frame[name]) + 1
        if filled + needed > width and parts[-1] != names:
            parts.append(names.copy())
            filled = taken
        parts[-1].append(name)
        filled += needed
    return [frame[part] for part in parts]


def _least_width(column: "pd.Series[Any]") -> int:
    """Return the characters that a column needs at least: what is wider than `WIDEST_COLUMN` is folded."""
    return min(_width(column), WIDEST_COLUMN)


def _width(column: "pd.Series[Any]") -> int:
    """Return the characters that a column needs: its widest value, or the longest word of its heading."""
    return max([*map(len, column.map(format_value)), *map(len, str(column.name).split())])


def _shown(frame: pd.DataFrame) -> RichTable:
    cells = frame.map(format_value)
    shown = RichTable(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in frame.columns:
        widest = _width(frame[name])
        long = widest > WIDEST_COLUMN
        shown.add_column(
            Text(name),
            justify="right" if pd.api.types.is_numeric_dtype(frame[name]) else "left",
            width=None if long else widest,
            min_width=WIDEST_COLUMN if long else widest,
            vertical="bottom",
            overflow="fold",
        )
    for row in cells.itertuples(index=False):
        shown.add_row(*(Text(value) for value in row))
    return shown


def to_markdown(table: Table) -> str:
    """Return a table in Markdown, its notes below it."""
    text = frame_to_markdown(table.frame)
    return "\n".join([f"### {table.title}", "", text, "", *(f"{note}  " for note in table.notes)])


def frame_to_markdown(frame: pd.DataFrame) -> str:
    """Return a frame as a Markdown table, figures to the right."""
    cells = frame.map(lambda value: " ".join(format_value(value).replace("|", "\\|").splitlines()))
    align = ["right" if pd.api.types.is_numeric_dtype(kind) else "left" for kind in frame.dtypes]
    text: str = cells.to_markdown(index=False, disable_numparse=True, colalign=align)
    return text


def to_csv(table: Table) -> str:
    """Return a table as CSV with all digits."""
    text = StringIO()
    table.frame.to_csv(text, index=False)
    return text.getvalue()


def format_value(value: Any) -> str:
    """Write a value as a person reads it: three digits that count, nothing for a missing one."""
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if value == 0:
        return "0"
    if not np.isfinite(value):
        return f"{value:g}"
    if abs(value) < 1e-3:
        return f"{value:.0e}"
    if abs(value) >= 1e8:
        return f"{value:.2e}"
    rounded = float(f"{value:.2e}")
    digits = max(0, 2 - int(np.floor(np.log10(abs(rounded)))))
    return f"{rounded:,.{digits}f}"
