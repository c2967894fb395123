"""The measured network S times over in one Keras model, in Keras' own operations.

Shapes: S replicas, T timesteps, B rows, F features, U units. To `keras.layers.RNN` the replicas are the batch, and the
rows are the last axis, where they lie next to each other in memory. One matrix holds a layer's weights and bias, so
that a timestep is one product for all gates, replicas and rows.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from numpy.typing import NDArray

from seqsum_core.nn.replicas.weights import layer_shapes, pack, unpack
from seqsum_core.settings import NetworkSettings


class ReplicaCell(keras.layers.Layer):  # type: ignore[misc]
    """A timestep of SimpleRNN, LSTM or GRU for all replicas.

    Reads (S, F + 1, B), the features and a row of ones for the bias, and states (S, U, B). With `mask` there is one row
    more: 1 where the timestep counts, 0 where the states stay as they are.
    """

    def __init__(self, model: str, units: int, mask: bool) -> None:
        super().__init__()
        self.state_size = [units, units] if model == "lstm" else units
        self.output_size = units
        self._step: Any = {"simple_rnn": self._simple_rnn, "lstm": self._lstm, "gru": self._gru}[model]
        self._units, self._mask = units, mask
        self.matrices: list[Any] = []

    def __call__(self, x: Any, states: list[Any], **_: Any) -> tuple[Any, list[Any]]:
        """Call without `Layer.__call__`, whose checks take longer than the timestep itself on PyTorch."""
        if not self._mask:
            new = self._step(x, *states)
        else:
            counts, x = x[:, -1:], x[:, :-1]
            new = [old + counts * (fresh - old) for fresh, old in zip(self._step(x, *states), states, strict=True)]
        return new[0], new

    def _simple_rnn(self, x: Any, h: Any) -> list[Any]:
        return [ops.tanh(self._product(0, h, x))]

    def _lstm(self, x: Any, h: Any, c: Any) -> list[Any]:
        gates = self._product(0, h, x)
        i, f, o = self._split(ops.sigmoid(gates[:, : 3 * self._units]), 3)
        g = ops.tanh(gates[:, 3 * self._units :])
        c = f * c + i * g
        return [o * ops.tanh(c), c]

    def _gru(self, x: Any, h: Any) -> list[Any]:
        from_input, from_state = ops.matmul(self.matrices[1], x), self._product(0, h, x[:, -1:])
        sigmoids = 2 * self._units
        z, r = self._split(ops.sigmoid(from_input[:, :sigmoids] + from_state[:, :sigmoids]), 2)
        g = ops.tanh(from_input[:, sigmoids:] + r * from_state[:, sigmoids:])
        return [g + z * (h - g)]

    def _product(self, index: int, *parts: Any) -> Any:
        return ops.matmul(self.matrices[index], ops.concatenate(parts, axis=1))

    def _split(self, gates: Any, count: int) -> list[Any]:
        return [gates[:, k * self._units : (k + 1) * self._units] for k in range(count)]


class Replicas(keras.Model):  # type: ignore[misc]
    """The measured network S times: inputs (S, T, F, B) in, outputs (S, B) out.

    Args:
        model: "simple_rnn", "lstm" or "gru".
        starts: weights of each replica, as `get_weights()` of the single model orders them.
        network: units, layers and mask.
    """

    def __init__(self, model: str, starts: Sequence[Sequence[NDArray[Any]]], network: NetworkSettings) -> None:
        super().__init__()
        self._kind, self._network, self._count = model, network, len(starts)
        self._recurrent = [
            keras.layers.RNN(ReplicaCell(model, network.units, network.mask), return_sequences=depth < network.layers)
            for depth in range(1, network.layers + 1)
        ]
        shapes_of_layers = layer_shapes(model, network, features=len(starts[0][0]))
        for layer, shapes in zip(self._recurrent, shapes_of_layers, strict=True):
            layer.cell.matrices = [self.add_weight(shape=(self._count, *shape)) for shape in shapes]
            layer.cell.built = layer.built = True
        self._dense = self.add_weight(shape=(self._count, 1, network.units + 1))
        self.built = True
        self.set_weights(pack(model, starts, network))

    def call(self, inputs: Any) -> Any:
        """Run all replicas on their own rows."""
        x, ones = inputs, ops.ones_like(inputs[:, :, :1])
        beside = [ones]
        if self._network.mask:
            beside.append(ops.cast(ops.any(ops.not_equal(x, 0.0), axis=2, keepdims=True), x.dtype))
        state = ops.zeros((self._count, self._network.units, ops.shape(inputs)[3]), x.dtype)
        states = [state, state] if self._kind == "lstm" else [state]
        for layer in self._recurrent:
            x = layer(ops.concatenate([x, *beside], axis=2), initial_state=states)
        return ops.matmul(self._dense, ops.concatenate([x, ones[:, 0]], axis=1))[:, 0]

    def replica_weights(self) -> list[list[NDArray[Any]]]:
        """Return the weights of each replica, as `get_weights()` of the single model orders them."""
        return unpack(self._kind, self.get_weights(), self._network)
