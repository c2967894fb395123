"""The float64 reference: textbook equations, gradients by finite differences, masks, several layers, RMSprop."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seqsum_core.reference_cells import RMSprop, loss_and_gradients, predict, state_gradients
from seqsum_core.settings import MODELS
from seqsum_core.start import GATES, WEIGHT_NAMES, draw_start

DIGITS = np.array([[0, 0, 2, 1, 3], [0, 3, 0, 1, 0], [1, 2, 3, 1, 2], [0, 0, 0, 0, 0]], np.float64)[:, :, np.newaxis]
SUMS = DIGITS.sum(axis=1)

# Outputs for digits 1, 2, 3 of two units with every kernel 0.1, every recurrent kernel 0.05, biases zero and a Dense
# kernel of ones: both units are alike, so each state is a number, worked out here.


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def step_simple_rnn(x: float, h: float, c: float) -> tuple[float, float]:
    return np.tanh(0.1 * x + 0.1 * h), c


def step_lstm(x: float, h: float, c: float) -> tuple[float, float]:
    gate = 0.1 * x + 0.1 * h
    c = sigmoid(gate) * c + sigmoid(gate) * np.tanh(gate)
    return sigmoid(gate) * np.tanh(c), c


def step_gru(x: float, h: float, c: float) -> tuple[float, float]:
    gate = sigmoid(0.1 * x + 0.1 * h)
    return gate * h + (1 - gate) * np.tanh(0.1 * x + gate * 0.1 * h), c


def random_weights(model: str, *, units: int = 3, layers: int = 1, features: int = 1) -> list[NDArray[np.float64]]:
    """Return weights without zeros, so that no gradient vanishes by chance."""
    random = np.random.default_rng(5)
    *layer, dense, dense_bias = draw_start(model, units=units, seed=0, features=features)
    upper: list[NDArray[np.float32]] = [np.zeros((units, units * GATES[model]), np.float32), *layer[1:]]
    shapes = [weight.shape for weight in [*layer, *upper * (layers - 1), dense, dense_bias]]
    return [random.normal(0, 0.5, shape) for shape in shapes]


@pytest.mark.parametrize(("model", "step"), [("simple_rnn", step_simple_rnn), ("lstm", step_lstm), ("gru", step_gru)])
def test_textbook_cells(model: str, step: Any) -> None:
    constants = dict(zip(WEIGHT_NAMES, (0.1, 0.05, 0.0, 1.0, 0.0), strict=True))
    drawn = draw_start(model, units=2, seed=0)
    weights = [np.full(weight.shape, constants[name]) for name, weight in zip(WEIGHT_NAMES, drawn, strict=True)]
    h = c = 0.0
    for x in (1.0, 2.0, 3.0):
        h, c = step(x, h, c)
    (output,) = predict(model, weights, np.array([[[1.0], [2.0], [3.0]]]), mask=False).ravel()
    assert output == pytest.approx(2 * h, rel=1e-14)


@pytest.mark.parametrize("features", [1, 2])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_finite_differences(model: str, mask: bool, features: int) -> None:
    weights = random_weights(model, features=features)
    inputs = np.concatenate([DIGITS, DIGITS[:, ::-1]], axis=2)[:, :, :features]
    loss, gradients = loss_and_gradients(model, weights, inputs, SUMS, mask=mask)
    assert loss == pytest.approx(np.mean((predict(model, weights, inputs, mask=mask) - SUMS) ** 2), rel=1e-14)
    assert [gradient.shape for gradient in gradients] == [weight.shape for weight in weights]
    for weight, gradient in zip(weights, gradients, strict=True):
        for index in np.ndindex(weight.shape):
            middle, losses = weight[index], []
            for moved in (middle + 1e-5, middle - 1e-5):
                weight[index] = moved
                losses.append(loss_and_gradients(model, weights, inputs, SUMS, mask=mask)[0])
            weight[index] = middle
            assert gradient[index] == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("model", MODELS)
def test_gradients_of_states(model: str, layers: int, mask: bool) -> None:
    """At the last h it is twice the error times the Dense kernel, whatever mask and layers do before."""
    weights = random_weights(model, layers=layers)
    h_gradient, *c_gradient = state_gradients(model, weights, DIGITS, SUMS, mask=mask)
    errors = predict(model, weights, DIGITS, mask=mask) - SUMS
    np.testing.assert_allclose(h_gradient[:, -1], 2 * errors @ weights[-2].T, rtol=1e-12)
    assert h_gradient.shape == (4, 5, 3) and len(c_gradient) == (model == "lstm")
    if c_gradient:  # nothing reads the last c
        assert not c_gradient[0][:, -1].any() and c_gradient[0][2, :-1].all()


def test_state_gradient_of_a_simple_rnn_by_hand() -> None:
    """With h1 = tanh(k x1), h2 = tanh(k x2 + r h1) and output d h2 it is 2 (d h2 - target) d (1 - h2^2) r at h1."""
    k, r, d, (x1, x2) = 0.4, -0.7, 1.5, (1.0, 2.0)
    weights = [np.array([[k]]), np.array([[r]]), np.zeros(1), np.array([[d]]), np.zeros(1)]
    h2 = np.tanh(k * x2 + r * np.tanh(k * x1))
    (gradient,) = state_gradients("simple_rnn", weights, np.array([[[x1], [x2]]]), np.array([[3.0]]), mask=False)
    expected = [2 * (d * h2 - 3) * d * (1 - h2**2) * r, 2 * (d * h2 - 3) * d]
    np.testing.assert_allclose(gradient[0, :, 0], expected, rtol=1e-14)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("model", MODELS)
def test_masked_zeros_leave_no_trace(model: str, layers: int) -> None:
    weights = random_weights(model, layers=layers)
    outputs = predict(model, weights, DIGITS, mask=True)
    for row, output in zip(DIGITS[:3], outputs[:3], strict=True):
        assert output == pytest.approx(predict(model, weights, row[row != 0].reshape(1, -1, 1), mask=False)[0])
    assert outputs[3] == weights[-1]
    assert not np.allclose(outputs, predict(model, weights, DIGITS, mask=False))


@pytest.mark.parametrize("model", MODELS)
def test_large_inputs_do_not_overflow(model: str) -> None:
    assert np.isfinite(predict(model, random_weights(model), 1e6 * DIGITS, mask=False)).all()


def test_rmsprop() -> None:
    """With a gradient of g, the first step is rate * g / sqrt(0.1 g**2 + 1e-7)."""
    optimizer = RMSprop(0.001)
    (first,) = optimizer.step([np.zeros(2)], [np.array([1.0, 1e-5])])
    np.testing.assert_allclose(first, [-0.00316227608, -3.16211956e-05], rtol=1e-8)
    (second,) = optimizer.step([first], [np.array([0.0, 1e-5])])
    np.testing.assert_allclose(second - first, [0.0, -1e-8 / np.sqrt(1.9e-11 + 1e-7)], rtol=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_start(model: str) -> None:
    _, recurrent, bias, _, _ = draw_start(model, units=4, seed=3)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(4), atol=1e-6)
    assert bias.shape == ((2, 12) if model == "gru" else (4 * GATES[model],))
    assert bias.sum() == (4 if model == "lstm" else 0)
