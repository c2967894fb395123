"""Train a built model: once for its speed, once for its accuracy; never both in one fit.

Times are seconds of `time.perf_counter`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from math import ceil, isfinite
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from seqsum_core.batching import Batch, buckets_of, cut, draw_epochs, whole_buckets
from seqsum_core.settings import Batching, TrainingSettings
from seqsum_core.stopping import StopTracker
from seqsum_core.task import Sequences, Split, batch_order

EpochsSoFar = list[float]
GoOn = Callable[[EpochsSoFar], bool]


class EpochClock(keras.callbacks.Callback):  # type: ignore[misc]
    """Time each epoch of one running fit, and ask after each whether to go on.

    Keras turns the logs into floats before `on_epoch_end`, so the device has finished by then.
    There is deliberately no hook per batch: one would switch off asynchronous dispatch.

    Args:
        go_on: called with all epoch times so far, outside the timed part; it may block, which
            parks the fit. False ends it.
    """

    def __init__(self, go_on: GoOn) -> None:
        super().__init__()
        self.epochs_s: EpochsSoFar = []
        self.loss = 0.0
        self._go_on = go_on
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock."""
        self._start = perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stop the clock, then ask."""
        self.epochs_s.append(perf_counter() - self._start)
        self.loss = logs["loss"]
        if not self._go_on(self.epochs_s):
            self.model.stop_training = True


def fit_for_speed(
    model: keras.Model,
    rows: Sequences,
    *,
    batch_size: int,
    most_epochs: int,
    go_on: GoOn,
    batches: keras.utils.PyDataset | None = None,
) -> EpochsSoFar:
    """Run one plain fit on in-memory arrays, as users do, and time its epochs.

    Args:
        model: a compiled model.
        rows: the fitted rows.
        batch_size: rows a step.
        most_epochs: where the fit ends whatever `go_on` says.
        go_on: see `EpochClock`.
        batches: fitted instead of arrays.

    Returns:
        Seconds of each epoch; the first one contains tracing and compilation.

    Raises:
        ArithmeticError: if the last loss is no number: such epochs are no training.
    """
    clock = EpochClock(go_on)
    arrays = {"x": rows.inputs(), "y": rows.targets(), "batch_size": batch_size}
    model.fit(
        **(arrays if batches is None else {"x": batches}),
        epochs=most_epochs,
        verbose=0,
        callbacks=[clock],
    )
    if not isfinite(clock.loss):
        raise ArithmeticError(f"the loss is not finite after {len(clock.epochs_s)} epochs")
    return clock.epochs_s


def validation_s(model: keras.Model, rows: Sequences, *, batch_size: int, repeats: int) -> list[float]:
    """Time whole calls of `model.evaluate`; the first one contains tracing and compilation."""
    inputs, targets = rows.inputs(), rows.targets()
    times = []
    for _ in range(repeats):
        start = perf_counter()
        model.evaluate(inputs, targets, batch_size=batch_size, verbose=0)
        times.append(perf_counter() - start)
    return times


class LengthBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches whose rows are padded to the longest of their bucket.

    Args:
        rows: padded to the longest of all.
        epochs: the batches of each walk through the data set.
        padding: the side on which the zeros are.
    """

    def __init__(self, rows: Sequences, epochs: Iterator[Sequence[Batch]], *, padding: Literal["pre", "post"]) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self._inputs, self._targets = rows.inputs(), rows.targets()
        self._epochs, self._padding = epochs, padding
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], ...]:
        batch = self._batches[index]
        return cut(self._inputs, batch, padding=self._padding), self._targets[batch.rows]

    def on_epoch_end(self) -> None:
        """Go on to the next epoch."""
        self._batches = next(self._epochs)


class OrderedBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """All epochs' batches in a given order, for one fit with `shuffle=False`.

    Batch k of epoch e depends on e and k alone, so that no backend's way of walking through a data
    set (workers, restarts between epochs) can change it.

    Args:
        inputs: what the model reads, shape (rows, timesteps, 1).
        targets: what it shall output, shape (rows, 1).
        batch_size: rows a step; the last batch of an epoch may be smaller.
        order: row indices of each epoch, shape (epochs, rows).
    """

    def __init__(
        self,
        inputs: NDArray[Any],
        targets: NDArray[Any],
        *,
        batch_size: int,
        order: NDArray[np.intp],
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self._inputs, self._targets = inputs, targets
        self._batch_size, self._order = batch_size, order
        self.steps_per_epoch: int = ceil(order.shape[1] / batch_size)

    def __len__(self) -> int:
        return self.steps_per_epoch * len(self._order)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        epoch, step = divmod(index, self.steps_per_epoch)
        rows = self._order[epoch, step * self._batch_size : (step + 1) * self._batch_size]
        return self._inputs[rows], self._targets[rows]


@dataclass(frozen=True)
class Trained:
    """What an accuracy fit leaves where one patience ended it.

    Args:
        patience: the patience.
        loss: training loss of each epoch.
        val_loss: validation loss of each epoch.
        stopped_early: whether patience ended it.
        weights: those after the last epoch, as `model.get_weights()` orders them.
        predictions: outputs for the test rows with these weights, shape (rows,).
    """

    patience: int
    loss: list[float]
    val_loss: list[float]
    stopped_early: bool
    weights: list[NDArray[Any]]
    predictions: NDArray[np.float32]


class KeepAtStops(keras.callbacks.Callback):  # type: ignore[misc]
    """Keep losses and weights where each patience ends the training; end it when all have.

    Args:
        patiences: epochs without a better val_loss that are endured; negative: all of them.
    """

    def __init__(self, patiences: Sequence[int]) -> None:
        super().__init__()
        self._stops = StopTracker(1, patiences)
        self.kept: dict[int, tuple[list[float], list[float], bool, list[NDArray[Any]]]] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note the losses of the epoch."""
        self._keep([patience for _, patience in self._stops.add([logs["loss"]], [logs["val_loss"]])], stopped=True)
        if not self._stops.running:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """Keep the last epoch for every patience that nothing ended."""
        self._keep([patience for _, patience in self._stops.running], stopped=False)

    def _keep(self, patiences: list[int], *, stopped: bool) -> None:
        for patience in patiences:
            self.kept[patience] = (*self._stops.losses(0), stopped, self.model.get_weights())


def fit_for_accuracy(
    model: keras.Model,
    data: Split,
    training: TrainingSettings,
    *,
    seed: int,
    batching: Batching = "padded",
    padding: Literal["pre", "post"] = "pre",
    csv_log: Path | None = None,
) -> list[Trained]:
    """Train by the article's protocol and predict the test rows with the weights each patience ends at.

    Args:
        model: a compiled model with its starting weights.
        data: fitted, validation and test rows.
        training: batch size, epochs and patiences.
        seed: of the batch order.
        batching: what rows of different lengths are padded to, in training and whenever the model is judged.
        padding: the side on which the zeros are.
        csv_log: where Keras' CSVLogger writes, if anywhere.

    Returns:
        Losses, weights and test predictions, for each patience.
    """
    stops = KeepAtStops(training.patiences)
    callbacks: list[Any] = [stops]
    if csv_log is not None:
        callbacks.append(keras.callbacks.CSVLogger(str(csv_log)))
    fed = _padded(data, training, seed) if batching == "padded" else _by_length(data, training, seed, batching, padding)
    model.fit(**fed, epochs=training.epochs, shuffle=False, verbose=0, callbacks=callbacks)
    results = []
    for patience in training.patiences:
        loss, val_loss, stopped_early, weights = stops.kept[patience]
        model.set_weights(weights)
        predictions = _predict(model, data.test, batching, batch_size=training.batch_size, padding=padding)
        results.append(Trained(patience, loss, val_loss, stopped_early, weights, predictions))
    return results


def _padded(data: Split, training: TrainingSettings, seed: int) -> dict[str, Any]:
    """Return what `fit` is fed where all rows are padded to the longest."""
    batches = OrderedBatches(
        data.fitted.inputs(),
        data.fitted.targets(),
        batch_size=training.batch_size,
        order=batch_order(len(data.fitted), epochs=training.epochs, seed=seed),
    )
    return {
        "x": batches,
        "steps_per_epoch": batches.steps_per_epoch,
        "validation_data": (data.validation.inputs(), data.validation.targets()),
        "validation_batch_size": training.batch_size,
    }


def _by_length(
    data: Split, training: TrainingSettings, seed: int, batching: Batching, padding: Literal["pre", "post"]
) -> dict[str, Any]:
    """Return what `fit` is fed where rows of about one length make a batch: all epochs in one walk."""
    drawn = draw_epochs(data.fitted, batching, batch_size=training.batch_size, seed=seed)
    epochs = list(islice(drawn, training.epochs))
    judged = next(draw_epochs(data.validation, batching, batch_size=training.batch_size, seed=0))
    return {
        "x": LengthBatches(data.fitted, repeat(list(chain(*epochs))), padding=padding),
        "steps_per_epoch": len(epochs[0]),
        "validation_data": LengthBatches(data.validation, repeat(judged), padding=padding),
    }


def _predict(
    model: keras.Model, rows: Sequences, batching: Batching, *, batch_size: int, padding: Literal["pre", "post"]
) -> NDArray[Any]:
    """Return the outputs for rows, shape (rows,), each bucket predicted at its own length."""
    inputs, buckets = rows.inputs(), whole_buckets(rows.lengths, buckets_of(rows, batching))
    parts = [
        model.predict(cut(inputs, bucket, padding=padding), batch_size=batch_size, verbose=0).ravel()
        for bucket in buckets
    ]
    predictions: NDArray[Any] = np.empty(len(rows), parts[0].dtype)
    predictions[np.concatenate([bucket.rows for bucket in buckets])] = np.concatenate(parts)
    return predictions
