"""Models: their shapes, their start drawn in NumPy, and what they compute with constant weights."""

from typing import Any

import numpy as np
import pytest

from seqsum_core.settings import MODELS, NetworkSettings, VariantSettings

pytestmark = pytest.mark.backend

# The output for digits 1, 2, 3 when every kernel is 0.1, every recurrent kernel 0.05 and every bias
# zero, for two units and a Dense kernel of ones: worked out by hand in the tests' own NumPy below.
DIGITS = np.array([[[1.0], [2.0], [3.0]]], np.float32)


@pytest.fixture
def models() -> Any:
    return pytest.importorskip("seqsum_core.nn.models", exc_type=ImportError)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def step_simple_rnn(x: float, h: float, c: float) -> tuple[float, float]:
    return np.tanh(0.1 * x + 0.1 * h), c


def step_lstm(x: float, h: float, c: float) -> tuple[float, float]:
    gate = 0.1 * x + 0.1 * h
    c = sigmoid(gate) * c + sigmoid(gate) * np.tanh(gate)
    return sigmoid(gate) * np.tanh(c), c


def step_gru(x: float, h: float, c: float) -> tuple[float, float]:
    gate = sigmoid(0.1 * x + 0.1 * h)
    return gate * h + (1 - gate) * np.tanh(0.1 * x + gate * 0.1 * h), c


@pytest.mark.parametrize(("name", "step"), [("simple_rnn", step_simple_rnn), ("lstm", step_lstm), ("gru", step_gru)])
def test_constant_weights_give_the_output_of_the_textbook_cell(models: Any, name: str, step: Any) -> None:
    model = models.build(name, length=3, network=NetworkSettings(units=2))
    constants = {"kernel": 0.1, "recurrent_kernel": 0.05, "bias": 0.0}
    recurrent, dense = model.layers
    recurrent.set_weights([np.full(weight.shape, constants[weight.name], np.float32) for weight in recurrent.weights])
    dense.set_weights([np.ones((2, 1), np.float32), np.zeros(1, np.float32)])
    h = c = 0.0
    for x in (1.0, 2.0, 3.0):
        h, c = step(x, h, c)
    assert model.predict(DIGITS, verbose=0)[0, 0] == pytest.approx(2 * h, rel=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_layers_units_and_mask_are_as_asked(models: Any, name: str) -> None:
    model = models.build(name, length=5, network=NetworkSettings(units=3, layers=2, mask=True))
    kinds = [type(layer).__name__.lower() for layer in model.layers]
    assert kinds == ["masking", name.replace("_", ""), name.replace("_", ""), "dense"]
    assert model.output_shape == (None, 1)
    assert [layer.units for layer in model.layers[1:3]] == [3, 3]


@pytest.mark.parametrize("name", MODELS)
def test_mask_hides_padding(models: Any, name: str) -> None:
    masked = models.build(name, length=6, network=NetworkSettings(mask=True))
    models.set_start(masked, seed=0)
    padded = np.concatenate([np.zeros((1, 3, 1), np.float32), DIGITS], axis=1)
    shifted = np.concatenate([DIGITS, np.zeros((1, 3, 1), np.float32)], axis=1)
    before, after = masked.predict(padded, verbose=0), masked.predict(shifted, verbose=0)
    np.testing.assert_allclose(before, after, rtol=1e-5)


def test_without_mask_padding_after_changes_the_output(models: Any) -> None:
    model = models.build("simple_rnn", length=6)
    models.set_start(model, seed=0)
    padded = np.concatenate([np.zeros((1, 3, 1), np.float32), DIGITS], axis=1)
    shifted = np.concatenate([DIGITS, np.zeros((1, 3, 1), np.float32)], axis=1)
    assert abs(model.predict(padded, verbose=0) - model.predict(shifted, verbose=0))[0, 0] > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_is_the_same_start_and_another_seed_another(models: Any, name: str) -> None:
    first, second, other = (models.build(name, length=4) for _ in range(3))
    assert models.set_start(first, seed=1) and models.set_start(second, seed=1) and models.set_start(other, seed=2)
    for ours, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])


def test_start_has_the_distributions_of_keras_defaults(models: Any) -> None:
    model = models.build("lstm", length=4, network=NetworkSettings(units=32))
    assert models.set_start(model, seed=3)
    kernel, recurrent, bias, dense, dense_bias = model.get_weights()
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(32), atol=1e-5)
    assert 0.8 < abs(kernel).max() / np.sqrt(6 / (1 + 128)) <= 1
    assert bias[32:64].tolist() == [1.0] * 32 and bias.sum() == 32
    assert abs(dense).max() <= np.sqrt(6 / 33) and dense_bias.tolist() == [0.0]


def test_start_is_the_same_numbers_on_every_backend(models: Any) -> None:
    model = models.build("gru", length=4)
    models.set_start(model, seed=0)
    kernel, recurrent, _, dense, _ = model.get_weights()
    # Drawn once with NumPy 2.4.6; equal on all backends because NumPy alone draws them.
    assert kernel[0, :3] == pytest.approx([0.09585322, -0.16111574, -0.3212516], rel=1e-5)
    assert dense[0, 0] == pytest.approx(-0.57577497, rel=1e-5)
    assert np.linalg.norm(recurrent, axis=1) == pytest.approx(np.ones(16), rel=1e-5)


def test_layers_of_unknown_kind_keep_keras_own_start(models: Any) -> None:
    import keras

    model = keras.Sequential([keras.Input((4, 1)), keras.layers.Conv1D(2, 2), keras.layers.Flatten()])
    before = model.get_weights()
    assert not models.set_start(model, seed=0)
    np.testing.assert_array_equal(before[0], model.get_weights()[0])


def test_unroll_computes_the_same(models: Any) -> None:
    rolled = models.build("lstm", length=3)
    unrolled = models.build("lstm", length=3, variant=VariantSettings(unroll=True))
    models.set_start(rolled, seed=0)
    unrolled.set_weights(rolled.get_weights())
    np.testing.assert_allclose(rolled.predict(DIGITS, verbose=0), unrolled.predict(DIGITS, verbose=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("lsmt", "must be one of"),
        ("no_such_module:build", "cannot be imported"),
        ("own_models:no_such_function", "cannot be imported"),
        ("own_models:no_model", "must return a keras.Model"),
        ("own_models:wrong_output", "must output shape"),
        ("own_models:wrong_input", "must accept inputs"),
        ("own_models:broken", "failed for length 4"),
    ],
)
def test_unusable_model_is_named_with_the_rule(models: Any, name: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        models.build(name, length=4)


@pytest.mark.parametrize("name", ["own_models:uncompiled", "own_models:compiled"])
def test_own_model_is_compiled_unless_it_is(models: Any, name: str) -> None:
    model = models.build(name, length=4)
    assert model.compiled
    assert type(model.optimizer).__name__ == ("Adam" if name.endswith(":compiled") else "RMSprop")
