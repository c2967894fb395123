"""Advice: the ranking by hand, the sentences and the code; and the search with workers that only play."""

import ast
from math import isnan
from pathlib import Path
from typing import Any

import pytest
from factories import make_cell, make_processes
from fake_worker import fake_python

from bench.errors import UserError
from bench.measure.advice import VARIANTS, Advice, Candidate, Task, advise
from bench.output.advice import candidates_table, sentences, snippet
from bench.plan.cells import BACKENDS
from bench.records.speed import Speed

TASK = Task(model="lstm", length=12, units=16, device="cpu", epochs=100)
START_S = make_processes(seconds=[0.01])[0].start_s


def candidate(*seconds: float, failed: str | None = None, epochs: int = 100, **cell: Any) -> Candidate:
    return Candidate(make_cell(**cell), epochs, tuple(make_processes(make_cell(**cell), seconds=seconds)), failed)


def advice(*candidates: Candidate, untried: tuple[str, ...] = ()) -> Advice:
    return Advice(TASK, candidates, untried, 42.0)


def test_the_start_counts_as_much_as_the_epochs() -> None:
    one = candidate(0.010, 0.030, 0.020)
    assert one.totals_s == {process: pytest.approx(START_S + 99 * s) for process, s in enumerate((0.010, 0.030, 0.020))}
    assert one.total_s == pytest.approx(START_S + 99 * 0.020)
    assert candidate(0.5, epochs=1).total_s == pytest.approx(START_S), "the first epoch belongs to the start"


def test_only_processes_that_took_turns_are_compared() -> None:
    fast, slow = candidate(0.010, 0.010, 0.010), candidate(0.020, backend="torch")
    ratio = slow.ratio_to(fast)
    assert ratio.processes == 1 and isnan(ratio.interval.low)
    assert ratio.value == pytest.approx((START_S + 99 * 0.020) / (START_S + 99 * 0.010))


def test_a_candidate_that_was_not_measured_is_never_recommended() -> None:
    found = advice(candidate(failed="given up"), candidate(0.02, backend="torch"))
    assert found.best is not None and found.best.name == "torch, default"
    flaky = advice(candidate(0.01, failed="failed in turns"), candidate(0.02, backend="torch"))
    assert flaky.best is not None and flaky.best.name == "torch, default"
    nothing = advice(candidate(failed="given up"))
    assert nothing.best is None and snippet(nothing) == ""
    assert sentences(nothing) == [f"No candidate could be measured for {TASK}."]


def test_sentences_name_the_runner_up_its_doubt_and_what_was_not_tried() -> None:
    near = candidate(*[0.0101] * 3, backend="torch")
    first, second, third, _ = sentences(advice(candidate(*[0.01] * 3), near, untried=("jax, unroll true",)))
    assert first.startswith(f"Fastest for {TASK}: jax, default, ")
    assert "torch, default" in second and "too few processes for an interval" in second
    assert "jax, unroll true" in third and "--budget" in third


def test_a_tie_is_called_one() -> None:
    seconds = (0.010, 0.011, 0.012, 0.010, 0.011)
    _, second, *_ = sentences(advice(candidate(*seconds), candidate(*seconds[::-1], backend="torch")))
    assert "no difference is shown" in second


def test_table_shows_what_was_given_up_and_why() -> None:
    table = candidates_table(advice(candidate(0.01), candidate(failed="given up in first epoch", backend="torch")))
    assert list(table.frame["status"])[1] == "given up in first epoch" and isnan(table.frame["together s"][1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_code_to_paste_parses_and_says_every_setting(backend: str) -> None:
    for variant in VARIANTS[backend]:  # type: ignore[index]
        settings = {name: value for name, value in vars(variant).items() if value is not None}
        code = snippet(advice(candidate(0.01, backend=backend, **settings)))
        ast.parse(code)
        assert f'"{backend}"' in code and "LSTM(16" in code
        assert ("unroll=True" in code) == variant.unroll
        assert ("jit_compile=True" in code) == (variant.jit_compile is True)


def search(folder: Path, behaviour: str = "good", **changes: Any) -> tuple[Advice, list[str]]:
    said: list[str] = []
    known: dict[str, Any] = {"budget_s": 60.0, "pythons": {"jax": fake_python(folder, behaviour)}, "say": said.append}
    return advise(TASK, ["jax"], **(known | changes)), said


def test_every_candidate_is_tried_and_the_finalists_again(tmp_path: Path) -> None:
    found, said = search(tmp_path)
    assert len(found.candidates) == 1 + len(VARIANTS["jax"]) and not found.untried
    assert found.best is not None and len(found.best.records) > 1
    assert all(isinstance(record, Speed) for one in found.candidates for record in one.records)
    totals = [one.total_s for one in found.candidates]
    assert totals == sorted(totals) and len(said) >= len(totals)


def test_what_compiles_longest_is_tried_last(tmp_path: Path) -> None:
    said: list[str] = []
    pythons = dict.fromkeys(["jax", "tensorflow"], fake_python(tmp_path))
    advise(TASK, ["jax", "tensorflow"], budget_s=60.0, pythons=pythons, say=said.append)
    first = [next(place for place, line in enumerate(said) if name in line) for name in ("unroll", "jit_compile")]
    assert first[0] > first[1]


def test_candidates_that_crash_are_evidence_too(tmp_path: Path) -> None:
    found, _ = search(tmp_path, "dies at import")
    assert found.best is None and all(one.failed for one in found.candidates)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"budget_s": 5.0}, "`--budget` must be at least 30 seconds"),
        ({"budget_s": float("nan")}, "`--budget` must be at least 30 seconds"),
        ({"pythons": {"jax": "/no/such/python"}}, "/no/such/python"),
    ],
)
def test_wrong_input_is_one_line_and_nothing_is_measured(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError) as raised:
        search(tmp_path, **changes)
    assert named in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(("name", "value"), [("epochs", 0), ("length", 1), ("units", 0)])
def test_a_task_that_makes_no_sense_is_refused(name: str, value: int) -> None:
    task = Task(**(vars(TASK) | {name: value}))
    with pytest.raises(UserError, match="Received: "):
        advise(task, ["jax"], budget_s=60.0, pythons={}, say=pytest.fail)
