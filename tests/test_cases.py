"""The pytest plugin of the benchmark cases: which backend it takes, how cases are named, what it collects."""

import re
import subprocess
import sys
from importlib.util import find_spec as find_any
from pathlib import Path
from typing import Any

import pytest
from factories import make_accuracy, make_cell, make_speed, make_turn

from bench.cases import plugin, test_training
from bench.errors import UserError

CASES = Path(plugin.__file__).parent


def installed(monkeypatch: pytest.MonkeyPatch, *backends: str, wanted: str | None = None) -> None:
    """Let only these backends be installed."""
    monkeypatch.setattr(plugin, "find_spec", lambda name: find_any("bench") if name in backends else None)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if wanted:
        monkeypatch.setenv("KERAS_BACKEND", wanted)


@pytest.mark.parametrize(
    ("backends", "wanted", "backend"),
    [
        (("torch",), None, "torch"),
        (("jax", "tensorflow"), "tensorflow", "tensorflow"),
        (("tensorflow",), "tf", "tensorflow"),
    ],
)
def test_backend(monkeypatch: pytest.MonkeyPatch, backends: tuple[str, ...], wanted: str | None, backend: str) -> None:
    installed(monkeypatch, *backends, wanted=wanted)
    assert plugin.this_backend() == backend


@pytest.mark.parametrize(
    ("backends", "wanted", "message"),
    [
        ((), None, r"this environment has no backend\. Received: none\. Install one, or use: tox -e jax,torch,tf"),
        (("jax", "torch"), None, r"this environment has jax, torch\. Received: none\. Choose one with KERAS_BACKEND"),
        (("jax",), "torch", r"`KERAS_BACKEND` is torch, but this environment has jax\. .* tox -e torch"),
        (("jax",), "theano", r"`backend` must be one of .* Received: 'theano'"),
    ],
)
def test_no_backend(
    monkeypatch: pytest.MonkeyPatch, backends: tuple[str, ...], wanted: str | None, message: str
) -> None:
    installed(monkeypatch, *backends, wanted=wanted)
    with pytest.raises(UserError, match=message):
        plugin.this_backend()


@pytest.mark.parametrize("name", [*plugin.UNRECEIVED, "histogram"])
def test_options_that_would_be_ignored(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """pytest-benchmark has them, and they are refused in a line that says what to do."""
    installed(monkeypatch)
    for argument in (f"--benchmark-{name}", f"--benchmark-{name}=5"):
        with pytest.raises(UserError, match=rf"`--benchmark-{name}` .*[a-z]: .*[a-z]") as error:
            plugin.check_options(["--benchmark-only", argument])
        assert "\n" not in str(error.value)


def test_options_that_work() -> None:
    options = ("only", "save=a", "autosave", "save-data", "json=a.json", "compare", "compare-fail=min:5%", "sort=name")
    plugin.check_options([f"--benchmark-{option}" for option in (*options, "columns=min", "verbose", "time-unit=ms")])


def test_every_option_is_known() -> None:
    """A new one of pytest-benchmark must be sorted into those that work and those that do not."""
    text = subprocess.run([sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True).stdout
    listed = set(re.findall(r"^  --benchmark-([a-z-]+)", text, re.MULTILINE))
    works = {"skip", "disable", "enable", "only", "save", "autosave", "save-data", "json", "compare", "compare-fail"}
    works |= {"storage", "netrc", "verbose", "quiet", "sort", "group-by", "columns", "name", "time-unit", "histogram"}
    assert listed == works | set(plugin.UNRECEIVED)


def test_name() -> None:
    """It does not hold the backend, whose storages are compared."""
    assert plugin.case_name(make_cell("jax")) == plugin.case_name(make_cell("torch")) == "lstm-12"
    assert plugin.case_name(make_cell(threads="default", units=8, unroll=True)) == "lstm-12-default-unroll_true-units_8"


@pytest.mark.parametrize(("benchmark_only", "of_cases", "of_tests"), [(True, None, True), (False, True, None)])
def test_either_cases_or_tests_are_collected(benchmark_only: bool, of_cases: Any, of_tests: Any) -> None:
    class Config:
        def getoption(self, name: str) -> bool:
            return {"benchmark_only": benchmark_only}[name]

    def ignored(path: Path) -> bool | None:
        return plugin.pytest_ignore_collect(path, Config())  # type: ignore[arg-type]

    assert ignored(CASES / "test_training.py") is of_cases
    assert ignored(Path(__file__)) is of_tests
    assert ignored(CASES.parent) is None, "the folder of the cases is walked through"


def test_extra_info() -> None:
    """Figures are of the last process and of the longest patience."""
    turns = [make_turn((0.01,), others_cpu_s=9.0), make_turn((0.02,), number=1)]
    speed = test_training.speed_info([make_speed(turns=turns), make_speed(process=1)])
    assert speed["backend"] == "jax" and speed["first_epoch_s"] == 1.5 and speed["disturbed"]
    assert speed["execution_path"]["recurrence"] == "scan" and "turns" not in speed
    records = [make_accuracy(seed=seed, patience=patience) for seed in range(3) for patience in (0, 20)]
    records += [make_accuracy(seed=seed, patience=-1, val_loss=(3.0, 2.0, 4.0)) for seed in range(3)]
    accuracy = test_training.accuracy_info(records)
    assert (accuracy["seeds"], accuracy["val_loss"], accuracy["epochs"]) == (3, 4.0, 3)
    assert test_training.accuracy_info([]) == {}
