"""Commands that show what was measured to others: `plot`, `report`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.analysis import selection, targets
from bench.analysis.selection import Selection
from bench.commands.app import Results, Target, app, say
from bench.commands.reading import load

NAMES = (
    "speed, ratios, tax, length-cost, start, samples, accuracy, target, loss, errors, predictions, memory, gradients"
)


@app.command()
def plot(
    results: Results = Path("results"),
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("plots"),
    format: Annotated[Literal["png", "svg"], typer.Option(help="Of the files.")] = "png",  # noqa: A002
    show: Annotated[list[str], typer.Option(help=f"Which: {NAMES}. Default: all.")] = [],
    target: Target = selection.TARGET,
) -> None:
    """Draw what has been measured: speed, ratios, start, turns, accuracy, losses, errors, memory, gradients.

    Example: seqsum plot --out docs/pictures --format svg --show speed --show ratios
    """
    chosen, _ = _read(results, targets.parse_target(target))
    written: list[Path] = []
    if chosen:
        from bench.output.plots.catalog import write_plots  # Matplotlib takes half a second to import

        written, missing = write_plots(chosen, out, format, show)
        for reason in missing:
            say(f"Not drawn: {reason}")
    for path in written:
        print(path)
    if not written:
        raise typer.Exit(1)


@app.command()
def report(
    results: Results = Path("results"),
    out: Annotated[Path, typer.Option(help="The page, an HTML file.", metavar="FILE.html")] = Path("report.html"),
    target: Target = selection.TARGET,
) -> None:
    """Write one page with everything: answers in words, plots, tables, doubts, where it is from.

    It needs no network and no other file. Example: seqsum report --results results/reference --out report.html
    """
    from bench.output.files import check_target
    from bench.output.report import page  # Jinja2 and Plotly take a while to import

    check_target(out, "--out", (".html", ".htm"))
    chosen, problems = _read(results, targets.parse_target(target))
    if chosen:
        page.write_page(chosen, out)
        print(out)
    if problems or not chosen:
        raise typer.Exit(1)


def _read(results: Path, target: float) -> tuple[Selection | None, list[str]]:
    """Read what is comparable in a folder of runs, and say what could not be read."""
    loaded, problems = load(None, results)
    return (replace(selection.select(loaded), target=target) if loaded else None), problems
