"""Time steady epochs of every cell with pytest-benchmark's own clock.

The fit runs in a fresh worker, parked behind its warm-up until the clock starts. From then on it runs
without a pause and tells when an epoch has ended; a round lasts from one such message to the next.
"""

import sys
from math import ceil
from statistics import fmean
from typing import Any

import pytest

from bench.cases.plugin import accuracy_of
from bench.machine import usable_cores
from bench.plan import Cell, Sweep, Timing, Trial
from bench.processes import WorkerLostError, WorkerProcess, failure
from bench.records import Accuracy, Failure, Header, Speed
from bench.runner import pinned, timing_cores
from bench.store import RunWriter


def test_training(cell: Cell, benchmark: Any, sweep: Sweep, run: tuple[Header, RunWriter]) -> None:
    """An epoch of training, validation left out; accuracy, start and memory stand in extra_info."""
    header, writer = run
    timing = sweep.timing
    benchmark.group = f"{cell.model} length {cell.length}"
    trial = Trial(kind="speed", cell=cell, index=0, settings=sweep.settings)
    worker_cores, own_cores = timing_cores(timing.threads, usable_cores())
    with (
        pinned(own_cores),
        WorkerProcess(
            sys.executable, cell, threads=timing.threads, cores=worker_cores, limit_s=timing.limit_s
        ) as worker,
    ):
        try:
            worker.ready()
            rounds = _rounds(timing, worker.park(trial))
            worker.release(rounds)
            benchmark.pedantic(worker.step, rounds=rounds, iterations=1)
            record = worker.finish(trial)
        except WorkerLostError as lost:
            record = failure(trial, worker.phase, str(lost))
    writer.append(record)
    if isinstance(record, Failure):
        pytest.fail(f"{record.phase}: {record.reason}")
    assert isinstance(record, Speed)
    benchmark.extra_info.update(_speed_info(record), **_accuracy_info(accuracy_of(writer, cell)))
    benchmark.extra_info["worker"] = header.workers[0].model_dump(mode="json")
    assert len(record.steady_s) == rounds, "an epoch was lost between the two clocks"
    assert {trial.seed for trial in accuracy_of(writer, cell)} == set(range(sweep.seeds)), "an accuracy trial failed"


def _rounds(timing: Timing, warm_s: float) -> int:
    """Ask for as many epochs as the settings want, judging by one that lasted `warm_s`."""
    most = timing.most_epochs - 1 - timing.warmup_epochs
    return min(max(timing.steady_epochs, ceil(timing.steady_s / warm_s)), most)


def _speed_info(record: Speed) -> dict[str, Any]:
    whole = record.model_dump(mode="json", exclude={"kind", "cell", "process", "epochs_s"})
    return whole | {
        "first_epoch_s": record.epochs_s[0],
        "disturbed": record.disturbed,
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
