"""Show a history of versions, and how a bisection ended."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.text import Text

from bench.analysis.levels import like_newest
from bench.analysis.select import Selection, select
from bench.errors import UserError
from bench.names import say_count
from bench.output.charts import CHARTS, PictureForm, draw_picture
from bench.output.files import write_atomically
from bench.output.formats import print_text, table_document
from bench.output.numbers import visible
from bench.output.tables.watch import history, levels
from bench.output.text import provenance
from bench.records.schema import Failure
from bench.records.store import load_runs


def show_history(results: Path, console: Console, *, plot: Path | None, json_: bool) -> bool:
    """Print the history of a folder of runs, and draw it if asked for; return whether a trial failed."""
    selection = select(load_runs(results)[0])
    table = history(selection)
    if json_:
        print(json.dumps(table_document(table) | {"runs": [run.header.run for run in selection.runs]}, indent=1))
    else:
        print_text(replace(table, notes=(*table.notes, *provenance(selection))), console)
        console.print(Text(f"\nMore: seqsum report --results {shlex.quote(visible(str(results)))}"))
    if plot and (chart := CHARTS["history"](selection)):
        write_atomically(plot, draw_picture(chart, cast(PictureForm, plot.suffix.lower()[1:])))
    return has_failed(selection)


def show_levels(results: Path, console: Console, *, json_: bool) -> None:
    """Print the levels of the cells over the runs of a folder that are like the newest one.

    Raises:
        UserError: if there is no run that can be read.
    """
    runs, problems = load_runs(results)
    if not runs:
        raise UserError(problems[0])
    kept = like_newest(runs)
    table = levels(kept)
    if json_:
        print(json.dumps(table_document(table) | {"runs": [run.header.run for run in kept]}, indent=1))
        return
    left_out = len(runs) - len(kept)
    notes = [f"Left out, of another machine, protocol or settings: {say_count(left_out, 'run')}."] * bool(left_out)
    notes += [f"Not read: {problem}" for problem in problems]
    print_text(replace(table, notes=(*table.notes, *map(visible, notes))), console)


def has_failed(selection: Selection) -> bool:
    """Tell whether a trial of some runs left no numbers, though its version is available."""
    records = [record for run in selection.runs for record in run.records]
    return any(isinstance(record, Failure) and record.fault != "not available" for record in records)
