"""Measure TensorFlow's epochs with and without the tuning thread of its input pipeline.

`python docs/tensorflow_epochs.py > results/tensorflow-epochs.json` wherever TensorFlow is installed; two minutes on
one core. What came out stands in docs/methodology.md, "TensorFlow's epochs come in steps".
"""

import json
import os
import time
from collections.abc import Callable
from typing import Any

from bench.host import code_commit, describe_machine, pinned, usable_cores
from bench.measure.environments import worker_settings
from bench.measure.local import machine_lock

os.environ.update(worker_settings("tensorflow", "cpu", 1))

import keras
import tensorflow

from seqsum_core import task
from seqsum_core.nn import models
from seqsum_core.nn.training import EpochClock
from seqsum_core.settings import TaskSettings
from seqsum_core.task import Sequences

CELLS = (("simple_rnn", 4), ("simple_rnn", 12), ("lstm", 12), ("gru", 12), ("lstm", 25), ("simple_rnn", 50))
WARMUP, EPOCHS, BATCH = 3, 20, 100
PAUSE_EVERY, PAUSE_S = 4, 1.0


def arrays(rows: Sequences) -> dict[str, Any]:
    """Return what `fit` gets as users call it."""
    return {"x": rows.inputs(), "y": rows.targets(), "batch_size": BATCH}


def data_set(rows: Sequences, *, tuned: bool) -> dict[str, Any]:
    """Return the same rows as a `tf.data.Dataset`, shuffled anew in each epoch."""
    options = tensorflow.data.Options()
    options.autotune.enabled = tuned
    whole = tensorflow.data.Dataset.from_tensor_slices((rows.inputs(), rows.targets()))
    return {"x": whole.shuffle(len(rows)).batch(BATCH).with_options(options)}


WAYS: dict[str, Callable[[Sequences], dict[str, Any]]] = {
    "arrays": arrays,
    "data set": lambda rows: data_set(rows, tuned=True),
    "data set, not tuned": lambda rows: data_set(rows, tuned=False),
}


def epochs_s(model: str, length: int, way: str) -> list[float]:
    """Return the seconds of the steady epochs of one fit."""
    keras.utils.clear_session()
    rows = task.split(task.draw(TaskSettings(), length=length), TaskSettings()).fitted
    clock = EpochClock(lambda epochs: len(epochs) < WARMUP + EPOCHS)
    models.build(model, length=length).fit(**WAYS[way](rows), epochs=WARMUP + EPOCHS, verbose=0, callbacks=[clock])
    return clock.epochs_s[WARMUP:]


class FirstBatch(keras.callbacks.Callback):  # type: ignore[misc] # keras has no types
    """Notes what passes between the beginning of an epoch and its first batch, and pauses after every fourth epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.waits_s: list[float] = []
        self.totals_s: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        """Start the clock."""
        self._begun_s = time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        """Note how long the first batch let wait."""
        if batch == 0:
            self.waits_s.append(time.perf_counter() - self._begun_s)

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        """Stop the clock, and pause as a parked fit does."""
        self.totals_s.append(time.perf_counter() - self._begun_s)
        if epoch % PAUSE_EVERY == PAUSE_EVERY - 1:
            time.sleep(PAUSE_S)


def paused(model: str, length: int) -> list[dict[str, Any]]:
    """Return the seconds of epochs behind a pause and of the others, and those until the first batch."""
    keras.utils.clear_session()
    rows = task.split(task.draw(TaskSettings(), length=length), TaskSettings()).fitted
    seen = FirstBatch()
    models.build(model, length=length).fit(**arrays(rows), epochs=10 * PAUSE_EVERY, verbose=0, callbacks=[seen])
    return [
        {
            "behind a pause": behind,
            "epochs_s": [seen.totals_s[epoch] for epoch in epochs],
            "to_first_batch_s": [seen.waits_s[epoch] for epoch in epochs],
        }
        for behind in (False, True)
        for epochs in [[e for e in range(PAUSE_EVERY, 10 * PAUSE_EVERY) if (e % PAUSE_EVERY == 0) == behind]]
    ]


def main() -> None:
    """Measure every way of every cell and print one JSON document."""
    with machine_lock(), pinned(usable_cores()[-1:]):
        measured = [
            {"model": model, "length": length, "way": way, "epochs_s": epochs_s(model, length, way)}
            for model, length in CELLS
            for way in WAYS
        ]
        pauses = [{"model": model, "length": length} | one for model, length in CELLS for one in paused(model, length)]
    versions = {"keras": keras.__version__, "tensorflow": tensorflow.__version__}
    document = {"commit": code_commit(), "machine": describe_machine().model_dump(), "versions": versions}
    print(json.dumps(document | {"measured": measured, "pauses": pauses}, indent=1))


if __name__ == "__main__":
    main()
