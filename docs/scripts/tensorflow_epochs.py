"""Measure TensorFlow's epochs with and without the tuning thread of its input pipeline.

Two minutes on one core, wherever TensorFlow is installed (docs/methodology.md, "TensorFlow's epochs come in steps"):

    python docs/scripts/tensorflow_epochs.py > results/tensorflow-epochs.json
"""

from collections.abc import Callable
from typing import Any

from experiment import experiment

from seqsum_core import tasks
from seqsum_core.settings import TaskSettings
from seqsum_core.tasks import Sequences

CELLS = (("simple_rnn", 4), ("simple_rnn", 12), ("lstm", 12), ("gru", 12), ("lstm", 25), ("simple_rnn", 50))
WARMUP, EPOCHS, BATCH = 3, 20, 100


def arrays(rows: Sequences) -> dict[str, Any]:
    """Return what `fit` gets as users call it."""
    return {"x": rows.inputs(), "y": rows.targets(), "batch_size": BATCH}


def data_set(rows: Sequences, *, tuned: bool) -> dict[str, Any]:
    """Return the same rows as a `tf.data.Dataset`, shuffled anew in each epoch."""
    import tensorflow

    options = tensorflow.data.Options()
    options.autotune.enabled = tuned
    whole = tensorflow.data.Dataset.from_tensor_slices((rows.inputs(), rows.targets()))
    return {"x": whole.shuffle(len(rows)).batch(BATCH).with_options(options)}


INPUTS: dict[str, Callable[[Sequences], dict[str, Any]]] = {
    "arrays": arrays,
    "data set": lambda rows: data_set(rows, tuned=True),
    "data set, not tuned": lambda rows: data_set(rows, tuned=False),
}


def epochs_s(name: str, length: int, inputs: str) -> list[float]:
    """Return the seconds of the epochs of one fit, after the warm-up."""
    import keras

    from seqsum_core.nn import models
    from seqsum_core.nn.training import EpochClock

    keras.utils.clear_session()
    rows = tasks.split(tasks.draw(TaskSettings(), length=length), TaskSettings()).fitted
    clock = EpochClock(lambda epochs: len(epochs) < WARMUP + EPOCHS)
    model = models.build(name, length=length)
    model.fit(**INPUTS[inputs](rows), epochs=WARMUP + EPOCHS, verbose=0, callbacks=[clock])
    return clock.epochs_s[WARMUP:]


if __name__ == "__main__":
    with experiment("tensorflow") as document:
        document["measured"] = [
            {"model": name, "length": length, "way": inputs, "epochs_s": epochs_s(name, length, inputs)}
            for name, length in CELLS
            for inputs in INPUTS
        ]
