"""Did something get slower, or learn worse, between two runs? Cell by cell, with intervals.

The runs took no turns with each other, so that their processes are two independent samples: what the machine did
between the two is not in the intervals (docs/compare.md). Ratios are NEW / BASE; times are seconds.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bench.analysis.intervals import (
    CONFIDENCE,
    LEAST_SEEDS,
    RESAMPLES,
    Contrast,
    Interval,
    Verdict,
    paired_difference,
    paired_ratio,
    verdicts,
)
from bench.analysis.ratios import of_cells
from bench.errors import UserError
from bench.plan.cells import Cell
from bench.records.schema import Accuracy, Failure, Record
from bench.records.speed import Speed
from bench.records.store import Run

SpeedVerdict = Literal["slower", "faster", "no difference", "too few processes"]


@dataclass(frozen=True)
class SpeedChange:
    """A cell that was timed in both runs.

    Args:
        cell: which.
        base: its processes in BASE.
        new: its processes in NEW.
        ratio: NEW / BASE of the medians of the processes' medians.
        interval: 95 % interval of it; NaN with fewer than 5 processes on a side.
    """

    cell: Cell
    base: tuple[Speed, ...]
    new: tuple[Speed, ...]
    ratio: float
    interval: Interval

    @property
    def verdict(self) -> SpeedVerdict:
        """Say what the interval proves."""
        if isnan(self.interval.low):
            return "too few processes"
        if self.interval.low > 1:
            return "slower"
        return "faster" if self.interval.high < 1 else "no difference"


@dataclass(frozen=True)
class AccuracyChange:
    """A cell that was trained in both runs, compared by the seeds that both have.

    Args:
        cell: which.
        patience: where training ended.
        mse: ratio NEW / BASE of the test MSE.
        exact: difference NEW - BASE of the exact-sum rate.
        verdict: of both, corrected for all rows.
    """

    cell: Cell
    patience: int
    mse: Contrast
    exact: Contrast
    verdict: Verdict


@dataclass(frozen=True)
class Lost:
    """Trials of one kind that failed in one cell.

    Args:
        kind: of the trials.
        cell: which.
        base: how many failed in BASE.
        new: how many failed in NEW.
        phase: in which phase the first of them ended, that of NEW if any failed there.
        reason: how.
    """

    kind: Literal["speed", "accuracy"]
    cell: Cell
    base: int
    new: int
    phase: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """All that two runs say about each other.

    Args:
        base: the older side.
        new: the newer side.
        speed: cells that both sides timed.
        accuracy: cells and patiences that both sides trained.
        only_base: what only BASE measured: kind and cell.
        only_new: what only NEW measured.
        lost: cells with failed trials on either side.
    """

    base: Run
    new: Run
    speed: tuple[SpeedChange, ...]
    accuracy: tuple[AccuracyChange, ...]
    only_base: tuple[tuple[str, Cell], ...]
    only_new: tuple[tuple[str, Cell], ...]
    lost: tuple[Lost, ...]


def compare_runs(base: Run, new: Run) -> Comparison:
    """Compare two runs.

    Raises:
        UserError: if their numbers mean different things.
    """
    protocols = [run.header.protocol_version for run in (base, new)]
    if protocols[0] != protocols[1]:
        raise UserError(
            f"`BASE` and `NEW` must be of one protocol. Received: protocol {protocols[0]} and {protocols[1]}, whose "
            "numbers mean different things. Measure both with one seqsum."
        )
    sides = [_measured(run.records) for run in (base, new)]
    return Comparison(
        base=base,
        new=new,
        speed=tuple(_speed_changes(base.records, new.records)),
        accuracy=tuple(_accuracy_changes(base.records, new.records)),
        only_base=tuple(sorted(sides[0] - sides[1], key=_place)),
        only_new=tuple(sorted(sides[1] - sides[0], key=_place)),
        lost=tuple(_lost(base.records, new.records)),
    )


def _measured(records: Iterable[Record]) -> set[tuple[str, Cell]]:
    """Return the kinds and cells that have figures; controls are none of them."""
    return {
        (record.kind, record.cell)
        for record in records
        if isinstance(record, Accuracy) or (isinstance(record, Speed) and not record.twin)
    }


def _place(one: tuple[str, Cell]) -> tuple[Any, ...]:
    """Return what kinds and cells are sorted by."""
    kind, cell = one
    return kind != "speed", cell.length, cell.model, cell.backend, str(cell)


def _speed_changes(base: Sequence[Record], new: Sequence[Record]) -> list[SpeedChange]:
    old, young = of_cells(base), of_cells(new)
    changes = []
    for _, cell in sorted((("speed", cell) for cell in old.keys() & young.keys()), key=_place):
        seconds = [[trial.median_s for trial in side[cell]] for side in (young, old)]
        ratio, interval = ratio_of_medians(*seconds)
        changes.append(SpeedChange(cell, tuple(old[cell]), tuple(young[cell]), ratio, interval))
    return changes


def ratio_of_medians(first: ArrayLike, second: ArrayLike, *, resamples: int = RESAMPLES) -> tuple[float, Interval]:
    """Return first / second of two medians, with its 95 % interval by the percentile bootstrap of both samples.

    The resamples are the same in every call.

    Args:
        first: a positive figure of each process of one side, shape (processes,).
        second: those of the other side, shape (processes,); the two sides are not paired.
        resamples: how many are drawn.

    Returns:
        The ratio and its interval, which is NaN with fewer than 5 figures on a side.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), sections 8.3 and 13.3.
    """
    left, right = (np.sort(np.asarray(side, np.float64)) for side in (first, second))  # order chooses no resamples
    ratio = float(_ratio(left, right))
    if min(len(left), len(right)) < LEAST_SEEDS:
        return ratio, Interval(nan, nan)
    found = stats.bootstrap(
        (left, right),
        _ratio,
        n_resamples=resamples,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return ratio, Interval(float(found.low), float(found.high))


def _ratio(first: NDArray[np.float64], second: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    return np.asarray(np.median(first, axis=axis) / np.median(second, axis=axis))


def _accuracy_changes(base: Sequence[Record], new: Sequence[Record]) -> list[AccuracyChange]:
    """Pair the seeds that both sides have; only starts drawn in NumPy are pairs."""
    old, young = _by_seed(base), _by_seed(new)
    found = []
    for cell, patience in sorted(old.keys() & young.keys(), key=lambda key: (_place(("", key[0])), key[1])):
        sides = [side[cell, patience] for side in (young, old)]
        seeds = sorted(sides[0].keys() & sides[1].keys())
        if seeds:
            mse = paired_ratio(*[[side[seed].test.mse for seed in seeds] for side in sides])
            exact = paired_difference(*[[side[seed].test.exact_sum_rate for seed in seeds] for side in sides])
            found.append((cell, patience, mse, exact))
    judged = verdicts([contrasts for _, _, *contrasts in found])
    return [AccuracyChange(*one, verdict=verdict) for one, verdict in zip(found, judged, strict=True)]


def _by_seed(records: Iterable[Record]) -> dict[tuple[Cell, int], dict[int, Accuracy]]:
    found: dict[tuple[Cell, int], dict[int, Accuracy]] = defaultdict(dict)
    for record in records:
        if isinstance(record, Accuracy) and record.start == "numpy":
            found[record.cell, record.patience][record.seed] = record
    return found


def _lost(base: Sequence[Record], new: Sequence[Record]) -> list[Lost]:
    failures: dict[tuple[str, Cell], tuple[list[Failure], list[Failure]]] = defaultdict(lambda: ([], []))
    for place, records in enumerate((base, new)):
        for record in records:
            if isinstance(record, Failure):
                failures[record.trial, record.cell][place].append(record)
    return [
        Lost(shown.trial, shown.cell, len(old), len(young), shown.phase, shown.reason)
        for _, (old, young) in sorted(failures.items(), key=lambda item: _place(item[0]))
        for shown in [(young or old)[0]]
    ]
