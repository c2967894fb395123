"""Commands that read what was measured: `table`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bench import printing, selection, store, tables
from bench.commands.app import Results, app, say


@app.command()
def table(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of single runs. Default: all that are alike.")
    ] = None,
    results: Results = Path("results"),
    show: Annotated[list[str], typer.Option(help=f"Which: {', '.join(tables.TABLES)} or all.")] = [],
    format: Annotated[Literal["text", "markdown", "csv"], typer.Option(help="How to print.")] = "text",  # noqa: A002
) -> None:
    """Print tables of what has been measured.

    Example: seqsum table --show accuracy --show lengths --format markdown
    """
    problems: list[str] = []
    if runs:
        loaded = [store.load_run(folder) for folder in sorted(runs)]
    else:
        loaded, problems = store.load_runs(results)
    for problem in [*problems, *(problem for run in loaded for problem in run.problems)]:
        say(problem)
    if loaded:
        printing.print_tables(selection.select(loaded), show, form=format)
    if problems or any(run.problems for run in loaded):
        raise typer.Exit(1)
