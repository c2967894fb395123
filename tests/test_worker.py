"""Worker processes: asked, failed, crashed, silent; never a hang, never an orphan."""

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
from bench.records.failures import WorkerError
from bench.records.schema import Accuracy, Speed
from bench.worker.messages import (
    Check,
    Checked,
    Closed,
    CloseTrial,
    Opened,
    OpenTrial,
    RunTurn,
    Train,
    Trained,
    TurnDone,
)

CELL = Cell(environment="jax", device="cpu", model="lstm", length=4)
RUNTIME = Runtime()
SETTINGS = Settings(timing=Timing(warmup_epochs=1, warmup_s=0, turn_epochs=3, turn_s=0))
TRIAL = Trial(kind="speed", cell=CELL, index=0, settings=SETTINGS)
GROUP = Group(cell=CELL, seeds=(0, 3), settings=SETTINGS)


def start(folder: Path, behaviour: str = "good", *, limit_s: float = 60.0, runtime: Runtime = RUNTIME) -> WorkerProcess:
    return WorkerProcess(
        fake_python(folder, behaviour),
        environment="jax",
        device="cpu",
        threads=1,
        cores=usable_cores()[:1],
        limits=Limits.all_phases(limit_s),
        runtime=runtime,
    )


def measure(process: WorkerProcess, *, rounds: int = 2) -> Speed:
    """Run a whole speed trial."""
    process.ready()
    process.ask(OpenTrial(trial=TRIAL), Opened)
    for number in range(rounds):
        process.ask(RunTurn(round=number, started_after_s=number + 0.5), TurnDone)
    return process.ask(CloseTrial(), Closed).record


def test_worker_reports_what_it_is(tmp_path: Path) -> None:
    with start(tmp_path, runtime=Runtime(tf32=True, deterministic=True)) as process:
        worker = process.ready()
    assert worker.environment == "jax" and worker.variables["KERAS_BACKEND"] == "jax"
    assert (worker.float32_precision, worker.deterministic) == ("tf32", True)


def test_several_requests(tmp_path: Path) -> None:
    """What a framework prints meanwhile does not disturb the replies."""
    with start(tmp_path, "prints") as process:
        speed = measure(process)
        records = process.ask(Train(group=GROUP), Trained).records
        assert process.alive and process.phase == "fit"
    assert [record.seed for record in records if isinstance(record, Accuracy)] == [0, 3]
    assert [(turn.round, turn.started_after_s) for turn in speed.turns] == [(0, 0.5), (1, 1.5)]
    assert {turn.epochs_s for turn in speed.turns} == {(EPOCH_S,) * 4}
    assert speed.process_start_s is not None and 0 < speed.process_start_s < 60


def test_worker_sleeps_between_turns(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        process.ready()
        process.ask(OpenTrial(trial=TRIAL), Opened)
        waiting = psutil.Process(process.pid)
        time.sleep(0.2)
        before_s = sum(waiting.cpu_times()[:2])
        time.sleep(0.5)
        assert waiting.status() in (psutil.STATUS_SLEEPING, psutil.STATUS_DISK_SLEEP)
        assert sum(waiting.cpu_times()[:2]) - before_s < 0.05


@pytest.mark.parametrize(
    ("behaviour", "reason", "fault", "phase", "alive"),
    [
        ("raises", "RuntimeError: out of memory$", "out of memory", "first epoch", True),
        ("crashes", r"exit code -6 \(SIGABRT\)", "crashed", "first epoch", False),
        ("raises in its second turn", "RuntimeError: out of memory$", "out of memory", "turn", True),
        ("exits in its second turn", "exit code 9: Killed for its memory", "crashed", "turn", False),
        ("hangs in its second turn", "silent for 5 s, ended", "silent", "turn", False),
        ("babbles in turn", "something else than a message: 'no reply", "garbled", "turn", False),
        ("wrong path", "ValueError: `expect` is None, but scan ran", "raised", "execution path", True),
        ("dies at import", "exit code 3: ImportError: no such library", "crashed", "import", False),
    ],
)
def test_errors(tmp_path: Path, behaviour: str, reason: str, fault: str, phase: str, alive: bool) -> None:
    limit_s = 5.0 if fault == "silent" else 60.0
    with start(tmp_path, behaviour, limit_s=limit_s) as process:
        with pytest.raises(WorkerError, match=reason) as error:
            measure(process)
        assert (error.value.fault, error.value.phase) == (fault, phase)
        assert process.alive is alive
    assert not psutil.pid_exists(process.pid)


def test_reply_of_another_kind(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        process.ready()
        with pytest.raises(WorkerError, match="replied out of turn: opened") as error:
            process.ask(OpenTrial(trial=TRIAL), TurnDone)
        assert error.value.fault == "garbled" and not process.alive


def test_turn_without_an_open_trial_is_an_error(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        process.ready()
        with pytest.raises(WorkerError, match="no trial is open"):
            process.ask(RunTurn(round=0), TurnDone)
        assert process.alive


@pytest.mark.parametrize(("behaviour", "message"), [("no gpu", "Use --device cpu"), ("wrong model", "keras.Model")])
def test_wrong_input_is_the_users_error(tmp_path: Path, behaviour: str, message: str) -> None:
    with start(tmp_path, behaviour) as process, pytest.raises(UserError, match=message):
        process.ready()
        process.ask(Check(trial=TRIAL), Checked)


def test_interpreter_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="cannot be started") as error:
        WorkerProcess(
            str(tmp_path / "none"),
            environment="jax",
            device="cpu",
            threads=1,
            cores=[0],
            limits=Limits(),
            runtime=Runtime(),
        )
    assert (error.value.fault, error.value.phase) == ("not started", "start")
