"""How sure the answers are, in words: what speaks for them and what against them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from bench.analysis import speed
from bench.analysis.select import Selection
from bench.analysis.statistics import order_rank
from bench.names import say_count
from bench.output.headline import Answer
from bench.output.numbers import number
from bench.output.text import doubts
from bench.records.schema import PROTOCOL_VERSION

MANY_DISTURBED = 0.05
"""Share of disturbed turns from which on a run is doubtful."""


class Check(NamedTuple):
    """Something that makes a reader surer (`ok`), or less sure."""

    ok: bool
    text: str


def checks(selection: Selection, answers: Sequence[Answer]) -> list[Check]:
    """Return what was checked, in the order of its weight."""
    turns, failures = selection.frames.turns, len(selection.frames.failures)
    found = [*_decided(answers), *(_timed(turns) if len(turns) else ())]
    found += [Check(what == "disturbed" and _few(turns), text) for what, text in doubts(selection).items()]
    found += _history(selection)
    text = f"{say_count(failures, 'trial')} failed; the table of failures says why." if failures else "No trial failed."
    return [*found, Check(not failures, text)]


def _few(turns: pd.DataFrame) -> bool:
    return bool(turns["disturbed"].mean() < MANY_DISTURBED)


def _decided(answers: Sequence[Answer]) -> Iterator[Check]:
    compared = [answer.certainty for answer in answers if answer.certainty != "alone"]
    clear, ties = (compared.count(certainty) for certainty in ("clear", "tie"))
    missing = len(compared) - clear - ties
    comparisons = say_count(len(compared), "comparison")
    if compared and clear == len(compared):
        yield Check(True, f"Every answer is decided: the intervals of {comparisons} leave out 1.")
    elif compared:
        text = f"{clear} of {comparisons} {'is' if len(compared) == 1 else 'are'} decided"
        text += f", {ties} {'shows' if ties == 1 else 'show'} no difference" if ties else ""
        text += f", {missing} {'has' if missing == 1 else 'have'} no interval" if missing else ""
        yield Check(False, f"{text}.")


def _timed(turns: pd.DataFrame) -> Iterator[Check]:
    processes = int(speed.epoch_times(turns)["processes"].min()) if not turns["is_control"].all() else 0
    if processes > 0 and not order_rank(processes)[0]:
        yield Check(False, f"A cell has only {processes} process{'es' * (processes > 1)}; an interval needs 6.")
    yield _controls(turns)
    if not turns["disturbed"].any():
        yield Check(True, f"No other process disturbed any of the {len(turns):,} turns.")


def _controls(turns: pd.DataFrame) -> Check:
    controls = speed.controls(turns)
    judged = controls[controls["consistent"].notna()]
    if judged.empty:
        return Check(False, "No cell was timed against itself in 6 processes: how far the machine varies is not known.")
    missed, count = int((~judged["consistent"].astype(bool)).sum()), len(judged)
    widest = number(float(100 * speed.half_width(judged).max()))
    reach = f"The widest interval reaches {widest} % to a side: smaller differences are not to be trusted."
    subject = f"{say_count(count, 'control')} (a cell timed against itself)"
    if missed:
        return Check(False, f"{missed} of {subject} did not give 1. {reach}")
    return Check(True, f"{subject} gave 1, as {'it' if count == 1 else 'they'} should. {reach}")


def _history(selection: Selection) -> Iterator[Check]:
    protocol = selection.header.protocol_version
    if protocol < PROTOCOL_VERSION:
        text = f"Measured by protocol {protocol}; today's is {PROTOCOL_VERSION}, which counts other epochs."
        yield Check(False, f"{text} Figures of the two are not comparable.")
    if resumed := sum(len(run.resumed) for run in selection.runs):
        times = say_count(resumed, "time")
        yield Check(False, f"Interrupted and resumed {times}: the machine may have changed meanwhile.")
