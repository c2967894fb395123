"""Measure what the timing of a turn adds to a bare `model.fit`: pairs of whole fits in one process, in turns.

    python docs/scripts/overhead.py jax lstm 12 > overhead-jax-lstm-12.json

Each fit has the same epochs and lasts about 0.3 s; which of a pair comes first changes from pair to pair. `adds` is the
median over the pairs of timed / bare - 1. Repeat it in fresh processes to see how much it scatters:

    for i in 1 2 3 4 5 6 7 8; do python docs/scripts/overhead.py torch simple_rnn 4 | grep adds; done
"""

import argparse
from math import ceil
from time import perf_counter
from typing import Any

import numpy as np
from experiment import experiment

from bench.host import Watch
from seqsum_core import tasks
from seqsum_core.settings import TaskSettings, TrainingSettings

FIT_S = 0.3
"""Short, so that both fits of a pair meet the same host, but long enough for a turn."""


def measure(model_name: str, length: int, pairs: int) -> dict[str, Any]:
    """Return seconds of an epoch in each fit, bare and timed, and how many of the timed ones seqsum's lines took."""
    from seqsum_core.nn import models
    from seqsum_core.nn.backend import synchronize
    from seqsum_core.nn.training import fit_for_speed

    rows = tasks.split(tasks.draw(TaskSettings(), length=length), TaskSettings()).fitted
    batch_size = TrainingSettings().batch_size
    model = models.build(model_name, length=length)
    warm_s = fit_for_speed(model, rows, batch_size=batch_size, most_epochs=4, go_on=lambda _: True)
    epochs = max(2, ceil(FIT_S / warm_s[-1]))
    inside_s: list[float] = []

    def bare() -> None:
        model.fit(rows.inputs(), rows.targets(), batch_size=batch_size, epochs=epochs, verbose=0)

    def timed() -> None:
        """Do what a worker does in a turn: watch the host, clock the epochs, ask after each whether to go on."""

        def go_on(epochs_s: list[float]) -> bool:
            begin = perf_counter()
            enough = len(epochs_s) >= epochs
            inside_s[-1] += (perf_counter() - begin) / epochs
            return not enough

        inside_s.append(0.0)
        watch = Watch()
        fit_for_speed(model, rows, batch_size=batch_size, most_epochs=10 * epochs, go_on=go_on)
        synchronize("cpu")
        watch.noise()

    seconds: dict[str, list[float]] = {"bare": [], "timed": []}
    fits = [("bare", bare), ("timed", timed)]
    for pair in range(pairs):
        for name, fit in fits if pair % 2 else reversed(fits):
            begin = perf_counter()
            fit()
            seconds[name].append((perf_counter() - begin) / epochs)
    ratios = np.divide(seconds["timed"], seconds["bare"])
    return {
        "model": model_name,
        "length": length,
        "epochs": epochs,
        "adds": float(np.median(ratios)) - 1,
        "bare_s": seconds["bare"],
        "timed_s": seconds["timed"],
        "inside_s": inside_s,
    }


def main() -> None:
    """Measure a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("backend", choices=["jax", "torch", "tensorflow"])
    parser.add_argument("model", choices=["simple_rnn", "lstm", "gru"])
    parser.add_argument("length", type=int)
    parser.add_argument("--pairs", type=int, default=48, help="even, so that either fit comes first equally often")
    options = parser.parse_args()
    if options.pairs < 2 or options.pairs % 2:
        parser.error(f"--pairs must be even. Received: {options.pairs}. Use 48.")
    with experiment(options.backend) as document:
        document |= measure(options.model, options.length, options.pairs)


if __name__ == "__main__":
    main()
