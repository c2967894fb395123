"""The answers in words: which backend trains fastest, by how much, from when on that pays, what was learned.

Functions over the frames of the analysis. No backend is called faster unless the verdict on a ratio says so.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan, nan
from typing import Any, Literal, NamedTuple

import pandas as pd

from bench.analysis import accuracy, speed
from bench.analysis.statistics import LEAST_SEEDS
from bench.names import say_count
from bench.output.names import display_name, join_words, metric_of, sort_cells
from bench.output.numbers import count, interval, number

Certainty = Literal["clear", "turns", "tie", "open", "alone"]
DECIDED = ("clear", "turns")
ENOUGH_TURNS = 4
"""Turns from which on it is worth saying that all of them agree."""
Place = tuple[Any, ...]
PLACE = ["device", "model", "length", "threads", "variant"]
"""What environments have in common that are compared."""


class Ratio(NamedTuple):
    """A ratio of epoch times, its interval (NaN where it is not known), its range over processes, and its verdict.

    Args:
        turns: pairs of turns it was taken of; `turn_least` and `turn_greatest`: the range of their ratios.
    """

    value: float
    low: float
    high: float
    least: float
    greatest: float
    turn_least: float
    turn_greatest: float
    turns: int
    verdict: str | None

    def inverse(self) -> "Ratio":
        """Return the ratio of the two in the other order."""
        verdict = {"slower": "faster", "faster": "slower"}.get(self.verdict or "", self.verdict)
        return Ratio(
            *(1 / self.value, 1 / self.high, 1 / self.low, 1 / self.greatest, 1 / self.least),
            *(1 / self.turn_greatest, 1 / self.turn_least, self.turns, verdict),
        )

    def __str__(self) -> str:
        if ends := interval(self.low, self.high):
            return f"{number(self.value)} ({ends})"
        span = f"from {interval(self.least, self.greatest)}, " if self.least < self.greatest else ""
        return f"{number(self.value)}, {span}no interval"


@dataclass(frozen=True)
class Standing:
    """How an environment does on one model and length, as texts.

    Args:
        name: of the environment, as it is read.
        backend: for its colour.
        epoch: its time.
        share: of the slowest environment's epoch, 0 to 1.
        comparison: with the fastest environment; empty for that one.
        overtaken: when faster epochs have made up for the start; empty if that is not known.
    """

    name: str
    backend: str
    epoch: str
    share: float
    comparison: str = ""
    overtaken: str = ""


@dataclass(frozen=True)
class Answer:
    """Which environment trains a model at a length fastest.

    Args:
        title: model and length.
        leaders: the environment that none is shown to be faster than, and those not shown to be slower than it.
        certainty: "clear": one is shown to be faster than all others; "turns": it was in every turn, without intervals;
            "tie": intervals do not tell the leaders apart; "open": intervals are missing, or turns of the same run;
            "alone": there is one environment only.
        turns: how often the leader was compared with each other, at least.
        closest: ratio of the next environment to a decided leader; NaN otherwise.
        standings: of all environments, fastest first.
    """

    title: str
    leaders: tuple[str, ...]
    certainty: Certainty
    turns: int
    closest: float
    standings: tuple[Standing, ...]

    @property
    def text(self) -> str:
        """Return the answer in a sentence."""
        match self.certainty:
            case "clear":
                return f"{self.leaders[0]} is fastest."
            case "turns":
                return f"{self.leaders[0]} was fastest in all {self.turns} turns; too few processes for intervals."
            case "tie":
                return f"No difference is shown between {join_words(self.leaders)}."
            case "alone":
                return f"Only {self.leaders[0]} was measured."
        return f"{self.leaders[0]} had the shortest epochs, but that is not shown."


def answers(turns: pd.DataFrame) -> list[Answer]:
    """Return the answer for every model and length, in the order in which charts show them.

    Args:
        turns: of one variant.
    """
    times = sort_cells(speed.epoch_times(turns))
    several_threads = times["threads"].nunique() > 1
    ratios: dict[Place, dict[tuple[str, str], Ratio]] = defaultdict(dict)
    for row in _rows(speed.ratios(turns, by="environment")):
        ratio = Ratio(
            *(row.ratio, row.ratio_low, row.ratio_high, row.ratio_least, row.ratio_greatest),
            *(row.turn_least, row.turn_greatest, row.turns, row.verdict),
        )
        ratios[_place(row)] |= {(row.first, row.second): ratio, (row.second, row.first): ratio.inverse()}
    overtakings: dict[Place, dict[frozenset[str], str]] = defaultdict(dict)
    for row in _rows(speed.break_even(turns)):
        overtakings[_place(row)][frozenset({row.faster, row.other})] = _overtaking(row)
    found = []
    for place, cells in times.groupby(PLACE, sort=False):
        model, length, threads = place[1:4]
        title = f"{display_name(str(model))}, length {length}" + (f", threads: {threads}" if several_threads else "")
        found.append(_answer(title, cells.sort_values("epoch_s"), ratios[place], overtakings[place]))
    return found


def _rows(frame: pd.DataFrame) -> Iterator[Any]:
    yield from frame.itertuples()


def _place(row: Any) -> Place:
    return tuple(getattr(row, name) for name in PLACE)


def _answer(
    title: str,
    cells: pd.DataFrame,
    ratios: Mapping[tuple[str, str], Ratio],
    overtakings: Mapping[frozenset[str], str],
) -> Answer:
    """Return the answer of a place from its cells, shortest epochs first, and its pairs that were timed in one run."""
    epochs_s: dict[str, float] = dict(zip(cells["environment"], cells["epoch_s"], strict=True))
    names = list(epochs_s)
    is_slower = {pair for pair, ratio in ratios.items() if ratio.verdict == "slower"}
    unbeaten = [name for name in names if not any((name, other) in is_slower for other in names)]
    first = (unbeaten or names)[0]
    others = [name for name in names if name != first]
    leaders = [first, *(name for name in others if (name, first) not in is_slower)]
    with_first = [ratios[name, first] for name in others if (name, first) in ratios]
    certainty: Certainty = "clear" if len(leaders) == 1 else "tie"
    if not others:
        certainty = "alone"
    elif len(with_first) < len(others) or any(isnan(ratio.low) for ratio in with_first):
        agree = all(ratio.turn_least > 1 and ratio.turns >= ENOUGH_TURNS for ratio in with_first)
        certainty = "turns" if agree and len(with_first) == len(others) else "open"
    standings = []
    for name in [first, *others]:
        epoch, share = f"{number(1e3 * epochs_s[name])} ms", epochs_s[name] / max(epochs_s.values())
        texts = (_comparison(ratios.get((name, first)), first), overtakings.get(frozenset({name, first}), ""))
        about = (display_name(name), name.partition("@")[0], epoch, share)
        standings.append(Standing(*about, *(texts if name != first else ())))
    closest = min(ratio.value for ratio in with_first) if certainty in DECIDED else nan
    turns = min((ratio.turns for ratio in with_first), default=0)
    return Answer(title, tuple(map(display_name, leaders)), certainty, turns, closest, tuple(standings))


def _comparison(ratio: Ratio | None, first: str) -> str:
    if ratio is None:
        return "not timed in the same run"
    same = ", no difference shown" if ratio.verdict == "open" else ""
    return f"ratio to {display_name(first)}: {ratio}{same}"


def _overtaking(row: Any) -> str:
    """Say from which epoch on the faster environment is ahead; nothing if it never is."""
    if not isfinite(row.epoch):
        return ""
    if row.epoch == 1:
        return f"{display_name(row.faster)} is ahead from the start"
    ends = interval(row.epoch_low, row.epoch_high, count)
    text = f"start included, {display_name(row.faster)} is ahead from epoch {row.epoch:,.0f} on"
    return text + (f" ({ends})" if ends else "")


def headline(found: Sequence[Answer]) -> str:
    """Return the one line that a hurried reader needs."""
    compared = [answer for answer in found if answer.certainty != "alone"]
    comparisons = say_count(len(compared), "comparison")
    leaders = Counter(answer.leaders[0] for answer in compared)
    decided = Counter(answer.leaders[0] for answer in compared if answer.certainty in DECIDED)
    if not found:
        return "What was learned; speed was not measured"
    if not compared:
        return f"Only {join_words(sorted({answer.leaders[0] for answer in found}))} was measured"
    if all(answer.certainty == "tie" for answer in compared):
        return "No backend is shown to be faster than all others"
    if not decided:
        name, first = leaders.most_common(1)[0]
        return f"Not decided: {name} had the shortest epochs in {first} of {comparisons}"
    undecided = len(compared) - decided.total()
    if len(decided) == 1 and not undecided:
        in_turns = any(answer.certainty == "turns" for answer in compared)
        return f"{next(iter(decided))} {'was fastest in every turn' if in_turns else 'trains fastest'}"
    parts = [f"{name} is fastest in {won}" for name, won in decided.most_common()]
    parts += [f"{undecided} {'is' if undecided == 1 else 'are'} not decided"] if undecided else []
    return f"It depends: of {comparisons} {join_words(parts)}"


def margin(found: Sequence[Answer]) -> str:
    """Say by how much the fastest backends are ahead."""
    compared = [answer for answer in found if answer.certainty != "alone"]
    closest = [answer.closest for answer in compared if answer.certainty in DECIDED]
    if not compared:
        return ""
    if all(answer.certainty == "tie" for answer in compared):
        return "The fastest are too close to be told apart here; more processes make intervals narrower."
    if not closest:
        return "Intervals need 6 processes of each backend in the same run; more processes make them narrower."
    times = " to ".join(dict.fromkeys([number(min(closest)), number(max(closest))]))
    share = f"all {len(compared)}" if len(closest) == len(compared) else f"{len(closest)} of {len(compared)}"
    where = "In this comparison" if len(compared) == 1 else f"In {share} comparisons (a model at a length)"
    turns = min((answer.turns for answer in compared if answer.certainty == "turns"), default=0)
    doubt = f" It was so in all {turns} turns of each; intervals need 6 processes." if turns else ""
    return f"{where}, an epoch on the next fastest backend takes {times} times the fastest backend's time.{doubt}"


def learned(trainings: pd.DataFrame) -> Iterator[str]:
    """Say for each length which share of the sums each model gets right, the best model first."""
    if trainings.empty:
        return
    longest = accuracy.longest(trainings)
    rows = accuracy.accuracy(accuracy.average_environments(longest)).sort_values("right_rate", ascending=False)
    rows = rows[rows["variant"] == rows["variant"].mode()[0]]
    metric, is_rated = metric_of(trainings), bool(rows["right_rate"].notna().any())
    for length, models in rows.groupby("length"):
        parts = []
        for row in _rows(models):
            rate = f"{number(100 * row.right_rate)} % " if is_rated else ""
            error = f"{metric.title} {number(row.test_error)}"
            parts.append(f"{display_name(row.model)} {rate}{f'({error})' if is_rated else error}")
        yield f"Length {length}, {metric.rows if is_rated else 'errors'}: {join_words(parts)}."


def training_note(trainings: pd.DataFrame) -> str:
    """Say how many seeds there are and what ended their training."""
    if trainings.empty:
        return ""
    row = accuracy.stopping(accuracy.longest(trainings)).iloc[-1]
    seeds = say_count(int(trainings["seed"].nunique()), "seed")
    ended = f"Of {say_count(int(row.trainings), 'training')} {int(row.stopped_early)} were stopped by patience"
    rest = "" if isnan(row.limit) else f", the others ran to the limit of {row.limit:.0f} epochs"
    return f"Means over {seeds}, each averaged over its backends, on one data set. {ended}{rest}."


def learn_the_same(contrasts: pd.DataFrame) -> str:
    """Say whether the backends learn the same, from `accuracy.contrasts` by environment."""
    if contrasts.empty:
        return ""
    if contrasts["right_difference_low"].isna().all():
        points = number(100 * float(contrasts["right_difference"].abs().max()))
        return (
            f"From the same start two backends get shares of the rows right that are at most {points} points apart "
            f"({say_count(int(contrasts['pairs'].max()), 'seed')}; a verdict needs {LEAST_SEEDS})."
        )
    counts: Any = Counter(contrasts["verdict"])
    pairs = say_count(len(contrasts), "comparison")
    if counts["equal"] == len(contrasts):
        return f"All backends learn the same: {pairs} of their errors, seed by seed, are equal within the margins."
    return (
        f"Do all backends learn the same? Of {pairs} of their errors, seed by seed, {counts['equal']} are equal within "
        f"the margins, {counts['different']} are different and {counts['open']} are open."
    )
