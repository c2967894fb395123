"""How sure the answers are, in words: what speaks for them and what against them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from bench.analysis.findings import Findings
from bench.analysis.selection import Selection
from bench.host import BUSY_LOAD
from bench.names import say_count
from bench.output.printing.output import format_value
from bench.output.report.headlines import Answer
from bench.records.schema import PROTOCOL_VERSION, Failure
from bench.records.speed import disturbers

MANY_DISTURBED = 0.05


@dataclass(frozen=True)
class Fact:
    """Something that makes a reader surer, or less sure."""

    good: bool
    text: str


def doubts(chosen: Selection, found: Findings, said: Sequence[Answer]) -> list[Fact]:
    """Say how sure all this is."""
    facts = [_proofs(said), _control_fact(found), _disturbed(found), _failed(chosen)]
    if chosen.busiest > BUSY_LOAD:
        text = f"The machine was busy when a run began: load {chosen.busiest:g} in the minute before."
        facts.append(Fact(False, text))
    if any(run.header.protocol_version < PROTOCOL_VERSION for run in chosen.runs):
        facts.append(Fact(False, "Measured by an older protocol, whose numbers are not comparable with newer ones."))
    if chosen.left_out:
        count = len(chosen.left_out)
        facts.append(Fact(False, f"{say_count(count, 'older run')} left out: another machine, version or setting."))
    return [fact for fact in facts if fact]


def _proofs(said: Sequence[Answer]) -> Fact | None:
    compared = [answer for answer in said if answer.proof != "alone"]
    if not compared:
        return None
    clear, tied = (sum(answer.proof == proof for answer in compared) for proof in ("clear", "tie"))
    if clear == len(compared):
        decided = f"the 95 % intervals of {say_count(clear, 'comparison')} leave out 1."
        return Fact(True, f"Every answer is decided: {decided}")
    text = f"{clear} of {say_count(len(compared), 'comparison')} decided"
    text += f", {tied} without a difference" if tied else ""
    missing = len(compared) - clear - tied
    return Fact(False, text + (f", {missing} without an interval." if missing else "."))


def _control_fact(found: Findings) -> Fact | None:
    if not found.cells:
        return None
    judged = [one.ratio for one in found.controls if not isnan(one.ratio.interval.low)]
    if not judged:
        return Fact(False, "No cell was timed against itself often enough to say what the machine makes up.")
    missed = sum(not ratio.undecided for ratio in judged)
    widest = format_value(100 * max(ratio.half_width for ratio in judged))
    reach = f"The widest reaches {widest} %: smaller differences are not to be trusted."
    cells = f"{say_count(len(judged), 'control')} (a cell against itself)"
    if missed:
        return Fact(False, f"{missed} of {cells} miss 1. {reach}")
    return Fact(True, f"{cells}, and every interval holds 1. {reach}")


def _disturbed(found: Findings) -> Fact | None:
    if not found.turns:
        return None
    slices = [turn.slice for turn in found.turns]
    count, turns = sum(turn.disturbed for turn in slices), len(slices)
    if not count:
        return Fact(True, f"No other process disturbed any of the {turns:,} turns.")
    verb = "was" if count == 1 else "were"
    text = f"{count:,} of {turns:,} turns {verb} disturbed by {disturbers(slices)} and measured again."
    return Fact(count < MANY_DISTURBED * turns, text)


def _failed(chosen: Selection) -> Fact:
    failures = len(chosen.of(Failure))
    return Fact(False, f"{say_count(failures, 'trial')} failed.") if failures else Fact(True, "No trial failed.")
