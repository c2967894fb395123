"""Float64 is float64 in every operation on every backend, and anything less is found out."""

from contextlib import nullcontext

import numpy as np
import pytest

keras = pytest.importorskip("keras", exc_type=ImportError)

from seqsum_core import precision

INPUTS = np.random.default_rng(0).normal(size=(7, 3, 1))
TARGETS = INPUTS.sum(axis=1)
DEMOTES = keras.backend.backend() != "tensorflow"


def _model(*middle):
    model = keras.Sequential(
        [keras.Input((3, 1)), keras.layers.SimpleRNN(4), *middle, keras.layers.Dense(1)],
    )
    model.compile(optimizer="rmsprop", loss="mean_squared_error")
    model.optimizer.build(model.trainable_variables)
    return model


class RoundedWithin(keras.layers.Layer):
    """Compute in float32 and call the result what it was: a dtype cannot tell."""

    def call(self, x):
        return keras.ops.cast(keras.ops.cast(x, "float32"), x.dtype)


def test_a_model_built_inside_proves_to_be_float64():
    with precision.float64():
        precision.prove_float64(_model(), INPUTS, TARGETS)


def test_matmul_and_mean_keep_what_float32_would_lose():
    value = np.array([[1 + 2.0**-40]])
    with precision.float64():
        for result in (keras.ops.matmul(value, np.ones((1, 1))), keras.ops.mean(value)):
            assert float(keras.ops.convert_to_numpy(result).squeeze()) == value[0, 0]


def test_rounding_hidden_between_two_casts_is_found():
    with (
        precision.float64(),
        pytest.raises(RuntimeError, match="does not compute in float64: moving a weight"),
    ):
        precision.prove_float64(_model(RoundedWithin()), INPUTS, TARGETS)


def test_a_float32_model_is_refused_with_backend_and_version():
    model = _model()
    with (
        precision.float64(),
        pytest.raises(RuntimeError, match=rf"Keras {keras.__version__} on .*weights are"),
    ):
        precision.prove_float64(model, INPUTS, TARGETS)


def test_trained_values_that_fit_in_float32_are_refused():
    precision.prove_float64_values(np.array([0.1, 0.5]))
    with pytest.raises(RuntimeError, match="no more digits than float32 holds"):
        precision.prove_float64_values(np.array([0.1, 0.5]), np.array([0.25]))


@pytest.mark.skipif(not DEMOTES, reason="Keras demotes float64 on JAX and PyTorch only")
def test_without_the_workaround_the_demotion_is_found(monkeypatch):
    """When this fails, Keras no longer demotes float64 and the workaround can go."""
    monkeypatch.setattr(precision, "_float64_result_type", nullcontext)
    with pytest.raises(RuntimeError, match="resolves float64 with float32 to float32"), precision.float64():
        pass


def test_everything_is_as_before_afterwards_even_after_an_error():
    before = keras.config.floatx(), keras.config.dtype_policy().name
    with pytest.raises(KeyError), precision.float64():
        assert keras.config.floatx() == "float64"
        raise KeyError
    assert (keras.config.floatx(), keras.config.dtype_policy().name) == before
    assert (keras.backend.result_type("float64", "float32") == "float32") == DEMOTES
    assert keras.backend.standardize_dtype(keras.ops.ones(1).dtype) == before[0]
