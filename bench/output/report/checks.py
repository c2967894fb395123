"""How sure the answers are, in words: what speaks for them and what against them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis import speed
from bench.analysis.select import Selection
from bench.analysis.statistics import order_rank
from bench.names import say_count
from bench.output.numbers import number
from bench.output.report.headline import Answer
from bench.records.schema import BUSY_LOAD, PROTOCOL_VERSION

MANY_DISTURBED = 0.05
"""Share of disturbed turns from which on a run is doubtful."""
STEADY_GOVERNORS = ("performance", "unknown")


@dataclass(frozen=True)
class Check:
    """Something that makes a reader surer (`ok`), or less sure."""

    ok: bool
    text: str


def checks(selection: Selection, answers: Sequence[Answer]) -> list[Check]:
    """Return what was checked, in the order of its weight."""
    turns = selection.frames.turns
    failures = len(selection.frames.failures)
    found = [*_decided(answers), *(_timed(turns) if len(turns) else ()), *_conditions(selection)]
    text = f"{say_count(failures, 'trial')} failed; the table of failures says why." if failures else "No trial failed."
    return [*found, Check(not failures, text)]


def _decided(answers: Sequence[Answer]) -> Iterator[Check]:
    compared = [answer.certainty for answer in answers if answer.certainty != "alone"]
    clear, ties, missing = (compared.count(certainty) for certainty in ("clear", "tie", "open"))
    if compared and clear == len(compared):
        yield Check(True, f"Every answer is decided: the intervals of {say_count(clear, 'comparison')} leave out 1.")
    elif compared:
        text = f"{clear} of {say_count(len(compared), 'comparison')} {'is' if len(compared) == 1 else 'are'} decided"
        text += f", {ties} {'shows' if ties == 1 else 'show'} no difference" if ties else ""
        yield Check(False, text + (f", {missing} {'has' if missing == 1 else 'have'} no interval." if missing else "."))


def _timed(turns: pd.DataFrame) -> Iterator[Check]:
    processes = int(speed.epoch_times(turns)["processes"].min()) if not turns["is_control"].all() else 0
    if processes > 0 and not order_rank(processes)[0]:
        text = f"A cell has only {processes} process{'es' * (processes > 1)}; an interval needs 6."
        yield Check(False, text)
    yield _controls(turns)
    disturbed, count = int(turns["disturbed"].sum()), len(turns)
    if not disturbed:
        yield Check(True, f"No other process disturbed any of the {count:,} turns.")
    else:
        text = f"Other processes disturbed {disturbed:,} of {count:,} turns, which were measured again."
        yield Check(disturbed < MANY_DISTURBED * count, text)


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


def _conditions(selection: Selection) -> Iterator[Check]:
    header = selection.header
    if selection.busiest_load > BUSY_LOAD:
        load = f"{selection.busiest_load:g}"
        yield Check(False, f"The machine was busy when a run began: load {load} in the minute before.")
    if (governor := header.machine.governor) not in STEADY_GOVERNORS:
        yield Check(False, f"The CPU frequency governor was {governor}: the clock may have changed between turns.")
    if header.protocol_version < PROTOCOL_VERSION:
        text = (
            f"Measured by protocol {header.protocol_version}; today's is {PROTOCOL_VERSION}, which counts other epochs."
        )
        yield Check(False, f"{text} Figures of the two are not comparable.")
    if resumed := sum(len(run.resumed) for run in selection.runs):
        yield Check(
            False, f"Interrupted and resumed {say_count(resumed, 'time')}: the machine may have changed meanwhile."
        )
    if selection.left_out:
        count = say_count(len(selection.left_out), "older run")
        yield Check(False, f"{count} left out: measured on another machine, with other versions, settings or protocol.")
