"""Parity: differences worked out by hand, what fails, who is missing, and what is shown of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_worker import fake_python
from numpy.typing import NDArray
from rich.console import Console

from bench.measure.parity import LIMITS, Parity, all_cases, check_parity, compare, difference
from bench.output.parity import document, print_parity
from bench.plan.cells import BACKENDS
from seqsum_core.parity_case import CheckName, ModelCase, Quantity, quantity, reference
from seqsum_core.settings import NetworkSettings, TrainingSettings

pytestmark = pytest.mark.usefixtures("own_lock")

TRAINING = TrainingSettings(epochs=2, patience=-1)
LSTM = ModelCase(model="lstm", length=4, network=NetworkSettings(units=3), training=TRAINING, seed=0)
RIGHT = reference(LSTM)
CASES = all_cases(lengths=(4,), epochs=1)[:3]

Array = NDArray[np.float64]


def changed(check: CheckName, change: Callable[[Array], Array], name: str = "") -> list[Quantity]:
    """Return the right quantities with the arrays of one check changed."""
    return [
        quantity(each.check, each.name, change(each.array())) if each.check == check and name in each.name else each
        for each in RIGHT
    ]


def failed(computed: list[Quantity]) -> list[tuple[str, str]]:
    rows = compare("jax", "lstm 4", computed, RIGHT)
    return [(row["check"], row["array"]) for row in rows if not row["passed"]]


def test_differences() -> None:
    """Losses are compared number by number, gradients relative to the largest."""

    def made(check: CheckName, *values: float) -> Quantity:
        return quantity(check, "x", values)

    assert difference(made("curve", 100.0, 1.1), made("curve", 100.0, 1.0)) == pytest.approx(0.1)
    assert difference(made("gradient", 100.0, 1.1), made("gradient", 100.0, 1.0)) == pytest.approx(0.001)
    assert difference(made("gradient", 0.0, 0.0), made("gradient", 0.0, 0.0)) == 0
    assert difference(made("gradient", 1e-9, 0.0), made("gradient", 0.0, 0.0)) == np.inf


@pytest.mark.parametrize("check", ["start", "loss", "gradient", "curve", "output"])
def test_limits(check: CheckName) -> None:
    limit = LIMITS[check]
    assert failed(changed(check, lambda array: array * (1 + 0.9 * limit))) == []
    assert [name for name, _ in failed(changed(check, lambda array: array * (1 + 1.1 * limit)))] == [check]


def test_other_shape_or_absent_array_fails() -> None:
    shorter = changed("gradient", lambda array: array.ravel()[:-1], "dense_kernel")
    assert failed(shorter) == [("gradient", "dense_kernel")]
    absent = [each for each in RIGHT if each.check != "curve"]
    assert [check for check, _ in failed(absent)] == ["curve"]


def check(folder: Path, *environments: str, **behaviours: str) -> tuple[Parity, list[str]]:
    pythons: dict[str, str] = {backend: fake_python(folder, behaviours.get(backend, "good")) for backend in BACKENDS}
    lines: list[str] = []
    return check_parity(environments, pythons=pythons, say=lines.append, cases=CASES), lines


def test_all_backends_compute_all_cases(tmp_path: Path) -> None:
    parity, lines = check(tmp_path)
    assert parity.passed and list(parity.workers) == list(BACKENDS) and len(lines) == 3
    assert parity.cases == ("optimizer", "simple_rnn 4", "simple_rnn 4 mask")
    assert (parity.checks.groupby(["environment", "case"])["check"].nunique() == [1, 5, 5] * 3).all()
    assert (parity.checks["difference"] == 0).all()


@pytest.mark.parametrize(
    ("behaviour", "where"), [("dies at import", "its start"), ("no gpu", "its start"), ("crashes", "optimizer")]
)
def test_lost_backend(tmp_path: Path, behaviour: str, where: str) -> None:
    parity, lines = check(tmp_path, "jax", "torch", torch=behaviour)
    assert not parity.passed and f"lost at {where}" in parity.missing["torch"]
    assert any(line.startswith("torch: FAILED") for line in lines)
    assert set(parity.checks["environment"]) == {"jax"} and parity.checks["passed"].all()


def test_python_that_is_not_there_is_missing(tmp_path: Path) -> None:
    pythons = {"jax": fake_python(tmp_path), "torch": "/no/such/python"}
    parity = check_parity(["jax", "torch"], pythons=pythons, say=lambda _: None, cases=CASES)
    assert not parity.passed and "cannot be started" in parity.missing["torch"] and list(parity.workers) == ["jax"]
    nothing = check_parity(["torch"], pythons=pythons, say=lambda _: None, cases=CASES)
    assert not nothing.passed and nothing.checks.empty


def test_output(tmp_path: Path) -> None:
    """Only the wrong backend fails; the text fits into 80 columns, the document into JSON."""
    parity, _ = check(tmp_path, "jax", "torch", torch="wrong numbers")
    assert set(parity.checks.loc[~parity.checks["passed"], "environment"]) == {"torch"}
    text = StringIO()
    print_parity(parity, Console(file=text, width=80))
    lines = text.getvalue().splitlines()
    assert lines[0] == "Parity: FAIL" and max(map(len, lines)) <= 80
    words = [line.split() for line in lines]
    assert ["pass"] in [line[-1:] for line in words if line[:1] == ["jax"]]
    assert "Checks that failed" in text.getvalue() and "simple_rnn 4 mask" in text.getvalue()
    unequal = replace(parity, checks=parity.checks.assign(difference=np.inf))
    answer = json.loads(json.dumps(document(unequal)))
    assert answer["verdict"] == "fail" and answer["checks"][0]["difference"] is None
    assert len(answer["checks"]) == len(pd.DataFrame(answer["checks"])) == len(parity.checks)
