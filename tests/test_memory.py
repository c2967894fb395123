"""Memory: a perfect adder moves by 1 at every k, a model of the last digit at none, and rows are counted rightly."""

from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.records import schema as records
from seqsum_core import numpy_cells
from seqsum_core.settings import MODELS, NetworkSettings, TaskSettings
from seqsum_core.start import draw_start
from seqsum_core.task import Sequences, draw

pytestmark = pytest.mark.backend

Padding = Literal["pre", "post"]


@pytest.fixture(scope="module")
def memory() -> Any:
    return pytest.importorskip("seqsum_core.nn.memory", exc_type=ImportError)


def draw_task(padding: Padding = "pre", *, rows: int = 40, digits: tuple[int, int] = (0, 3)) -> TaskSettings:
    return TaskSettings(source="generated", sequences=rows, min_length=1, digits=digits, padding=padding, seed=3)


def linear_rnn(length: int, *, recurrent: float) -> Any:
    """Return a model whose state is the digit and `recurrent` times the state before."""
    import keras

    model = keras.Sequential(
        [keras.Input((length, 1)), keras.layers.SimpleRNN(1, activation="linear"), keras.layers.Dense(1)]
    )
    model.set_weights([np.full((1, 1), 1.0), np.full((1, 1), recurrent), np.zeros(1), np.ones((1, 1)), np.zeros(1)])
    return model


class LinearModel:
    """Outputs a sum of the timesteps, each times its own factor."""

    def __init__(self, factors: NDArray[np.float64]) -> None:
        self.factors = factors

    def predict_on_batch(self, inputs: NDArray[np.float32]) -> NDArray[Any]:
        return np.tensordot(inputs, self.factors, axes=(1, 0))


@pytest.mark.parametrize("padding", ["pre", "post"])
def test_perfect_adder_moves_by_one_at_every_step_back(memory: Any, padding: Padding) -> None:
    task = draw_task(padding)
    steps_back, counts, moved = memory.memory_curve(linear_rnn(6, recurrent=1.0), draw(task, length=6), task)
    assert steps_back == (0, 1, 2, 3, 4, 5) and all(counts)
    assert moved == pytest.approx([1.0] * 6, abs=1e-5)


def test_model_of_the_last_digit_forgets_all_others(memory: Any) -> None:
    task = draw_task()
    _, _, moved = memory.memory_curve(linear_rnn(6, recurrent=0.0), draw(task, length=6), task)
    assert moved == pytest.approx([1.0, 0, 0, 0, 0, 0], abs=1e-6)


def test_halving_rnn_keeps_half_a_step(memory: Any) -> None:
    task = draw_task()
    _, _, moved = memory.memory_curve(linear_rnn(6, recurrent=0.5), draw(task, length=6), task)
    assert moved == pytest.approx([0.5**k for k in range(6)], abs=1e-6)


@given(padding=st.sampled_from(["pre", "post"]), length=st.integers(1, 50), low=st.integers(-3, 3), seed=st.integers(0))
def test_curve_is_the_mean_over_the_digits_that_can_grow(
    memory: Any, padding: Any, length: int, low: int, seed: int
) -> None:
    task = draw_task(padding, rows=20, digits=(low, 3))
    rows, factors = draw(task, length=length), np.random.default_rng(seed).normal(size=length)
    expected: dict[int, list[float]] = {}
    for digits, true_length in zip(rows.digits, rows.lengths, strict=True):
        end = true_length if padding == "post" else length
        for k in range(true_length):
            if digits[end - 1 - k] < 3:
                expected.setdefault(k, []).append(factors[end - 1 - k])
    steps_back, counts, moved = memory.memory_curve(LinearModel(factors), rows, task)
    chosen = [k for k in memory.choose_steps_back(length) if k in expected]
    assert list(steps_back) == chosen
    assert list(counts) == [len(expected[k]) for k in chosen]
    assert moved == pytest.approx([np.mean(expected[k]) for k in chosen], abs=1e-5)


def test_steps_back_are_all_up_to_32_and_then_three_for_each_doubling(memory: Any) -> None:
    assert memory.choose_steps_back(1) == [0]
    assert memory.choose_steps_back(12) == list(range(12))
    assert memory.choose_steps_back(33) == list(range(33))
    assert memory.choose_steps_back(200) == [*range(33), 40, 51, 64, 81, 102, 128, 161]


def test_rows_beyond_one_batch_are_predicted_in_further_ones(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = draw_task()
    rows, factors = draw(task, length=6), np.arange(6.0)
    expected = memory.memory_curve(LinearModel(factors), rows, task)
    monkeypatch.setattr(memory, "BATCH_ROWS", 7)
    assert memory.memory_curve(LinearModel(factors), rows, task) == expected


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("model", MODELS)
def test_probe_measures_each_seed_with_its_own_weights(memory: Any, model: str, padding: Padding) -> None:
    """And as a record holds it; the figures are those of the float64 reference."""
    task = draw_task(padding)
    rows = draw(task, length=5)
    probe = memory.Probe(model, rows=rows, task=task, network=NetworkSettings(units=4))
    for seed in (0, 1):
        start, weights = draw_start(model, units=4, seed=seed), draw_start(model, units=4, seed=seed + 10)
        found = records.Memory(**asdict(probe.measure(start, weights)))
        assert found.steps_back == (0, 1, 2, 3, 4)
        for k in found.steps_back:
            assert found.moved[k] == pytest.approx(reference_moved(model, weights, rows, task, k), abs=1e-5)
            for gradient, of in ((found.gradient_start, start), (found.gradient, weights)):
                for name, expected in reference_gradient(model, of, rows, padding, k).items():
                    assert gradient[name][k] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def places(rows: Sequences, padding: Padding, k: int) -> list[tuple[int, int]]:
    ends = rows.lengths if padding == "post" else np.full(len(rows), rows.digits.shape[1])
    return [(row, ends[row] - 1 - k) for row in range(len(rows)) if rows.lengths[row] > k]


def reference_moved(model: str, weights: list[Any], rows: Sequences, task: TaskSettings, k: int) -> float:
    changes = []
    for row, step in places(rows, task.padding, k):
        before, after = rows.inputs()[[row]], rows.inputs()[[row]]
        after[0, step] += 1
        if after[0, step] <= task.digits[1]:
            outputs = [numpy_cells.predict(model, weights, inputs, mask=False)[0, 0] for inputs in (before, after)]
            changes.append(outputs[1] - outputs[0])
    return float(np.mean(changes))


def reference_gradient(model: str, weights: list[Any], rows: Sequences, padding: Padding, k: int) -> dict[str, float]:
    of_states = numpy_cells.state_gradients(model, weights, rows.inputs(), rows.targets(), mask=False)
    return {
        name: float(np.mean([np.linalg.norm(of_state[place]) for place in places(rows, padding, k)]))
        for name, of_state in zip("hc", of_states, strict=False)
    }


def test_a_model_of_the_users_own_is_refused(memory: Any) -> None:
    task = draw_task()
    with pytest.raises(ValueError, match="`model` must be one of simple_rnn, lstm, gru"):
        memory.Probe("own_models:flat", rows=draw(task, length=5), task=task, network=NetworkSettings())


def test_figures_that_are_no_numbers_are_refused(memory: Any) -> None:
    task = draw_task()
    probe = memory.Probe("simple_rnn", rows=draw(task, length=5), task=task, network=NetworkSettings(units=2))
    start = draw_start("simple_rnn", units=2, seed=0)
    with pytest.raises(ArithmeticError, match="not finite"):
        probe.measure(start, [np.full_like(weight, np.nan) for weight in start])
