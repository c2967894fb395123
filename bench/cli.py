"""The command line `seqsum`: data to stdout, messages to stderr, a user's mistake in one line with exit code 2."""

import re
import signal
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from bench.commands import check, read, run, watch
from bench.commands.app import app, say
from bench.errors import UserError
from bench.host import home_folder
from seqsum_core import __version__

HOME = re.compile(r"(?<=^)~(?=/|$)|(?<==)~(?=/|$)")
"""A home folder that the shell leaves as it is typed: in --results=~/runs."""

__all__ = ["app", "check", "main", "read", "run", "watch"]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"seqsum {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Benchmark recurrent training in Keras 3 under JAX, PyTorch and TensorFlow."""


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a character that the terminal does not know ends no command
            stream.reconfigure(errors="backslashreplace")
    try:
        words = [HOME.sub(lambda _: str(home_folder()), word) for word in sys.argv[1:]]
        code = app(words or ["--help"], prog_name="seqsum", standalone_mode=False)
    except typer.TyperException as error:  # of the command line: an option that is not there, a value it does not take
        say(f"seqsum: {' '.join(error.format_message().replace('Value error, ', '').split())}")
        code = 2
    except UserError as error:
        say(f"seqsum: {error}")
        code = 2
    sys.exit(code)
