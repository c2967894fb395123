"""Memory: what a linear recurrence keeps, which digits count, and every figure once more from single rows."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqsum_core import memory
from seqsum_core.memory import choose_steps_back, measure_memory, output_changes
from seqsum_core.reference_cells import predict, state_gradients
from seqsum_core.settings import MODELS, Padding, TaskSettings
from seqsum_core.start import draw_start
from seqsum_core.tasks import Sequences, draw


def draw_task(padding: Padding = "pre", *, rows: int = 40, digits: tuple[int, int] = (0, 3)) -> TaskSettings:
    return TaskSettings(source="generated", sequences=rows, min_length=1, digits=digits, padding=padding, seed=3)


def places(rows: Sequences, padding: Padding, k: int) -> list[tuple[int, int]]:
    """Return row and timestep of each digit k steps before the end, row by row."""
    ends = rows.lengths if padding == "post" else np.full(len(rows), rows.x.shape[1])
    return [(row, int(ends[row]) - 1 - k) for row in range(len(rows)) if rows.lengths[row] > k]


@given(padding=st.sampled_from(["pre", "post"]), length=st.integers(1, 50), low=st.integers(-3, 3), seed=st.integers(0))
def test_only_digits_that_can_grow_count(padding: Any, length: int, low: int, seed: int) -> None:
    task = draw_task(padding, rows=20, digits=(low, 3))
    rows, factors = draw(task, length=length), np.random.default_rng(seed).normal(size=length)
    expected: dict[int, list[float]] = {}
    for k in choose_steps_back(length):
        growing = [step for row, step in places(rows, padding, k) if rows.x[row, step] < 3]
        if growing:
            expected[k] = factors[growing].tolist()
    changes = output_changes(lambda inputs: inputs[:, :, 0] @ factors, rows, task)
    assert {k: change.tolist() for k, change in changes.items()} == {k: pytest.approx(expected[k]) for k in expected}


def test_steps_back() -> None:
    assert choose_steps_back(1) == [0]
    assert choose_steps_back(33) == list(range(33))
    assert choose_steps_back(200) == [*range(33), 40, 51, 64, 81, 102, 128, 161]


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("model", MODELS)
def test_figures_row_by_row(model: str, padding: Padding, mask: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same figures come from single rows, places and weights; batches of 7 of the 40 rows change nothing."""
    monkeypatch.setattr(memory, "BATCH_ROWS", 7)
    task = draw_task(padding)
    rows = draw(task, length=5)
    start, weights = (draw_start(model, units=4, seed=seed) for seed in (0, 10))
    figures = measure_memory(model, start, weights, rows=rows, task=task, mask=mask)
    assert figures.steps_back == (0, 1, 2, 3, 4)
    for k in figures.steps_back:
        changes = []
        for row, step in places(rows, padding, k):
            before, after = rows.inputs()[[row]], rows.inputs()[[row]]
            after[0, step] += 1
            if after[0, step] <= 3:
                outputs = [predict(model, weights, inputs, mask=mask)[0, 0] for inputs in (before, after)]
                changes.append(outputs[1] - outputs[0])
        assert figures.rows[k] == len(changes)
        assert figures.moved[k] == pytest.approx(np.mean(changes))
        for gradient, of_weights in ((figures.gradient_start, start), (figures.gradient, weights)):
            states = state_gradients(model, of_weights, rows.inputs(), rows.targets(), mask=mask)
            assert list(gradient) == ["h", "c"][: len(states)]
            for name, state in zip("hc", states, strict=False):
                norms = [np.linalg.norm(state[place]) for place in places(rows, padding, k)]
                assert gradient[name][k] == pytest.approx(np.mean(norms))


def test_a_users_own_model_is_refused() -> None:
    task = draw_task()
    with pytest.raises(ValueError, match="`model` must be one of simple_rnn, lstm, gru"):
        measure_memory("own_models:flat", [], [], rows=draw(task, length=5), task=task, mask=False)


def test_figures_that_are_not_finite_are_refused() -> None:
    task = draw_task()
    start = draw_start("simple_rnn", units=2, seed=0)
    broken = [np.full_like(weight, np.nan) for weight in start]
    with pytest.raises(ArithmeticError, match="not finite"):
        measure_memory("simple_rnn", start, broken, rows=draw(task, length=5), task=task, mask=False)
