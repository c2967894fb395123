"""A table as text: on a terminal, as Markdown, CSV, LaTeX or JSON. CSV and JSON keep all digits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench.output.numbers import count, interval, number, value_text, visible
from bench.output.tables.table import Column, Table

WIDEST_COLUMN = 26
MARK = " *"
FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet takes for a formula if a cell begins with it."""


@dataclass(frozen=True)
class Printed:
    """A column as text; the rows that are `best` are marked, an axis is repeated where a table is split."""

    heading: str
    texts: list[str]
    is_axis: bool
    to_right: bool
    best: tuple[bool, ...]

    @property
    def width(self) -> int:
        """Return the characters it needs: its widest value, or the longest word of its heading."""
        return max([*map(len, self.texts), *map(len, self.heading.split())])

    @property
    def is_long(self) -> bool:
        """Tell whether its texts are folded."""
        return self.width > WIDEST_COLUMN

    @property
    def room(self) -> int:
        """Return the characters it takes, with the space after it."""
        return min(self.width, WIDEST_COLUMN) + 1


def printed(table: Table) -> list[Printed]:
    """Return the columns of a table as text; an interval becomes a column after its figure."""
    columns: list[Printed] = []
    for column in shown_columns(table):
        values = scaled(table.frame, column.name, column)
        best = tuple((row, column.name) in table.best for row in table.frame.index)
        is_text = column.kind == "text" or (column.kind == "axis" and not pd.api.types.is_numeric_dtype(values))
        write = count if column.kind == "count" else number
        texts = [value_text(value, write) for value in values]
        columns.append(Printed(column.heading, texts, column.kind == "axis", not is_text, best))
        heading, low, high = _interval_of(table.frame, column)
        ends = [scaled(table.frame, name, column) for name in (low, high) if name]
        texts = [interval(lower, upper, write) for lower, upper in zip(*ends, strict=True)]
        if any(texts):
            columns.append(Printed(heading, texts, False, True, (False,) * len(texts)))
    return columns


def shown_columns(table: Table) -> list[Column]:
    """Return the columns that hold anything."""

    def holds(values: "pd.Series[Any]") -> bool:
        return bool((values.notna() & (values.astype(str) != "")).any())

    return [column for column in table.columns if column.name in table.frame and holds(table.frame[column.name])]


def scaled(frame: pd.DataFrame, name: str, column: Column) -> "pd.Series[Any]":
    """Return figures in the unit of a column."""
    return frame[name] if column.scale == 1 else frame[name].astype(float) * column.scale


def _interval_of(frame: pd.DataFrame, column: Column) -> tuple[str, str, str]:
    """Return the heading and the columns of the intervals of a figure; of their range where no row has one."""
    least, greatest = f"{column.name}_least", f"{column.name}_greatest"
    if column.low and (known := frame[column.low].notna()).any():
        levels = frame[column.level][known] if isinstance(column.level, str) else pd.Series([column.level])
        percents = sorted({f"{100 * level:.0f}" for level in levels})
        return f"{' to '.join(dict.fromkeys([percents[0], percents[-1]]))} % interval", column.low, column.high
    if column.low and least in frame and (frame[least] < frame[greatest]).any():
        return "range", least, greatest
    return "", "", ""


def print_text(table: Table, console: Console) -> None:
    """Print a table on a terminal, its headings folded to the width of its figures.

    Of a table that is wider than the terminal, an axis with one value is said once, and long texts stand below the
    figures. What is wider still is printed in parts below each other, which all begin with the axes.
    """
    console.print(Text(f"\n{visible(table.title)}", style="bold"))
    columns = []
    for column in printed(table):
        marks = [(MARK if best else " " * len(MARK)) if any(column.best) else "" for best in column.best]
        columns.append(replace(column, texts=[text + mark for text, mark in zip(column.texts, marks, strict=True)]))
    axes, texts = [], []
    if sum(column.room for column in columns) > console.width and len(table.frame) > 1:
        axes = [column for column in columns if column.is_axis and len(set(column.texts)) == 1]
        texts = [column for column in columns if not column.is_axis and not column.to_right and column.is_long]
        columns = [column for column in columns if column not in axes and column not in texts]
    if axes:
        console.print(Text(visible(", ".join(f"{column.heading} {column.texts[0]}" for column in axes))))
    for part in _parts(columns, console.width):
        console.print(_rich_table(part))
    for column in texts:
        console.print(Text(f"{visible(column.heading)}:"))
        for row in (row for row, text in enumerate(column.texts) if text):
            name = " ".join(axis.texts[row] for axis in columns if axis.is_axis)
            console.print(Text(visible(f"  {name}: {column.texts[row]}")))
    for note in table.notes:
        console.print(Text(visible(note), style="dim"))


