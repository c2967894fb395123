"""Commands that show what was measured: `table`, `plot`, `report`, `export`, `compare`.

What they call is imported when they are called: pandas and Altair take a second, which `seqsum run` must not wait for.
"""

import gc
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.commands.app import GroupedOptions, Results, app, checked, say, screen
from bench.errors import UserError
from bench.plan.cells import check_environment
from bench.plan.gate import parse_gate

if TYPE_CHECKING:
    from bench.analysis.select import Selection
    from bench.records.store import Run

Runs = Annotated[list[Path] | None, typer.Argument(help="Folders of single runs. Default: all that are alike.")]
Target = Annotated[
    float | None,
    typer.Option(metavar="LOSS", help="The val_loss that trainings are to reach. Default: the task's."),
]


def lists(heading: str, entries: Callable[[], Mapping[str, Any]]) -> type[GroupedOptions]:
    """Return a kind of command whose help ends with names and the first line of what each is documented with."""

    class Listing(GroupedOptions):
        def format_epilog(self, ctx: Any, formatter: Any) -> None:
            texts = {name: (entry.__doc__ or "").partition("\n")[0] for name, entry in entries().items()}
            width = max(map(len, texts))
            fill = textwrap.TextWrapper(77, subsequent_indent=" " * (width + 4)).fill
            lines = [fill(f"  {name:<{width}}  {text}") for name, text in texts.items()]
            self.epilog = "\n".join(["\b", heading, *lines])
            super().format_epilog(ctx, formatter)

    return Listing


def _tables() -> Mapping[str, Any]:
    from bench.output.tables import TABLES

    return TABLES


def _charts() -> Mapping[str, Any]:
    from bench.output.charts import CHARTS

    return {name: chart.draw for name, chart in CHARTS.items()}


@app.command(cls=lists("Tables:", _tables))
def table(
    runs: Runs = None,
    results: Results = Path("results"),
    show: Annotated[list[str], typer.Option(metavar="TABLE", help="Which; see below. all: every table.")] = [],
    backend: Annotated[
        list[str], typer.Option(parser=checked(check_environment), metavar="BACKEND", help="Rows of this backend only.")
    ] = [],
    model: Annotated[list[str], typer.Option(help="Rows of this model only.")] = [],
    length: Annotated[list[int], typer.Option(help="Rows of this length only.")] = [],
    columns: Annotated[str | None, typer.Option(metavar="NAME,NAME", help="These columns, in this order.")] = None,
    target: Target = None,
    format: Annotated[  # noqa: A002
        Literal["text", "markdown", "csv", "latex", "json"], typer.Option(help="How to print.")
    ] = "text",
) -> None:
    """Print tables of what has been measured.

    Example: seqsum table --show speed --model lstm --columns "length,backend,epoch ms" --format markdown
    """
    from bench.output.text import Wanted, parse_columns, print_tables

    wanted = Wanted(backends=tuple(backend), models=tuple(model), lengths=tuple(length), columns=parse_columns(columns))
    selection, problems = read(runs, results, target=target)
    print_tables(selection, show, form=format, wanted=wanted)
    if problems:
        raise typer.Exit(1)


@app.command(cls=lists("Charts:", _charts))
def plot(
    runs: Runs = None,
    results: Results = Path("results"),
    out: Annotated[Path, typer.Option(help="Folder of the charts.")] = Path("plots"),
    format: Annotated[Literal["png", "svg", "pdf"], typer.Option(help="Of the files.")] = "png",  # noqa: A002
    show: Annotated[list[str], typer.Option(metavar="CHART", help="Which; see below. Default: all.")] = [],
    target: Target = None,
) -> None:
    """Draw charts of what has been measured.

    Example: seqsum plot --out docs/pictures --format svg --show speed --show loss
    """
    from bench.output.charts import write_charts

    selection, problems = read(runs, results, target=target)
    written, missing = write_charts(selection, out, format, show)
    for reason in missing:
        say(f"Not drawn: {reason}")
    for path in written:
        print(path)
    if problems or not written:
        raise typer.Exit(1)


