"""Time every cell as `seqsum run` does, each on its own, and store it with pytest-benchmark.

pytest-benchmark's clock is the workers': a round is a turn, and lasts as long as an epoch of it did on average.
"""

from collections.abc import Iterable
from statistics import fmean
from typing import Any

import pytest

from bench.cases.plugin import CaseRun
from bench.plan.cells import Cell
from bench.records.schema import Accuracy, Failure, Speed


class _Clock:
    now_s = 0.0


def worker_clock() -> float:
    """Return the seconds per epoch of all turns so far, one after another."""
    return _Clock.now_s


@pytest.mark.benchmark(timer=worker_clock)
def test_training(cell: Cell, benchmark: Any, run: CaseRun) -> None:
    """An epoch of training, validation left out; accuracy, start and memory stand in extra_info."""
    benchmark.group = f"{cell.model} length {cell.length}"
    records = run.time_cell(cell)
    if failures := [record for record in records if isinstance(record, Failure)]:
        pytest.fail(f"{failures[0].phase}: {failures[0].reason}")
    timed = [record for record in records if isinstance(record, Speed)]
    epochs_s = [turn.epoch_s for record in timed for turn in record.counted_turns.values()]

    def next_turn() -> None:
        _Clock.now_s += epochs_s.pop(0)

    benchmark.pedantic(next_turn, rounds=len(epochs_s))
    trainings = run.trainings(cell)
    benchmark.extra_info.update(speed_info(timed), **accuracy_info(trainings))
    benchmark.extra_info["worker"] = run.header.workers[0].model_dump(mode="json")
    assert {record.seed for record in trainings} == set(range(run.header.sweep.seeds)), "an accuracy trial failed"


def speed_info(records: list[Speed]) -> dict[str, Any]:
    """Return what is known of the last process besides its turns."""
    last = records[-1]
    return last.model_dump(mode="json", exclude={"kind", "cell", "process", "start_epochs_s", "turns"}) | {
        "backend": last.cell.backend,
        "first_epoch_s": last.start_epochs_s[0],
        "disturbed": any(turn.disturbed for record in records for turn in record.counted_turns.values()),
    }


def _mean(figures: Iterable[float | None]) -> float | None:
    """Return the mean, or None where a task has no such figure."""
    known = [figure for figure in figures if figure is not None]
    return fmean(known) if known else None


def accuracy_info(records: list[Accuracy]) -> dict[str, Any]:
    """Return means over the seeds, where the longest patience ended the trainings."""
    if not records:
        return {}
    longest = max(records, key=lambda record: (record.patience < 0, record.patience)).patience
    records = [record for record in records if record.patience == longest]
    return {
        "seeds": len(records),
        "val_loss": fmean(record.val_loss[-1] for record in records),
        "loss_name": records[0].loss_name,
        "judge": records[0].judge,
        "test_error": fmean(record.test.error for record in records),
        "test_mae": _mean(record.test.mae for record in records),
        "right_rate": _mean(record.test.right_rate for record in records),
        "epochs": fmean(len(record.loss) for record in records),
    }
