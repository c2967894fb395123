"""The command that sets two runs side by side: `compare`."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from bench.analysis.compare import Comparison, compare_runs
from bench.commands.app import app, say, screen
from bench.errors import UserError
from bench.output import gate
from bench.output.printing.escaping import visible
from bench.output.printing.output import print_text, to_markdown
from bench.output.tables.comparison import comparison_document, comparison_tables, heading
from bench.records import store


@app.command()
def compare(
    base: Annotated[Path, typer.Argument(help="Folder of a run, or of runs: then the newest.")],
    new: Annotated[Path, typer.Argument(help="The same, to be compared with BASE.")],
    fail_on: Annotated[
        str | None,
        typer.Option(metavar="slower:SHARE%", help="Exit 1 if an interval lies beyond, or trials fail in NEW only."),
    ] = None,
    format: Annotated[Literal["text", "markdown", "json"], typer.Option(help="How to print.")] = "text",  # noqa: A002
) -> None:
    """Say cell by cell what is slower, faster or learned otherwise in NEW.

    Example: seqsum compare results/2026-11-24T10-00-00-standard results --fail-on slower:5%
    """
    barrier = gate.parse_gate(fail_on) if fail_on is not None else None
    sides = [_read_side(path, name) for path, name in ((base, "BASE"), (new, "NEW"))]
    comparison = compare_runs(*sides)
    if not (comparison.speed or comparison.accuracy or comparison.lost):
        raise UserError(f"`BASE` and `NEW` must have a cell in common. Received: {base} and {new}. Measure one alike.")
    refused = gate.refusals(comparison, barrier) if barrier else []
    if format == "json":
        print(json.dumps(comparison_document(comparison, barrier, refused), indent=1))
    else:
        _show(comparison, markdown=format == "markdown")
    for line in refused:
        say(f"Not let through: {visible(line)}")
    if refused or any(run.problems for run in sides):
        raise typer.Exit(1)


def _read_side(path: Path, name: str) -> store.Run:
    """Read a run, or the newest of a folder of runs.

    Raises:
        UserError: if there is none, or the newest cannot be read.
    """
    if not path.is_dir():
        raise UserError(f"`{name}` must be a folder of a run or of runs. Received: {path}. Measure first: seqsum run")
    folders = [path] if (path / store.HEADER).exists() else [one.parent for one in path.glob(f"*/{store.HEADER}")]
    if not folders:
        raise UserError(f"`{name}` must hold a run. Received: {path}, which holds none. Measure first: seqsum run")
    run = store.load_run(max(folders))  # names begin with the time
    for problem in run.problems:
        say(problem)
    return run


def _show(comparison: Comparison, *, markdown: bool) -> None:
    lines = [visible(line) for line in heading(comparison)]
    tables = comparison_tables(comparison)
    if markdown:
        print("\n".join(f"- {line}" for line in lines))
        print("\n" + "\n\n".join(map(to_markdown, tables)))
        return
    console = screen()
    for line in lines:
        console.print(Text(line))
    for table in tables:
        print_text(table, console)
