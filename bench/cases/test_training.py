"""Time steady epochs of every cell with pytest-benchmark's own clock.

The fit runs in a fresh worker, parked behind its warm-up until the clock starts. From then on it runs
without a pause and tells when an epoch has ended; a round lasts from one such message to the next.
"""

from math import ceil
from statistics import fmean
from typing import Any

import pytest

from bench.cases.plugin import accuracy_of, fresh_worker
from bench.plan.cells import Cell, Trial
from bench.plan.sweep import Sweep
from bench.plan.timing import Timing
from bench.records.failures import WorkerLostError, failure
from bench.records.schema import Accuracy, Header
from bench.records.speed import Speed
from bench.records.store import RunWriter
from bench.worker.messages import Turn


def test_training(cell: Cell, benchmark: Any, sweep: Sweep, run: tuple[Header, RunWriter]) -> None:
    """An epoch of training, validation left out; accuracy, start and memory stand in extra_info."""
    header, writer = run
    benchmark.group = f"{cell.model} length {cell.length}"
    trial = Trial(kind="speed", cell=cell, index=0, settings=sweep.settings, expect=sweep.expect)
    with fresh_worker(trial, sweep) as worker:
        try:
            worker.ready()
            epochs = counted_epochs(sweep.timing, worker.park(trial).epoch_s)
            worker.begin_turn(Turn(round=0, epochs=epochs, tell=True))
            worker.step()  # the warm-up
            benchmark.pedantic(worker.step, rounds=epochs, iterations=1)
            worker.end_turn()
            record = worker.leave()
        except WorkerLostError as lost:
            failed = failure(trial, worker.phase, lost)
            writer.append(failed)
            pytest.fail(f"{failed.phase}: {failed.reason}")
    writer.append(record)
    benchmark.extra_info.update(_speed_info(record), **_accuracy_info(accuracy_of(writer, cell)))
    benchmark.extra_info["worker"] = header.workers[0].model_dump(mode="json")
    assert len(record.steady_s) == epochs, "an epoch was lost between the two clocks"
    assert {trial.seed for trial in accuracy_of(writer, cell)} == set(range(sweep.seeds)), "an accuracy trial failed"


def counted_epochs(timing: Timing, warm_s: float) -> int:
    """Ask in one turn for as many epochs as all rounds would have, judging by one that lasted `warm_s`."""
    return timing.rounds * max(timing.slice_epochs, ceil(timing.slice_s / warm_s))


def _speed_info(record: Speed) -> dict[str, Any]:
    whole = record.model_dump(mode="json", exclude={"kind", "cell", "process", "start_epochs_s", "slices"})
    return whole | {
        "first_epoch_s": record.first_epoch_s,
        "disturbed": any(turn.disturbed for turn in record.slices),
        "backend": record.cell.backend,
    }


def _accuracy_info(trials: list[Accuracy]) -> dict[str, Any]:
    if not trials:
        return {}
    return {
        "seeds": len(trials),
        "val_mse": fmean(trial.val_loss[-1] for trial in trials),
        "test_mse": fmean(trial.test.mse for trial in trials),
        "mean_absolute_error": fmean(trial.test.mae for trial in trials),
        "exact_sum_rate": fmean(trial.test.exact_sum_rate for trial in trials),
        "stop_epoch": fmean(trial.epochs for trial in trials),
    }
