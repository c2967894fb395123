"""What a run prints at its end: one screen that answers first."""

import io
from pathlib import Path

import pytest
from factories import make_cell, make_failure, select_all
from rich.console import Console
from whole_runs import timings, trainings, whole_selection

from bench.analysis.select import Selection
from bench.output.summary import print_summary
from bench.plan.cells import BACKENDS
from bench.records.schema import Record, Speed


def printed(selection: Selection, results: str = "results") -> list[str]:
    output = io.StringIO()
    print_summary(selection, Path(results), Console(file=output, width=80))
    return output.getvalue().splitlines()


def first_processes(count: int) -> list[Record]:
    return [record for record in timings() if isinstance(record, Speed) and record.process < count]


def test_fits_a_screen() -> None:
    """24 lines of 80 columns, with intervals and without, and with more cells than lines."""
    many = timings(["gru", "lstm", "simple_rnn"], [4, 12, 25, 50])
    for records in ([*timings(), *trainings()], [*first_processes(2), *trainings(seeds=1)], many):
        lines = printed(select_all(*records))
        assert len(lines) <= 24 and max(map(len, lines)) <= 80


def test_answers_first() -> None:
    lines = " ".join(printed(whole_selection()))
    assert lines.startswith("JAX trains fastest. In all 4 comparisons")
    assert "All backends learn the same" in lines and "More: seqsum table | seqsum report" in lines


def test_two_processes_say_what_every_turn_showed() -> None:
    lines = " ".join(printed(select_all(*first_processes(2), *trainings(seeds=1))))
    assert lines.startswith("JAX was fastest in every turn.")
    assert "It was so in all 4 turns of each; intervals need 6 processes." in lines
    assert "Doubt: A cell has only 2 processes" in lines
    assert "at most 0 points apart (1 seed; a verdict needs 5)" in lines


@pytest.mark.parametrize("results", ["my results", "~/naïve"])
def test_commands_can_be_pasted(results: str) -> None:
    assert printed(whole_selection(), results)[-1].count(f"--results '{results}'") == 3


def test_failures_are_shown() -> None:
    """Those that are no news, a backend that is not here, are not."""
    failures = [make_failure(make_cell(name), fault="not available", reason="no torch") for name in BACKENDS[1:]]
    lost = make_failure(make_cell("jax", "gru"), reason="ended with exit code -9")
    assert "Failures" not in printed(select_all(*timings(), *failures))
    lines = " ".join(printed(select_all(*timings(), *failures, lost)))
    assert "ended with exit code -9" in lines and "no torch" not in lines