def _parts(columns: Sequence[Printed], width: int) -> list[list[Printed]]:
    """Split columns so that each part fits into a width, if it is wide enough for the axes and a figure."""
    axes = [column for column in columns if column.is_axis]
    taken = sum(column.room for column in axes)
    parts, filled = [axes.copy()], taken
    for column in columns:
        if column.is_axis:
            continue
        if filled + column.room > width and parts[-1] != axes:
            parts.append(axes.copy())
            filled = taken
        parts[-1].append(column)
        filled += column.room
    return parts


def _rich_table(columns: Sequence[Printed]) -> RichTable:
    shown = RichTable(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(
            Text(visible(column.heading)),
            justify="right" if column.to_right else "left",
            width=None if column.is_long else column.width,
            min_width=WIDEST_COLUMN if column.is_long else column.width,
            vertical="bottom",
            overflow="fold",
        )
    for row in zip(*(column.texts for column in columns), strict=True):
        shown.add_row(*map(Text, row))
    return shown


def to_markdown(table: Table) -> str:
    """Return a table in Markdown, the best figures bold, its notes below it."""

    def escape(text: str, best: bool = False) -> str:
        escaped = " ".join(text.replace("|", "\\|").splitlines())
        return f"**{escaped}**" if best else escaped

    columns = printed(table)
    cells = {place: list(map(escape, column.texts, column.best)) for place, column in enumerate(columns)}
    text = pd.DataFrame(cells).to_markdown(
        index=False,
        disable_numparse=True,
        headers=[escape(column.heading) for column in columns],
        colalign=["right" if column.to_right else "left" for column in columns],
    )
    return "\n".join([f"### {table.title}", "", text, "", *(f"{visible(note)}  " for note in table.notes)])


def data_frame(table: Table) -> pd.DataFrame:
    """Return what is shown of a table with all digits, under its headings; an interval is two columns more."""
    data: dict[str, pd.Series[Any]] = {}
    for column in shown_columns(table):
        data[column.heading] = scaled(table.frame, column.name, column)
        if column.low and table.frame[column.low].notna().any():
            data[f"{column.heading} low"] = scaled(table.frame, column.low, column)
            data[f"{column.heading} high"] = scaled(table.frame, column.high, column)
    return pd.DataFrame(data).reset_index(drop=True)


def to_csv(table: Table) -> str:
    """Return a table as CSV with all digits."""
    return frame_to_csv(data_frame(table))


def frame_to_csv(frame: pd.DataFrame) -> str:
    """Return a frame as CSV; an apostrophe stands before a text that a spreadsheet would run as a formula.

    Source:
        OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection
    """

    def safe(value: Any) -> Any:
        seen = visible(value) if isinstance(value, str) else value
        return f"'{seen}" if isinstance(seen, str) and seen.lstrip().startswith(FORMULA) else seen

    names = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    return str(frame.assign(**{str(name): frame[name].map(safe) for name in names}).to_csv(index=False))


LATEX = str.maketrans(
    {letter: rf"\{letter}" for letter in "{}$&#%_"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
)


def to_latex(table: Table) -> str:
    r"""Return a table as a LaTeX environment, the best figures bold; the document needs `\usepackage{booktabs}`."""

    def escape(text: str, best: bool = False) -> str:
        escaped = " ".join(visible(text).translate(LATEX).splitlines())
        return rf"\textbf{{{escaped}}}" if best else escaped

    columns = printed(table)
    cells = {place: list(map(escape, column.texts, column.best)) for place, column in enumerate(columns)}
    text = pd.DataFrame(cells).to_latex(
        index=False,
        header=[escape(column.heading) for column in columns],
        column_format="".join("r" if column.to_right else "l" for column in columns),
        caption=escape(table.title),
    )
    notes = "".join(rf"\par\footnotesize {escape(note)}" + "\n" for note in table.notes)
    return text.replace(r"\end{table}", notes + r"\end{table}").rstrip("\n")


def table_document(table: Table) -> dict[str, Any]:
    """Return a table for JSON with all digits: what is not known is null, infinity is "never".

    `best` holds the marked figures, each as its row, from 0, and its heading.
    """
    data = data_frame(table)
    headings = {column.name: column.heading for column in shown_columns(table)}
    rows = list(table.frame.index)
    return {
        "name": table.name,
        "title": table.title,
        "columns": list(data.columns),
        "rows": [[_plain(value) for value in row] for row in data.astype(object).itertuples(index=False, name=None)],
        "best": sorted(
            [rows.index(row), headings[name]] for row, name in table.best if row in rows and name in headings
        ),
        "notes": list(table.notes),
    }


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it."""
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return None
    plain = value.item() if isinstance(value, np.generic) else value
    return number(plain) if isinstance(plain, float) and not isfinite(plain) else plain
