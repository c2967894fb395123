"""Commands that read what was measured: `table`."""

import gc
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bench.analysis import selection, targets
from bench.commands.app import Results, Target, app, say
from bench.measure import environments as interpreters
from bench.output.printing import choosing, output
from bench.output.tables.catalog import TABLES
from bench.records import store


def _list_tables() -> str:
    """Return the names of all tables with what each holds, as the end of the help."""
    width = max(map(len, TABLES))
    lines = [
        textwrap.fill(
            f"  {name:<{width}}  {str(make.__doc__).partition(chr(10))[0]}", 77, subsequent_indent=" " * (width + 4)
        )
        for name, make in TABLES.items()
    ]
    return "\n".join(["\b", "Tables:", *lines])


@app.command(epilog=_list_tables())
def table(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of single runs. Default: all that are alike.")
    ] = None,
    results: Results = Path("results"),
    show: Annotated[list[str], typer.Option(metavar="TABLE", help="Which; see below. all: every table.")] = [],
    backend: Annotated[list[str], typer.Option(help="Rows of this backend only.")] = [],
    model: Annotated[list[str], typer.Option(help="Rows of this model only.")] = [],
    length: Annotated[list[int], typer.Option(help="Rows of this length only.")] = [],
    columns: Annotated[str | None, typer.Option(metavar="NAME,NAME", help="These columns, in this order.")] = None,
    target: Target = selection.TARGET,
    format: Annotated[output.Format, typer.Option(help="How to print.")] = "text",  # noqa: A002
) -> None:
    """Print tables of what has been measured.

    Example: seqsum table --show speed --model lstm --columns "length,backend,epoch ms" --format markdown
    """
    target = targets.parse_target(target)
    wanted = choosing.Wanted(
        backends=tuple(name if "@" in name else interpreters.parse_backend(name) for name in backend),
        models=tuple(model),
        lengths=tuple(length),
        columns=choosing.parse_columns(columns),
    )
    loaded, problems = load(runs, results)
    if loaded:
        output.print_tables(replace(selection.select(loaded), target=target), show, form=format, wanted=wanted)
    if problems:
        raise typer.Exit(1)


def load(runs: list[Path] | None, results: Path) -> tuple[list[store.Run], list[str]]:
    """Read the runs that are named, or all of a folder; what cannot be read is said and returned."""
    problems: list[str] = []
    with store.without_collecting():
        if runs:
            loaded = [store.load_run(folder) for folder in sorted(runs)]
        else:
            loaded, problems = store.load_runs(results)
        gc.freeze()  # to search all records for garbage again and again takes longer than to make a table of them
    problems = [*problems, *(problem for run in loaded for problem in run.problems)]
    for problem in problems:
        say(problem)
    return loaded, problems
