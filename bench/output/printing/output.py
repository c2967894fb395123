"""Print tables: for a terminal (80 columns unless it is wider), as Markdown, CSV, LaTeX or JSON.

Data go to stdout; nothing is derived here.
"""

import json
import sys
from collections.abc import Callable
from io import StringIO
from typing import Literal

import pandas as pd
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench.analysis.selection import Selection, Table, provenance
from bench.errors import UserError
from bench.names import choose_name
from bench.output.printing.choosing import AXES, Wanted, choose
from bench.output.printing.digits import as_text
from bench.output.printing.digits import format_value as format_value  # others take it from here
from bench.output.printing.escaping import frame_for_spreadsheet, visible
from bench.output.tables.catalog import TABLES
from bench.records.schema import Failure

WIDEST_COLUMN = 20
DEFAULT = ("speed", "ratios", "controls", "start", "breakeven", "accuracy")
MARK = " *"
Format = Literal["text", "markdown", "csv", "latex", "json"]


def print_tables(chosen: Selection, names: list[str], *, form: Format = "text", wanted: Wanted | None = None) -> None:
    """Print some tables, the failures too if there are any, and where the figures are from.

    Args:
        chosen: records that may stand together.
        names: of tables, or "all"; none means those that matter most.
        form: how; CSV holds one table.
        wanted: which rows and columns; None: all.

    Raises:
        UserError: if a name is unknown, or CSV shall hold several tables.
    """
    for name in names:
        choose_name(name, (*TABLES, "all"), "--show")
    if form == "csv" and (len(names) > 1 or names == ["all"]):
        raise UserError("CSV holds one table. Received: several. Give --show once, speed, say.")
    tables = [TABLES[name](chosen) for name in _asked(chosen, names, form)]
    made = choose([table for table in tables if form == "csv" or not table.frame.empty], wanted or Wanted(), chosen)
    if form == "csv":
        print("".join(to_csv(table) for table in made), end="")
    elif form == "json":
        from bench.output.printing.documents import tables_document

        print(json.dumps(tables_document(made, chosen), indent=1))
    elif form == "latex":
        from bench.output.printing.latex import comment, to_latex  # Jinja2 takes a tenth of a second to import

        print("\n\n".join([*map(to_latex, made), comment(provenance(chosen))]))
    elif form == "markdown":
        print("\n\n".join(to_markdown(table) for table in made))
        print("\n" + "\n".join(f"- {visible(line)}" for line in provenance(chosen)))
    else:
        console = Console(width=None if sys.stdout.isatty() else 80, highlight=False)
        for line in provenance(chosen):
            console.print(Text(visible(line)))
        for table in made:
            print_text(table, console)


def _asked(chosen: Selection, names: list[str], form: Format) -> list[str]:
    """Return the names of the tables that are printed, in their order."""
    if form == "csv":
        return names or ["speed"]
    names = list(TABLES) if "all" in names else names or list(DEFAULT)
    return [*names, "failures"] if chosen.of(Failure) and "failures" not in names else names


def print_text(table: Table, console: Console) -> None:
    """Print a table on a terminal, its headings folded to the width of its figures.

    What is wider than the terminal is printed in parts below each other, which all begin with the axes.
    """
    console.print(Text(f"\n{visible(table.title)}", style="bold"))
    texts, right = _texts(table, lambda text, best: text + (MARK if best else " " * len(MARK))), _right(table)
    for part in _parts(texts, console.width):
        console.print(_shown(part, right))
    for note in table.notes:
        console.print(Text(visible(note), style="dim"))


def _texts(table: Table, mark: Callable[[str, bool], str]) -> pd.DataFrame:
    """Return what is shown of a table as text.

    Args:
        table: what is printed.
        mark: told a text, and whether it is the best, in columns that have a best one; returns what is printed.
    """
    texts = as_text(table.frame)
    for name in {name for _, name in table.best}:
        if name in texts:
            texts[name] = [mark(text, (row, name) in table.best) for row, text in texts[name].items()]
    return texts[table.shown]


def _right(table: Table) -> set[str]:
    """Return the columns that stand to the right: those of figures."""
    return {str(name) for name in table.frame if pd.api.types.is_numeric_dtype(table.frame[name])}


def _parts(texts: pd.DataFrame, width: int) -> list[pd.DataFrame]:
    """Split a frame by columns so that each part fits into a width, if it is wide enough for the axes and a figure."""
    names = [name for name in texts.columns if name in AXES]
    taken = sum(_least_width(texts[name]) + 1 for name in names)
    parts, filled = [names.copy()], taken
    for name in texts.columns:
        if name in AXES:
            continue
        needed = _least_width(texts[name]) + 1
        if filled + needed > width and parts[-1] != names:
            parts.append(names.copy())
            filled = taken
        parts[-1].append(name)
        filled += needed
    return [texts[part] for part in parts]


def _least_width(column: "pd.Series[str]") -> int:
    """Return the characters that a column needs at least: what is wider than `WIDEST_COLUMN` is folded."""
    return min(_width(column), WIDEST_COLUMN)


def _width(column: "pd.Series[str]") -> int:
    """Return the characters that a column needs: its widest value, or the longest word of its heading."""
    return max([*map(len, column), *map(len, str(column.name).split())])


def _shown(texts: pd.DataFrame, right: set[str]) -> RichTable:
    shown = RichTable(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in texts.columns:
        widest = _width(texts[name])
        long = widest > WIDEST_COLUMN
        shown.add_column(
            Text(name),
            justify="right" if name in right else "left",
            width=None if long else widest,
            min_width=WIDEST_COLUMN if long else widest,
            vertical="bottom",
            overflow="fold",
        )
    for row in texts.itertuples(index=False):
        shown.add_row(*(Text(value) for value in row))
    return shown


def to_markdown(table: Table) -> str:
    """Return a table in Markdown, the best figures bold, its notes below it."""
    texts = _texts(table, lambda text, best: f"**{text}**" if best else text)
    text = _markdown(texts, _right(table))
    return "\n".join([f"### {table.title}", "", text, "", *(f"{visible(note)}  " for note in table.notes)])


def frame_to_markdown(frame: pd.DataFrame) -> str:
    """Return a frame as a Markdown table, figures to the right."""
    return _markdown(as_text(frame), _right(Table("", frame)))


def _markdown(texts: pd.DataFrame, right: set[str]) -> str:
    cells = texts.map(lambda text: " ".join(text.replace("|", "\\|").splitlines()))
    align = ["right" if name in right else "left" for name in texts.columns]
    text: str = cells.to_markdown(index=False, disable_numparse=True, colalign=align)
    return text


def to_csv(table: Table) -> str:
    """Return a table as CSV with all digits; what a spreadsheet would run as a formula is escaped."""
    text = StringIO()
    frame_for_spreadsheet(table.frame[table.shown]).to_csv(text, index=False)
    return text.getvalue()
