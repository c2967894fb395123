"""Build the measured models in backend-neutral Keras 3, with a start drawn in NumPy.

A model reads (batch, timesteps, 1) and outputs (batch, 1).
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from seqsum_core.nn import fused
from seqsum_core.settings import MODELS, NetworkSettings, TrainingSettings, VariantSettings
from seqsum_core.start import glorot_uniform, orthogonal

LAYERS = {"simple_rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


def build(
    name: str,
    *,
    length: int,
    network: NetworkSettings | None = None,
    training: TrainingSettings | None = None,
    variant: VariantSettings | None = None,
) -> keras.Model:
    """Build and compile a model.

    Args:
        name: "simple_rnn", "lstm", "gru", or "package.module:function" of a function that takes
            the length and returns a Keras model, which is compiled here unless it already is.
        length: the padded time dimension.
        network: units, layers and mask; a function of yours decides these itself.
        training: optimizer and learning rate.
        variant: how Keras runs it.

    Returns:
        A compiled model from (batch, length, 1) to (batch, 1).

    Raises:
        ValueError: if the name is unknown, the function cannot be imported or fails, or what it
            returns is no Keras model of these shapes.
    """
    variant = variant or VariantSettings()
    with _dtype_policy(variant.dtype):
        if name in LAYERS:
            model = _build_named(name, length, network or NetworkSettings(), variant)
        else:
            model = _build_own(name, length)
        if not model.compiled:
            _compile(model, training or TrainingSettings(), variant)
    return model


@contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Let everything that is built meanwhile compute in a dtype; Keras reads no other one for a whole model.

    "float32", the usual one, leaves Keras as it is, which may be set to float64.
    """
    before = keras.config.dtype_policy()
    if name != VariantSettings().dtype:
        keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _build_named(name: str, length: int, network: NetworkSettings, variant: VariantSettings) -> keras.Model:
    is_fused = variant.implementation == "fused"
    kinds, sequential = (fused.LAYERS, fused.Sequential) if is_fused else (LAYERS, keras.Sequential)
    timesteps = length if variant.batching == "padded" else None
    layers: list[Any] = [keras.Input((timesteps, 1))]
    if network.mask:
        layers.append(keras.layers.Masking(0.0))
    for depth in range(1, network.layers + 1):
        stacked = depth < network.layers
        layers.append(kinds[name](network.units, return_sequences=stacked, unroll=variant.unroll))
    return sequential([*layers, keras.layers.Dense(1)], name=name)


def _compile(model: keras.Model, training: TrainingSettings, variant: VariantSettings) -> None:
    model.compile(
        optimizer=keras.optimizers.get(
            {"class_name": training.optimizer, "config": {"learning_rate": training.learning_rate}}
        ),
        loss="mean_squared_error",
        **_how_to_run(variant),
    )


def _how_to_run(variant: VariantSettings) -> dict[str, Any]:
    """Return what `compile` is given for speed; fused models have defaults of their own."""
    chosen = {"jit_compile": variant.jit_compile, "steps_per_execution": variant.steps_per_execution}
    if variant.implementation != "fused":
        return chosen
    changed = {name: value for name, value in chosen.items() if value != getattr(VariantSettings(), name)}
    return fused.settings_for(keras.backend.backend()) | changed


def _build_own(name: str, length: int) -> keras.Model:
    function = _import_function(name)
    try:
        model = function(length)
    except Exception as error:
        raise ValueError(f"Model function `{name}` failed for length {length}: {error!r}. Mend it.") from error
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"Model function `{name}` must return a keras.Model. Received: {type(model).__name__}. "
            "Return the model itself."
        )
    try:
        accepted = _input_fits(model, length)
        shape = tuple(model(keras.Input((length, 1))).shape)
    except Exception as error:
        raise ValueError(
            f"Model `{name}` must accept inputs of shape (batch, {length}, 1). Received: {error!r}. Change its Input."
        ) from error
    if not accepted:
        raise ValueError(
            f"Model `{name}` must accept inputs of shape (batch, {length}, 1). "
            f"Received: a model for {model.input_shape}. Change its Input."
        )
    if shape != (None, 1):
        raise ValueError(f"Model `{name}` must output shape (batch, 1). Received: {shape}. End it with Dense(1).")
    return model


def _input_fits(model: keras.Model, length: int) -> bool:
    """Compare the declared input, which a Sequential model does not enforce by itself."""
    declared = getattr(model, "input_shape", (None, length, 1))
    wanted = (None, length, 1)
    return len(declared) == 3 and all(size in (None, other) for size, other in zip(declared, wanted, strict=True))


def _import_function(name: str) -> Any:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError(
            f"`model` must be one of {', '.join(MODELS)} or package.module:function. "
            f"Received: {name!r}. Correct the name."
        )
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"Model function `{name}` cannot be imported. Received: {error}. "
            "Check the spelling and that its folder is on PYTHONPATH."
        ) from error


def set_start(model: keras.Model, *, seed: int) -> bool:
    """Give every weight the value that `draw_weights` draws.

    Args:
        model: a built model.
        seed: the same seed draws the same weights everywhere.

    Returns:
        False, and nothing is changed, if `draw_weights` knows not how.
    """
    weights = draw_weights(model, seed=seed)
    if weights is not None:
        model.set_weights(weights)
    return weights is not None


def draw_weights(model: keras.Model, *, seed: int) -> list[NDArray[np.float32]] | None:
    """Draw a value for every weight in NumPy, the same on every backend.

    The distributions are Keras' defaults: glorot uniform kernels, orthogonal recurrent kernels,
    zero biases with the LSTM's forget gate at one.

    Args:
        model: a built model.
        seed: the same seed draws the same weights everywhere.

    Returns:
        The weights as `model.get_weights()` orders them, or None if the model has some whose
        distribution is not known here (a model of your own, with other layers).
    """
    random = np.random.default_rng(seed)
    weights = [_draw_weight(layer, weight, random) for layer in model.layers for weight in layer.weights]
    drawn = [weight for weight in weights if weight is not None]
    return drawn if len(drawn) == len(weights) == len(model.weights) else None


def _draw_weight(layer: Any, weight: Any, random: np.random.Generator) -> NDArray[np.float32] | None:
    """Draw one weight by its name and its layer's kind, or None where that says too little."""
    if type(layer) not in (*LAYERS.values(), *fused.LAYERS.values(), keras.layers.Dense):
        return None
    shape = tuple(weight.shape)
    if weight.name == "kernel":
        return glorot_uniform(shape, random)
    if weight.name == "recurrent_kernel":
        return orthogonal(shape, random)
    bias = np.zeros(shape, np.float32)
    if isinstance(layer, keras.layers.LSTM):
        bias[layer.units : 2 * layer.units] = 1.0
    return bias
