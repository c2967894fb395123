"""The answers in words: which backend trains fastest, since when that pays, what was learned.

Nothing is said to be faster unless the interval of a ratio leaves out 1.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Literal

from bench.analysis.accuracy_lines import Line
from bench.analysis.findings import BreakEven, Findings, Timed, place
from bench.analysis.intervals import LEAST_SEEDS, Interval
from bench.analysis.statistics import Ratio
from bench.names import say_count
from bench.output.plots.figures import say_backend
from bench.output.printing.output import format_value
from bench.output.report.texts import join_words, model_name, say_interval
from bench.output.tables.speed import say_ahead
from bench.plan.cells import Cell

Proof = Literal["clear", "tie", "open", "alone"]


@dataclass(frozen=True)
class Contender:
    """A backend among those that were measured on one model and length.

    Args:
        name: of the backend.
        backend: which, for its colour.
        epoch_ms: median of a steady epoch.
        share: of the slowest backend's epoch, 0 to 1.
        against: how it compares with the fastest one, in words; nothing for that one.
        pays: since when the fastest one is ahead of it, in words.
    """

    name: str
    backend: str
    epoch_ms: str
    share: float
    against: str
    pays: str


@dataclass(frozen=True)
class Answer:
    """Which backend trains one model at one length fastest.

    Args:
        cell: that of the shortest median epoch.
        title: model and length.
        leaders: the first backend that no other one is shown to be faster than, and those not shown to be slower.
        proof: "clear": one backend is shown to be faster than all others; "tie": intervals do not tell the leaders
            apart; "open": there are no intervals, or no turns in common; "alone": there is one backend only.
        text: the answer in a sentence.
        closest: ratio of the runner-up to a clear leader.
        contenders: all backends, fastest first.
    """

    cell: Cell
    title: str
    leaders: tuple[str, ...]
    proof: Proof
    text: str
    closest: float | None
    contenders: tuple[Contender, ...]


class _Group:
    """The backends that were measured on one model, length and number of threads."""

    def __init__(self, cells: Sequence[Timed], found: Findings) -> None:
        self.cells = sorted(cells, key=lambda one: one.time.median_s)
        inside = {one.cell for one in cells}
        self._ratios = {(one.first, one.second): one.ratio for one in found.ratios if one.first in inside}
        unbeaten = [one for one in self.cells if not any(self.slower(one, other) for other in self.cells)]
        first = (unbeaten or self.cells)[0]
        self.leaders = [first, *(one for one in self.cells if one is not first and not self.slower(one, first))]

    def ratio(self, first: Timed, second: Timed) -> Ratio | None:
        """Return how many times as long the first one takes as the second, or None if no turns were in common."""
        if found := self._ratios.get((first.cell, second.cell)):
            return found
        other = self._ratios.get((second.cell, first.cell))
        if other is None or isnan(other.value):
            return None
        low, high = 1 / other.interval.high, 1 / other.interval.low
        return Ratio(other.processes, 1 / other.value, Interval(low, high))

    def slower(self, first: Timed, second: Timed) -> bool:
        """Tell whether the first one is shown to take longer than the second."""
        found = self.ratio(first, second)
        return found is not None and found.interval.low > 1

    @property
    def proof(self) -> Proof:
        """Say how well the leaders are told from the others."""
        if len(self.cells) == 1:
            return "alone"
        others = [one for one in self.cells if one is not self.leaders[0]]
        ratios = [self.ratio(other, self.leaders[0]) for other in others]
        if any(ratio is None or isnan(ratio.interval.low) for ratio in ratios):
            return "open"
        return "clear" if len(self.leaders) == 1 else "tie"


def answers(found: Findings) -> list[Answer]:
    """Say for every model, length and number of threads which backend is fastest, in the first variant of the run."""
    groups: dict[Cell, list[Timed]] = defaultdict(list)
    for one in found.main_cells:
        groups[place(one.cell)].append(one)
    in_order = sorted(groups, key=lambda common: (common.length, common.model, str(common.threads)))
    return [_answer(_Group(groups[common], found), found.break_evens) for common in in_order]


def _answer(group: _Group, break_evens: list[BreakEven]) -> Answer:
    first = group.leaders[0]
    slowest = group.cells[-1].time.median_s
    contenders = tuple(
        Contender(
            name=say_backend(one.cell),
            backend=one.cell.backend,
            epoch_ms=format_value(1e3 * one.time.median_s),
            share=one.time.median_s / slowest,
            against="" if one is first else _against(group.ratio(one, first)),
            pays="" if one is first else _pays(first, one, break_evens),
        )
        for one in [first, *(one for one in group.cells if one is not first)]
    )
    ratios = [ratio for one in group.cells if one is not first and (ratio := group.ratio(one, first))]
    closest = min((ratio.value for ratio in ratios), default=None)
    return Answer(
        cell=first.cell,
        title=f"{model_name(first.cell.model)}, length {first.cell.length}",
        leaders=tuple(say_backend(one.cell) for one in group.leaders),
        proof=group.proof,
        text=_text(group),
        closest=closest if group.proof == "clear" else None,
        contenders=contenders,
    )


def _text(group: _Group) -> str:
    names = [say_backend(one.cell) for one in group.leaders]
    match group.proof:
        case "clear":
            return f"{names[0]} is fastest."
        case "tie":
            return f"No difference is shown between {join_words(names)}."
        case "alone":
            return f"Only {names[0]} was measured."
    return f"{names[0]} had the shortest epochs, but that is not shown."


def _against(ratio: Ratio | None) -> str:
    if ratio is None or isnan(ratio.value):
        return "no turns in common"
    times = f"{format_value(ratio.value)} times as long"
    if isnan(ratio.interval.low):
        return f"{times}, no interval"
    return f"{times} ({say_interval(ratio.interval)})" + (", no difference" if ratio.undecided else "")


def _pays(first: Timed, other: Timed, break_evens: list[BreakEven]) -> str:
    for one in break_evens:
        if {one.faster.cell, one.other.cell} == {first.cell, other.cell}:
            if one.found.epoch == 1:
                return f"{say_backend(one.faster.cell)} is ahead from the start"
            return f"{say_backend(one.faster.cell)} is ahead after epoch {say_ahead(one.found)}"
    return ""


def main_title(said: Sequence[Answer]) -> str:
    """Return the one line that a hurried reader needs."""
    if not said:
        return "What was learned: speed was not measured"
    clear = Counter(answer.leaders[0] for answer in said if answer.proof == "clear")
    compared = [answer for answer in said if answer.proof != "alone"]
    if not compared:
        return f"Only {join_words(sorted({answer.leaders[0] for answer in said}))} was measured"
    if not clear:
        shortest = Counter(answer.leaders[0] for answer in compared).most_common(1)[0]
        if all(answer.proof == "tie" for answer in compared):
            return "No backend is shown to be faster than all others"
        return f"Not decided: {shortest[0]} had the shortest epochs in {shortest[1]} of {len(compared)} comparisons"
    if len(clear) == 1 and clear.total() == len(compared):
        return f"{next(iter(clear))} trains fastest"
    parts = [f"{name} in {count}" for name, count in clear.most_common()]
    undecided = len(compared) - clear.total()
    parts += [f"undecided in {undecided}"] if undecided else []
    return f"It depends: {join_words(parts)} of {len(compared)} comparisons"


def subtitle(said: Sequence[Answer]) -> str:
    """Say in a sentence how much faster."""
    closest = [answer.closest for answer in said if answer.closest is not None]
    compared = sum(answer.proof != "alone" for answer in said)
    if not closest:
        return f"An interval needs {LEAST_SEEDS} processes of two backends in the same run." if compared else ""
    low, high = format_value(min(closest)), format_value(max(closest))
    times = f"{low} times" if low == high else f"{low} to {high} times"
    which = "the one comparison" if compared == 1 else f"all {compared} comparisons"
    if len(closest) < compared:
        which = f"{len(closest)} of {compared} comparisons"
    return f"In {which} of backends on one model and length, the next fastest takes {times} as long."


def learned(mse: Sequence[Line], exact: Sequence[Line]) -> list[str]:
    """Say for each length what each model gets on the test rows.

    Args:
        mse: test errors over the lengths, a line for each model.
        exact: exact sums in %, likewise.
    """
    said: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for errors, sums in zip(mse, exact, strict=True):
        for length, error, share in zip(errors.x, errors.middle, sums.middle, strict=True):
            text = f"{model_name(errors.model)} {format_value(float(share))} % (MSE {format_value(float(error))})"
            said[int(length)].append((-float(share), text))
    return [
        f"Length {length}, sums exactly right: {join_words(text for _, text in sorted(texts))}."
        for length, texts in sorted(said.items())
    ]


def say_backends_alike(verdicts: Sequence[str]) -> str:
    """Say whether the backends learn the same.

    Args:
        verdicts: equal, different or open, of every two backends, model, length and patience.
    """
    if not verdicts:
        return ""
    counts, pairs = Counter(verdicts), say_count(len(verdicts), "pair")
    if counts["equal"] == len(verdicts):
        return f"The backends learn the same: all {pairs} are shown to be equal."
    return (
        f"Do the backends learn the same? Of {pairs}, {counts['equal']} are shown to be equal, "
        f"{counts['different']} different, {counts['open']} open."
    )
