"""Tables as text: on a terminal, as Markdown, CSV, LaTeX or JSON. Nothing is computed here.

Every figure is printed with three digits; CSV and JSON keep all.
"""

import json
import sys
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import floor, isfinite, log10
from typing import Any, Literal

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench.analysis.select import Selection
from bench.errors import UserError
from bench.names import choose_name, say_count
from bench.output.tables.table import Column, Table
from bench.records.schema import BUSY_LOAD

Form = Literal["text", "markdown", "csv", "latex", "json"]
DEFAULT = ("speed", "speed-by-backend", "controls", "start", "break-even", "accuracy")
WIDEST_COLUMN = 26
MARK = " *"
UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of what steers a terminal or the direction of text and is not seen itself."""
FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet takes for a formula if a cell begins with it."""


def number(value: Any) -> str:
    """Write a figure with three digits: 5.47, 12,300, 0.0012; counts in full, "never" for infinity, "" for none."""
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if not isfinite(value):
        return "never" if value > 0 else "-inf"
    rounded = float(f"{value:.2e}")
    if rounded == 0:
        return "0"
    exponent = floor(log10(abs(rounded)))
    if not -5 < exponent < 9:
        return f"{rounded:.2e}"
    return f"{rounded:,.{max(0, 2 - exponent)}f}"


def count(value: Any) -> str:
    """Write a figure that is a whole number wherever it is known: 276, "never" for infinity, "" for none."""
    return number(int(value)) if not pd.isna(value) and isfinite(value) and int(value) == value else number(value)


def interval(low: Any, high: Any, write: Callable[[Any], str] = number) -> str:
    """Write an interval: "5.30 to 5.61"; "" if it is not known."""
    return "" if pd.isna(low) or pd.isna(high) else f"{write(low)} to {write(high)}"


def visible(text: str) -> str:
    r"""Write control characters so that they are seen: a name cannot colour a terminal, move its cursor or ring.

    Line ends stay. A backslash stays too, so that `\x1b` in a table may have been written so.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode()
        if letter != "\n" and unicodedata.category(letter) in UNSEEN
        else letter
        for letter in text
    )


def value_text(value: Any, write: Callable[[Any], str] = number) -> str:
    """Write any value of a table; figures by a function."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return write(value)


