"""Runs: what is started, in which order, what is kept when workers fail, what resuming completes, who is refused."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from shutil import copytree
from typing import Any

import psutil
import pytest
from factories import make_sweep
from fake_worker import fake_python
from rich.console import Console

from bench.errors import UserError
from bench.measure.executor import ThisMachine
from bench.measure.progress import Progress
from bench.measure.run import resume_run, run_sweep
from bench.plan.cells import BACKENDS
from bench.plan.timing import Limits, Runtime, Timing
from bench.records.schema import Accuracy, Baseline, Failure, Record, Speed
from bench.records.store import HEADER, TRIALS, RunWriter, load_run, seal_header
from bench.records.verify import verify_run

pytestmark = pytest.mark.usefixtures("own_lock")

TIMING = Timing(processes=1, rounds=2, warmup_epochs=1, warmup_s=0, turn_epochs=3, turn_s=0, control="none")
SMALL: dict[str, Any] = {"backends": ("jax", "torch"), "models": ("lstm",), "lengths": (4,), "seeds": 1}


def run(
    folder: Path, behaviours: dict[str, str] | None = None, *, progress: Progress | None = None, **changes: Any
) -> RunWriter:
    fields = {"models": ("simple_rnn", "lstm"), "seeds": 2, "timing": TIMING, "limits": Limits.all_phases(60.0)}
    workers = dict.fromkeys(BACKENDS, "good") | (behaviours or {})
    return run_sweep(
        make_sweep(**(fields | changes)),
        profile="test",
        command="seqsum run",
        results=folder / "results",
        executor=ThisMachine({name: fake_python(folder, behaviour) for name, behaviour in workers.items()}),
        progress=progress or Progress(Console(quiet=True)),
    )


def test_every_trial_leaves_one_record_and_the_disk_holds_them_all(tmp_path: Path) -> None:
    written = run(tmp_path)
    loaded = load_run(written.folder)
    assert loaded.records == tuple(written.records) and not loaded.problems
    kinds = [type(record) for record in loaded.records]
    assert kinds[:12] == [Speed] * 12, "speed comes first"
    assert kinds.count(Accuracy) == 3 * 2 * 2 * 2 and kinds.count(Baseline) == 2 * 2 and Failure not in kinds
    assert [worker.environment for worker in loaded.header.workers] == list(BACKENDS)
    seeds: dict[str, set[Any]] = {backend: set() for backend in BACKENDS}
    for record in loaded.records:
        if isinstance(record, Accuracy):
            seeds[record.cell.backend].add((record.cell.model, record.cell.length, record.seed))
    assert seeds["jax"] == seeds["torch"] == seeds["tensorflow"]


def test_two_runs_have_orders_of_their_own(tmp_path: Path) -> None:
    first, second = (load_run(run(tmp_path / name, **SMALL).folder).header for name in _folders(tmp_path, 2))
    assert first.order_seed != second.order_seed


def _folders(folder: Path, count: int) -> list[str]:
    for number in range(count):
        (folder / str(number)).mkdir()
    return [str(number) for number in range(count)]


def test_own_models_are_trained_seed_by_seed(tmp_path: Path) -> None:
    shown = StringIO()
    written = run(tmp_path, models=("lstm", "x:y"), lengths=(4,), progress=Progress(Console(file=shown, width=200)))
    assert "x:y: trained one seed after another" in shown.getvalue()
    assert "seeds 0 to 1" in shown.getvalue() and "x:y 4 seed 1" in shown.getvalue()
    assert sum(isinstance(record, Accuracy) for record in written.records) == 3 * 2 * 2


def test_crashing_cell_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    records = run(tmp_path, {"torch": "crashes at 12"}).records
    failures = [record for record in records if isinstance(record, Failure)]
    assert {(record.cell.backend, record.cell.length) for record in failures} == {("torch", 12)}
    assert sorted(record.trial for record in failures) == ["accuracy"] * 4 + ["speed"] * 2
    measured = [record for record in records if isinstance(record, Speed | Accuracy)]
    assert len(measured) + len(failures) == 12 + 24


def test_second_installation_is_timed_in_turns_with_the_first_and_not_trained(tmp_path: Path) -> None:
    written = run(tmp_path, {"jax@old": "good"}, **(SMALL | {"backends": ("jax", "jax@old")}))
    loaded = load_run(written.folder)
    assert [worker.environment for worker in loaded.header.workers] == ["jax", "jax@old"]
    timed = [record.cell.environment for record in loaded.records if isinstance(record, Speed)]
    assert sorted(timed) == ["jax", "jax@old"]
    assert {record.cell.environment for record in loaded.records if isinstance(record, Accuracy)} == {"jax"}


def test_runtime_reaches_every_worker(tmp_path: Path) -> None:
    written = run(tmp_path, **(SMALL | {"seeds": 0}), runtime=Runtime(deterministic=True))
    assert [worker.deterministic for worker in load_run(written.folder).header.workers] == [True, True]


def test_another_path_than_expected_is_a_failure_that_names_it(tmp_path: Path) -> None:
    records = run(tmp_path, {"jax": "wrong path"}, **(SMALL | {"seeds": 0}), expect="while_loop").records
    (failure,) = [record for record in records if isinstance(record, Failure)]
    assert (failure.cell.backend, failure.phase) == ("jax", "execution path")
    assert "`expect` is while_loop, but scan ran" in failure.reason


@pytest.mark.parametrize(
    ("behaviours", "changes", "message"),
    [
        ({"jax": "no gpu"}, {}, "Use --device cpu"),
        ({"jax": "dies at import"}, {}, "Environment jax does not start: ended with exit code 3"),
        ({"jax": "wrong model"}, {"models": ("lstm", "x:y")}, "must return a keras.Model"),
        ({}, {"backends": ("jax", "jax@old")}, "Add --python jax@old=PATH"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_measured(
    tmp_path: Path, behaviours: dict[str, str], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(tmp_path, behaviours, **changes)
    assert not (tmp_path / "results").exists()


def test_results_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match="must be a folder that can be written"):
        run(tmp_path, **SMALL)


def test_contradicting_keras_backend_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(UserError, match="KERAS_BACKEND is set to 'torch'"):
        run(tmp_path, backends=("jax",))


def test_gpu_that_others_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.measure.executor.other_gpu_users", lambda: [7, 12])
    with pytest.raises(UserError, match="one that process 7, 12 uses"):
        run(tmp_path, device="gpu")


def test_more_devices_than_cores_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.measure.executor.usable_cores", lambda: [0, 1])
    with pytest.raises(UserError, match="`devices` must be at most 2"):
        run(tmp_path, **SMALL, axes={"devices": (1, 4)})


COORDINATOR = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.path.insert(0, {tests!r})
from pathlib import Path
import tempfile; tempfile.tempdir = {folder!r}
from test_run import run
run(Path({folder!r}), {{"jax": "hangs in its second turn"}}, lengths=(4,), models=("lstm",))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, None), (signal.SIGKILL, -9)])
def test_no_worker_outlives_its_coordinator(tmp_path: Path, number: int, code: int | None) -> None:
    if sys.platform != "linux" and number == signal.SIGKILL:
        pytest.skip("only Linux ends a child with its parent")
    script = COORDINATOR.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    coordinator = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    wait_for(lambda: list((tmp_path / "results").glob("*/run.json")))
    workers = wait_for(lambda: _three(psutil.Process(coordinator.pid).children()))
    time.sleep(1.0)  # into the second turn, in which a worker hangs while the others wait
    coordinator.send_signal(number)
    assert coordinator.wait(30) == code or code is None
    assert wait_for(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers))


def _three(children: list[psutil.Process]) -> list[psutil.Process]:
    return children if len(children) == 3 else []


def wait_for(condition: Any) -> Any:
    """Ask again until the answer is true, for a while."""
    for _ in range(600):
        if answer := condition():
            return answer
        time.sleep(0.1)
    pytest.fail("waited in vain")


def resume(folder: Path, written: Path, *, retry: bool = False) -> None:
    pythons: dict[str, str] = {backend: fake_python(folder) for backend in BACKENDS}
    quiet = Progress(Console(quiet=True))
    resume_run(written, command="seqsum run --resume", executor=ThisMachine(pythons), progress=quiet, retry=retry)


def places(records: Sequence[Record]) -> list[str]:
    """Return what was measured, without its figures."""
    names = ("kind", "cell", "process", "is_control", "seed", "patience", "name", "length")
    return sorted(str([getattr(record, name, None) for name in names]) for record in records)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measure a small run with a control."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        patch.delenv("KERAS_BACKEND", raising=False)
        return run(folder, timing=TIMING.model_copy(update={"control": "one"}), **SMALL).folder


@pytest.mark.parametrize("kept", [0, 2, 6])
def test_run_cut_anywhere_is_completed(tmp_path: Path, undisturbed: Path, kept: int) -> None:
    """A torn last line is dropped, and a block without one of its records is measured again."""
    folder = Path(copytree(undisturbed, tmp_path / "cut"))
    lines = folder / TRIALS
    lines.write_bytes(b"".join(lines.read_bytes().splitlines(keepends=True)[:kept]) + b'{"kind": "spe')
    resume(tmp_path, folder)
    after = load_run(folder)
    assert places(after.records) == places(load_run(undisturbed).records)
    assert verify_run(folder).holds and len(after.resumed) == 1
    assert len(after.resumed[0].dropped) == (2 if kept == 2 else 0)


def test_what_failed_is_measured_again_only_on_request(tmp_path: Path) -> None:
    folder = run(tmp_path, {"torch": "crashes at 4"}, **SMALL).folder
    resume(tmp_path, folder)
    assert any(isinstance(record, Failure) for record in load_run(folder).records)
    resume(tmp_path, folder, retry=True)
    kinds = [record.kind for record in load_run(folder).records]
    assert "failure" not in kinds and (kinds.count("speed"), kinds.count("accuracy")) == (2, 2)


def test_complete_run_is_left_alone(tmp_path: Path, undisturbed: Path) -> None:
    before = {path.name: path.read_bytes() for path in undisturbed.iterdir()}
    resume(tmp_path, undisturbed)
    assert {path.name: path.read_bytes() for path in undisturbed.iterdir()} == before


def test_another_version_or_machine_cannot_go_on(tmp_path: Path, undisturbed: Path) -> None:
    folder = Path(copytree(undisturbed, tmp_path / "other"))
    header = load_run(folder).header
    machine = header.machine.model_copy(update={"cpu": "Other CPU"})
    (folder / HEADER).write_bytes(seal_header(header.model_copy(update={"seqsum_version": "9", "machine": machine})))
    before = (folder / TRIALS).read_bytes()
    with pytest.raises(
        UserError, match=r"cannot go on, since .*seqsum was 9, is .*cpu was Other CPU, is.*Restore that"
    ):
        resume(tmp_path, folder)
    assert (folder / TRIALS).read_bytes() == before
