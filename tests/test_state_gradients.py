"""Gradients with respect to hidden states: those of the float64 reference, on every backend."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seqsum_core import numpy_cells
from seqsum_core.settings import MODELS, NetworkSettings, TaskSettings
from seqsum_core.start import draw_start
from seqsum_core.task import Sequences, draw

pytestmark = pytest.mark.backend

Weights = list[NDArray[Any]]


@pytest.fixture
def measured() -> Any:
    return pytest.importorskip("seqsum_core.nn.state_gradients", exc_type=ImportError)


@pytest.fixture
def models() -> Any:
    return pytest.importorskip("seqsum_core.nn.models", exc_type=ImportError)


def draw_rows(*, padding: Any = "pre", rows: int = 7, length: int = 6) -> Sequences:
    task = TaskSettings(source="generated", sequences=rows, min_length=2, digits=(0, 3), padding=padding, seed=3)
    return draw(task, length=length)


def norms(model: str, weights: Weights, inputs: NDArray[Any], rows: Sequences, *, mask: bool) -> list[NDArray[Any]]:
    gradients = numpy_cells.state_gradients(model, weights, inputs, rows.targets(), mask=mask)
    return [np.linalg.norm(gradient, axis=2) for gradient in gradients]


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_norms_are_those_of_back_propagation_in_float64(measured: Any, model: str, mask: bool, padding: str) -> None:
    rows, network = draw_rows(padding=padding), NetworkSettings(units=5, mask=mask)
    gradients = measured.StateGradients(model, rows=rows, network=network)
    for seed in (0, 1):
        weights = draw_start(model, units=5, seed=seed)
        expected = norms(model, weights, rows.inputs(), rows, mask=mask)
        found = gradients.norms(weights)
        assert list(found) == ["h", "c"][: len(expected)]
        for of_state, reference in zip(found.values(), expected, strict=True):
            assert of_state.shape == (7, 6)
            np.testing.assert_allclose(of_state, reference, rtol=1e-4, atol=1e-6)


def test_rows_beyond_one_batch_are_measured_in_further_ones(measured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "BATCH_ROWS", 3)
    rows, weights = draw_rows(), draw_start("gru", units=4, seed=2)
    found = measured.StateGradients("gru", rows=rows, network=NetworkSettings(units=4)).norms(weights)
    (expected,) = norms("gru", weights, rows.inputs(), rows, mask=False)
    np.testing.assert_allclose(found["h"], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_stacked_layers_are_measured_at_the_last_one(measured: Any, models: Any, model: str) -> None:
    rows, network = draw_rows(), NetworkSettings(units=4, layers=2)
    built = models.build(model, length=6, network=network)
    models.set_start(built, seed=4)
    found = measured.StateGradients(model, rows=rows, network=network).norms(built.get_weights())
    upper_inputs = measured.ops.convert_to_numpy(built.layers[0](rows.inputs()))
    expected = norms(model, built.get_weights()[3:], upper_inputs, rows, mask=False)
    for of_state, reference in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(of_state, reference, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("model", MODELS)
def test_masked_model_makes_the_errors_of_the_trained_one(measured: Any, models: Any, model: str, layers: int) -> None:
    """The gradient at the last state is twice the error times the Dense kernel."""
    rows, network = draw_rows(), NetworkSettings(units=4, layers=layers, mask=True)
    built = models.build(model, length=6, network=network)
    models.set_start(built, seed=4)
    found = measured.StateGradients(model, rows=rows, network=network).norms(built.get_weights())
    errors = built.predict_on_batch(rows.inputs()).ravel() - rows.sums
    dense = built.get_weights()[-2]
    np.testing.assert_allclose(found["h"][:, -1], np.abs(2 * errors) * np.linalg.norm(dense), rtol=1e-4)


def test_nothing_reads_the_last_cell_state_of_an_lstm(measured: Any) -> None:
    rows, weights = draw_rows(), draw_start("lstm", units=4, seed=0)
    found = measured.StateGradients("lstm", rows=rows, network=NetworkSettings(units=4)).norms(weights)
    assert not found["c"][:, -1].any() and found["c"][:, :-1].any(axis=0).all()


def test_weights_of_another_model_are_refused(measured: Any) -> None:
    gradients = measured.StateGradients("gru", rows=draw_rows(), network=NetworkSettings(units=4))
    with pytest.raises(ValueError):
        gradients.norms(draw_start("lstm", units=4, seed=0))
