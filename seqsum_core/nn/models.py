"""Build the measured models in backend-neutral Keras 3, with starting weights drawn in NumPy.

A built-in model reads (batch, timesteps, features) and outputs (batch, outputs) of its task.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from seqsum_core.nn import fused
from seqsum_core.nn.own import build_own, refuse_unreceived
from seqsum_core.settings import MODELS, NetworkSettings, TrainingSettings, VariantSettings, require
from seqsum_core.start import glorot_uniform, orthogonal
from seqsum_core.tasks import SUM, Task

LAYERS = {"simple_rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


def build(
    name: str,
    *,
    length: int,
    task: Task = SUM,
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
        task: what is read and output, and the loss of a model that its function leaves uncompiled.
        network: units, layers and mask; a user's function decides these itself.
        training: optimizer and learning rate; a model that is compiled already decides these itself.
        variant: how Keras runs it.

    Returns:
        A compiled model.

    Raises:
        ValueError: if the name is unknown, the user's function cannot be imported, fails or returns no Keras model, or
            a setting is not received by its model.
    """
    variant, training = variant or VariantSettings(), training or TrainingSettings()
    with dtype_policy(variant.dtype):
        if name in LAYERS:
            model = _build_named(name, length, task, network, variant)
        else:
            rule = f"`model` must be one of {', '.join(MODELS)} or package.module:function."
            require(":" in name, rule, name, "Correct the name.")
            model = build_own(name, length, is_fused=variant.implementation == "fused")
            refuse_unreceived(model, name, training, variant)
        if not model.compiled:
            model.compile(optimizer=make_optimizer(training), loss=task.loss, **_compile_settings(variant))
    return model


def make_optimizer(training: TrainingSettings) -> keras.optimizers.Optimizer:
    """Return the optimizer of a training, with Keras' defaults but for the learning rate."""
    config = {"learning_rate": training.learning_rate}
    return keras.optimizers.get({"class_name": training.optimizer, "config": config})


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
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


def _build_named(
    name: str, length: int, task: Task, network: NetworkSettings | None, variant: VariantSettings
) -> keras.Model:
    rule = f"`{name}` reads one array of numbers, shape (rows, timesteps, features)."
    require(
        bool(task.features), rule, "several inputs, tokens or images", "Bring a model of your own: --model mine:build"
    )
    network = network or NetworkSettings()
    is_fused = variant.implementation == "fused"
    kinds, sequential = (fused.LAYERS, fused.Sequential) if is_fused else (LAYERS, keras.Sequential)
    timesteps = length if variant.batching == "padded" else None
    layers: list[Any] = [keras.Input((timesteps, task.features))]
    if network.mask:
        layers.append(keras.layers.Masking(0.0))
    for depth in range(1, network.layers + 1):
        stacked = depth < network.layers
        layers.append(kinds[name](network.units, return_sequences=stacked, unroll=variant.unroll))
    activation = "softmax" if task.judge == "class" else None
    return sequential([*layers, keras.layers.Dense(task.outputs, activation=activation)], name=name)


def _compile_settings(variant: VariantSettings) -> dict[str, Any]:
    """Return what `compile` is given for speed; fused models have defaults of their own."""
    settings = {"jit_compile": variant.jit_compile, "steps_per_execution": variant.steps_per_execution}
    if variant.implementation != "fused":
        return settings
    changed = {name: value for name, value in settings.items() if value != getattr(VariantSettings(), name)}
    return fused.settings_for(keras.backend.backend()) | changed


def set_start(model: keras.Model, *, seed: int) -> None:
    """Give every weight of a built-in model the value that `draw_weights` draws."""
    model.set_weights(draw_weights(model, seed=seed))


def draw_weights(model: keras.Model, *, seed: int) -> list[NDArray[np.float32]]:
    """Draw a value for every weight of a built-in model in NumPy, the same on every backend.

    The distributions are Keras' defaults: glorot uniform kernels, orthogonal recurrent kernels, zero biases with the
    LSTM's forget gate at 1.

    Returns:
        The weights as `model.get_weights()` orders them.
    """
    random = np.random.default_rng(seed)
    return [_draw_weight(layer, weight, random) for layer in model.layers for weight in layer.weights]


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