@dataclass(frozen=True)
class Wanted:
    """What a user asked for of some tables; empty means everything.

    The figures stay those of all records: a verdict that was corrected for ten rows is not made anew for two of them.

    Args:
        backends: rows of these; another installation is backend@name.
        models: rows of these.
        lengths: rows of these.
        columns: headings of these columns, in this order, each with its interval.
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
    measured = pd.concat([frames.turns, frames.trainings, frames.failures])[["environment", "model", "length"]]
    unwanted: dict[str, set[Any]] = {}
    for option, name, names in (
        ("--backend", "environment", wanted.backends),
        ("--model", "model", wanted.models),
        ("--length", "length", wanted.lengths),
    ):
        known = {str(value): value for value in sorted(measured[name].unique())}
        kept = {known[choose_name(str(value), known, option)] for value in names}
        unwanted[name] = set(known.values()) - kept if kept else set()
    headings = dict.fromkeys(column.heading for table in tables for column in shown_columns(table))
    for heading in wanted.columns if headings else ():
        choose_name(heading, headings, "--columns")
    kept_tables = [_without(table, unwanted, wanted.columns) for table in tables]
    return [table for table in kept_tables if len(table.frame) and _has_columns(table, wanted.columns)]


def _without(table: Table, unwanted: dict[str, set[Any]], headings: Sequence[str]) -> Table:
    """Return a table without the rows and columns about something unwanted."""
    frame, columns = table.frame, list(table.columns)
    names = unwanted["environment"] | unwanted["model"]
    rows = pd.Series(True, index=frame.index)
    for name in ("environment", "model", "first", "second", "faster", "other"):
        rows &= ~frame[name].isin(names) if name in frame else True
    for name in ("length", "next_length"):
        rows &= ~frame[name].isin(unwanted["length"]) if name in frame else True
    columns = [column for column in columns if column.about not in unwanted["environment"]]
    if headings:
        by_heading = {column.heading: column for column in columns}
        columns = [by_heading[heading] for heading in headings if heading in by_heading]
    return replace(table, frame=frame[rows], columns=columns)


def _has_columns(table: Table, headings: Sequence[str]) -> bool:
    """Tell whether a table has one of the columns that were asked for, besides the axes that all tables have."""
    return not headings or any(column.kind != "axis" for column in table.columns) or len(table.columns) == len(headings)


def print_tables(
    selection: Selection, names: Sequence[str], *, form: Form = "text", wanted: Wanted | None = None
) -> None:
    """Print some tables, the failures too if there are any, and where the figures are from.

    Example: print_tables(select(runs), ["speed"], form="markdown")

    Args:
        selection: runs that are comparable.
        names: of tables, or "all"; none means those that matter most.
        form: how; CSV holds one table.
        wanted: which rows and columns; None: all.

    Raises:
        UserError: if a name is unknown, or CSV is asked for several tables.
    """
    from bench.output.tables import TABLES

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


@dataclass(frozen=True)
class Printed:
    """A column as text.

    Args:
        heading: what stands above it.
        texts: one for each row.
        is_axis: whether it is repeated in every part of a table that is split.
        to_right: whether it holds figures.
        best: which rows are marked.
    """

    heading: str
    texts: list[str]
    is_axis: bool
    to_right: bool
    best: tuple[bool, ...]

    @property
    def width(self) -> int:
        """Return the characters it needs: its widest value, or the longest word of its heading."""
        return max([*map(len, self.texts), *map(len, self.heading.split())])


def printed(table: Table) -> list[Printed]:
    """Return the columns of a table as text; an interval becomes a column after its figure."""
    columns: list[Printed] = []
    none = (False,) * len(table.frame)
    for column in shown_columns(table):
        values = scaled(table.frame[column.name], column.scale)
        best = tuple((row, column.name) in table.best for row in table.frame.index)
        is_text = column.kind == "text" or (column.kind == "axis" and not pd.api.types.is_numeric_dtype(values))
        write = count if column.kind == "count" else number
        texts = [value_text(value, write) for value in values]
        columns.append(Printed(column.heading, texts, column.kind == "axis", not is_text, best))
        heading, ends = _interval_of(table.frame, column)
        if heading:
            texts = [interval(low, high, write) for low, high in zip(*ends, strict=True)]
            columns.append(Printed(heading, texts, False, True, none))
    return columns


def shown_columns(table: Table) -> list[Column]:
    """Return the columns that hold anything."""
    return [column for column in table.columns if column.name in table.frame and _holds(table.frame[column.name])]


def _holds(values: "pd.Series[Any]") -> bool:
    return bool((values.notna() & (values.astype(str) != "")).any())


def scaled(values: "pd.Series[Any]", scale: float) -> "pd.Series[Any]":
    """Return figures in the unit they are shown in."""
    return values if scale == 1 else values.astype(float) * scale


def _interval_of(frame: pd.DataFrame, column: Column) -> tuple[str, tuple["pd.Series[Any]", "pd.Series[Any]"]]:
    """Return the heading and both ends of a column's intervals; of their range where no row has one; "" if neither."""
    none = ("", (pd.Series(), pd.Series()))
    if not column.low:
        return none
    low, high = (scaled(frame[name], column.scale) for name in (column.low, column.high))
    if (known := low.notna()).any():
        levels = frame[column.level][known] if isinstance(column.level, str) else pd.Series([column.level])
        percents = sorted({f"{100 * level:.0f}" for level in levels})
        return f"{' to '.join(dict.fromkeys([percents[0], percents[-1]]))} % interval", (low, high)
    least, greatest = f"{column.name}_least", f"{column.name}_greatest"
    if least not in frame or not (frame[least] < frame[greatest]).any():
        return none
    return "range", (scaled(frame[least], column.scale), scaled(frame[greatest], column.scale))


def print_text(table: Table, console: Console) -> None:
    """Print a table on a terminal, its headings folded to the width of its figures.

    What is wider than the terminal is printed in parts below each other, which all begin with the axes.
    """
    console.print(Text(f"\n{visible(table.title)}", style="bold"))
    for part in _parts([_marked(column) for column in printed(table)], console.width):
        console.print(_rich_table(part))
    for note in table.notes:
        console.print(Text(visible(note), style="dim"))


def _marked(column: Printed) -> Printed:
    if not any(column.best):
        return column
    marks = [MARK if best else " " * len(MARK) for best in column.best]
    return replace(column, texts=[text + mark for text, mark in zip(column.texts, marks, strict=True)])


def _parts(columns: Sequence[Printed], width: int) -> list[list[Printed]]:
    """Split columns so that each part fits into a width, if it is wide enough for the axes and a figure."""
    axes = [column for column in columns if column.is_axis]
    taken = sum(min(column.width, WIDEST_COLUMN) + 1 for column in axes)
    parts, filled = [axes.copy()], taken
    for column in columns:
        if column.is_axis:
            continue
        needed = min(column.width, WIDEST_COLUMN) + 1
        if filled + needed > width and parts[-1] != axes:
            parts.append(axes.copy())
            filled = taken
        parts[-1].append(column)
        filled += needed
    return parts


