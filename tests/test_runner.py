"""The coordinator: what it starts, in which order, what it keeps when workers fail, and the lock."""

import os
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from factories import make_sweep
from fake_worker import fake_python
from rich.console import Console

from bench.analysis.ratios import compare, of_cells
from bench.errors import UserError
from bench.measure.local import ThisMachine, machine_lock
from bench.measure.progress import Progress
from bench.measure.run import run_sweep
from bench.plan.sweep import Sweep
from bench.plan.timing import Limits, Runtime, Timing
from bench.records.schema import Accuracy, Baseline, Failure
from bench.records.speed import Speed
from bench.records.store import RunWriter, load_run

pytestmark = pytest.mark.usefixtures("own_lock")

TIMING = Timing(processes=1, rounds=2, warmup_epochs=1, warmup_s=0, slice_epochs=3, slice_s=0, control="none")


def sweep(**changes: Any) -> Sweep:
    fields: dict[str, Any] = {"lengths": (4, 12), "models": ("simple_rnn", "lstm"), "seeds": 2, "timing": TIMING}
    fields["limits"] = Limits.all_phases(60.0)
    return Sweep(**(fields | changes))


def run(
    folder: Path, behaviours: dict[str, str] | None = None, *, progress: Progress | None = None, **changes: Any
) -> RunWriter:
    told = {"jax": "good", "torch": "good", "tensorflow": "good"} | (behaviours or {})
    return run_sweep(
        sweep(**changes),
        profile="test",
        command="seqsum run",
        results=folder / "results",
        site=ThisMachine({backend: fake_python(folder, behaviour) for backend, behaviour in told.items()}),
        progress=progress or Progress(Console(quiet=True)),
    )


def test_every_trial_leaves_one_record_and_the_disk_holds_them_all(tmp_path: Path) -> None:
    written = run(tmp_path)
    loaded = load_run(written.folder)
    assert loaded.records == tuple(written.records) and not loaded.problems
    kinds = [type(record) for record in loaded.records]
    assert kinds.count(Speed) == 3 * 2 * 2 and kinds.count(Accuracy) == 3 * 2 * 2 * 2
    assert kinds.count(Baseline) == 2 * 2 and Failure not in kinds
    assert {worker.backend for worker in loaded.header.workers} == {"jax", "torch", "tensorflow"}


def test_a_model_that_cannot_be_replicated_is_trained_seed_by_seed_and_that_is_said(tmp_path: Path) -> None:
    shown = StringIO()
    written = run(tmp_path, models=("lstm", "x:y"), lengths=(4,), progress=Progress(Console(file=shown, width=200)))
    assert "x:y: trained one seed after another" in shown.getvalue()
    assert "seeds 0 to 1" in shown.getvalue() and "x:y 4 seed 1" in shown.getvalue()
    assert sum(isinstance(record, Accuracy) for record in written.records) == 3 * 2 * 2


def test_same_seeds_on_every_backend(tmp_path: Path) -> None:
    trials = {
        (record.cell.backend, record.cell.model, record.cell.length, record.seed)
        for record in run(tmp_path).records
        if isinstance(record, Accuracy)
    }
    per_backend = {backend: {trial[1:] for trial in trials if trial[0] == backend} for backend in ("jax", "torch")}
    assert per_backend["jax"] == per_backend["torch"] and len(per_backend["jax"]) == 8


def test_speed_comes_first_and_in_blocks_of_one_length(tmp_path: Path) -> None:
    timing = TIMING.model_copy(update={"processes": 2, "rounds": 1})
    records = run(tmp_path, backends=("jax", "torch"), timing=timing).records
    kinds = [record.kind for record in records]
    assert kinds.index("accuracy") > max(index for index, kind in enumerate(kinds) if kind == "speed")
    speeds = [record for record in records if isinstance(record, Speed)]
    blocks = [speeds[first : first + 4] for first in range(0, len(speeds), 4)]
    assert [{(record.cell.length, record.process) for record in block} for block in blocks] == [
        {(4, 0)},
        {(12, 0)},
        {(4, 1)},
        {(12, 1)},
    ]
    for block in blocks:
        assert len({(record.cell.backend, record.cell.model) for record in block}) == 4


def test_crashing_cell_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    records = run(tmp_path, {"torch": "crashes at 12"}).records
    failures = [record for record in records if isinstance(record, Failure)]
    assert {(record.cell.backend, record.cell.length) for record in failures} == {("torch", 12)}
    assert sorted(record.trial for record in failures) == ["accuracy"] * 4 + ["speed"] * 2
    measured = [record for record in records if isinstance(record, Speed | Accuracy)]
    assert len(measured) + len(failures) == 12 + 24


