"""How strongly the loss of a row still depends on the hidden state at each timestep. No framework's gradient code.

A nudge, which is zero, is added to every state that the recurrent cell hands on. The nudges are the only
trainable weight of the model, one number for each row, timestep, state and unit, so one step of plain
gradient descent with learning rate 1 turns them into minus the gradient of all states at once.
"""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from seqsum_core.nn.models import LAYERS
from seqsum_core.settings import NetworkSettings
from seqsum_core.task import Sequences

CELLS = {"simple_rnn": keras.layers.SimpleRNNCell, "lstm": keras.layers.LSTMCell, "gru": keras.layers.GRUCell}
STATES = {"simple_rnn": ("h",), "lstm": ("h", "c"), "gru": ("h",)}
BATCH_ROWS = 256


class StateGradients:
    """A copy of a model whose hidden states can be nudged; compiled once, used for any number of weights.

    With `network.layers` above 1 the states are those of the last recurrent layer. With `network.mask` a hidden
    timestep leaves the state as it was, and the gradient with respect to it likewise.

    Args:
        model: "simple_rnn", "lstm" or "gru".
        rows: the rows whose losses are differentiated.
        network: units, layers and mask.
    """

    def __init__(self, model: str, *, rows: Sequences, network: NetworkSettings) -> None:
        self._rows, self._units, self._states = rows, network.units, STATES[model]
        self._batch_rows = min(len(rows), BATCH_ROWS)
        self._nudges = _Nudges(network.units * len(self._states))
        self._model = self._build(model, rows.digits.shape[1], network)
        self._weights = [weight for weight in self._model.weights if weight is not self._nudges.table]

    def _build(self, model: str, length: int, network: NetworkSettings) -> keras.Model:
        digits = keras.Input(batch_shape=(self._batch_rows, length, 1))
        below = keras.layers.Masking(0.0)(digits) if network.mask else digits
        for _ in range(network.layers - 1):
            below = LAYERS[model](network.units, return_sequences=True)(below)
        cell = _NudgedCell(CELLS[model](network.units), features=below.shape[-1], mask=network.mask)
        state = keras.layers.RNN(cell)(self._nudges([below, digits]))
        built = keras.Model(digits, keras.layers.Dense(1)(state))
        for layer in built.layers:
            layer.trainable = layer is self._nudges
        built.compile(
            optimizer=keras.optimizers.SGD(learning_rate=1.0), loss=keras.losses.MeanSquaredError(reduction="sum")
        )
        return built

    def norms(self, weights: list[NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Take the gradient of each row's squared error with respect to the states that each timestep hands on.

        It is the total gradient, through all later timesteps. The h and c of an LSTM are differentiated apart,
        as what the next timestep reads; so the last c has none.

        Args:
            weights: in the order of the model that `models.build` makes.

        Returns:
            The L2 norm over the units, shape (rows, timesteps), by name of the state.

        Raises:
            ValueError: if the weights are of another model.
        """
        for variable, weight in zip(self._weights, weights, strict=True):
            variable.assign(weight)
        batches = range(0, len(self._rows), self._batch_rows)
        gradients = np.concatenate([self._gradients(np.arange(first, first + self._batch_rows)) for first in batches])
        by_state = gradients[: len(self._rows)].reshape(*self._rows.digits.shape, len(self._states), self._units)
        norms = np.linalg.norm(by_state, axis=-1)
        return {name: norms[:, :, place] for place, name in enumerate(self._states)}

    def _gradients(self, batch: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the gradients of one batch; past the last row it begins with the first one again."""
        rows = self._rows.take(batch % len(self._rows))
        self._nudges.table.assign(np.zeros(self._nudges.table.shape, np.float32))
        self._model.train_on_batch(rows.inputs(), rows.targets())
        gradients: NDArray[np.float32] = -ops.convert_to_numpy(self._nudges.table)
        return gradients


class _Nudges(keras.layers.Layer):  # type: ignore[misc]
    """Append to each timestep's features its digit and what is added to the states after it.

    Reads (batch, timesteps, features) and (batch, timesteps, 1), outputs (batch, timesteps, features + 1 + width).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width
        self.supports_masking = True

    def build(self, shapes: Any) -> None:
        """Make the nudges, all zero: one for each row of the batch, timestep and number of the states."""
        self.table = self.add_weight(shape=(*shapes[1][:2], self._width), initializer="zeros", name="nudges")

    def call(self, inputs: Any) -> Any:
        """Put the features beside each other."""
        return ops.concatenate([*inputs, self.table], axis=-1)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """Pass no mask on: the cell sees from the digit what is hidden, and nudges the state there too."""


class _NudgedCell(keras.layers.Layer):  # type: ignore[misc]
    """Run a cell on the first features of a timestep and add the last ones to its new states."""

    def __init__(self, cell: Any, *, features: int, mask: bool) -> None:
        super().__init__()
        self._cell, self._features, self._mask = cell, features, mask
        self.state_size, self.output_size = cell.state_size, cell.output_size

    def build(self, shape: Any) -> None:
        """Build the cell."""
        self._cell.build((shape[0], self._features))

    def call(self, inputs: Any, states: Any) -> Any:
        """Return the output, which is the first state, and the states."""
        ends = self._features + 1 + self.output_size * np.arange(len(states))
        features, digit, *nudges = ops.split(inputs, [self._features, *ends.tolist()], axis=-1)
        _, new = self._cell(features, states)
        if self._mask:
            new = [ops.where(digit != 0, fresh, old) for fresh, old in zip(new, states, strict=True)]
        new = [state + nudge for state, nudge in zip(new, nudges, strict=True)]
        return new[0], new