def _rich_table(columns: Sequence[Printed]) -> RichTable:
    shown = RichTable(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        is_long = column.width > WIDEST_COLUMN
        shown.add_column(
            Text(visible(column.heading)),
            justify="right" if column.to_right else "left",
            width=None if is_long else column.width,
            min_width=WIDEST_COLUMN if is_long else column.width,
            vertical="bottom",
            overflow="fold",
        )
    for row in zip(*(column.texts for column in columns), strict=True):
        shown.add_row(*map(Text, row))
    return shown


def to_markdown(table: Table) -> str:
    """Return a table in Markdown, the best figures bold, its notes below it."""
    columns = printed(table)
    cells = {
        place: [_markdown_cell(*cell) for cell in zip(column.texts, column.best, strict=True)]
        for place, column in enumerate(columns)
    }
    text = pd.DataFrame(cells).to_markdown(
        index=False,
        disable_numparse=True,
        headers=[_markdown_cell(column.heading) for column in columns],
        colalign=["right" if column.to_right else "left" for column in columns],
    )
    return "\n".join([f"### {table.title}", "", text, "", *(f"{visible(note)}  " for note in table.notes)])


def _markdown_cell(text: str, best: bool = False) -> str:
    escaped = " ".join(text.replace("|", "\\|").splitlines())
    return f"**{escaped}**" if best else escaped


def data_frame(table: Table) -> pd.DataFrame:
    """Return what is shown of a table with all digits, under its headings; an interval is two columns more."""
    data: dict[str, pd.Series[Any]] = {}
    for column in shown_columns(table):
        data[column.heading] = scaled(table.frame[column.name], column.scale)
        if column.low and table.frame[column.low].notna().any():
            data[f"{column.heading} low"] = scaled(table.frame[column.low], column.scale)
            data[f"{column.heading} high"] = scaled(table.frame[column.high], column.scale)
    return pd.DataFrame(data).reset_index(drop=True)


def to_csv(table: Table) -> str:
    """Return a table as CSV with all digits."""
    return frame_to_csv(data_frame(table))


def frame_to_csv(frame: pd.DataFrame) -> str:
    """Return a frame as CSV with all digits; an apostrophe stands before what a spreadsheet would run as a formula.

    Source:
        OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection
    """

    def safe(value: Any) -> Any:
        seen = visible(value) if isinstance(value, str) else value
        return f"'{seen}" if isinstance(seen, str) and seen.lstrip().startswith(FORMULA) else seen

    words = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    return frame.assign(**{str(name): frame[name].map(safe) for name in words}).to_csv(index=False)


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
    cells = {place: map(escape, column.texts, column.best) for place, column in enumerate(columns)}
    text = pd.DataFrame({place: list(texts) for place, texts in cells.items()}).to_latex(
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
    header, machine, runs = selection.header, selection.header.machine, selection.runs
    versions: dict[str, None] = {}
    for worker in selection.workers.values():
        of = "" if worker.environment == worker.backend else f" ({worker.environment})"
        for name in ("keras", worker.backend):
            versions |= {f"{name} {worker.versions[name]}{of}": None} if name in worker.versions else {}
    names = [run.header.run + (" (resumed)" if run.resumed else "") for run in runs]
    lines = [
        f"{header.sweep.device}: {machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB, "
        f"{machine.system}",
        ", ".join([*sorted(versions), f"seqsum {header.seqsum_version} ({header.commit})"]),
        f"{'run' if len(runs) == 1 else 'runs'}: {', '.join(names)}",
    ]
    turns = selection.frames.turns
    if disturbed := int(turns["disturbed"].sum()):
        lines.append(
            f"Other processes disturbed {disturbed:,} of {len(turns):,} turns. These were measured again; they count "
            "only where that did not help."
        )
    if machine.governor not in ("performance", "unknown"):
        lines.append(f"The CPU frequency governor was {machine.governor}: epochs may be slower than they need be.")
    if (load := selection.busiest_load) > BUSY_LOAD:
        lines.append(f"The machine was busy before a run began: load {load:g} in the minute before.")
    if selection.left_out:
        left_out = say_count(len(selection.left_out), "older run")
        lines.append(f"Left out: {left_out} of another machine, other versions or other settings.")
    return [visible(line) for line in lines]
