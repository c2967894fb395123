"""What the records say about speed, each figure computed once: pictures, charts and sentences are made of it.

Seconds. Every statistic is one of `statistics` beside it; which cells are compared is said by `ratios`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from bench.analysis.ratios import Compared
from bench.analysis.selection import Selection
from bench.analysis.statistics import EpochTime, Overtaking, median, overtaking
from bench.plan.cells import Cell
from bench.records.speed import Slice, Speed

PARTS = ("process start", "import", "build", "first epoch")


@dataclass(frozen=True)
class Timed:
    """How long a cell takes.

    Args:
        cell: which.
        time: its steady epochs.
        rows_per_epoch: sequences in an epoch.
        start_s: median of all parts of the start together, by process.
        parts_s: medians of the parts, in the order of `PARTS`.
        peak_rss_bytes: median of the most memory that a process held.
    """

    cell: Cell
    time: EpochTime
    rows_per_epoch: int
    start_s: float
    parts_s: tuple[float, ...]
    peak_rss_bytes: float

    def done_s(self, epoch: Any) -> Any:
        """Return when an epoch, or each of an array of epochs, counted from 1, has ended."""
        return self.start_s + (epoch - 1) * self.time.median_s


@dataclass(frozen=True)
class BreakEven:
    """From which epoch on the cell with the faster epochs is ahead of one of another backend."""

    faster: Timed
    other: Timed
    found: Overtaking


@dataclass(frozen=True)
class Turn:
    """One turn of a process, and when it began."""

    cell: Cell
    twin: bool
    slice: Slice


class Findings:
    """Speed of some records that may stand together; each part is computed when it is first asked for.

    Args:
        chosen: the records.
    """

    def __init__(self, chosen: Selection) -> None:
        self._chosen = chosen

    @cached_property
    def cells(self) -> list[Timed]:
        """Return the cells that were timed, by model, length, threads and backend."""
        found = [_timed(cell, trials, self._chosen.epoch_time(cell)) for cell, trials in self._chosen.timed.items()]
        return sorted(found, key=lambda one: (one.cell.model, one.cell.length, str(one.cell.threads), one.cell.side))

    @property
    def main_cells(self) -> list[Timed]:
        """Return the cells of the newest run's first variant, with which others are compared; all if it has none."""
        variant = self._chosen.runs[-1].header.sweep.variants[0]
        return [one for one in self.cells if one.cell.variant == variant] or self.cells

    @cached_property
    def ratios(self) -> list[Compared]:
        """Return the ratios between backends; those of different runs are not compared."""
        return _by_place(self._chosen.compared("backend"))

    @cached_property
    def controls(self) -> list[Compared]:
        """Return the ratios of cells to themselves."""
        return _by_place(self._chosen.controls)

    @cached_property
    def break_evens(self) -> list[BreakEven]:
        """Return where the backend with the faster epochs gets ahead, for every two that differ in nothing else."""
        trials = self._chosen.timed
        found: list[BreakEven] = []
        for one, other in combinations(self.cells, 2):
            if place(one.cell) == place(other.cell):
                faster, slower = sorted((one, other), key=lambda timed: timed.time.median_s)
                ahead = overtaking(trials[faster.cell], trials[slower.cell])
                found.append(BreakEven(faster, slower, ahead))
        return found

    @cached_property
    def turns(self) -> list[Turn]:
        """Return every turn in the order in which they began, those of the controls too."""
        speeds: list[Speed] = self._chosen.of(Speed)
        found = [Turn(speed.cell, speed.twin, turn) for speed in speeds for turn in speed.slices if turn.steady_s]
        return sorted(found, key=lambda turn: turn.slice.begun_at_s)


def place(cell: Cell) -> Cell:
    """Return what two cells have in common that differ in their backend only."""
    return cell.model_copy(update={"backend": None, "installation": None})


def _timed(cell: Cell, trials: list[Speed], time: EpochTime) -> Timed:
    parts = (
        median(trial.process_start_s for trial in trials),
        median(trial.import_s for trial in trials),
        median(trial.build_s for trial in trials),
        median(trial.first_epoch_s for trial in trials),
    )
    return Timed(
        cell=cell,
        time=time,
        rows_per_epoch=trials[0].rows_per_epoch,
        start_s=median(trial.start_s for trial in trials) or 0.0,
        parts_s=tuple(part or 0.0 for part in parts),
        peak_rss_bytes=median(float(trial.peak_rss_bytes) for trial in trials) or 0.0,
    )


def _by_place(found: Iterable[Compared]) -> list[Compared]:
    return sorted(found, key=lambda one: (one.first.model, one.first.length, str(one.first.threads), str(one.first)))
