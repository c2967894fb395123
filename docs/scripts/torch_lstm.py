"""Measure why the LSTM of Keras takes more than twice as long for twice the length on PyTorch without a GPU.

`python docs/torch_lstm.py > results/torch-lstm.json` wherever PyTorch is installed; two minutes on one core. Keras
3.15.1 takes each timestep out of the projected inputs by its index. The gradient of that is an array as large as all
timesteps together, at every one of them. Here the same loop takes them all out at once (`torch.unbind`), whose gradient
is made once. What came out stands in docs/findings.md.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from bench.host import code_commit, describe_machine, pinned, usable_cores
from bench.measure.environments import worker_settings
from bench.measure.local import machine_lock

os.environ.update(worker_settings("torch", "cpu", 1))

import keras
import numpy as np
import torch

from seqsum_core import task
from seqsum_core.nn import models
from seqsum_core.nn.training import EpochClock
from seqsum_core.settings import TaskSettings

rnn: Any = import_module("keras.src.backend.torch.rnn")  # its package has a function of the same name
LENGTHS, BATCH = (50, 100, 200, 400), 100
WARMUP, EPOCHS = 1, 3


def unbound_lstm(
    inputs: Any, h: Any, c: Any, kernel: Any, recurrent: Any, bias: Any, tanh: Any, sigmoid: Any, *_: Any
) -> tuple[Any, Any, list[Any]]:
    """Run an LSTM over inputs of shape (rows, timesteps, features) and return its last output."""
    for of_inputs in torch.unbind(torch.matmul(inputs, kernel) + bias, dim=1):
        i, f, g, o = torch.chunk(of_inputs + torch.matmul(h, recurrent), 4, dim=1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
    return h, h[:, None], [h, c]


@contextmanager
def unbound() -> Iterator[None]:
    """Let Keras use `unbound_lstm` while inside."""
    keras_own = rnn._fallback_lstm
    rnn._fallback_lstm = unbound_lstm
    try:
        yield
    finally:
        rnn._fallback_lstm = keras_own


def measure(length: int) -> dict[str, Any]:
    """Return the median epoch of one start and one data set in milliseconds, and how far the outputs are apart."""
    torch.set_num_threads(1)
    rows = task.split(task.draw(TaskSettings(), length=length), TaskSettings()).fitted
    model = models.build("lstm", length=length)
    start = models.draw_weights(model, seed=0)

    def epoch_ms() -> float:
        model.set_weights(start)
        clock = EpochClock(lambda epochs: len(epochs) < WARMUP + EPOCHS)
        model.fit(rows.inputs(), rows.targets(), batch_size=BATCH, epochs=99, verbose=0, callbacks=[clock])
        return 1e3 * float(np.median(clock.epochs_s[WARMUP:]))

    model.set_weights(start)
    outputs = model.predict(rows.inputs(), verbose=0)
    found = {"length": length, "keras_ms": epoch_ms()}
    with unbound():
        model.set_weights(start)
        apart = float(np.max(np.abs(outputs - model.predict(rows.inputs(), verbose=0))))
        return found | {"unbound_ms": epoch_ms(), "outputs_apart": apart}


def main() -> None:
    """Measure every length and print the document."""
    with machine_lock(), pinned(usable_cores()[-1:]):
        measured = [measure(length) for length in LENGTHS]
    document = {
        "commit": code_commit(),
        "machine": describe_machine().model_dump(mode="json"),
        "versions": {"keras": keras.__version__, "torch": torch.__version__},
        "measured": measured,
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
