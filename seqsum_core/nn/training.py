"""Train a built model: for its speed or for its accuracy, never both in one fit.

Times are seconds of `time.perf_counter`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from math import ceil, isfinite
from time import perf_counter
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from seqsum_core.batching import Batch, bucket_lengths, cut, draw_epochs, whole_buckets
from seqsum_core.settings import Batching, Padding, TrainingSettings
from seqsum_core.stopping import StopTracker
from seqsum_core.tasks import Sequences, Split, batch_order

EpochsSoFar = list[float]
GoOn = Callable[[EpochsSoFar], bool]


class EpochClock(keras.callbacks.Callback):  # type: ignore[misc]
    """Time each epoch of a fit, and ask after each whether to go on.

    An epoch lasts from the end of the one before it to its own `on_epoch_end`; the first lasts from `on_train_begin`.
    From `on_epoch_begin` on would be too short: Keras resets its metrics before it calls that, which took 0.4 of 11 ms
    on JAX and 0.1 of 86 ms on PyTorch, and a user pays for both. Before `on_epoch_end` Keras turns the loss into a
    float, so the device has computed it by then. There is no hook for batches: it would end asynchronous dispatch.

    Args:
        go_on: called after each epoch with the seconds of all epochs so far; False ends the fit. Its own time counts
            for no epoch.
    """

    def __init__(self, go_on: GoOn) -> None:
        super().__init__()
        self.epochs_s: EpochsSoFar = []
        self.loss = 0.0
        self._go_on = go_on
        self._start_s = 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        """Start the clock."""
        self._start_s = perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stop the clock, ask, and start it again."""
        self.epochs_s.append(perf_counter() - self._start_s)
        self.loss = logs["loss"]
        if not self._go_on(self.epochs_s):
            self.model.stop_training = True
        self._start_s = perf_counter()


def fit_for_speed(
    model: keras.Model,
    rows: Sequences,
    *,
    batch_size: int,
    most_epochs: int,
    go_on: GoOn,
    batches: keras.utils.PyDataset | None = None,
) -> EpochsSoFar:
    """Run one plain fit on arrays in memory, as users do, and time its epochs.

        fit_for_speed(model, data.fitted, batch_size=100, most_epochs=1000, go_on=lambda epochs_s: sum(epochs_s) < 2)

    Args:
        model: a compiled model; fitted again, it continues without compiling.
        rows: the fitted rows.
        batch_size: rows a step.
        most_epochs: where the fit ends whatever `go_on` answers.
        go_on: see `EpochClock`.
        batches: fitted instead of arrays.

    Returns:
        Seconds of each epoch. In the first fit of a model the first one contains tracing and compilation.

    Raises:
        ArithmeticError: if the last loss is not finite: such epochs are no training.
    """
    clock = EpochClock(go_on)
    arrays = {"x": rows.inputs(), "y": rows.targets(), "batch_size": batch_size}
    model.fit(**(arrays if batches is None else {"x": batches}), epochs=most_epochs, verbose=0, callbacks=[clock])
    if not isfinite(clock.loss):
        raise ArithmeticError(f"the loss is not finite after {len(clock.epochs_s)} epochs")
    return clock.epochs_s


def validation_s(model: keras.Model, rows: Sequences, *, batch_size: int, repeats: int) -> list[float]:
    """Time whole calls of `model.evaluate`; the first one contains tracing and compilation."""
    inputs, targets = rows.inputs(), rows.targets()
    times_s = []
    for _ in range(repeats):
        start_s = perf_counter()
        model.evaluate(inputs, targets, batch_size=batch_size, verbose=0)
        times_s.append(perf_counter() - start_s)
    return times_s


class LengthBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches whose rows, given padded to the longest of all, are padded to the longest of their bucket."""

    def __init__(self, rows: Sequences, epochs: Iterator[Sequence[Batch]], *, padding: Padding) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self._inputs, self._targets = rows.inputs(), rows.targets()
        self._epochs, self._padding = epochs, padding
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        batch = self._batches[index]
        return cut(self._inputs, batch, padding=self._padding), self._targets[batch.rows]

    def on_epoch_end(self) -> None:
        """Go on to the next epoch."""
        self._batches = next(self._epochs)


class OrderedBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """All epochs' batches in a given order, for one fit with `shuffle=False`.

    Batch k of epoch e depends on e and k alone, so that no backend's way of walking through a data set (workers,
    restarts between epochs) can change it. `order` has the shape (epochs, rows); the last batch of an epoch may be
    smaller.
    """

    def __init__(self, inputs: Any, targets: NDArray[Any], *, batch_size: int, order: NDArray[np.intp]) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self._inputs, self._targets = inputs, targets
        self._batch_size, self._order = batch_size, order
        self.steps_per_epoch: int = ceil(order.shape[1] / batch_size)

    def __len__(self) -> int:
        return self.steps_per_epoch * len(self._order)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        epoch, step = divmod(index, self.steps_per_epoch)
        rows = self._order[epoch, step * self._batch_size : (step + 1) * self._batch_size]
        return keras.tree.map_structure(lambda array: array[rows], self._inputs), self._targets[rows]


@dataclass(frozen=True)
class Trained:
    """A training as it was where one patience ended it.

    Args:
        loss: training loss of each epoch; `val_loss`: validation loss.
        stopped_early: whether patience ended it, not the number of epochs.
        weights: those after the last epoch, as `model.get_weights()` orders them.
        predictions: outputs for the test rows with these weights, shape (rows,), of several outputs (rows, outputs).
    """

    patience: int
    loss: list[float]
    val_loss: list[float]
    stopped_early: bool
    weights: list[NDArray[Any]]
    predictions: NDArray[np.float32]


class KeepAtStops(keras.callbacks.Callback):  # type: ignore[misc]
    """Keep losses and weights where each patience ends the training; end it when all have."""

    def __init__(self, patiences: Sequence[int], report: Callable[[int], None]) -> None:
        super().__init__()
        self._stops, self._report = StopTracker(1, patiences), report
        self.kept: dict[int, tuple[list[float], list[float], bool, list[NDArray[Any]]]] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note the losses of the epoch."""
        self._report(epoch + 1)
        self._keep(self._stops.add([logs["loss"]], [logs["val_loss"]]), stopped=True)
        if not self._stops.running:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """Keep the last epoch for every patience that is left."""
        self._keep(self._stops.running, stopped=False)

    def _keep(self, ended: list[tuple[int, int]], *, stopped: bool) -> None:
        for _, patience in ended:
            self.kept[patience] = (*self._stops.losses(0), stopped, self.model.get_weights())


def fit_for_accuracy(
    model: keras.Model,
    data: Split,
    training: TrainingSettings,
    *,
    seed: int,
    batching: Batching = "padded",
    padding: Padding = "pre",
    report: Callable[[str], None] = lambda _: None,
) -> list[Trained]:
    """Train by the article's protocol and predict the test rows with the weights each patience ends at.

    Args:
        model: a compiled model with its starting weights.
        data: the rows.
        training: batch size, epochs and patiences.
        seed: of the batch order.
        batching: what rows of different lengths are padded to, in training and whenever the model is judged.
        padding: the side on which the zeros are.
        report: called with a line after each epoch.

    Returns:
        The training as it was at each of `training.patiences`.
    """
    stops = KeepAtStops(training.patiences, lambda epoch: report(f"fit, seed {seed}, epoch {epoch}"))
    fed = _padded(data, training, seed) if batching == "padded" else _by_length(data, training, seed, batching, padding)
    model.fit(**fed, epochs=training.epochs, shuffle=False, verbose=0, callbacks=[stops])
    results = []
    for patience in training.patiences:
        loss, val_loss, stopped_early, weights = stops.kept[patience]
        model.set_weights(weights)
        predictions = predict(model, data.test, batching, batch_size=training.batch_size, padding=padding)
        results.append(Trained(patience, loss, val_loss, stopped_early, weights, predictions))
    return results


def _padded(data: Split, training: TrainingSettings, seed: int) -> dict[str, Any]:
    """Return the arguments of `fit` where all rows are padded to the longest."""
    fitted, validation, batch_size = data.fitted, data.validation, training.batch_size
    order = batch_order(len(fitted), epochs=training.epochs, seed=seed)
    batches = OrderedBatches(fitted.inputs(), fitted.targets(), batch_size=batch_size, order=order)
    return {
        "x": batches,
        "steps_per_epoch": batches.steps_per_epoch,
        "validation_data": (validation.inputs(), validation.targets()),
        "validation_batch_size": batch_size,
    }


def _by_length(
    data: Split, training: TrainingSettings, seed: int, batching: Batching, padding: Padding
) -> dict[str, Any]:
    """Return the arguments of `fit` where rows of about one length make a batch: all epochs as one data set."""
    drawn = draw_epochs(data.fitted, batching, batch_size=training.batch_size, seed=seed)
    epochs = list(islice(drawn, training.epochs))
    validation = next(draw_epochs(data.validation, batching, batch_size=training.batch_size, seed=0))
    return {
        "x": LengthBatches(data.fitted, repeat(list(chain(*epochs))), padding=padding),
        "steps_per_epoch": len(epochs[0]),
        "validation_data": LengthBatches(data.validation, repeat(validation), padding=padding),
    }


def predict(
    model: keras.Model, rows: Sequences, batching: Batching, *, batch_size: int, padding: Padding
) -> NDArray[Any]:
    """Return the outputs for rows, shape (rows,) or (rows, outputs), each bucket predicted at its own length."""
    inputs = rows.inputs()
    if batching == "padded":
        return _without_last(model.predict(inputs, batch_size=batch_size, verbose=0))
    predictions = np.empty(len(rows), keras.config.floatx())
    for bucket in whole_buckets(rows.lengths, bucket_lengths(rows, batching)):
        outputs = model.predict(cut(inputs, bucket, padding=padding), batch_size=batch_size, verbose=0)
        predictions[bucket.rows] = outputs.ravel()
    return predictions


def _without_last(outputs: NDArray[Any]) -> NDArray[Any]:
    return outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs
