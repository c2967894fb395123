"""Which runs are comparable, and of each cell the newest figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from bench.plan.cells import Cell
from bench.records.frame import CELL, Frames, cell_columns
from bench.records.schema import Header, Worker
from bench.records.store import Run
from seqsum_core.tasks import GOALS


@dataclass(frozen=True)
class Selection:
    """Runs whose figures are comparable.

    Args:
        runs: oldest first; `left_out`: the other runs, oldest first.
        target: the val_loss that trainings are to reach; only the time to it depends on it. None: a user's own task
            has none unless it is given.
    """

    runs: tuple[Run, ...]
    left_out: tuple[Run, ...] = ()
    target: float | None = None

    @property
    def header(self) -> Header:
        """Return the header of the newest run."""
        return self.runs[-1].header

    @property
    def workers(self) -> dict[str, Worker]:
        """Return the workers of all runs, which are the same wherever an environment was measured again."""
        return {worker.environment: worker for run in self.runs for worker in run.header.workers}

    @property
    def busiest_load(self) -> float:
        """Return the highest load average of the minute before a run began or went on."""
        loads = [run.header.load_average for run in self.runs]
        return max(loads + [resumed.load_average for run in self.runs for resumed in run.resumed])

    @cached_property
    def frames(self) -> Frames:
        """Return of each cell and kind of trial the rows of the newest run that has any."""
        return Frames(self.runs, newest_only=True)

    @cached_property
    def main_turns(self) -> pd.DataFrame:
        """Return the turns of the variant with which others are compared; all turns if there is none."""
        turns = self.frames.turns
        main = turns[turns["variant"] == str(self.header.sweep.variants[0])]
        return main if len(main) else turns

    @cached_property
    def planned(self) -> pd.DataFrame:
        """Return what the runs were to measure: `trial` ("speed" or "accuracy") and the columns of the cell."""
        cells: dict[tuple[str, Cell], None] = {}
        for run in self.runs:
            sweep = run.header.sweep
            cells |= dict.fromkeys(("speed", cell) for cell in sweep.cells())
            cells |= dict.fromkeys(("accuracy", cell) for cell in sweep.trained_cells())
        rows = [{"trial": trial, **cell_columns(cell)} for trial, cell in cells]
        return pd.DataFrame(rows, columns=["trial", *CELL])


def select(runs: Sequence[Run], target: float | None = None) -> Selection:
    """Select of at least one run those that are comparable with the newest: machine, settings, versions, protocol.

    `target` None: that of the task.
    """
    runs = sorted(runs, key=lambda run: run.header.started_at)
    conditions = _conditions(runs[-1].header)
    comparable: list[Run] = []
    workers: dict[str, Worker] = {}
    own: dict[str, str] = {}
    for run in reversed(runs):
        same = all(workers.get(worker.environment, worker) == worker for worker in run.header.workers)
        same = same and all(own.get(name, known) == known for name, known in run.header.own.items())
        if same and _conditions(run.header) == conditions:
            own |= run.header.own
            comparable.insert(0, run)
            workers |= {worker.environment: worker for worker in run.header.workers}
    left_out = (run for run in runs if not any(run is other for other in comparable))
    task = comparable[-1].header.sweep.task.name
    return Selection(tuple(comparable), tuple(left_out), GOALS.get(task) if target is None else target)


def _conditions(header: Header) -> tuple[Any, ...]:
    """Return what must be the same in comparable runs, besides the versions of each environment."""
    sweep = header.sweep
    return header.protocol_version, header.machine, sweep.settings, sweep.device, sweep.variant
