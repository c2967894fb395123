"""The real commands on every backend that is installed here: slow, and what users do."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pandas as pd
import pytest
from conftest import installed_backends

import bench
from bench.host import usable_cores

pytestmark = pytest.mark.end_to_end

PROJECT = Path(__file__).parent.parent
BACKENDS = installed_backends()
TINY = """
models = ["gru"]
lengths = [4]
seeds = 1
[training]
epochs = 2
[timing]
processes = 1
rounds = 2
warmup_epochs = 1
warmup_s = 0.0
turn_epochs = 3
turn_s = 0.001
validations = 2
control = "one"
"""
ONE_CELL = TINY.replace("gru", "simple_rnn").replace('"one"', '"none"')
PATHS = {"jax": ("scan", 2), "torch": ("python_loop", 0), "tensorflow": ("while_loop", 2)}
"""Where a fresh process of Keras 3.15.1 runs a recurrent layer on a CPU, and training steps it compiles."""


class Folder:
    """A folder outside the checkout in which commands are called."""

    def __init__(self, path: Path, sweep: str = ONE_CELL) -> None:
        self.path = path
        (path / "tiny.toml").write_text(sweep)

    def call(self, *command: str | Path, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Call a command and check its exit code."""
        inherited = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
        answer = subprocess.run(
            list(map(str, command)),
            cwd=self.path,
            env=inherited | {"TMPDIR": str(self.path)} | variables,
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert answer.returncode == code, answer.stdout[-3000:] + answer.stderr[-3000:]
        assert "Traceback" not in answer.stderr
        return answer

    def run(self, *options: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Measure the sweep."""
        return self.call("seqsum", "run", "--sweep", "tiny.toml", *options, code=code, **variables)

    def load(self, kind: str) -> pd.DataFrame:
        """Return what was measured."""
        return bench.load(self.path / "results", kind=kind)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Folder, subprocess.CompletedProcess[str]]]:
    """Return a folder with a run of all backends, and what the run printed."""
    folder = Folder(tmp_path_factory.mktemp("run"), TINY)
    yield folder, folder.run("--ceilings", "--axis", "steps_per_execution=1,2")


def test_run(measured: tuple[Folder, subprocess.CompletedProcess[str]]) -> None:
    """Every cell is timed in turns with the others on the path that is known, trained alike, and shown."""
    folder, answer = measured
    turns, trainings, losses = (folder.load(kind) for kind in ("turns", "trainings", "losses"))
    assert set(zip(trainings["backend"], trainings["model"], strict=True)) == {(name, "gru") for name in BACKENDS}
    assert len(turns.loc[turns["is_control"], ["backend", "model"]].drop_duplicates()) == 1
    assert turns.groupby(["backend", "variant", "is_control"])["round"].agg(set).map({0, 1}.__eq__).all()
    first, second = (turns.loc[turns["round"] == number, "started_after_s"] for number in (0, 1))
    assert first.max() < second.min(), "a round began before all had their turn of the one before"
    for backend, rows in turns[turns["variant"] == "default"].groupby("backend"):
        assert set(zip(rows["recurrence"], rows["compilations"], strict=True)) == {PATHS[str(backend)]}
    assert (turns["epochs"] >= 3).all() and (turns["process_start_s"] > 0).all()
    curves = losses.pivot(index=["model", "variant", "epoch"], columns="backend", values="val_loss")
    assert (curves.max(axis=1) / curves.min(axis=1) < 1 + 1e-5).all()
    assert "Failures" not in answer.stdout
    assert all(backend in answer.stdout for backend in BACKENDS)


def test_ceilings_and_refused_variants(measured: tuple[Folder, subprocess.CompletedProcess[str]]) -> None:
    """Each backend has a tax; what PyTorch refuses is named in its own words, and the run has not failed."""
    folder, answer = measured
    variants = folder.load("turns").groupby("backend")["variant"].agg(set)
    for backend in BACKENDS:
        steps = set() if backend == "torch" else {"steps_per_execution 2"}
        assert variants[backend] == {"default", "ceiling"} | steps
    tax = json.loads(folder.call("seqsum", "table", "--show", "tax", "--format", "json").stdout)
    assert tax["tables"][0]["rows"]
    if "torch" in BACKENDS:
        assert "not available" in answer.stderr
        assert "steps_per_execution" in folder.call("seqsum", "table", "--show", "failures").stdout


def test_reading_what_was_measured(measured: tuple[Folder, subprocess.CompletedProcess[str]]) -> None:
    folder, answer = measured
    (run,) = (folder.path / "results").iterdir()
    assert len(answer.stdout.splitlines()) <= 24 and "Milliseconds of a steady epoch" in answer.stdout
    assert all(f"\n{title}\n" in folder.call("seqsum", "table").stdout for title in ("Speed", "Accuracy"))
    charts = folder.call("seqsum", "plot", "--show", "speed").stdout.split()
    assert [(folder.path / chart).read_bytes()[:4] for chart in charts] == [b"\x89PNG"]
    folder.call("seqsum", "report")
    assert "</html>" in (folder.path / "report.html").read_text("utf-8")
    assert len(folder.call("seqsum", "export", "--format", "csv").stdout.splitlines()) > len(BACKENDS)
    folder.call("seqsum", "export", "--format", "parquet", "--out", "turns.parquet")
    assert set(pd.read_parquet(folder.path / "turns.parquet")["backend"]) == set(BACKENDS)
    older = shutil.copytree(run, folder.path / "older" / run.name)
    header = (older / "run.json").read_text("utf-8")
    (older / "run.json").write_text(re.sub(r'"started_at":\s*"\d+', '"started_at":"2020', header), "utf-8")
    document = json.loads(folder.call("seqsum", "compare", older, "results", "--format", "json").stdout)
    assert "Speed" in [table["title"] for table in document["tables"]]
    assert "complete" in folder.call("seqsum", "verify", run).stdout


def test_expected_path(folder: Folder) -> None:
    """Another path is a failure that names both."""
    backend = BACKENDS[0]
    answer = folder.run("--backend", backend, "--seeds", "0", "--expect", "fused", code=1)
    (reason,) = folder.load("failures")["reason"]
    assert "fused" in reason and PATHS[backend][0] in reason
    assert "Failures" in answer.stdout


def test_own_training(folder: Folder) -> None:
    """All backends start from the same weights, and learn the same."""
    own = ("--model", "own_models:classes_compiled", "--task", "own_models:three_classes", "--axis", "batch_size=20")
    path = os.pathsep.join([str(PROJECT / "tests"), os.environ.get("PYTHONPATH", "")])
    folder.run(*own, PYTHONPATH=path)
    trainings = folder.load("trainings")
    assert set(trainings["model"]) == {"own_models:classes_compiled"} and set(trainings["judge"]) == {"class"}
    assert set(trainings["environment"]) == set(BACKENDS) and trainings["start_hash"].nunique() == 1
    errors = trainings["test_error"]
    assert errors.max() - errors.min() < 1e-4 * errors.max()
    accuracy = folder.call("seqsum", "table", "--show", "accuracy", "--format", "csv").stdout
    assert "test cross-entropy" in accuracy and "logistic fit" in accuracy
    wrong = folder.run(*own, "--axis", "units=4,8", "--backend", BACKENDS[0], code=2, PYTHONPATH=path)
    assert "`units` does not reach own_models:classes_compiled" in wrong.stderr


BURNER = "while True: pass"


def test_busy_machine(folder: Folder) -> None:
    """Disturbed turns are measured again, kept, marked, and named as a doubt."""
    (folder.path / "tiny.toml").write_text(ONE_CELL.replace("turn_s = 0.001", "turn_s = 0.3\nrepeats = 1"))
    with subprocess.Popen([sys.executable, "-c", BURNER]) as burner:
        try:
            answer = folder.run("--backend", BACKENDS[0], "--seeds", "0")
        finally:
            burner.kill()
    turns = folder.load("turns")
    assert len(turns) == 2 * 2 and turns["disturbed"].all() and turns["counted"].sum() == 2
    assert "Doubt: Other processes disturbed 4 of 4 turns" in " ".join(answer.stdout.split())


def test_resume(folder: Folder) -> None:
    """What was measured is kept, and the run goes on where it was interrupted."""
    (folder.path / "tiny.toml").write_text(ONE_CELL.replace("lengths = [4]", "lengths = [4, 5, 6]"))
    with subprocess.Popen(
        ["seqsum", "run", "--sweep", "tiny.toml", "--backend", BACKENDS[0]],
        cwd=folder.path,
        env=os.environ | {"TMPDIR": str(folder.path)},
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
    (run,) = (folder.path / "results").iterdir()
    assert running.returncode == 130
    assert f"seqsum run --resume {run.relative_to(folder.path)}" in rest
    before = (run / "trials.jsonl").read_text().rpartition("\n")[0]
    folder.call("seqsum", "verify", run, code=1)
    folder.call("seqsum", "run", "--resume", run)
    assert (run / "trials.jsonl").read_text().startswith(before)
    assert sorted(folder.load("turns")["length"].unique()) == [4, 5, 6] and len(folder.load("trainings")) == 3
    assert "complete" in folder.call("seqsum", "verify", run).stdout


def test_limit_of_memory(folder: Folder) -> None:
    """Enough for importing a backend, not for these rows."""
    rows = "[task]\nsource = 'generated'\nsequences = 200_000_000\n[limits]\nmemory_gib = 2.0\n"
    (folder.path / "tiny.toml").write_text(ONE_CELL + rows)
    folder.run("--seeds=0", f"--backend={BACKENDS[0]}", code=1)
    assert folder.load("failures")[["fault", "phase"]].to_numpy().tolist() == [["out of memory", "build"]]


@pytest.mark.skipif(len(usable_cores()) < 2, reason="two devices of a CPU need two cores")
def test_devices(folder: Folder) -> None:
    """They are timed where Keras shares rows; more than there are cores are refused."""
    two = BACKENDS[:2]
    folder.run("--seeds", "0", "--devices", "2", *(f"--backend={name}" for name in two))
    turns, failures = folder.load("turns"), folder.load("failures")
    timed = set(zip(turns["backend"], turns["devices"], strict=True))
    assert timed == {(name, 1) for name in two} | {("jax", 2) for name in two if name == "jax"}
    assert dict(zip(failures["backend"], failures["fault"], strict=True)) == {
        name: "not available" for name in two if name != "jax"
    }
    refused = folder.run("--devices", "4096", code=2)
    assert "the cores of this machine" in refused.stderr


def test_parity_and_replay(folder: Folder) -> None:
    """All cases on one backend; a training on all: each backend's own test computes cases."""
    of_model = ("--model", "lstm", "--length", "4", "--epochs", "2")
    for options, backends in (("--backend", BACKENDS[0]), BACKENDS[:1]), (of_model, BACKENDS):
        parity = json.loads(folder.call("seqsum", "parity", "--json", *options).stdout)
        assert parity["verdict"] == "pass"
        assert [worker["environment"] for worker in parity["workers"]] == backends
    replay = json.loads(folder.call("seqsum", "replay", "--case", "rnn-4", "--backend", BACKENDS[0], "--json").stdout)
    assert replay["passed"] and list(replay["workers"]) == BACKENDS[:1]


def test_advice_can_be_pasted(folder: Folder) -> None:
    command = ["seqsum", "advise", "--backend", BACKENDS[0], "--length", "4", "--budget", "30", "--json"]
    advice = json.loads(folder.call(*command).stdout)
    assert advice["recommended"].startswith(BACKENDS[0])
    answer = folder.call(sys.executable, "-c", advice["code"] + "\nprint(model.count_params())")
    assert int(answer.stdout) > 0


def test_pytest(folder: Folder) -> None:
    """Cases are stored with their accuracy and start, can be compared, and stand in the tables."""
    cases: list[str | Path] = [
        "pytest",
        "-c",
        PROJECT / "pyproject.toml",
        PROJECT / "bench" / "cases",
        "--benchmark-only",
    ]
    options = ["--sweep=tiny.toml", f"--benchmark-storage=file://{folder.path}/saved"]
    folder.call(*cases, *options, KERAS_BACKEND=BACKENDS[0])
    more = ["--benchmark-compare", "--benchmark-compare-fail=mean:900%", "--benchmark-save-data", "--benchmark-verbose"]
    more += ["--benchmark-json=all.json", "--benchmark-sort=name", "--benchmark-columns=min,median"]
    more += ["--benchmark-group-by=param:cell", "--benchmark-name=short", "--benchmark-time-unit=ms"]
    folder.call(*cases, *options, *more, KERAS_BACKEND=BACKENDS[0])
    assert json.loads((folder.path / "all.json").read_text())["benchmarks"]
    ignored = folder.call(*cases, *options, "--benchmark-min-rounds=3", code=2, KERAS_BACKEND=BACKENDS[0]).stderr
    assert "`--benchmark-min-rounds` does not reach what is measured" in ignored
    stored = json.loads(max(folder.path.glob("saved/*/*.json")).read_text())
    (case,) = stored["benchmarks"]
    info = case["extra_info"]
    assert case["group"] == "simple_rnn length 4" and case["stats"]["rounds"] == 2
    assert info["execution_path"]["recurrence"] == PATHS[BACKENDS[0]][0]
    assert info["seeds"] == 1 and info["test_error"] > 0 and info["first_epoch_s"] > 0
    assert info["worker"]["versions"]["keras"] and stored["machine_info"]["seqsum"]["cores"] >= 1
    turns = folder.load("turns")
    newest = turns[turns["counted"]].groupby("run")["epoch_s"].median().iloc[-1]
    assert case["stats"]["median"] == pytest.approx(newest)
    storage = f"--storage=file://{folder.path}/saved"
    assert folder.call("pytest-benchmark", storage, "compare").stdout.count("test_training[simple_rnn-4]") >= 2
    assert "`backend` must be one of" in folder.call(*cases, code=2, KERAS_BACKEND="theano").stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("-k nothing", 5),
        ("-k nothing --benchmark-compare", 5),
        ("-k nothing --benchmark-compare=0001 --benchmark-compare-fail=min:5%", 5),
        ("-k nothing --sweep tiny.toml --results made", 5),
        ("--collect-only --benchmark-compare", 0),
        ("--benchmark-cprofile=tottime", 2),
    ],
)
def test_pytest_that_measures_nothing(folder: Folder, words: str, code: int) -> None:
    """Outside the checkout, with nothing to compare with, and with options that name what is there already."""
    (folder.path / "made").mkdir()
    cases: list[str | Path] = ["pytest", "-c", PROJECT / "pyproject.toml", PROJECT / "bench" / "cases"]
    answer = folder.call(*cases, "--benchmark-only", *words.split(), code=code, KERAS_BACKEND=BACKENDS[0])
    assert "INTERNALERROR" not in answer.stdout + answer.stderr
    assert not list((folder.path / "made").iterdir())