@app.command(cls=GroupedOptions)
def report(
    runs: Runs = None,
    results: Results = Path("results"),
    out: Annotated[Path, typer.Option(help="The page, an HTML file.", metavar="FILE.html")] = Path("report.html"),
    target: Target = None,
) -> None:
    """Write one page with answers, charts, tables and doubts.

    It needs no network and no other file. Example: seqsum report --results results/reference --out report.html
    """
    from bench.output.files import check_target
    from bench.output.report import write_report

    check_target(out, "--out", (".html", ".htm"))
    selection, problems = read(runs, results, target=target)
    write_report(selection, out)
    print(out)
    if problems:
        raise typer.Exit(1)


@app.command(cls=GroupedOptions)
def export(
    format: Annotated[  # noqa: A002
        Literal["pytest-benchmark", "github-action", "csv", "parquet"], typer.Option(help="Of the file.")
    ],
    runs: Runs = None,
    results: Results = Path("results"),
    out: Annotated[Path | None, typer.Option(help="The file. Default: standard output.")] = None,
    kind: Annotated[str, typer.Option(help="Rows of csv and parquet: turns, trainings, losses, ...")] = "turns",
) -> None:
    """Write what was measured as other tools read it.

    Example: seqsum export --format github-action --out benchmark.json
    """
    from bench.output.export import write_export

    if format == "parquet" and out is None:
        raise UserError("`--format parquet` needs --out. Received: none. Name a file: --out turns.parquet")
    selection, problems = read(runs, results)
    write_export(selection, format, kind, out)
    if out:
        say(f"Wrote {out}")
    if problems:
        raise typer.Exit(1)


@app.command(cls=GroupedOptions)
def compare(
    base: Annotated[Path, typer.Argument(help="Folder of a run, or of runs: then the newest.")],
    new: Annotated[Path, typer.Argument(help="The same, to be compared with BASE.")],
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="slower:SHARE%",
            help="Exit 1 if an interval lies beyond, or trials fail in NEW only; 3 if the intervals cannot decide.",
        ),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="With --fail-on: judge runs of unequal machines or settings, too.")
    ] = False,
    format: Annotated[Literal["text", "markdown", "json"], typer.Option(help="How to print.")] = "text",  # noqa: A002
) -> None:
    """Say what is slower, faster or learned otherwise in NEW.

    Example: seqsum compare results/2026-11-24T10-00-00-standard results --fail-on slower:5%
    """
    from bench.analysis.compare import compare as compare_runs
    from bench.analysis.select import select
    from bench.output import comparison as output

    gate = None if fail_on is None else parse_gate(fail_on)
    runs = [_newest(path, name) for path, name in ((base, "BASE"), (new, "NEW"))]
    if (runs[0].header, runs[0].records) == (runs[1].header, runs[1].records):
        raise UserError(f"BASE and NEW must be two runs. Received: {runs[0].header.run} twice. Name both folders.")
    comparison = compare_runs(*(select([run]) for run in runs))
    judgement = output.judge(comparison, gate, anyway=anyway) if gate else None
    output.print_comparison(comparison, judgement, form=format, console=screen())
    for line in judgement.lines if judgement else ():
        say(line)
    code = judgement.exit_code if judgement else 0
    if code or any(run.problems for run in runs):
        raise typer.Exit(code or 1)


def read(runs: list[Path] | None, results: Path, *, target: float | None = None) -> "tuple[Selection, list[str]]":
    """Read what is comparable of the runs that are named, or of a folder of runs; say what could not be read."""
    from bench.analysis.select import select
    from bench.analysis.targets import parse_target
    from bench.records import store

    target = parse_target(target)
    problems: list[str] = []
    with store.without_collecting():
        if runs:
            loaded, problems = store.distinct(map(store.load_run, runs))
        else:
            loaded, problems = store.load_runs(results)
        gc.freeze()  # to search all records for garbage again and again takes longer than to make a table of them
    problems = [*problems, *(problem for run in loaded for problem in run.problems)]
    for problem in problems:
        say(problem)
    if not loaded:
        raise typer.Exit(1)
    return select(loaded, target=target), problems


def _newest(path: Path, name: str) -> "Run":
    """Read a run, or the newest of a folder of runs."""
    from bench.records import store

    folders = [path] if (path / store.HEADER).exists() else [header.parent for header in path.glob(f"*/{store.HEADER}")]
    if not folders:
        raise UserError(f"`{name}` must be a folder of a run or of runs. Received: {path}. Measure first: seqsum run")
    newest = max(folders, key=lambda folder: (store.load_header(folder).started_at, folder.name))
    run = store.load_run(newest)
    for problem in run.problems:
        say(problem)
    return run
