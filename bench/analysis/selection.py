"""Which records may stand in one table, and where they are from.

Units stand in the headings of the frames that are made of them.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from bench.analysis.ratios import Compared, Timed, against, compare, controls, of_cells
from bench.analysis.statistics import EpochTime, epoch_time
from bench.host import BUSY_LOAD
from bench.plan.cells import Cell, by_cell
from bench.records.schema import Accuracy, Baseline, Failure, Record, Worker
from bench.records.speed import Speed, disturbers
from bench.records.store import Run
from seqsum_core.settings import VariantSettings

Row = dict[str, Any]
MOST_NAMED = 8
TARGET = 0.25
"""The val_mse at which a training counts as done: half a digit, so that rounding mostly gives the right sum."""


@dataclass(frozen=True)
class Table:
    """A frame with what a reader must know beside it.

    Args:
        title: what it is.
        frame: a row of figures for each cell, all digits.
        notes: what stands below it.
        best: the figures that are marked: the row's label in the index, and the column.
        columns: which columns are shown, and in which order; empty: all.
    """

    title: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    best: frozenset[tuple[int, str]] = frozenset()
    columns: tuple[str, ...] = ()

    @property
    def shown(self) -> list[str]:
        """Return the names of the columns that are shown."""
        return [name for name in self.columns or self.frame.columns if name in self.frame]


@dataclass(frozen=True)
class Selection:
    """The records that may stand in one table, because they were made alike.

    Args:
        runs: where they are from, oldest first.
        by_run: of each kind and cell the records of the newest run that has any; those of one run together,
            since only they took turns with each other.
        left_out: runs of another machine or other settings.
        target: the val_mse that trainings shall reach; nothing but the time to it depends on it.
    """

    runs: tuple[Run, ...]
    by_run: tuple[tuple[Record, ...], ...]
    left_out: tuple[Run, ...]
    target: float = TARGET

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """Return the records of all runs."""
        return tuple(record for of_run in self.by_run for record in of_run)

    @property
    def busiest(self) -> float:
        """Return the highest load in the minute before a run began or went on."""
        loads = [run.header.load_average for run in self.runs]
        return max(loads + [again.load_average for run in self.runs for again in run.resumed])

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the records of one class."""
        return self._of_kinds.get(kind, [])

    def cells(self, kind: type[Any]) -> list[tuple[Cell, list[Any]]]:
        """Return the records of one class by their cell, in the order in which the cells come first."""
        if kind not in self._cells:
            self._cells[kind] = by_cell(self.of(kind))
        return self._cells[kind]

    @cached_property
    def timed_by_run(self) -> tuple[Timed, ...]:
        """Return of each run, and of each of its cells, the processes that count for it: all but the controls."""
        return tuple(map(of_cells, self.by_run))

    @cached_property
    def timed(self) -> Timed:
        """Return the same of all runs; a cell stands in one of them only."""
        return {cell: trials for timed in self.timed_by_run for cell, trials in timed.items()}

    def epoch_time(self, cell: Cell) -> EpochTime:
        """Summarise the processes of a cell."""
        if cell not in self._times:
            self._times[cell] = epoch_time(self.timed[cell])
        return self._times[cell]

    def compared(self, side: str) -> list[Compared]:
        """Compare cells that took turns in one run: see `bench.analysis.ratios.compare`."""
        if side not in self._compared:
            self._compared[side] = [one for timed in self.timed_by_run for one in compare(timed, side)]
        return self._compared[side]

    def against(self, other: Callable[[Cell], Cell]) -> list[Compared]:
        """Compare every cell with the one that `other` names for it, if both took turns in one run."""
        return [one for timed in self.timed_by_run for one in against(timed, other)]

    @cached_property
    def controls(self) -> list[Compared]:
        """Compare cells with their controls."""
        runs = zip(self.timed_by_run, self.by_run, strict=True)
        return [one for timed, records in runs for one in controls(timed, of_cells(records, twins=True))]

    @cached_property
    def _times(self) -> dict[Cell, EpochTime]:
        return {}

    @cached_property
    def _compared(self) -> dict[str, list[Compared]]:
        return {}

    @cached_property
    def _of_kinds(self) -> dict[type[Any], list[Any]]:
        kinds: dict[type[Any], list[Any]] = defaultdict(list)
        for record in self.records:
            kinds[type(record)].append(record)
        return dict(kinds)

    @cached_property
    def _cells(self) -> dict[type[Any], list[tuple[Cell, list[Any]]]]:
        return {}

    @cached_property
    def usually_trained(self) -> list[Accuracy]:
        """Return the accuracy records of the newest run's first way of making batches; all if it has none."""
        trials: list[Accuracy] = self.of(Accuracy)
        usual = self.runs[-1].header.sweep.trained_variants[0]
        return [trial for trial in trials if trial.cell.variant == usual] or trials


def select(runs: Sequence[Run]) -> Selection:
    """Put together what is comparable with the newest run: same machine, settings and versions.

    Args:
        runs: oldest first; at least one.
    """
    alike: list[Run] = []
    workers: dict[str, Worker] = {}
    for run in reversed(runs):
        known = all(workers.get(worker.side, worker) == worker for worker in run.header.workers)
        if known and _conditions(run) == _conditions(runs[-1]):
            alike.insert(0, run)
            workers |= {worker.side: worker for worker in run.header.workers}
    return Selection(tuple(alike), _newest(alike), tuple(run for run in runs if run not in alike))


def _newest(runs: Sequence[Run]) -> tuple[tuple[Record, ...], ...]:
    """Return of each run the records that no newer one replaces."""
    if len(runs) == 1:  # naming the places of many records takes long
        return (runs[0].records,)
    newest = {_place(record): run.header.run for run in runs for record in run.records}
    return tuple(tuple(one for one in run.records if newest[_place(one)] == run.header.run) for run in runs)


