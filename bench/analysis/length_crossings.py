"""From which length on another backend is the faster one: where the lines of `length_costs` cross.

Only within the lengths that were timed; beyond them a line says nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import inf, isfinite, isnan, nan

import numpy as np

from bench.analysis.findings import place
from bench.analysis.intervals import LEAST_SEEDS, Interval
from bench.analysis.length_costs import (
    LEAST_LENGTHS,
    Array,
    draw_processes,
    fit_lines,
    percentiles,
    resampled_medians,
    step_s,
)
from bench.analysis.selection import Selection
from bench.plan.cells import Cell
from bench.records.speed import Speed

Pair = tuple[int, list[Speed], list[Speed]]
"""A length and the processes of both sides at it."""


@dataclass(frozen=True)
class Crossing:
    """From which length on another backend is the faster one, by the fitted lines.

    Args:
        first: the cell that is faster at the shortest length; its length is 0.
        second: the other one.
        shortest: the shortest length that was timed.
        longest: the longest one.
        length: from which on the second is faster; infinite if the first is over the whole range.
        interval: 95 % interval of it, beyond the range infinite; NaN with fewer than 5 pairs of processes at a length.
        changes: every two neighbouring lengths between whose medians the faster one changes.
    """

    first: Cell
    second: Cell
    shortest: int
    longest: int
    length: float
    interval: Interval
    changes: tuple[tuple[int, int], ...]

    @property
    def undecided(self) -> bool:
        """Tell whether the interval holds both a crossing and none, or has an end beyond the range."""
        low, high = self.interval.low, self.interval.high
        return not isnan(low) and not (low == high == inf) and not (isfinite(low) and isfinite(high))


def crossings(chosen: Selection) -> list[Crossing]:
    """Return for every two backends, all else equal, where the faster one changes; three common lengths or more.

    Only cells of the same run are compared. Processes of the same number took turns, and are drawn together.
    """
    places: dict[Cell, dict[Cell, dict[int, tuple[int, list[Speed]]]]] = defaultdict(lambda: defaultdict(dict))
    for run, timed in enumerate(chosen.timed_by_run):
        for cell, trials in timed.items():
            side = cell.model_copy(update={"length": 0})
            places[place(side)][side][cell.length] = run, trials
    found: list[Crossing] = []
    for sides in places.values():
        for one, other in combinations(sorted(sides, key=lambda cell: cell.side), 2):
            both = [
                (length, sides[one][length][1], sides[other][length][1])
                for length in sorted(sides[one].keys() & sides[other].keys())
                if sides[one][length][0] == sides[other][length][0]
            ]
            if len(both) >= LEAST_LENGTHS:
                found.append(_crossing(one, other, both))
    return sorted(found, key=lambda one: (one.first.model, str(one.first.threads), str(one.first.variant)))


def _crossing(one: Cell, other: Cell, both: Sequence[Pair]) -> Crossing:
    lengths = np.array([length for length, _, _ in both], np.float64)
    medians = np.array([[np.median([step_s(trial) for trial in side]) for side in sides] for _, *sides in both]).T
    leads = _leads(lengths, medians[0], medians[1])
    swapped = bool(leads[0] < 0)
    sign = -1 if swapped else 1
    ahead = np.sign(medians[1] - medians[0])
    known = [int(length) for length in lengths]
    return Crossing(
        *((other, one) if swapped else (one, other)),
        shortest=known[0],
        longest=known[-1],
        length=float(_lengths_ahead(lengths, sign * leads)[1]),
        interval=_crossing_interval(lengths, both, sign),
        changes=tuple(
            ends for ends, (left, right) in zip(pairwise(known), pairwise(ahead), strict=True) if left * right < 0
        ),
    )


def _crossing_interval(lengths: Array, both: Sequence[Pair], sign: int) -> Interval:
    times: list[list[Array]] = [[], []]
    for _, *sides in both:
        of_process = [{trial.process: step_s(trial) for trial in side} for side in sides]
        paired = sorted(of_process[0].keys() & of_process[1].keys())
        for kept, known in zip(times, of_process, strict=True):
            kept.append(np.array([known[number] for number in paired]))
    counts = [len(one) for one in times[0]]
    if min(counts) < LEAST_SEEDS:
        return Interval(nan, nan)
    drawn = draw_processes(counts)
    leads = _leads(lengths, *(resampled_medians(side, drawn) for side in times))
    return percentiles(*_lengths_ahead(lengths, sign * leads))


def _leads(lengths: Array, first: Array, second: Array) -> Array:
    """Return by how much the first line lies below the second at the shortest and longest length, shape (2, ...)."""
    lines = [fit_lines(lengths, values) for values in (first, second)]
    return np.array([np.subtract(*(fixed + slope * end for fixed, slope in lines[::-1])) for end in lengths[[0, -1]]])


def _lengths_ahead(lengths: Array, leads: Array) -> tuple[Array, Array]:
    """Return from which length on the second side is ahead, as two ends between which it is known to lie.

    The ends differ only where the sides cross the other way round, of which no such length can be named.

    Args:
        lengths: shape (lengths,).
        leads: of the first side at the shortest and the longest length, shape (2, ...).
    """
    start, end = leads
    with np.errstate(divide="ignore", invalid="ignore"):
        met = lengths[0] + (lengths[-1] - lengths[0]) * start / (start - end)
    inside = np.where(end >= 0, inf, met)
    return np.where(start < 0, -inf, inside), np.where((start < 0) & (end < 0), -inf, inside)
