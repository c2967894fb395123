"""The real commands on every backend that is installed here: slow, and what users do."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import installed_backends

from bench.records import Accuracy, Speed
from bench.store import load_run

pytestmark = pytest.mark.end_to_end

PROJECT = Path(__file__).parent.parent
TINY = """
models = ["simple_rnn", "gru"]
lengths = [4]
seeds = 1
[training]
epochs = 2
[timing]
warmup_epochs = 1
steady_epochs = 3
steady_s = 0.001
validations = 2
"""


def call(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment | {"TMPDIR": str(folder)} | variables,
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.toml").write_text(TINY)
    return folder, call(folder, "seqsum", "run", "--sweep", "tiny.toml")


def test_run_measures_every_backend(measured: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, answer = measured
    assert answer.returncode == 0, answer.stderr
    (header,) = (folder / "results").glob("*/run.json")
    run = load_run(header.parent)
    expected = {(backend, model) for backend in installed_backends() for model in ("simple_rnn", "gru")}
    for kind in (Speed, Accuracy):
        cells = {(record.cell.backend, record.cell.model) for record in run.records if isinstance(record, kind)}
        assert cells == expected
    for worker in run.header.workers:
        assert worker.versions["keras"] and worker.environment["KERAS_BACKEND"] == worker.backend
        assert worker.environment["OMP_NUM_THREADS"] == "1"


def test_backends_agree_on_accuracy(measured: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = measured
    (header,) = (folder / "results").glob("*/run.json")
    records = [record for record in load_run(header.parent).records if isinstance(record, Accuracy)]
    for model in ("simple_rnn", "gru"):
        losses = [record.val_loss for record in records if record.cell.model == model]
        assert len(losses) == len(installed_backends())
        for loss in losses[1:]:
            assert loss == pytest.approx(losses[0], rel=1e-5)


def test_speed_times_fresh_processes_with_their_start(measured: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = measured
    (header,) = (folder / "results").glob("*/run.json")
    for record in load_run(header.parent).records:
        if isinstance(record, Speed):
            assert record.process_start_s is not None and record.process_start_s > 0
            assert record.import_s > 0 and len(record.steady_s) == 3 and len(record.validation_s) == 2


def test_table_shows_what_run_measured(measured: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, run = measured
    table = call(folder, "seqsum", "table")
    assert table.stdout == run.stdout
    for backend in installed_backends():
        assert backend in table.stdout


def test_own_model_runs_and_a_wrong_one_is_refused_before_measuring(tmp_path: Path) -> None:
    backend = installed_backends()[0]
    (tmp_path / "tiny.toml").write_text(TINY)
    own = ["seqsum", "run", "--sweep", "tiny.toml", "--backend", backend, "--model"]
    path = {"PYTHONPATH": str(PROJECT / "tests")}
    wrong = call(tmp_path, *own, "own_models:wrong_output", **path)
    assert wrong.returncode == 2 and "must output shape (batch, 1)" in wrong.stderr
    assert not list((tmp_path / "results").iterdir())
    right = call(tmp_path, *own, "own_models:uncompiled", **path)
    assert right.returncode == 0, right.stderr
    assert "own_models:unco" in right.stdout


def test_gpu_that_is_absent_is_refused(tmp_path: Path) -> None:
    if any(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("this machine has a GPU")
    backend = installed_backends()[0]
    answer = call(tmp_path, "seqsum", "run", "--backend", backend, "--device", "gpu", "--length", "4")
    assert answer.returncode == 2 and "gpu" in answer.stderr.lower() and "Traceback" not in answer.stderr


def test_interrupted_run_keeps_what_it_measured(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY.replace("lengths = [4]", "lengths = [4, 5, 6, 7]"))
    command = ["seqsum", "run", "--sweep", "tiny.toml", "--backend", installed_backends()[0]]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("[2/"):
                break
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()
    assert running.returncode == 130 and "what was measured is kept" in rest
    table = call(tmp_path, "seqsum", "table", "--show", "speed")
    assert table.returncode == 0 and "simple_rnn" in table.stdout


def test_parity_certifies_every_backend(tmp_path: Path) -> None:
    answer = call(tmp_path, "seqsum", "parity", "--json")
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr
    told = json.loads(answer.stdout)
    assert told["verdict"] == "pass" and told["missing"] == {} and len(told["cases"]) == 19
    assert [worker["backend"] for worker in told["backends"]] == installed_backends()
    sides = {tuple(check["sides"]) for check in told["checks"]}
    assert len(sides) == len(installed_backends()) * (len(installed_backends()) + 1) / 2


def test_replicas_are_timed_against_every_loop(tmp_path: Path) -> None:
    command = ["seqsum", "replicas", "--model", "simple_rnn", "--length", "4", "--seeds", "2", "--epochs", "2"]
    answer = call(tmp_path, *command, "--json")
    assert answer.returncode == 0, answer.stderr
    timed = json.loads(answer.stdout)["timed"]
    ways = {(one["backend"], one["way"]) for one in timed}
    plain = {("torch", "plain")} if "torch" in installed_backends() else set()
    assert ways == {(backend, way) for backend in installed_backends() for way in ("replica", "alone")} | plain
    for backend in installed_backends():
        together, alone = (one["val_loss"] for one in timed if one["backend"] == backend and one["way"] != "plain")
        assert together == pytest.approx(alone, rel=1e-5)


def pytest_command(*options: str) -> list[str]:
    cases = str(PROJECT / "bench" / "cases")
    return ["pytest", "-c", str(PROJECT / "pyproject.toml"), cases, "--benchmark-only", *options]


@pytest.fixture(scope="module")
def benchmarked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the cases twice, so that there is something to compare."""
    folder = tmp_path_factory.mktemp("cases")
    (folder / "tiny.toml").write_text(TINY)
    options = ["--sweep=tiny.toml", f"--benchmark-storage=file://{folder}/saved", "-k", "simple_rnn"]
    for _ in range(2):
        answer = call(folder, *pytest_command(*options), KERAS_BACKEND=installed_backends()[0])
        assert answer.returncode == 0, answer.stdout + answer.stderr
    return folder


