"""Advice: the ranking by hand, the sentences and the code; and the search with workers that only play."""

import ast
import json
from dataclasses import replace
from io import StringIO
from math import isnan
from pathlib import Path
from typing import Any

import pytest
from factories import make_cell, make_processes
from fake_worker import fake_python
from rich.console import Console

from bench.errors import UserError
from bench.measure.advise import Advice, Candidate, Training, advise, variants
from bench.output.advise import candidates_table, document, print_advice, ratio_to, sentences, snippet
from bench.plan.cells import BACKENDS, BackendName
from bench.records.store import load_run

pytestmark = pytest.mark.usefixtures("own_lock")

TRAINING = Training(model="lstm", length=12, units=16, device="cpu", epochs=100)
START_S = make_processes(seconds=[0.01])[0].start_s


def candidate(*seconds: float, failure: str = "", epochs: int = 100, **cell: Any) -> Candidate:
    """Return a candidate with a process for each duration of an epoch."""
    records = dict(enumerate(make_processes(make_cell(**cell), seconds=seconds)))
    return Candidate(make_cell(**cell), epochs, records, failure)


def advice(*candidates: Candidate, untried: tuple[str, ...] = ()) -> Advice:
    return Advice(TRAINING, candidates, untried, 42.0)


def test_total_time() -> None:
    """The start, which has the first epoch in it, and then the steady epochs; the median over processes."""
    jax = candidate(0.010, 0.030, 0.020)
    assert jax.totals_s == {process: pytest.approx(START_S + 99 * s) for process, s in enumerate((0.010, 0.030, 0.020))}
    assert jax.total_s == pytest.approx(START_S + 99 * 0.020)
    assert candidate(0.5, epochs=1).total_s == pytest.approx(START_S)


def test_ratio_of_paired_processes() -> None:
    fast, slow = candidate(0.010, 0.010, 0.010), candidate(0.020, environment="torch")
    ratio = ratio_to(slow, fast)
    assert ratio["compared"] == 1 and isnan(ratio["level"])
    assert ratio["ratio"] == pytest.approx((START_S + 99 * 0.020) / (START_S + 99 * 0.010))


def test_failed_candidate_is_not_recommended() -> None:
    good = candidate(0.02, environment="torch")
    for failed in (candidate(failure="given up"), candidate(0.01, failure="failed in turn")):
        best = advice(failed, good).best
        assert best is not None and best.name == "torch, default"
    nothing = advice(candidate(failure="given up"))
    assert nothing.best is None and snippet(nothing) == ""
    assert sentences(nothing) == [f"No candidate could be measured for {TRAINING}."]


def test_sentences() -> None:
    """They name the fastest, the runner-up with its doubt, and what was not tried."""
    near = candidate(*[0.0101] * 3, environment="torch")
    first, second, third, _ = sentences(advice(candidate(*[0.01] * 3), near, untried=("jax, unroll true",)))
    assert first.startswith(f"Fastest for {TRAINING}: jax, default, ")
    assert "torch, default" in second and "in 3 processes" in second
    assert "jax, unroll true" in third and "--budget" in third


def test_tie() -> None:
    seconds = (0.010, 0.011, 0.012, 0.010, 0.011, 0.012, 0.010)
    _, second, *_ = sentences(advice(candidate(*seconds), candidate(*seconds[::-1], environment="torch")))
    assert "% interval" in second and "no difference is shown" in second


def test_table_shows_what_was_given_up() -> None:
    given_up = candidate(failure="given up in first epoch", environment="torch")
    table = candidates_table(advice(candidate(0.01), given_up))
    assert list(table.frame["status"]) == ["", "given up in first epoch"] and isnan(table.frame["total_s"][1])
    text = StringIO()
    print_advice(advice(candidate(0.01), given_up), Console(file=text, width=80))
    assert "given up in first" in text.getvalue() and "model.compile(" in text.getvalue()


@pytest.mark.parametrize("backend", BACKENDS)
def test_code_to_paste(backend: BackendName) -> None:
    """It parses and has every setting."""
    for variant in variants(backend):
        settings = {name: value for name, value in vars(variant).items() if value is not None}
        code = snippet(advice(candidate(0.01, environment=backend, **settings)))
        ast.parse(code)
        assert f'"{backend}"' in code and "LSTM(16" in code
        assert ("unroll=True" in code) == variant.unroll
        assert ("jit_compile=True" in code) == (variant.jit_compile is True)


@pytest.mark.backend
def test_code_to_paste_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())  # which the code would set
    for implementation in ("keras", "fused"):
        fastest = candidate(0.01, environment=keras.backend.backend(), implementation=implementation)
        names: dict[str, Any] = {}
        exec(snippet(advice(fastest)), names)
        assert names["model"].output_shape == (None, 1)


@pytest.fixture(autouse=True)
def few_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the search end before its budget does."""
    monkeypatch.setattr("bench.measure.advise.MOST_PROCESSES", 2)


@pytest.fixture
def lines() -> list[str]:
    return []


def search(folder: Path, lines: list[str], behaviour: str = "good", **changes: Any) -> Advice:
    options: dict[str, Any] = {"budget_s": 60.0, "pythons": {"jax": fake_python(folder, behaviour)}}
    return advise(TRAINING, ["jax"], say=lines.append, results=folder / "results", **(options | changes))


def test_search(tmp_path: Path, lines: list[str]) -> None:
    advised = search(tmp_path, lines)
    assert len(advised.candidates) == 1 + len(variants("jax")) and not advised.untried
    assert advised.best is not None and len(advised.best.records) > 1
    totals = [each.total_s for each in advised.candidates]
    assert totals == sorted(totals) and len(lines) >= len(totals)
    shown = json.loads(json.dumps(document(advised)))
    assert shown["recommended"] == advised.best.name and len(shown["candidates"]) == len(totals)


def test_what_compiles_longest_is_tried_last(tmp_path: Path) -> None:
    lines: list[str] = []
    pythons = dict.fromkeys(["jax", "tensorflow"], fake_python(tmp_path))
    advise(TRAINING, ["jax", "tensorflow"], budget_s=60.0, pythons=pythons, say=lines.append, results=tmp_path)
    first = [next(place for place, line in enumerate(lines) if name in line) for name in ("unroll", "jit_compile")]
    assert first[0] > first[1]


def test_candidates_that_crash_are_shown(tmp_path: Path, lines: list[str]) -> None:
    advised = search(tmp_path, lines, "raises at 12")
    assert advised.best is None and all("out of memory" in each.failure for each in advised.candidates)
    assert advised.run is not None and len(load_run(advised.run).records) >= len(advised.candidates)
    with pytest.raises(UserError, match="jax does not start: ended with exit code 3"):
        search(tmp_path, lines, "dies at import")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"budget_s": 5.0}, "`--budget` must be at least 30 seconds"),
        ({"budget_s": float("nan")}, "`--budget` must be at least 30 seconds"),
        ({"pythons": {"jax": "/no/such/python"}}, "/no/such/python"),
    ],
)
def test_wrong_input_is_an_error(tmp_path: Path, lines: list[str], changes: dict[str, Any], error: str) -> None:
    with pytest.raises(UserError) as raised:
        search(tmp_path, lines, **changes)
    assert error in str(raised.value) and "\n" not in str(raised.value) and not lines


@pytest.mark.parametrize("change", [{"epochs": 0}, {"length": 1}, {"units": 0}])
def test_training_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="Received: "):
        advise(replace(TRAINING, **change), ["jax"], budget_s=60, pythons={}, say=print, results=Path("no"))
