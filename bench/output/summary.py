"""What a run found, on one screen: who trains fastest, how sure that is, what was learned, what to doubt."""

from dataclasses import replace
from pathlib import Path
from shlex import quote

from rich.console import Console
from rich.text import Text

from bench.analysis import accuracy
from bench.analysis.select import Selection
from bench.output.checks import checks
from bench.output.formats import print_text
from bench.output.headline import answers, headline, learn_the_same, margin
from bench.output.numbers import visible
from bench.output.tables import TABLES

MOST_ROWS = 8
MOST_DOUBTS = 3


def print_summary(selection: Selection, results: Path, console: Console) -> None:
    """Print at most 24 lines of 80 columns about a run, and its failures if there are any.

    Args:
        selection: the run.
        results: the folder of runs that it is in.
        console: where to.
    """
    found = answers(selection.main_turns)
    _say(console, f"{headline(found)}. {margin(found)}".strip(), style="bold")
    overview = TABLES["overview"](selection)
    if rest := len(overview.frame) - MOST_ROWS:
        overview = replace(overview, frame=overview.frame.head(MOST_ROWS))
    units = "Milliseconds of a steady epoch" if len(selection.frames.turns) else "Errors after training"
    print_text(replace(overview, title=units, notes=()), console)
    if rest > 0:
        _say(console, f"... and {rest} more.")
    console.print()
    if len(trainings := selection.frames.trainings):
        _say(console, learn_the_same(accuracy.contrasts(trainings, by="environment")))
    doubts = [check.text for check in checks(selection, ()) if not check.ok]
    for doubt in doubts[:MOST_DOUBTS]:
        _say(console, f"Doubt: {doubt}")
    failures = TABLES["failures"](selection)
    failures = replace(failures, frame=failures.frame[failures.frame["fault"] != "not available"].head(MOST_ROWS))
    if len(failures.frame):
        print_text(failures, console)
    option = "" if results == Path("results") else f" --results {quote(str(results))}"
    _say(console, f"Records: {results / selection.header.run}", soft_wrap=True)
    _say(console, f"More: seqsum table{option} | seqsum report{option} | seqsum plot{option}", soft_wrap=True)


def _say(console: Console, text: str, style: str = "", *, soft_wrap: bool = False) -> None:
    if text:
        console.print(Text(visible(text), style=style), soft_wrap=soft_wrap)