def saved(folder: Path) -> Any:
    *_, newest = sorted(folder.glob("saved/*/*.json"))
    return json.loads(newest.read_text())


def test_pytest_times_epochs_and_keeps_the_rest_in_extra_info(benchmarked: Path) -> None:
    (case,) = saved(benchmarked)["benchmarks"]
    info = case["extra_info"]
    assert case["group"] == "simple_rnn length 4" and case["stats"]["rounds"] >= 3
    assert info["seeds"] == 1 and info["val_mse"] > 0 and info["first_epoch_s"] > 0
    assert info["worker"]["versions"]["keras"] and info["peak_rss_bytes"] > 0
    assert saved(benchmarked)["machine_info"]["seqsum"]["cores"] >= 1


def test_pytest_clock_and_the_workers_clock_agree(benchmarked: Path) -> None:
    (case,) = saved(benchmarked)["benchmarks"]
    run = load_run(sorted((benchmarked / "results").glob("*-tiny-*"))[-1])
    (speed,) = [record for record in run.records if isinstance(record, Speed)]
    own = sorted(speed.steady_s)[len(speed.steady_s) // 2]
    assert 0.5 < case["stats"]["median"] / own < 2


def test_pytest_benchmark_compares_what_was_saved(benchmarked: Path) -> None:
    answer = call(benchmarked, "pytest-benchmark", f"--storage=file://{benchmarked}/saved", "compare")
    assert answer.returncode == 0 and answer.stdout.count("test_training[simple_rnn-4]") >= 2


def test_pytest_refuses_a_keras_backend_that_is_not_there(tmp_path: Path) -> None:
    answer = call(tmp_path, *pytest_command(), KERAS_BACKEND="theano")
    assert answer.returncode == 2 and "`backend` must be one of" in answer.stdout + answer.stderr


def test_wheel_works_outside_the_repository(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(tmp_path), str(PROJECT)]
    subprocess.run(build, check=True, timeout=600)
    (wheel,) = tmp_path.glob("seqsum-*.whl")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, timeout=600)
    (tmp_path / "tiny.toml").write_text(TINY)
    command = [sys.executable, "-m", "bench", "run", "--sweep", "tiny.toml", "--backend", installed_backends()[0]]
    answer = call(tmp_path, *command, "--model", "gru", PYTHONPATH=str(site))
    assert answer.returncode == 0, answer.stderr
    assert (site / "bench" / "profiles" / "smoke.toml").exists() and "gru" in answer.stdout
