"""Train a run of 2017 again on the current backend: its weights, its rows, its batch order.

Imports Keras, so only a worker may import it. What comes back is plain NumPy, for `verdict` to judge.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from seqsum_core.article import keras2, precision
from seqsum_core.article.reference import BATCH_SIZE, Dtype, Reference
from seqsum_core.article.verdict import Replayed
from seqsum_core.nn.training import OrderedBatches

Report = Callable[[str], None]


def replay(reference: Reference, dtype: Dtype = "float32", *, report: Report = lambda _: None) -> Replayed:
    """Repeat a run from its initial weights.

    Training stops at the first worse epoch if the reference did; otherwise it runs as many epochs.

    Args:
        reference: the run to repeat.
        dtype: precision of everything that is computed.
        report: called with a line when an epoch begins.

    Raises:
        RuntimeError: if `dtype` is "float64" and Keras computes in anything less.
    """
    with precision.float64() if dtype == "float64" else nullcontext():
        model = build(reference)
        inputs = reference.inputs[:, :, np.newaxis].astype(dtype)
        targets = reference.targets[:, np.newaxis].astype(dtype)
        fitted, validation = np.split(reference.train_rows, [reference.fitted_rows])
        if dtype == "float64":
            precision.check_float64(model, inputs[validation], targets[validation])
        order = reference.order.astype(np.intp)
        batches = OrderedBatches(inputs[fitted], targets[fitted], batch_size=BATCH_SIZE, order=order)
        at_stop = WeightsAfter(reference.stop_epoch)
        progress = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: report(f"epoch {epoch} of {reference.epochs}")
        )
        stopping = [keras.callbacks.EarlyStopping(patience=0)] if reference.stopped_early else []
        history = model.fit(
            batches,
            epochs=reference.epochs,
            steps_per_epoch=batches.steps_per_epoch,
            shuffle=False,
            validation_data=(inputs[validation], targets[validation]),
            validation_batch_size=BATCH_SIZE,
            callbacks=[progress, at_stop, *stopping],
            verbose=0,
        ).history
        report("prediction")
        loss, val_loss = (np.array(history[name], np.float64) for name in ("loss", "val_loss"))
        test_predictions = _predict(model, inputs[reference.test_rows])
        if dtype == "float64":
            precision.check_float64_values(loss, val_loss, test_predictions, *model.get_weights())
        if at_stop.weights is not None:
            model.set_weights(at_stop.weights)
        stop_predictions = _predict(model, inputs[reference.test_rows])
    return Replayed(keras.backend.backend(), dtype, loss, val_loss, test_predictions, stop_predictions)


class WeightsAfter(keras.callbacks.Callback):  # type: ignore[misc]
    """Keep the weights as they are after an epoch, counted from 0; None keeps none."""

    def __init__(self, epoch: int | None) -> None:
        super().__init__()
        self._epoch = epoch
        self.weights: list[NDArray[Any]] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Copy them if this is the epoch."""
        if epoch == self._epoch:
            self.weights = self.model.get_weights()


def build(reference: Reference) -> keras.Model:
    """Build the reference's network, compiled with Keras 2's RMSprop, with its initial weights."""
    if reference.model == "lstm":
        recurrent = keras.layers.LSTM(reference.units, recurrent_activation=keras2.hard_sigmoid)
    else:
        recurrent = keras.layers.SimpleRNN(reference.units)
    model = keras.Sequential([keras.Input((reference.length, 1)), recurrent, keras.layers.Dense(1)])
    model.set_weights(list(reference.weights))
    model.compile(optimizer=keras2.RMSprop(), loss="mean_squared_error")
    model.optimizer.build(model.trainable_variables)
    return model


def _predict(model: keras.Model, inputs: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(model.predict(inputs, batch_size=BATCH_SIZE, verbose=0), np.float64)[:, 0]