def test_a_second_installation_is_timed_in_turns_with_the_first_and_not_trained(tmp_path: Path) -> None:
    pythons = {side: fake_python(tmp_path) for side in ("jax", "jax@old")}
    chosen = sweep(backends=("jax",), models=("lstm",), lengths=(4,), rivals=("jax@old",))
    quiet = Progress(Console(quiet=True))
    written = run_sweep(
        chosen, profile="test", command="x", results=tmp_path / "results", site=ThisMachine(pythons), progress=quiet
    )
    loaded = load_run(written.folder)
    assert {worker.side for worker in loaded.header.workers} == {"jax", "jax@old"}
    speeds = [record for record in loaded.records if isinstance(record, Speed)]
    assert sorted(speed.cell.side for speed in speeds) == ["jax", "jax@old"]
    assert {record.cell.side for record in loaded.records if isinstance(record, Accuracy)} == {"jax"}
    (compared,) = compare(of_cells(loaded.records), "backend")
    assert (compared.first.side, compared.second.side, compared.ratio.value) == ("jax@old", "jax", 1.0)


def test_a_second_installation_without_an_interpreter_is_the_users_to_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Add --python jax@old=PATH"):
        run(tmp_path, rivals=("jax@old",))


def test_runtime_reaches_every_worker(tmp_path: Path) -> None:
    written = run(tmp_path, lengths=(4,), models=("lstm",), seeds=0, runtime=Runtime(deterministic=True))
    assert [worker.deterministic for worker in load_run(written.folder).header.workers] == [True] * 3


def test_unmet_expectation_is_a_failure_that_names_the_path(tmp_path: Path) -> None:
    told = {"jax": "wrong path"}
    records = run(tmp_path, told, lengths=(4,), models=("lstm",), seeds=0, expect="while_loop").records
    (failure,) = [record for record in records if isinstance(record, Failure)]
    assert (failure.cell.backend, failure.phase) == ("jax", "witness")
    assert "`expect` is while_loop, but scan ran" in failure.reason
    assert {record.cell.backend for record in records if isinstance(record, Speed)} == {"torch", "tensorflow"}


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("no gpu", "Use --device cpu"),
        ("dies at import", "does not start"),
        ("wrong model", "must return a keras.Model"),
    ],
)
def test_what_the_user_must_mend_is_said_before_anything_is_measured(
    tmp_path: Path, behaviour: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(tmp_path, {"jax": behaviour}, models=("lstm", "x:y"))
    assert not (tmp_path / "results").exists()


def test_second_run_is_refused_and_told_who_measures(tmp_path: Path) -> None:
    with machine_lock(), pytest.raises(UserError, match=f"process {os.getpid()}"):
        run(tmp_path)


def test_results_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match="must be a folder that can be written"):
        run(tmp_path)


def test_contradicting_keras_backend_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(UserError, match="KERAS_BACKEND is set to 'torch'"):
        run(tmp_path, backends=("jax",))


COORDINATOR = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.path.insert(0, {tests!r})
from pathlib import Path
import tempfile; tempfile.tempdir = {folder!r}
from test_runner import run
run(Path({folder!r}), {{"jax": "hangs in its second turn"}}, lengths=(4,), models=("lstm",))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, None), (signal.SIGKILL, -9)])
def test_no_worker_outlives_its_coordinator_parked_or_not(tmp_path: Path, number: int, code: int | None) -> None:
    if sys.platform != "linux" and number == signal.SIGKILL:
        pytest.skip("only Linux ends a child with its parent")
    script = COORDINATOR.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    coordinator = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    wait_for(lambda: list((tmp_path / "results").glob("*/run.json")))
    children = psutil.Process(coordinator.pid).children
    workers = wait_for(lambda: found if len(found := children()) == 3 else None)
    time.sleep(1.0)  # into the second turn, which one hangs in while the others are parked
    coordinator.send_signal(number)
    assert coordinator.wait(30) == code or code is None
    assert wait_for(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers))


def wait_for(condition: Any) -> Any:
    """Ask again until the answer is true, for a while."""
    for _ in range(300):
        if answer := condition():
            return answer
        time.sleep(0.1)
    pytest.fail("waited in vain")


def test_a_gpu_that_others_use_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.gpus.other_users", lambda: [7, 12])
    with pytest.raises(UserError, match="one that process 7, 12 uses"):
        run_sweep(
            make_sweep(device="gpu"),
            profile="any",
            command="any",
            results=tmp_path,
            site=ThisMachine({}),
            progress=Progress(),
        )
    assert not list(tmp_path.iterdir())