def _conditions(run: Run) -> tuple[Any, ...]:
    header = run.header
    return header.protocol_version, header.machine, header.sweep.settings, header.sweep.device, header.sweep.variant


def _place(record: Record) -> tuple[Any, ...]:
    """Name what a record is about; a newer run's replaces an older one's."""
    if isinstance(record, Baseline):
        return record.kind, record.name, record.length
    return record.trial if isinstance(record, Failure) else record.kind, *vars(record.cell).values()


def axes(cell: Cell) -> Row:
    """Return the columns that every row of a cell begins with."""
    row: Row = {"model": cell.model, "length": cell.length, "backend": cell.side}
    if cell.threads != 1:
        row["threads"] = str(cell.threads)
    if cell.variant != VariantSettings():
        row["variant"] = str(cell.variant)
    return row


def cell_frame(
    chosen: Selection, kind: str, cells: Mapping[Cell, list[Any]], row: Callable[[list[Any]], Row]
) -> pd.DataFrame:
    """Make one row of figures for each cell; that of a cell whose every trial failed is empty."""
    rows = {str(cell): axes(cell) | row(of_cell) for cell, of_cell in cells.items()}
    for failure in chosen.of(Failure):
        if failure.trial == kind:
            rows.setdefault(str(failure.cell), axes(failure.cell))
    for cell, said in statuses(chosen, kind).items():
        rows[cell]["status"] = said
    return sort_rows(name_usual(pd.DataFrame(list(rows.values()))), ["length", "model", "backend", *USUAL])


def statuses(chosen: Selection, kind: str) -> dict[str, str]:
    """Say in short what became of the failed trials of each cell that has any; the table of failures says more."""
    measured = _measured(chosen, kind)
    failed: dict[str, list[Failure]] = defaultdict(list)
    for failure in chosen.of(Failure):
        if failure.trial == kind:
            failed[str(failure.cell)].append(failure)
    return {
        cell: f"{len(failures)} failed" if cell in measured else _ended(failures[0])
        for cell, failures in failed.items()
    }


def _ended(failure: Failure) -> str:
    return failure.fault if failure.fault == "not available" else f"failed in {failure.phase}"


USUAL = {"threads": "1", "variant": "default"}
"""Axes that are shown only where a row differs in them, and what the other rows are then."""


def name_usual(frame: pd.DataFrame) -> pd.DataFrame:
    """Name threads and variant in every row, behind the other axes, where some rows have others than the usual ones."""
    others = [name for name in ("model", "length", "backend") if name in frame]
    for name in (name for name in USUAL if name in frame):
        frame.insert(len(others), name, frame.pop(name).fillna(USUAL[name]))
        others.append(name)
    return frame


def sort_rows(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Sort a frame by those columns that it has, if it has rows, and number them anew."""
    present = [name for name in columns if name in frame]
    return frame if frame.empty else frame.sort_values(present, kind="stable", ignore_index=True)


def without_figures(chosen: Selection, kind: str) -> tuple[str, ...]:
    """Name the cells that have nothing to show: those that were tried, and those whose turn never came."""
    measured = _measured(chosen, kind)
    tried = {str(failure.cell) for failure in chosen.of(Failure) if failure.trial == kind}
    planned = {str(cell) for run in chosen.runs for cell in _planned(run, kind)}
    named = {"Without figures, see Failures": tried - measured, "Planned but not measured": planned - tried - measured}
    return tuple(f"{what}: {_some(sorted(cells))}." for what, cells in named.items() if cells)


def _measured(chosen: Selection, kind: str) -> set[str]:
    cells = chosen.timed if kind == "speed" else [cell for cell, _ in chosen.cells(Accuracy)]
    return {str(cell) for cell in cells}


def _planned(run: Run, kind: str) -> list[Cell]:
    sweep = run.header.sweep
    return sweep.cells() if kind == "speed" else sweep.trained_cells()


def _some(names: Sequence[str]) -> str:
    """List names, the first ones of many."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def provenance(chosen: Selection) -> list[str]:
    """Say in a few lines where the figures are from, and what is doubtful about it."""
    header, runs = chosen.runs[-1].header, chosen.runs
    machine, workers = (
        header.machine,
        {worker.side: worker for run in runs for worker in run.header.workers},
    )
    versions = sorted({f"{name} {version}{of}" for worker in workers.values() for name, version, of in _named(worker)})
    lines = [
        f"{header.sweep.device}: {machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB, "
        f"{machine.system}",
        ", ".join([*versions, f"seqsum {header.seqsum_version} ({header.commit})"]),
        f"runs: {', '.join(run.header.run + (' (resumed)' if run.resumed else '') for run in runs)}",
    ]
    turns = [turn for record in chosen.of(Speed) for turn in record.slices]
    if disturbed := sum(turn.disturbed for turn in turns):
        lines.append(
            f"{disturbers(turns).capitalize()} disturbed {disturbed} of {len(turns)} turns; they were measured again, "
            "and count only where that did not help."
        )
    if machine.governor not in ("performance", "unknown"):
        lines.append(f"The CPU frequency governor was {machine.governor}: epochs may be slower than they need be.")
    if (busiest := chosen.busiest) > BUSY_LOAD:
        lines.append(f"The machine was busy when a run began: load {busiest:g} in the minute before.")
    if chosen.left_out:
        lines.append(f"Left out, since measured elsewhere or otherwise: {len(chosen.left_out)} older run(s).")
    return lines


def _named(worker: Worker) -> list[tuple[str, str, str]]:
    of = "" if worker.side == worker.backend else f" ({worker.side})"
    return [(name, worker.versions[name], of) for name in ("keras", worker.backend) if name in worker.versions]
