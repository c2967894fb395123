"""Models with one planted error each, built as `models.build` builds; a parity certificate must find them."""

from typing import Any

import keras

from seqsum_core.nn import models
from seqsum_core.settings import NetworkSettings


class Keras2RMSprop(keras.optimizers.RMSprop):  # type: ignore[misc]
    """RMSprop with epsilon outside the root, as Keras 2 had it."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        mean_square = self._velocities[self._get_variable_index(variable)]
        self.assign(mean_square, self.rho * mean_square + (1 - self.rho) * keras.ops.square(gradient))
        rate = keras.ops.cast(learning_rate, variable.dtype)
        self.assign_sub(variable, rate * gradient / (keras.ops.sqrt(mean_square) + self.epsilon))


def epsilon_outside_the_root(name: str, **settings: Any) -> Any:
    model = models.build(name, **settings)
    model.compile(optimizer=Keras2RMSprop(settings["training"].learning_rate), loss="mean_squared_error")
    return model


def gates_in_another_order(name: str, **settings: Any) -> Any:
    """Read the LSTM's forget gate and candidate from each other's place."""
    model = models.build(name, **settings)
    (layer,) = [layer for layer in model.layers if isinstance(layer, keras.layers.LSTM)]
    right = layer.cell._compute_carry_and_output_fused
    layer.cell._compute_carry_and_output_fused = lambda z, c: right((z[0], z[2], z[1], z[3]), c)
    layer.use_cudnn = False
    return model


def reset_before_the_product(name: str, **settings: Any) -> Any:
    """Build a GRU as Cho et al. wrote it and Keras 2 had it."""
    model = models.build(name, **settings)
    layers = [
        keras.layers.GRU(layer.units, reset_after=False) if isinstance(layer, keras.layers.GRU) else layer
        for layer in model.layers
    ]
    wrong = keras.Sequential([keras.Input(model.input_shape[1:]), *layers])
    wrong.compile(optimizer=model.optimizer, loss="mean_squared_error")
    return wrong


def mask_ignored(name: str, *, network: NetworkSettings, **settings: Any) -> Any:
    return models.build(name, network=NetworkSettings(units=network.units, mask=False), **settings)