ONLY_A_BACKEND = """
import sys
sys.modules |= dict.fromkeys(["hypothesis", "pyarrow", "tox", "xdist"])  # as where they are not installed
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


def test_cases_need_no_test_library() -> None:
    """As `tox -e jax` calls them: pytest looks into the tests, too, before it leaves them out."""
    options = ["-c", "pyproject.toml", "-p", "pytest_benchmark.plugin", "--benchmark-only", "--collect-only", "-q"]
    answer = subprocess.run(
        [sys.executable, "-c", ONLY_A_BACKEND, *options],
        cwd=PROJECT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "KERAS_BACKEND": BACKENDS[0]},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "bench/cases/test_training.py::test_training[lstm-12]" in answer.stdout


def test_wheel(tmp_path: Path) -> None:
    """It holds every file of both packages; installed outside the checkout, it measures and reads."""
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(tmp_path), str(PROJECT)]
    subprocess.run(build, check=True, timeout=600)
    (wheel,) = tmp_path.glob("seqsum-*.whl")
    packed = set(ZipFile(wheel).namelist())
    packages = [path for name in ("bench", "seqsum_core") for path in (PROJECT / name).rglob("*") if path.is_file()]
    files = {path.relative_to(PROJECT).as_posix() for path in packages if "__pycache__" not in path.parts}
    assert {name for name in files - packed if not name.endswith("README.md")} == set()

    venv.create(tmp_path / "empty", with_pip=False)
    python = tmp_path / "empty" / "bin" / "python"
    install = ["--python", str(python), "install", "--no-deps", "--no-index", "--quiet", str(wheel)]
    alone = os.environ | {"PYTHONPATH": ""}  # a checkout on it would be taken for the installed package
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, timeout=600, env=alone)
    (site,) = (tmp_path / "empty").glob("lib/*/site-packages")
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")  # what pip would install with it
    folder, seqsum = Folder(tmp_path), python.with_name("seqsum")
    assert str(site) in folder.call(python, "-c", "import bench; print(bench.__file__)", PYTHONPATH="").stdout
    run = ("run", "--sweep", "tiny.toml", "--backend", BACKENDS[0])
    assert "Milliseconds of a steady epoch" in folder.call(seqsum, *run, PYTHONPATH="").stdout
    assert "Speed" in folder.call(seqsum, "table", PYTHONPATH="").stdout
