"""Train many seeds side by side as ONE Keras model, each exactly as if it were alone.

A step of so small a model is mostly overhead, so S of them cost little more than one. Every weight
gets a leading replica axis, and the loss is the SUM of the replicas' losses: the gradient with respect
to a replica's weights is then that of its own loss. RMSprop, Adam and SGD treat each number on its own,
so every replica moves as if alone. What mixes replicas is refused, see `seqsum_core.nn.replicas.checks`.

Shapes: S replicas, T timesteps, B rows, F features, U units. To `keras.layers.RNN` the replicas are the
batch and the rows are the last axis, where they lie next to each other in memory. One matrix holds a
layer's weights and bias, so that a timestep is one product for all gates, replicas and rows.
"""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, Literal

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from seqsum_core.nn.replicas.checks import check_callbacks, check_optimizer
from seqsum_core.nn.replicas.weights import layer_shapes, pack, unpack
from seqsum_core.nn.training import Trained
from seqsum_core.settings import NetworkSettings, TrainingSettings, require
from seqsum_core.stopping import StopTracker
from seqsum_core.task import Sequences, Split, batch_order


class ReplicaCell(keras.layers.Layer):  # type: ignore[misc]
    """One timestep of SimpleRNN, LSTM or GRU for all replicas.

    Reads (S, F + 1, B), the features and a row of ones for the bias, and states (S, U, B). With `mask`
    there is one row more: 1 where the timestep counts, 0 where the states shall stay.
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
            seen, x = x[:, -1:], x[:, :-1]
            new = [old + seen * (fresh - old) for fresh, old in zip(self._step(x, *states), states, strict=True)]
        return new[0], new

    def _simple_rnn(self, x: Any, h: Any) -> list[Any]:
        return [ops.tanh(self._product(0, h, x))]

    def _lstm(self, x: Any, h: Any, c: Any) -> list[Any]:
        z = self._product(0, h, x)
        i, f, o = self._split(ops.sigmoid(z[:, : 3 * self._units]), 3)
        c = f * c + i * ops.tanh(z[:, 3 * self._units :])
        return [o * ops.tanh(c), c]

    def _gru(self, x: Any, h: Any) -> list[Any]:
        from_input, from_state = ops.matmul(self.matrices[1], x), self._product(0, h, x[:, -1:])
        gates = 2 * self._units
        z, r = self._split(ops.sigmoid(from_input[:, :gates] + from_state[:, :gates]), 2)
        g = ops.tanh(from_input[:, gates:] + r * from_state[:, gates:])
        return [g + z * (h - g)]

    def _product(self, index: int, *parts: Any) -> Any:
        return ops.matmul(self.matrices[index], ops.concatenate(parts, axis=1))

    def _split(self, gates: Any, count: int) -> list[Any]:
        return [gates[:, k * self._units : (k + 1) * self._units] for k in range(count)]


class Replicas(keras.Model):  # type: ignore[misc]
    """The measured network S times: digits (S, T, B) in, outputs (S, B) out.

    Args:
        model: "simple_rnn", "lstm" or "gru".
        starts: weights of each replica, as `get_weights()` of the single model orders them.
        network: units, layers and mask.
    """

    def __init__(self, model: str, starts: Sequence[Sequence[NDArray[Any]]], network: NetworkSettings) -> None:
        super().__init__()
        self._kind, self._network, self._count = model, network, len(starts)
        self._layers_of_cells = [
            keras.layers.RNN(ReplicaCell(model, network.units, network.mask), return_sequences=depth < network.layers)
            for depth in range(1, network.layers + 1)
        ]
        for layer, shapes in zip(self._layers_of_cells, layer_shapes(model, network), strict=True):
            layer.cell.matrices = [self.add_weight(shape=(self._count, *shape)) for shape in shapes]
            layer.cell.built = layer.built = True
        self._dense = self.add_weight(shape=(self._count, 1, network.units + 1))
        self.built = True
        self.set_weights(pack(model, starts, network))

    def call(self, digits: Any) -> Any:
        """Run all replicas on their own rows."""
        x = digits[:, :, None, :]
        ones = ops.ones_like(x)
        beside = [ones, ops.cast(ops.not_equal(x, 0.0), x.dtype)] if self._network.mask else [ones]
        state = ops.zeros((self._count, self._network.units, digits.shape[2]), x.dtype)
        states = [state, state] if self._kind == "lstm" else [state]
        for layer in self._layers_of_cells:
            x = layer(ops.concatenate([x, *beside], axis=2), initial_state=states)
        return ops.matmul(self._dense, ops.concatenate([x, ones[:, 0]], axis=1))[:, 0]

    def replica_weights(self) -> list[list[NDArray[Any]]]:
        """Return the weights of each replica, as `get_weights()` of the single model orders them."""
        return unpack(self._kind, self.get_weights(), self._network)


class SummedErrors(keras.losses.Loss):  # type: ignore[misc]
    """The sum over replicas of each one's mean squared error. Targets (S, 2, B): sums and weights 0 or 1."""

    def __init__(self) -> None:
        super().__init__(reduction="sum")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the error of each replica, shape (S,)."""
        sums, weights = y_true[:, 0], y_true[:, 1]
        return ops.sum(weights * ops.square(sums - y_pred), axis=1) / ops.sum(weights, axis=1)


class ReplicaErrors(keras.metrics.Metric):  # type: ignore[misc]
    """Each replica's mean squared error over an epoch; Keras is shown their mean."""

    def __init__(self, replicas: int) -> None:
        super().__init__(name="replica_errors")
        self.squares = self.add_weight(shape=(replicas,), initializer="zeros")
        self.rows = self.add_weight(shape=(replicas,), initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        sums, weights = y_true[:, 0], y_true[:, 1]
        self.squares.assign_add(ops.sum(weights * ops.square(sums - y_pred), axis=1))
        self.rows.assign_add(ops.sum(weights, axis=1))

    def result(self) -> Any:
        """Return the mean over replicas."""
        return ops.mean(ops.divide_no_nan(self.squares, self.rows))

    def of_each(self) -> NDArray[np.float64]:
        """Return the error of each replica, shape (S,)."""
        squares, rows = (ops.convert_to_numpy(one.value) for one in (self.squares, self.rows))
        errors: NDArray[np.float64] = squares.astype(np.float64) / rows
        return errors


class ReplicaBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """All epochs' batches of all replicas, each in its own order, for one fit with `shuffle=False`.

    The last batch of an epoch is filled up with rows of weight 0, so that one program fits all.

    Args:
        rows: the fitted rows of each replica.
        batch_size: rows a step.
        orders: row indices of each replica and epoch, shape (S, epochs, rows).
    """

    def __init__(self, rows: Sequence[Sequences], *, batch_size: int, orders: NDArray[np.integer]) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self._digits = [one.digits for one in rows]
        self._sums = [one.sums for one in rows]
        self._batch_size, self._orders = batch_size, orders
        self.steps_per_epoch: int = ceil(orders.shape[2] / batch_size)

    def __len__(self) -> int:
        return self.steps_per_epoch * int(self._orders.shape[1])

    def __getitem__(self, index: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        epoch, step = divmod(index, self.steps_per_epoch)
        chosen = self._orders[:, epoch, step * self._batch_size : (step + 1) * self._batch_size]
        replicas, count = chosen.shape
        dtype = keras.config.floatx()
        inputs = np.zeros((replicas, self._digits[0].shape[1], self._batch_size), dtype)
        targets = np.zeros((replicas, 2, self._batch_size), dtype)
        for replica, rows in enumerate(chosen):
            inputs[replica, :, :count] = self._digits[replica][rows].T
            targets[replica, 0, :count] = self._sums[replica][rows]
        targets[:, 1, :count] = 1.0
        return inputs, targets


class KeepEachAtItsStop(keras.callbacks.Callback):  # type: ignore[misc]
    """Judge every replica after each epoch and keep it as it is where a patience ends it.

    Args:
        data: validation and test rows of each replica.
        patiences: epochs without a better val_loss that are endured; negative: all of them.
        errors: the metric that knows each replica's loss.
        report: told each epoch that ended.
    """

    def __init__(
        self, data: Sequence[Split], patiences: Sequence[int], errors: ReplicaErrors, report: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._stops = StopTracker(len(data), patiences)
        self._errors, self._report = errors, report
        judged = [np.concatenate([one.validation.digits, one.test.digits]) for one in data]
        self._inputs = np.stack(judged).transpose(0, 2, 1).astype(np.float32)
        self._sums = np.stack([one.validation.sums for one in data])
        self.kept: dict[tuple[int, int], Trained] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Predict validation and test rows in one call, and stop when no replica goes on."""
        loss, outputs = self._errors.of_each(), self.model.predict_on_batch(self._inputs)
        self._val_outputs, self._test_outputs = np.split(outputs, [self._sums.shape[1]], axis=1)
        with np.errstate(over="ignore", invalid="ignore"):  # a replica that diverges is found by its losses
            val_loss = np.mean((self._val_outputs.astype(np.float64) - self._sums) ** 2, axis=1)
        self._keep(self._stops.add(loss, val_loss), stopped=True)
        if not self._stops.running:
            self.model.stop_training = True
        self._report(f"fit, epoch {epoch + 1}")

    def on_train_end(self, logs: Any = None) -> None:
        """Keep the last epoch of every replica that nothing stopped."""
        self._keep(self._stops.running, stopped=False)

    def _keep(self, ended: list[tuple[int, int]], *, stopped: bool) -> None:
        weights = self.model.replica_weights() if ended else []
        for replica, patience in ended:
            losses = self._stops.losses(replica)
            outputs = self._test_outputs[replica].copy()
            self.kept[replica, patience] = Trained(patience, *losses, stopped, weights[replica], outputs)


def fit_replicas(
    model: str,
    starts: Sequence[Sequence[NDArray[Any]]],
    data: Split | Sequence[Split],
    training: TrainingSettings,
    *,
    seeds: Sequence[int],
    network: NetworkSettings | None = None,
    optimizer: keras.optimizers.Optimizer | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    report: Callable[[str], None] = lambda _: None,
) -> list[list[Trained]]:
    """Train one replica from each start, as `training.fit_for_accuracy` trains one model.

    Args:
        model: "simple_rnn", "lstm" or "gru".
        starts: starting weights of each replica, as `models.draw_weights` draws them.
        data: rows that all replicas share, or those of each.
        training: optimizer, batch size, epochs and patiences.
        seeds: of the batch order of each replica.
        network: units, layers and mask.
        optimizer: another one than `training` names.
        callbacks: more Keras callbacks; they see all replicas at once.
        report: told each epoch that ended.

    Returns:
        For each replica what was kept at each patience. A replica whose losses are no numbers keeps
        them; the others do not notice.

    Raises:
        ValueError: if there is no replica, starts, seeds and data differ in number, or the
            optimizer or a callback would make the replicas depend on each other.
    """
    require(len(starts) >= 1, "`starts` must hold at least one replica.", len(starts), "Give a start for each seed.")
    require(len(starts) == len(seeds), "`seeds` must be as many as `starts`.", len(seeds), "Give one for each.")
    each = [data] * len(starts) if isinstance(data, Split) else list(data)
    require(len(each) == len(starts), "`data` must be one or as many as `starts`.", len(each), "Give one for each.")
    optimizer = optimizer or keras.optimizers.get(
        {"class_name": training.optimizer, "config": {"learning_rate": training.learning_rate}}
    )
    check_optimizer(optimizer)
    check_callbacks(callbacks)
    errors = ReplicaErrors(len(starts))
    stops = KeepEachAtItsStop(each, training.patiences, errors, report)
    count = len(each[0].fitted)
    orders = np.stack(
        [batch_order(count, epochs=training.epochs, seed=seed).astype(np.min_scalar_type(count)) for seed in seeds]
    )
    batches = ReplicaBatches([one.fitted for one in each], batch_size=training.batch_size, orders=orders)
    replicas = Replicas(model, starts, network or NetworkSettings())
    replicas.compile(optimizer=optimizer, loss=SummedErrors(), metrics=[errors], jit_compile=_jit_compile(model))
    replicas.fit(
        batches,
        epochs=training.epochs,
        steps_per_epoch=batches.steps_per_epoch,
        shuffle=False,
        verbose=0,
        callbacks=[stops, *callbacks],
    )
    return [[stops.kept[replica, patience] for patience in training.patiences] for replica in range(len(starts))]


def _jit_compile(model: str) -> bool | Literal["auto"]:
    """Let XLA compile gated models on TensorFlow, where Keras' own choice takes twice as long: docs/replicas.md."""
    return True if keras.backend.backend() == "tensorflow" and model != "simple_rnn" else "auto"
