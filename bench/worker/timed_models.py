"""What a speed trial trains: a Keras model, or the same training without Keras. Imports Keras.

Both are timed by the same clock: from before an epoch's first batch until its loss is a float.
"""

from math import ceil, isfinite
from time import perf_counter
from typing import Protocol

import numpy as np

from bench.errors import NotAvailableError
from bench.plan.cells import Trial
from bench.worker import plain as ceilings
from bench.worker.accuracy import build_model
from seqsum_core.batching import draw_epochs
from seqsum_core.nn import training
from seqsum_core.nn.devices import share_rows
from seqsum_core.nn.execution_path import Witness, witness
from seqsum_core.nn.training import GoOn
from seqsum_core.settings import MODELS
from seqsum_core.start import draw_start
from seqsum_core.task import Split


class Subject(Protocol):
    """Something that can be trained and timed."""

    @property
    def steps_per_epoch(self) -> int:
        """Count the training steps of an epoch."""

    def fit(self, go_on: GoOn, *, most_epochs: int) -> None:
        """Train until `go_on`, which is told all epoch times so far, says no."""

    def witness(self) -> Witness:
        """Say which recurrent path ran."""

    def validation_s(self, repeats: int) -> list[float]:
        """Time whole validations; the first one compiles."""


def build(trial: Trial, data: Split) -> Subject:
    """Build what a trial trains.

    Raises:
        NotAvailableError: if the backend has no such variant of this model.
        ValueError: if the model is a user's own and not usable.
    """
    variant, name = trial.cell.variant, trial.cell.model
    if name not in MODELS and (variant.implementation != "keras" or variant.batching != "padded"):
        raise NotAvailableError(f"{variant} is written for {', '.join(MODELS)}, not for {name}")
    return _Ceiling(trial, data) if variant.implementation == "ceiling" else _Keras(trial, data)


class _Keras:
    def __init__(self, trial: Trial, data: Split) -> None:
        self._batch_size = trial.settings.training.batch_size
        sizes = {min(self._batch_size, len(data.fitted)), len(data.fitted) % self._batch_size or self._batch_size}
        share_rows(trial.cell.device, count=trial.cell.variant.devices, batches=tuple(sizes))
        self._model, self._data = build_model(trial), data
        self._batches: training.LengthBatches | None = None
        if trial.cell.variant.batching != "padded":
            epochs = draw_epochs(data.fitted, trial.cell.variant.batching, batch_size=self._batch_size, seed=0)
            self._batches = training.LengthBatches(data.fitted, epochs, padding=trial.settings.task.padding)

    @property
    def steps_per_epoch(self) -> int:
        return ceil(len(self._data.fitted) / self._batch_size) if self._batches is None else len(self._batches)

    def fit(self, go_on: GoOn, *, most_epochs: int) -> None:
        training.fit_for_speed(
            self._model,
            self._data.fitted,
            batch_size=self._batch_size,
            most_epochs=most_epochs,
            go_on=go_on,
            batches=self._batches,
        )

    def witness(self) -> Witness:
        return witness(self._model, self._data.fitted, batch_size=self._batch_size)

    def validation_s(self, repeats: int) -> list[float]:
        rows, batch_size = self._data.validation, self._batch_size
        return training.validation_s(self._model, rows, batch_size=batch_size, repeats=repeats)


class _Ceiling:
    def __init__(self, trial: Trial, data: Split) -> None:
        network = trial.settings.network
        variant = trial.cell.variant
        for name, known in (("dtype", "float32"), ("batching", "padded"), ("devices", 1)):
            if (asked := getattr(variant, name)) != known:
                raise NotAvailableError(f"`{name}` must be {known} for a ceiling. Received: {asked!r}.")
        self._data = data
        self.steps_per_epoch = ceil(len(data.fitted) / trial.settings.training.batch_size)
        self._ceiling = ceilings.build(
            trial.cell.model,
            weights=draw_start(trial.cell.model, units=network.units, seed=trial.index),
            fitted=data.fitted,
            network=network,
            training=trial.settings.training,
            device=trial.cell.device,
        )
        self._random = np.random.default_rng(trial.index)

    def fit(self, go_on: GoOn, *, most_epochs: int) -> None:
        epochs_s: training.EpochsSoFar = []
        while len(epochs_s) < most_epochs:
            start = perf_counter()
            loss = self._ceiling.epoch(self._random.permutation(len(self._data.fitted)))
            epochs_s.append(perf_counter() - start)
            if not isfinite(loss):
                raise ArithmeticError(f"the loss is not finite after {len(epochs_s)} epochs")
            if not go_on(epochs_s):
                break

    def witness(self) -> Witness:
        return self._ceiling.witness()

    def validation_s(self, repeats: int) -> list[float]:
        times = []
        for _ in range(repeats):
            start = perf_counter()
            self._ceiling.evaluate(self._data.validation)
            times.append(perf_counter() - start)
        return times
