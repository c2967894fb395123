"""What all commands share: the application they belong to, options, and where messages go."""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from bench.plan.cells import check_environment

ORDER = (
    *("run", "table", "report", "plot", "compare", "history", "bisect", "export", "advise", "doctor", "environments"),
    *("verify", "parity", "replay"),
)
"""Commands in the order in which they are used."""


class OrderedCommands(TyperGroup):
    """A group whose help lists its commands in the order in which they are used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return sorted(self.commands, key=ORDER.index)


KINDS = {"str": "TEXT", "int": "N", "float": "NUMBER", "path": "PATH", "int range": "N"}
"""What a person calls the type of an option's value."""


class GroupedOptions(TyperCommand):
    """A command whose help lists its options under the panels that they name, with types that a person knows."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options."""
        panels = defaultdict(list)
        for parameter in self.get_params(ctx):
            panel = "Arguments" if parameter.param_type_name == "argument" else "Options"
            if record := parameter.get_help_record(ctx):
                name = re.sub(
                    r"<(?:list\[)?([A-Za-z ]+)\]?>", lambda kind: KINDS.get(kind[1].lower(), kind[0]), record[0]
                )
                panels[getattr(parameter, "rich_help_panel", None) or panel].append((name, record[1]))
        for panel, records in panels.items():
            with formatter.section(panel):
                formatter.write_dl(records)


what = partial(typer.Option, rich_help_panel="What is measured")
how = partial(typer.Option, rich_help_panel="How sure it is")
where = partial(typer.Option, rich_help_panel="Where")

app = typer.Typer(
    cls=OrderedCommands,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
errors = Console(stderr=True)


def checked(check: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a parser of an option that shows what `check` says of a wrong value."""

    def parse(text: str) -> Any:
        try:
            return check(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return parse


ENVIRONMENT = (
    "jax, torch, tensorflow (tf), BACKEND@PACKAGE==VERSION for another version, or BACKEND@NAME for another "
    "installation. Default: all that are here."
)
Backends = Annotated[
    list[str],
    what("--backend", metavar="BACKEND", parser=checked(check_environment), help=ENVIRONMENT),
]
PYTHON = "Interpreter of a backend, or of BACKEND@NAME."
Pythons = Annotated[list[str], where("--python", metavar="BACKEND=PATH", help=PYTHON)]
Results = Annotated[Path, where(help="Folder of all runs.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def say(line: str) -> None:
    """Print a message beside the data: on stderr, as it is."""
    errors.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def interruptible(outcome: str) -> Iterator[None]:
    """End a command that Ctrl-C interrupts in a line that says what became of it, with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"seqsum: interrupted; {outcome}")
        raise typer.Exit(130) from None


def show(
    result: Any, as_document: Callable[[Any], Any], as_text: Callable[[Any, Console], None], *, json_: bool
) -> None:
    """Print a result as one JSON document or as text."""
    if json_:
        print(json.dumps(as_document(result), indent=1))
    else:
        as_text(result, screen())


def screen() -> Console:
    """Return where text is printed: as wide as the terminal, 80 columns if there is none."""
    return Console(width=None if sys.stdout.isatty() else 80, highlight=False)
