"""Show how a search for a version ended: which one it was, when, by how much, and what changed in it."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.text import Text

from bench.analysis.speed import EXACT
from bench.names import say_count
from bench.output.files import write_atomically
from bench.output.formats import print_text
from bench.output.numbers import interval, number, visible
from bench.output.tables.table import Column, Table, texts, with_interval
from bench.watch.bisect import TIMELESS, Bisection, Ratio
from bench.watch.changes import Change

Found = tuple[Bisection, Sequence[Change]]
MOST_LINES = 60
"""Lines of differences on a screen."""
MOST_FILES = 20


def document(found: Found) -> dict[str, Any]:
    """Return everything but the differences themselves, for JSON: NaN is null."""
    bisection, changes = found
    days = [day and day.isoformat() for day in bisection.days]
    files: list[dict[str, Any]] = [change.model_dump(exclude={"diff"}) for change in changes]
    fields: dict[str, Any] = json.loads(bisection.model_dump_json())
    return fields | {"verdict": bisection.verdict, "days": days, "files": files}


def print_bisection(found: Found, console: Console) -> None:
    """Print a search for a person: the candidates, the answer, the files, and the first of their differences."""
    bisection, changes = found
    tried = [{"version": each.requirement, "side": each.side} | vars(each.ratio) for each in bisection.candidates]
    rows = pd.DataFrame(tried).rename(columns={"low": "ratio_low", "high": "ratio_high"})
    ratio = [with_interval("ratio", "ratio", level=0.95), Column("processes", _sample(bisection), kind="count")]
    if bisection.quantity == "calls" and tried:
        rows["ratio"], ratio = rows["ratio"].map(_exact, na_action="ignore"), texts("ratio")
    columns = [Column("version", "version", kind="axis"), *ratio, *texts("side")]
    if len(rows):
        print_text(Table("candidates", "Versions tried, relative to the good end", rows, columns), console)
    console.print()
    for line in answer(bisection):
        console.print(Text(visible(line)))
    if bisection.verdict == "found":
        _print_changes(changes, console)


def answer(bisection: Bisection) -> list[str]:
    """Say in sentences what was found."""
    good, bad, what = bisection.last_good, bisection.first_bad, bisection.quantity
    write = partial(_ratio, sample="" if what in EXACT else _sample(bisection))
    name = "Test error" if what == "accuracy" else what.capitalize()
    go_on = [] if what in TIMELESS else ["To go on: the same command again."]
    if bisection.verdict == "no difference":
        return [
            f"No difference is shown. {name} of {bad} / that of {good}: {write(bisection.ends)}.",
            *go_on,
        ]
    if bisection.verdict == "undecided":
        left = say_count(bisection.between, "version")
        tried = bisection.candidates[-1]
        return [
            f"Undecided: {tried.requirement} lies on neither side for sure: {write(tried.ratio)}. The change came "
            f"after {good}, at the latest in {bad}; {left} between them are open.",
            *go_on,
        ]
    assert bisection.step is not None
    lines = [f"First version: {bad}. {name} / that of {good}: {write(bisection.step)}."]
    last, first = bisection.days
    if first is not None:
        gap = (first - last).days if last else 0
        since = f" There is no nightly version of the {say_count(gap - 1, 'day')} before." if gap > 1 else ""
        lines.append(f"Day: built on {first}{f', the one before on {last}' if last else ''}.{since}")
    if skipped := [each.requirement for each in bisection.candidates if each.side == "not available"]:
        lines.append(f"Not available, so not tried: {', '.join(skipped)}.")
    return lines


def _sample(bisection: Bisection) -> str:
    return "seeds" if bisection.quantity == "accuracy" else "processes"


def _ratio(ratio: Ratio, *, sample: str) -> str:
    if ratio.path:
        return ratio.path
    if not sample:
        return f"{_exact(ratio.ratio or 1.0)}, an exact count"
    ends = interval(ratio.low, ratio.high)
    return f"{number(ratio.ratio)} ({ends or 'no interval'}; {sample}: {ratio.processes})"


def _exact(ratio: float) -> str:
    """Write the ratio of two counts with three digits, or with as many as tell it from 1."""
    digits = next((digits for digits in range(2, 9) if float(f"{ratio:.{digits}f}") != 1), 2)
    return number(ratio) if digits == 2 else f"{ratio:.{digits}f}"


def _print_changes(changes: Sequence[Change], console: Console) -> None:
    executed = [change for change in changes if change.is_executed]
    rows = pd.DataFrame([change.model_dump(exclude={"diff"}) for change in executed[:MOST_FILES]])
    columns = [
        Column("path", "file", kind="axis"),
        Column("step_calls", "calls of a steady epoch", kind="count"),
        Column("start_calls", "of the first epoch", kind="count"),
        Column("added", "lines added", kind="count"),
        Column("removed", "removed", kind="count"),
    ]
    differ = "differs" if len(changes) == 1 else "differ"
    note = f"{say_count(len(changes), 'file')} {differ}, of which a training executes {len(executed)}."
    if executed:
        print_text(Table("changes", "What changed, executed files first", rows, columns, (note,)), console)
    else:
        console.print(Text(note))
    lines = [line for change in executed for line in change.diff]
    console.print()
    for line in lines[:MOST_LINES]:
        console.print(Text(visible(line)), soft_wrap=True)
    if len(lines) > MOST_LINES:
        console.print(Text(f"... {len(lines) - MOST_LINES:,} more lines; all of them: --diff FILE.diff"))


def write_diff(changes: Sequence[Change], path: Path) -> None:
    """Write the differences of the executed files, the most called first; of all if none is executed."""
    executed = [change for change in changes if change.is_executed] or changes
    text = "\n".join(line for change in executed for line in change.diff)
    write_atomically(path, f"{text}\n".encode())
