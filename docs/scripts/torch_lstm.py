"""Measure why the LSTM of Keras takes more than twice the time for twice the length on PyTorch without a GPU.

Keras 3.15.1 takes each timestep out of the projected inputs by its index. The gradient of that is an array as large
as all timesteps together, made once for each of them. Here the same loop takes them all out at once (`torch.unbind`),
whose gradient is made once. Two minutes on one core, wherever PyTorch is installed:

    python docs/scripts/torch_lstm.py > results/torch-lstm.json
"""

from importlib import import_module
from typing import Any
from unittest.mock import patch

from experiment import experiment

from seqsum_core import tasks
from seqsum_core.settings import TaskSettings

LENGTHS, BATCH = (50, 100, 200, 400), 100
WARMUP, EPOCHS = 1, 3


def unbound_lstm(
    inputs: Any, h: Any, c: Any, kernel: Any, recurrent: Any, bias: Any, tanh: Any, sigmoid: Any, *_: Any
) -> tuple[Any, Any, list[Any]]:
    """Run an LSTM over inputs of shape (rows, timesteps, features) and return its last output."""
    import torch

    for projected in torch.unbind(torch.matmul(inputs, kernel) + bias, dim=1):
        i, f, g, o = torch.chunk(projected + torch.matmul(h, recurrent), 4, dim=1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
    return h, h[:, None], [h, c]


def measure(length: int) -> dict[str, Any]:
    """Return the median epoch of both loops from one start in milliseconds, and how far their outputs differ."""
    import numpy as np

    from seqsum_core.nn import models
    from seqsum_core.nn.training import EpochClock

    rows = tasks.split(tasks.draw(TaskSettings(), length=length), TaskSettings()).fitted
    model = models.build("lstm", length=length)
    start = models.draw_weights(model, seed=0)

    def outputs() -> Any:
        model.set_weights(start)
        return model.predict(rows.inputs(), verbose=0)

    def epoch_ms() -> float:
        model.set_weights(start)
        clock = EpochClock(lambda epochs: len(epochs) < WARMUP + EPOCHS)
        model.fit(rows.inputs(), rows.targets(), batch_size=BATCH, epochs=99, verbose=0, callbacks=[clock])
        return 1e3 * float(np.median(clock.epochs_s[WARMUP:]))

    keras_outputs, keras_ms = outputs(), epoch_ms()
    with patch.object(import_module("keras.src.backend.torch.rnn"), "_fallback_lstm", unbound_lstm):
        difference = float(np.max(np.abs(keras_outputs - outputs())))
        return {"length": length, "keras_ms": keras_ms, "unbound_ms": epoch_ms(), "outputs_apart": difference}


if __name__ == "__main__":
    with experiment("torch") as document:
        document["measured"] = [measure(length) for length in LENGTHS]
