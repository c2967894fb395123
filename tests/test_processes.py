"""Worker processes: answered, failed, crashed, silent; never a hang, never an orphan."""

import time
from pathlib import Path

import psutil
import pytest
from fake_worker import EPOCH_S, fake_python

from bench.errors import UserError
from bench.host import usable_cores
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import Cell, Group, Settings, Trial
from bench.plan.timing import Limits, Runtime, Timing
from bench.records.failures import WorkerLostError
from bench.records.schema import Accuracy, Failure
from bench.records.speed import Speed
from bench.worker.messages import OverheadRequest, Turn

CELL = Cell(backend="jax", device="cpu", model="lstm", length=4)
SETTINGS = Settings(timing=Timing(warmup_epochs=1, warmup_s=0, slice_epochs=3, slice_s=0))


def trial(kind: str = "speed") -> Trial:
    return Trial(kind=kind, cell=CELL, index=0, settings=SETTINGS)  # type: ignore[arg-type]


def make_group(seeds: tuple[int, ...]) -> Group:
    return Group(cell=CELL, seeds=seeds, settings=SETTINGS)


def start(
    folder: Path, behaviour: str = "good", *, limit_s: float = 30.0, runtime: Runtime | None = None
) -> WorkerProcess:
    python = fake_python(folder, behaviour)
    return WorkerProcess(python, CELL, cores=usable_cores()[:1], limits=Limits.all_phases(limit_s), runtime=runtime)


def measure(worker: WorkerProcess, *, rounds: int = 2) -> Speed:
    """Run a speed trial without a pause."""
    worker.ready()
    worker.park(trial())
    for number in range(rounds):
        worker.run_turn(Turn(round=number))
    return worker.leave()


def test_worker_proves_itself_in_the_environment_it_was_given(tmp_path: Path) -> None:
    with start(tmp_path) as worker:
        assert worker.ready().environment == {"KERAS_BACKEND": "jax"}


def test_worker_is_told_the_runtime(tmp_path: Path) -> None:
    with start(tmp_path, runtime=Runtime(tf32=True, deterministic=True)) as worker:
        proved = worker.ready()
    assert (proved.float32_precision, proved.deterministic) == ("tf32", True)


def test_one_worker_serves_several_requests(tmp_path: Path) -> None:
    with start(tmp_path) as worker:
        speed, accuracies = measure(worker), worker.train(make_group(seeds=(0, 3)))
        assert worker.alive and worker.phase == "fit"
        assert [one.seed for one in accuracies if isinstance(one, Accuracy)] == [0, 3]
        assert [(turn.round, turn.steady_s) for turn in speed.slices] == [(0, (EPOCH_S,) * 3), (1, (EPOCH_S,) * 3)]
        assert speed.process_start_s is not None and 0 < speed.process_start_s < 60


def test_parked_fit_sleeps_until_it_has_its_turn(tmp_path: Path) -> None:
    with start(tmp_path) as worker:
        worker.ready()
        assert worker.park(trial()).epoch_s == EPOCH_S
        parked = psutil.Process(worker.pid)
        for number in range(2):
            time.sleep(0.2)
            before = sum(parked.cpu_times()[:2])
            time.sleep(0.5)
            assert parked.status() in (psutil.STATUS_SLEEPING, psutil.STATUS_DISK_SLEEP)
            assert sum(parked.cpu_times()[:2]) - before < 0.05
            assert worker.run_turn(Turn(round=number, begun_at_s=number + 0.5)).begun_at_s == number + 0.5
        assert [turn.round for turn in worker.leave().slices] == [0, 1]


def test_stepped_turn_tells_its_warm_up_once_and_then_each_epoch(tmp_path: Path) -> None:
    with start(tmp_path) as worker:
        worker.ready()
        worker.park(trial())
        worker.begin_turn(Turn(round=0, epochs=5, tell=True))
        for _ in range(1 + 5):
            worker.step()
        assert len(worker.end_turn().steady_s) == 5
        worker.begin_turn(Turn(round=1, epochs=2, tell=True))
        with pytest.raises(WorkerLostError, match="answered out of turn: epoch"):
            worker.end_turn()


def test_step_of_a_turn_that_tells_nothing_is_out_of_turn(tmp_path: Path) -> None:
    with start(tmp_path) as worker:
        worker.ready()
        worker.park(trial())
        worker.begin_turn(Turn(round=0))
        with pytest.raises(WorkerLostError, match="answered out of turn: turned"):
            worker.step()


def test_overhead_has_a_value_for_each_fit_of_a_pair(tmp_path: Path) -> None:
    with start(tmp_path) as worker:
        worker.ready()
        found = worker.weigh(OverheadRequest(trial=trial(), fit_s=0.1, repeats=3))
    assert len(found.bare_s) == len(found.timed_s) == 3


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
        (record,) = worker.train(make_group(seeds=(0,)))
    assert isinstance(record, Failure)
    assert record.phase == "build" and reason in record.reason and "\n" not in record.reason


@pytest.mark.parametrize(
    ("behaviour", "reason", "phase", "alive"),
    [
        ("raises", "RuntimeError: out of memory$", "first epoch", True),
        ("crashes", "exit code -6", "first epoch", False),
        ("raises in its second turn", "RuntimeError: out of memory$", "turns", True),
        ("exits in its second turn", "exit code 9: Killed for its memory", "turns", False),
        ("wrong path", "ValueError: `expect` is None, but scan ran", "witness", True),
    ],
)
def test_what_goes_wrong_in_a_timed_fit_is_said_with_its_phase(
    tmp_path: Path, behaviour: str, reason: str, phase: str, alive: bool
) -> None:
    with start(tmp_path, behaviour) as worker:
        with pytest.raises(WorkerLostError, match=reason):
            measure(worker)
        assert worker.phase == phase and worker.alive is alive


def test_silent_worker_is_ended(tmp_path: Path) -> None:
    with (
        start(tmp_path, "hangs in its second turn", limit_s=5.0) as worker,
        pytest.raises(WorkerLostError, match="silent for 5 s"),
    ):
        measure(worker)
    assert not psutil.pid_exists(worker.pid)


def test_what_a_framework_prints_does_not_disturb_the_answers(tmp_path: Path) -> None:
    with start(tmp_path, "prints") as worker:
        assert len(measure(worker).slices) == 2


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
