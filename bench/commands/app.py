"""What all commands share: the application they belong to, options, and where messages go."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
errors = Console(stderr=True)

Results = Annotated[Path, typer.Option(help="Folder of all runs.", show_default=True)]
Pythons = Annotated[list[str], typer.Option("--python", metavar="BACKEND=PATH", help="Interpreter of a backend.")]
Target = Annotated[float, typer.Option(metavar="MSE", help="The val_mse that trainings shall reach.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def say(line: str) -> None:
    """Tell the user something beside the data."""
    errors.print(line, markup=False, highlight=False, soft_wrap=True)


def screen() -> Console:
    """Return where text is printed: as wide as the terminal, 80 columns if there is none."""
    return Console(width=None if sys.stdout.isatty() else 80, highlight=False)
