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

from bench.host import usable_cores
from bench.records.schema import Accuracy, Failure
from bench.records.speed import Speed
from bench.records.store import load_run

pytestmark = pytest.mark.end_to_end

PROJECT = Path(__file__).parent.parent
TINY = """
models = ["simple_rnn", "gru"]
lengths = [4]
seeds = 1
[training]
epochs = 2
[timing]
processes = 1
rounds = 2
warmup_epochs = 1
warmup_s = 0.0
slice_epochs = 3
slice_s = 0.001
validations = 2
control = "each"
"""
ONE_CELL = TINY.replace('["simple_rnn", "gru"]', '["simple_rnn"]').replace('"each"', '"none"')
PATHS = {"jax": ("scan", 2), "torch": ("python_loop", 0), "tensorflow": ("while_loop", 2)}
"""Where a fresh process of Keras 3.15.1 runs a recurrent layer on a CPU, and training steps it compiles."""


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


def speeds(folder: Path) -> list[Speed]:
    """Return the speed records of the only run in a folder."""
    (header,) = (folder / "results").glob("*/run.json")
    return [record for record in load_run(header.parent).records if isinstance(record, Speed)]


def test_speed_times_fresh_processes_with_their_start(measured: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    for record in speeds(measured[0]):
        assert record.process_start_s is not None and record.process_start_s > 0
        assert record.import_s > 0 and len(record.start_epochs_s) == 2 and len(record.validation_s) == 2
        assert record.rounds.keys() == {0, 1}
        assert all(len(turn.steady_s) >= 3 for turn in record.slices)
        assert record.witness is not None
        assert (record.witness.recurrence, record.witness.compilations) == PATHS[record.cell.backend]


def test_cells_take_turns_and_the_first_model_has_controls(
    measured: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    records = speeds(measured[0])
    of_each = {(record.cell.backend, record.cell.model, record.twin, record.process) for record in records}
    assert len(of_each) == len(records) == 3 * len(installed_backends())
    assert {record.cell.model for record in records if record.twin} == {"simple_rnn"}
    begun_s: dict[int, list[float]] = {0: [], 1: []}
    for record in records:
        for turn in record.slices:
            begun_s[turn.round].append(turn.begun_at_s)
    assert max(begun_s[0]) < min(begun_s[1]), "a round began before all had their turn of the one before"


def test_run_prints_every_table_of_speed(measured: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, answer = measured
    titles = {"Speed", "Controls", "Start, validation and memory"}
    if len(installed_backends()) > 1:
        titles |= {"Backends compared by speed", "Break-even"}
    assert titles <= set(answer.stdout.splitlines())
    assert "Failures" not in answer.stdout
    for backend in installed_backends():
        assert PATHS[backend][0].replace("_", " ") in " ".join(answer.stdout.split())


BURNER = "while True: pass"


def test_busy_machine_is_noticed_turn_by_turn_and_said_first(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(ONE_CELL.replace("slice_s = 0.001", "slice_s = 0.3\nrepeats = 1"))
    backend = installed_backends()[0]
    command = ["seqsum", "run", "--sweep", "tiny.toml", "--backend", backend, "--seeds", "0"]
    with subprocess.Popen([sys.executable, "-c", BURNER]) as burner:
        try:
            answer = call(tmp_path, *command)
        finally:
            burner.kill()
    assert answer.returncode == 0, answer.stderr
    records = speeds(tmp_path)
    turns = [turn for record in records for turn in record.slices]
    assert len(records) == 1 and len(turns) == 2 * 2, "each turn should have been repeated once"
    assert all(turn.disturbed for turn in turns)
    assert "turns disturbed by other processes; kept, marked" in answer.stderr
    head = " ".join(answer.stdout.partition("Speed\n")[0].split())
    assert f"Other processes disturbed {len(turns)} of {len(turns)} turns" in head


def test_unmet_expectation_ends_with_1_and_a_failure_that_names_the_path(tmp_path: Path) -> None:
    backend = installed_backends()[0]
    (tmp_path / "tiny.toml").write_text(ONE_CELL)
    command = ["seqsum", "run", "--sweep", "tiny.toml", "--backend", backend, "--seeds", "0"]
    answer = call(tmp_path, *command, "--expect", "fused")
    assert answer.returncode == 1, answer.stderr
    (header,) = (tmp_path / "results").glob("*/run.json")
    failures = [record for record in load_run(header.parent).records if isinstance(record, Failure)]
    assert [failure.phase for failure in failures] == ["witness"]
    assert f"`expect` is fused, but {PATHS[backend][0]} ran" in failures[0].reason
    assert "Failures" in answer.stdout and "Traceback" not in answer.stderr


def test_overhead_weighs_a_cell_in_pairs_of_fits(tmp_path: Path) -> None:
    backend = installed_backends()[0]
    command = f"seqsum overhead --backend {backend} --length 4 --processes 1 --pairs 4 --json".split()
    answer = call(tmp_path, *command)
    assert answer.returncode == 0, answer.stderr
    (weighed,) = json.loads(answer.stdout)["weighed"]
    assert (weighed["cell"]["backend"], weighed["cell"]["model"], weighed["failed"]) == (backend, "simple_rnn", None)
    (bare_s,), (timed_s,) = weighed["bare_s"], weighed["timed_s"]
    assert len(bare_s) == len(timed_s) == 4
    ratios = sorted(timed / bare for timed, bare in zip(timed_s, bare_s, strict=True))
    assert 0.5 < ratios[len(ratios) // 2] < 2
    assert "timing adds" in answer.stderr


def test_table_shows_what_run_measured(measured: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, run = measured
    table = call(folder, "seqsum", "table")
    assert table.stdout == run.stdout
    for backend in installed_backends():
        assert backend in table.stdout


def test_own_model_runs_and_a_wrong_one_is_refused_before_measuring(tmp_path: Path) -> None:
    backend = installed_backends()[0]
    (tmp_path / "tiny.toml").write_text(ONE_CELL)
    own = ["seqsum", "run", "--sweep", "tiny.toml", "--backend", backend, "--model"]
    path = {"PYTHONPATH": str(PROJECT / "tests")}
    wrong = call(tmp_path, *own, "own_models:wrong_output", **path)
    assert wrong.returncode == 2 and "must output shape (batch, 1)" in wrong.stderr
    assert not (tmp_path / "results").exists()
    right = call(tmp_path, *own, "own_models:uncompiled", **path)
    assert right.returncode == 0, right.stderr
    assert "own_models:unco" in right.stdout


def test_gpu_that_is_absent_is_refused(tmp_path: Path) -> None:
    if any(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("this machine has a GPU")
    backend = installed_backends()[0]
    answer = call(tmp_path, "seqsum", "run", "--backend", backend, "--device", "gpu", "--length", "4")
    assert answer.returncode == 2 and "gpu" in answer.stderr.lower() and "Traceback" not in answer.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_interrupted_run_keeps_what_it_measured_and_goes_on(tmp_path: Path, number: int, code: int) -> None:
    (tmp_path / "tiny.toml").write_text(ONE_CELL.replace("lengths = [4]", "lengths = [4, 5, 6]"))
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
        running.send_signal(number)
        rest = running.stderr.read()
    (header,) = (tmp_path / "results").glob("*/run.json")
    assert running.returncode == code
    assert number == signal.SIGKILL or f"seqsum run --resume {header.parent.relative_to(tmp_path)}" in rest
    before = load_run(header.parent).records
    assert len(before) >= 2
    assert call(tmp_path, "seqsum", "verify", str(header.parent)).returncode == 1, "complete it is not"
    answer = call(tmp_path, "seqsum", "run", "--resume", str(header.parent))
    assert answer.returncode == 0, answer.stderr
    assert "(resumed)" in answer.stdout and load_run(header.parent).records[: len(before)] == before
    assert [record.kind for record in load_run(header.parent).records].count("speed") == 3
    verified = call(tmp_path, "seqsum", "verify", str(header.parent))
    assert verified.returncode == 0 and "every checksum is right; complete" in verified.stdout


def test_a_limit_of_memory_makes_a_failure_that_says_so(tmp_path: Path) -> None:
    """Enough for importing a backend, not for these rows."""
    rows = "[task]\nsource = 'generated'\nsequences = 200_000_000\n[limits]\nmemory_gib = 2.0\n"
    (tmp_path / "large.toml").write_text(ONE_CELL + rows)
    answer = call(tmp_path, "seqsum", "run", "--sweep=large.toml", "--seeds=0", f"--backend={installed_backends()[0]}")
    assert answer.returncode == 1, answer.stderr
    (header,) = (tmp_path / "results").glob("*/run.json")
    (failed,) = [record for record in load_run(header.parent).records if isinstance(record, Failure)]
    assert (failed.fault, failed.phase) == ("out of memory", "build")


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
    (folder / "tiny.toml").write_text(ONE_CELL)
    options = ["--sweep=tiny.toml", f"--benchmark-storage=file://{folder}/saved", "-k", "simple_rnn"]
    for _ in range(2):
        answer = call(folder, *pytest_command(*options), KERAS_BACKEND=installed_backends()[0])
        assert answer.returncode == 0, answer.stdout + answer.stderr
    return folder


ONLY_A_BACKEND = """
import sys
sys.modules |= dict.fromkeys(["hypothesis", "pyarrow", "tox", "xdist"])  # as where they are not installed
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


def test_cases_are_found_in_the_checkout_where_no_test_library_is_installed() -> None:
    """As `tox -e jax` calls them: pytest looks into the tests, too, before it leaves them out."""
    options = ["-c", "pyproject.toml", "-p", "pytest_benchmark.plugin", "--benchmark-only", "--collect-only", "-q"]
    answer = subprocess.run(
        [sys.executable, "-c", ONLY_A_BACKEND, *options],
        cwd=PROJECT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "KERAS_BACKEND": installed_backends()[0]},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "bench/cases/test_training.py::test_training[lstm-12]" in answer.stdout


def saved(folder: Path) -> Any:
    *_, newest = sorted(folder.glob("saved/*/*.json"))
    return json.loads(newest.read_text())


def test_pytest_times_epochs_and_keeps_the_rest_in_extra_info(benchmarked: Path) -> None:
    (case,) = saved(benchmarked)["benchmarks"]
    info = case["extra_info"]
    assert case["group"] == "simple_rnn length 4" and case["stats"]["rounds"] >= 2 * 3
    assert info["witness"]["recurrence"] == PATHS[installed_backends()[0]][0] and info["disturbed"] in (True, False)
    assert info["seeds"] == 1 and info["val_mse"] > 0 and info["first_epoch_s"] > 0
    assert info["worker"]["versions"]["keras"] and info["peak_rss_bytes"] > 0
    assert saved(benchmarked)["machine_info"]["seqsum"]["cores"] >= 1


def test_pytest_clock_and_the_workers_clock_agree(benchmarked: Path) -> None:
    (case,) = saved(benchmarked)["benchmarks"]
    run = load_run(sorted((benchmarked / "results").glob("*-tiny-*"))[-1])
    (speed,) = [record for record in run.records if isinstance(record, Speed)]
    own = sorted(speed.steady_s)[len(speed.steady_s) // 2]
    assert 0.5 < case["stats"]["median"] / own < 2


def test_pytest_compares_the_clocks_when_asked_to(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(ONE_CELL.replace("slice_epochs = 3", "slice_epochs = 10"))
    backend = installed_backends()[0]
    answer = call(tmp_path, *pytest_command("--clocks", "--sweep=tiny.toml"), KERAS_BACKEND=backend)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    *_, said = answer.stdout.partition("clocks compared")
    assert f"{backend} simple_rnn 4: pytest-benchmark" in said and "too few processes for an interval" in said
    assert "test_training" not in answer.stdout and not (tmp_path / "results").exists()


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
    (tmp_path / "tiny.toml").write_text(ONE_CELL)
    command = [sys.executable, "-m", "bench", "run", "--sweep", "tiny.toml", "--backend", installed_backends()[0]]
    answer = call(tmp_path, *command, "--model", "gru", PYTHONPATH=str(site))
    assert answer.returncode == 0, answer.stderr
    assert (site / "bench" / "plan" / "profiles" / "smoke.toml").exists() and "gru" in answer.stdout


def test_ceilings_and_refused_variants_stand_in_one_run(tmp_path: Path) -> None:
    """Each backend has a tax; what PyTorch refuses is named in its own words, and the run has not failed."""
    (tmp_path / "one.toml").write_text(ONE_CELL)
    options = ("--axis", "implementation=keras,ceiling", "--axis", "steps_per_execution=1,2", "--seeds", "0")
    answer = call(tmp_path, "seqsum", "run", "--sweep", "one.toml", *options)
    assert answer.returncode == 0, answer.stderr
    table = call(tmp_path, "seqsum", "table", "--show", "tax", "--format", "json")
    document = next(one for one in json.loads(table.stdout)["tables"] if one["title"] == "Framework tax")
    rows = [dict(zip(document["columns"], row, strict=True)) for row in document["rows"]]
    taxed = {(row["backend"], row["variant"]) for row in rows}
    here = installed_backends()
    steps = "steps_per_execution 2"
    assert taxed == {(name, "default") for name in here} | {(name, steps) for name in here if name != "torch"}
    assert all(row["tax"] > 0 for row in rows)
    if "torch" in here:
        failures = call(tmp_path, "seqsum", "table", "--show", "failures").stdout
        assert "steps_per_execution" in failures
        assert "not available" in answer.stderr


@pytest.mark.skipif(len(usable_cores()) < 2, reason="two devices of a CPU need two cores")
def test_two_devices_are_timed_where_keras_shares_rows(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(ONE_CELL)
    answer = call(tmp_path, "seqsum", "run", "--sweep", "one.toml", "--seeds", "0", "--devices", "2")
    assert answer.returncode == 0, answer.stderr
    (folder,) = (tmp_path / "results").iterdir()
    records = load_run(folder).records
    timed = {(record.cell.backend, record.cell.variant.devices) for record in records if isinstance(record, Speed)}
    refused = {record.cell.backend: record.fault for record in records if isinstance(record, Failure)}
    here = set(installed_backends())
    assert timed == {(name, 1) for name in here} | {("jax", 2) for name in here & {"jax"}}
    assert refused == dict.fromkeys(here - {"jax"}, "not available")


def test_more_devices_than_cores_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(ONE_CELL)
    answer = call(tmp_path, "seqsum", "run", "--sweep", "one.toml", "--devices", "4096")
    assert answer.returncode == 2 and "the cores of this machine" in answer.stderr
    assert not (tmp_path / "results").exists()


def test_advise_recommends_what_can_be_pasted(tmp_path: Path) -> None:
    backend = installed_backends()[0]
    answer = call(tmp_path, "seqsum", "advise", "--backend", backend, "--length", "4", "--budget", "30", "--json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["recommended"].startswith(backend) and found["candidates"][0]["records"]
    python = call(tmp_path, sys.executable, "-c", found["code"] + "\nprint(model.count_params())")
    assert python.returncode == 0, python.stderr
    assert int(python.stdout) > 0
