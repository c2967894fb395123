"""Worker processes: answered, failed, crashed, silent; never a hang, never an orphan."""

import time
from pathlib import Path

import psutil
import pytest
from fake_worker import fake_python

from bench.errors import UserError
from bench.machine import usable_cores
from bench.plan import Cell, Group, Settings, Timing, Trial
from bench.processes import WorkerLostError, WorkerProcess
from bench.records import Accuracy, Failure, Speed

CELL = Cell(backend="jax", device="cpu", model="lstm", length=4)
SETTINGS = Settings(timing=Timing(warmup_epochs=1, steady_epochs=3, most_epochs=20))


def trial(kind: str = "speed") -> Trial:
    return Trial(kind=kind, cell=CELL, index=0, settings=SETTINGS)  # type: ignore[arg-type]


def make_group(seeds: tuple[int, ...]) -> Group:
    return Group(cell=CELL, seeds=seeds, settings=SETTINGS)


def start(folder: Path, behaviour: str = "good", *, limit_s: float = 30.0) -> WorkerProcess:
    python = fake_python(folder, behaviour)
    return WorkerProcess(python, CELL, threads="one", cores=usable_cores()[:1], limit_s=limit_s)


def test_worker_proves_itself_in_the_environment_it_was_given(tmp_path: Path) -> None:
    with start(tmp_path) as worker:
        assert worker.ready().environment == {"KERAS_BACKEND": "jax"}


def test_one_worker_serves_several_trials(tmp_path: Path) -> None:
    with start(tmp_path) as worker:
        worker.ready()
        speed, accuracies = worker.measure(trial()), worker.train(make_group(seeds=(0, 3)))
        assert isinstance(speed, Speed) and worker.alive
        assert [one.seed for one in accuracies if isinstance(one, Accuracy)] == [0, 3]
        assert speed.steady_s == (0.25, 0.25, 0.25)
        assert speed.process_start_s is not None and 0 < speed.process_start_s < 60


def test_stepped_fit_waits_to_be_released_and_counts_its_epochs(tmp_path: Path) -> None:
    with start(tmp_path) as worker:
        worker.ready()
        assert worker.park(trial()) == 0.25
        parked = psutil.Process(worker.pid)
        time.sleep(0.2)
        before = sum(parked.cpu_times()[:2])
        time.sleep(1.0)
        assert parked.status() in (psutil.STATUS_SLEEPING, psutil.STATUS_DISK_SLEEP)
        assert sum(parked.cpu_times()[:2]) - before < 0.1
        worker.release(5)
        for _ in range(5):
            worker.step()
        record = worker.finish(trial())
        assert isinstance(record, Speed) and len(record.steady_s) == 5


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("crashes", "exit code -6"),
        ("exits", "exit code 9: Killed for its memory"),
        ("raises", "RuntimeError: out of memory"),
    ],
)
def test_what_goes_wrong_is_a_failure_with_its_phase(tmp_path: Path, behaviour: str, reason: str) -> None:
    with start(tmp_path, behaviour) as worker:
        worker.ready()
        record = worker.measure(trial())
    assert isinstance(record, Failure)
    assert record.phase == "fit" and reason in record.reason and "\n" not in record.reason


def test_a_worker_that_raised_can_be_asked_again_and_one_that_crashed_not(tmp_path: Path) -> None:
    for behaviour, alive in (("raises", True), ("crashes", False)):
        with start(tmp_path, behaviour) as worker:
            worker.ready()
            worker.measure(trial())
            assert worker.alive is alive


def test_silent_worker_is_ended(tmp_path: Path) -> None:
    with start(tmp_path, "hangs", limit_s=5.0) as worker:
        worker.ready()
        record = worker.measure(trial())
        assert isinstance(record, Failure) and "silent for 5 s" in record.reason
    assert not psutil.pid_exists(worker.pid)


def test_what_a_framework_prints_does_not_disturb_the_answers(tmp_path: Path) -> None:
    with start(tmp_path, "prints") as worker:
        worker.ready()
        assert isinstance(worker.measure(trial()), Speed)


def test_absent_device_is_the_users_to_mend(tmp_path: Path) -> None:
    with start(tmp_path, "no gpu") as worker, pytest.raises(UserError, match="Use --device cpu"):
        worker.ready()


def test_broken_installation_says_how_it_ended(tmp_path: Path) -> None:
    with (
        start(tmp_path, "dies at import") as worker,
        pytest.raises(WorkerLostError, match="exit code 3: ImportError: no such library"),
    ):
        worker.ready()


def test_leaving_ends_the_worker_whatever_it_is_at(tmp_path: Path) -> None:
    with start(tmp_path) as worker:
        worker.ready()
        worker.park(trial())
        assert psutil.pid_exists(worker.pid)
    assert not psutil.pid_exists(worker.pid)
