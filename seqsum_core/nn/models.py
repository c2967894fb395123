"""Build the measured models in backend-neutral Keras 3, with starting weights drawn in NumPy.

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
from seqsum_core.settings import MODELS, NetworkSettings, TrainingSettings, VariantSettings, require
from seqsum_core.start import glorot_uniform, orthogonal

LAYERS = {"simple_rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
KNOWN_LAYERS = (*LAYERS.values(), *fused.LAYERS.values(), keras.layers.Dense)


def build(
    name: str,
    *,
    length: int,
    network: NetworkSettings | None = None,
    training: TrainingSettings | None = None,
    variant: VariantSettings | None = None,
) -> keras.Model:
    """Build and compile a model.

        build("lstm", length=12, variant=VariantSettings(unroll=True))

    Args:
        name: "simple_rnn", "lstm", "gru", or "package.module:function" of a function that takes the length and returns
            a Keras model, which is compiled here unless it already is.
        length: the padded time dimension.
        network: units, layers and mask; a user's function decides these itself.
        training: optimizer and learning rate.
        variant: how Keras runs it.

    Returns:
        A compiled model from (batch, length, 1) to (batch, 1).

    Raises:
        ValueError: if the name is unknown, the function cannot be imported or fails, or what it returns is no Keras
            model of these shapes.
    """
    variant, training = variant or VariantSettings(), training or TrainingSettings()
    with _dtype_policy(variant.dtype):
        model = _build_named(name, length, network, variant) if name in LAYERS else _build_own(name, length)
        if not model.compiled:
            optimizer = make_optimizer(training)
            model.compile(optimizer=optimizer, loss="mean_squared_error", **_compile_settings(variant))
    return model


def make_optimizer(training: TrainingSettings) -> keras.optimizers.Optimizer:
    """Return the optimizer of a training, with Keras' defaults but for the learning rate."""
    config = {"learning_rate": training.learning_rate}
    return keras.optimizers.get({"class_name": training.optimizer, "config": config})


@contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Let everything that is built meanwhile compute in a dtype; there is no argument for a whole model.

    "float32", the usual dtype, leaves Keras as it is, which may be set to float64.
    """
    before = keras.config.dtype_policy()
    if name != "float32":
        keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _build_named(name: str, length: int, network: NetworkSettings | None, variant: VariantSettings) -> keras.Model:
    network = network or NetworkSettings()
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


def _compile_settings(variant: VariantSettings) -> dict[str, Any]:
    """Return what `compile` is given for speed; fused models have defaults of their own."""
    settings = {"jit_compile": variant.jit_compile, "steps_per_execution": variant.steps_per_execution}
    if variant.implementation != "fused":
        return settings
    changed = {name: value for name, value in settings.items() if value != getattr(VariantSettings(), name)}
    return fused.settings_for(keras.backend.backend()) | changed


def _build_own(name: str, length: int) -> keras.Model:
    function = _import_function(name)
    try:
        model = function(length)
    except Exception as error:
        raise ValueError(f"Model function `{name}` failed for length {length}: {error!r}. Fix it.") from error
    is_model = isinstance(model, keras.Model)
    rule = f"Model function `{name}` must return a keras.Model."
    require(is_model, rule, type(model).__name__, "Return the model itself.")
    rule, remedy = f"Model `{name}` must accept inputs of shape (batch, {length}, 1).", "Change its Input."
    try:
        shape = tuple(model(keras.Input((length, 1))).shape)
    except Exception as error:
        raise ValueError(f"{rule} Received: {error!r}. {remedy}") from error
    declared = getattr(model, "input_shape", (None, length, 1))  # a Sequential model does not enforce it by itself
    fits = len(declared) == 3 and declared[1] in (None, length) and declared[2] in (None, 1)
    require(fits, rule, f"a model for {declared}", remedy)
    require(shape == (None, 1), f"Model `{name}` must output shape (batch, 1).", shape, "End it with Dense(1).")
    return model


def _import_function(name: str) -> Any:
    module, _, attribute = name.partition(":")
    rule = f"`model` must be one of {', '.join(MODELS)} or package.module:function."
    require(bool(module and attribute), rule, name, "Correct the name.")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        remedy = "Check the spelling and that its folder is on PYTHONPATH."
        raise ValueError(f"Model function `{name}` cannot be imported. Received: {error}. {remedy}") from error


def set_start(model: keras.Model, *, seed: int) -> bool:
    """Give every weight the value that `draw_weights` draws; return False, change nothing, if it does not know one."""
    weights = draw_weights(model, seed=seed)
    if weights is not None:
        model.set_weights(weights)
    return weights is not None


def draw_weights(model: keras.Model, *, seed: int) -> list[NDArray[np.float32]] | None:
    """Draw a value for every weight in NumPy, the same on every backend.

    The distributions are Keras' defaults: glorot uniform kernels, orthogonal recurrent kernels, zero biases with the
    LSTM's forget gate at 1.

    Returns:
        The weights as `model.get_weights()` orders them, or None if the model has some whose distribution is not known
        here (a user's own model, with other layers).
    """
    random = np.random.default_rng(seed)
    if any(type(layer) not in KNOWN_LAYERS for layer in model.layers if layer.weights):
        return None
    drawn = [_draw_weight(layer, weight, random) for layer in model.layers for weight in layer.weights]
    return drawn if len(drawn) == len(model.weights) else None


def _draw_weight(layer: Any, weight: Any, random: np.random.Generator) -> NDArray[np.float32]:
    shape = tuple(weight.shape)
    if weight.name == "kernel":
        return glorot_uniform(shape, random)
    if weight.name == "recurrent_kernel":
        return orthogonal(shape, random)
    bias = np.zeros(shape, np.float32)
    if isinstance(layer, keras.layers.LSTM):
        bias[layer.units : 2 * layer.units] = 1.0
    return bias
