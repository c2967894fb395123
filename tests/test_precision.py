"""Float64 is float64 in every operation on every backend, and anything less is found out."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.backend

INPUTS = np.random.default_rng(0).normal(size=(7, 3, 1))
TARGETS = INPUTS.sum(axis=1)


@pytest.fixture
def precision() -> Any:
    return pytest.importorskip("seqsum_core.article.precision", exc_type=ImportError)


def demotes(keras: Any) -> bool:
    return bool(keras.backend.backend() != "tensorflow")


def small_model(*middle: Any) -> Any:
    import keras

    model = keras.Sequential([keras.Input((3, 1)), keras.layers.SimpleRNN(4), *middle, keras.layers.Dense(1)])
    model.compile(optimizer="rmsprop", loss="mean_squared_error")
    model.optimizer.build(model.trainable_variables)
    return model


def rounded_within() -> Any:
    """Return a layer that computes in float32 and calls the result what it was: a dtype cannot tell."""
    import keras

    return keras.layers.Lambda(lambda x: keras.ops.cast(keras.ops.cast(x, "float32"), x.dtype))


def test_a_model_built_inside_proves_to_be_float64(precision: Any) -> None:
    with precision.float64():
        model = small_model()
        precision.prove_float64(model, INPUTS, TARGETS)
        assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float64")}


def test_matmul_and_mean_keep_what_float32_would_lose(precision: Any) -> None:
    ops = precision.keras.ops
    value = np.array([[1 + 2.0**-40]])
    with precision.float64():
        for result in (ops.matmul(value, np.ones((1, 1))), ops.mean(value)):
            assert float(ops.convert_to_numpy(result).squeeze()) == value[0, 0]


def test_rounding_hidden_between_two_casts_is_found(precision: Any) -> None:
    with precision.float64(), pytest.raises(RuntimeError, match="does not compute in float64: moving a weight"):
        precision.prove_float64(small_model(rounded_within()), INPUTS, TARGETS)


def test_a_float32_model_is_refused_with_backend_and_version(precision: Any) -> None:
    model = small_model()
    named = rf"Keras {precision.keras.__version__} on .*weights are"
    with precision.float64(), pytest.raises(RuntimeError, match=named):
        precision.prove_float64(model, INPUTS, TARGETS)


def test_trained_values_that_fit_in_float32_are_refused(precision: Any) -> None:
    precision.prove_float64_values(np.array([0.1, 0.5]))
    with pytest.raises(RuntimeError, match="no more digits than float32 holds"):
        precision.prove_float64_values(np.array([0.1, 0.5]), np.array([0.25]))


def test_without_the_workaround_the_demotion_is_found(precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When this fails, Keras no longer demotes float64 and the workaround can go."""
    if not demotes(precision.keras):
        pytest.skip("Keras demotes float64 on JAX and PyTorch only")
    monkeypatch.setattr(precision, "_float64_result_type", nullcontext)
    with pytest.raises(RuntimeError, match="resolves float64 with float32 to float32"), precision.float64():
        pass


def test_everything_is_as_before_afterwards_even_after_an_error(precision: Any) -> None:
    keras = precision.keras
    before = keras.config.floatx(), keras.config.dtype_policy().name
    with pytest.raises(KeyError), precision.float64():
        assert keras.config.floatx() == "float64"
        raise KeyError
    assert (keras.config.floatx(), keras.config.dtype_policy().name) == before
    assert (keras.backend.result_type("float64", "float32") == "float32") == demotes(keras)
    assert keras.backend.standardize_dtype(keras.ops.ones(1).dtype) == before[0]
