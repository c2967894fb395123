"""Train replicas: their loss, their batches, and where each of them stops.

Shapes: S replicas, T timesteps, F features, B rows.
"""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from seqsum_core.nn.models import make_optimizer
from seqsum_core.nn.replicas.model import Replicas
from seqsum_core.nn.training import Trained
from seqsum_core.settings import NetworkSettings, TrainingSettings, require
from seqsum_core.stopping import StopTracker
from seqsum_core.tasks import Sequences, Split, batch_order

MOST_PREDICTED = 2_000
"""Rows that are predicted at once: the states of all replicas are held."""


def fit_replicas(
    model: str,
    starts: Sequence[Sequence[NDArray[Any]]],
    data: Split | Sequence[Split],
    training: TrainingSettings,
    *,
    seeds: Sequence[int],
    network: NetworkSettings | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> list[list[Trained]]:
    """Train a replica from each start, as `training.fit_for_accuracy` trains a single model.

        starts = [models.draw_weights(single, seed=seed) for seed in range(20)]
        fit_replicas("lstm", starts, data, TrainingSettings(), seeds=range(20))

    Args:
        model: "simple_rnn", "lstm" or "gru".
        starts: starting weights of each replica, as `models.draw_weights` draws them.
        data: rows that all replicas share, or those of each.
        training: optimizer, batch size, epochs and patiences.
        seeds: of the batch order of each replica.
        network: units, layers and mask.
        report: called with a line after each epoch.

    Returns:
        For each replica the training as it was at each patience. A replica whose losses are not finite keeps them; the
        others are not affected.

    Raises:
        ValueError: if there is no replica, or starts, seeds and data differ in number.
    """
    count = len(starts)
    require(count >= 1, "`starts` must hold at least one replica.", count, "Give a start for each seed.")
    require(count == len(seeds), "`seeds` must be as many as `starts`.", len(seeds), "Give one for each.")
    splits = [data] * count if isinstance(data, Split) else list(data)
    require(len(splits) == count, "`data` must be one or as many as `starts`.", len(splits), "Give one for each.")
    errors = ReplicaErrors(count)
    stops = KeepReplicasAtStops(splits, training.patiences, errors, report)
    rows = len(splits[0].fitted)
    small = np.min_scalar_type(rows)  # all orders of many seeds and epochs are held at once
    orders = np.stack([batch_order(rows, epochs=training.epochs, seed=seed).astype(small) for seed in seeds])
    batches = ReplicaBatches([split.fitted for split in splits], batch_size=training.batch_size, orders=orders)
    replicas = Replicas(model, starts, network or NetworkSettings())
    # On TensorFlow gated models take twice as long with Keras' own choice of compiler.
    xla = keras.backend.backend() == "tensorflow" and model != "simple_rnn"
    optimizer, jit_compile = make_optimizer(training), True if xla else "auto"
    replicas.compile(optimizer=optimizer, loss=SummedErrors(), metrics=[errors], jit_compile=jit_compile)
    settings = {"epochs": training.epochs, "steps_per_epoch": batches.steps_per_epoch, "shuffle": False}
    replicas.fit(batches, **settings, verbose=0, callbacks=[stops])
    return [[stops.kept[replica, patience] for patience in training.patiences] for replica in range(count)]


def predict_replicas(
    model: str, weights: Sequence[Sequence[NDArray[Any]]], rows: Sequences, *, network: NetworkSettings
) -> NDArray[np.float32]:
    """Predict the same rows with each of several weights, shape (S, B)."""
    replicas = Replicas(model, weights, network)
    replicas.compile()
    outputs = []
    for begin in range(0, len(rows), MOST_PREDICTED):
        part = rows.take(np.arange(begin, min(begin + MOST_PREDICTED, len(rows))))
        inputs = part.inputs().transpose(1, 2, 0)
        outputs.append(replicas.predict_on_batch(np.broadcast_to(inputs, (len(weights), *inputs.shape))))
    return np.concatenate(outputs, axis=1)


class SummedErrors(keras.losses.Loss):  # type: ignore[misc]
    """The sum over replicas of each one's mean squared error. Targets (S, 2, B): sums and weights 0 or 1."""

    def __init__(self) -> None:
        super().__init__(reduction="sum")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the error of each replica, shape (S,)."""
        sums, weights = y_true[:, 0], y_true[:, 1]
        return ops.sum(weights * ops.square(sums - y_pred), axis=1) / ops.sum(weights, axis=1)


class ReplicaErrors(keras.metrics.Metric):  # type: ignore[misc]
    """Each replica's mean squared error over an epoch; Keras gets their mean."""

    def __init__(self, replicas: int) -> None:
        super().__init__(name="mse")
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
        squares, rows = (ops.convert_to_numpy(variable.value) for variable in (self.squares, self.rows))
        errors: NDArray[np.float64] = squares.astype(np.float64) / rows
        return errors


class ReplicaBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """All epochs' batches of all replicas, each in its own order, for one fit with `shuffle=False`.

    The last batch of an epoch is filled up with rows of weight 0, so that one program fits all. `orders` has the shape
    (S, epochs, rows).
    """

    def __init__(self, rows: Sequence[Sequences], *, batch_size: int, orders: NDArray[np.integer]) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        inputs = {id(shared): shared.inputs().transpose(1, 2, 0) for shared in rows}  # the rows of most are the same
        self._inputs = [inputs[id(of_replica)] for of_replica in rows]
        self._sums = [of_replica.y for of_replica in rows]
        self._batch_size, self._orders = batch_size, orders
        self.steps_per_epoch: int = ceil(orders.shape[2] / batch_size)

    def __len__(self) -> int:
        return self.steps_per_epoch * int(self._orders.shape[1])

    def __getitem__(self, index: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        epoch, step = divmod(index, self.steps_per_epoch)
        batch = self._orders[:, epoch, step * self._batch_size : (step + 1) * self._batch_size]
        replicas, count = batch.shape
        dtype = keras.config.floatx()
        inputs = np.zeros((replicas, *self._inputs[0].shape[:2], self._batch_size), dtype)
        targets = np.zeros((replicas, 2, self._batch_size), dtype)
        for replica, indices in enumerate(batch):
            inputs[replica, :, :, :count] = self._inputs[replica][:, :, indices]
            targets[replica, 0, :count] = self._sums[replica][indices]
        targets[:, 1, :count] = 1.0
        return inputs, targets


class KeepReplicasAtStops(keras.callbacks.Callback):  # type: ignore[misc]
    """Judge every replica after each epoch and keep it as it is where a patience ends it."""

    def __init__(
        self, data: Sequence[Split], patiences: Sequence[int], errors: ReplicaErrors, report: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._stops = StopTracker(len(data), patiences)
        self._errors, self._report = errors, report
        judged = [np.concatenate([split.validation.inputs(), split.test.inputs()]) for split in data]
        self._inputs = np.stack(judged).transpose(0, 2, 3, 1)
        self._sums = np.stack([split.validation.y for split in data])
        self.kept: dict[tuple[int, int], Trained] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Predict validation and test rows in one call, and end the fit when no replica goes on."""
        loss, outputs = self._errors.of_each(), self.model.predict_on_batch(self._inputs)
        val_outputs, self._test_outputs = np.split(outputs, [self._sums.shape[1]], axis=1)
        with np.errstate(over="ignore", invalid="ignore"):  # a replica that diverges shows in its losses
            val_loss = np.mean((val_outputs.astype(np.float64) - self._sums) ** 2, axis=1)
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
            losses, outputs = self._stops.losses(replica), self._test_outputs[replica].copy()
            self.kept[replica, patience] = Trained(patience, *losses, stopped, weights[replica], outputs)
