"""The command that hands results on to other tools: `export`."""

from pathlib import Path
from typing import Annotated

import typer

from bench.analysis import selection
from bench.commands.app import Results, app, say
from bench.commands.reading import load
from bench.errors import UserError
from bench.output import export as exporting
from bench.records.frame import Kind


@app.command()
def export(
    format: Annotated[exporting.ExportFormat, typer.Option(help="Of the file.")],  # noqa: A002
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of single runs. Default: all that are alike.")
    ] = None,
    results: Results = Path("results"),
    out: Annotated[Path | None, typer.Option(help="The file. Default: standard output.")] = None,
    kind: Annotated[Kind, typer.Option(help="Rows of csv and parquet.")] = "speed",
) -> None:
    """Write what was measured as other tools read it.

    Example: seqsum export --format github-action --out benchmark.json
    """
    if format == "parquet" and out is None:
        raise UserError("`--format parquet` needs --out. Received: none. Name a file: --out speed.parquet")
    loaded, problems = load(runs, results)
    if loaded:
        _write(selection.select(loaded), format, out, kind)
    if problems:
        raise typer.Exit(1)


def _write(chosen: selection.Selection, form: exporting.ExportFormat, out: Path | None, kind: Kind) -> None:
    if out is None:
        print(exporting.as_text(chosen, form, kind), end="")
        return
    if form == "parquet":
        exporting.write_parquet(chosen, out, kind)
    else:
        try:
            out.write_text(exporting.as_text(chosen, form, kind), "utf-8")
        except OSError as error:
            raise UserError(
                f"`--out` must be a file that can be written. Received: {out} ({error.strerror})."
            ) from None
    say(f"Wrote {out}")
