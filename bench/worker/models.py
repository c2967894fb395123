"""What a trial trains: a Keras model, or the same training without Keras. Imports Keras.

Both are timed by the same rule: an epoch ends when its loss is a float, which waits for the device.
"""

from math import ceil
from pathlib import Path
from typing import Any

from bench.plan.cells import Group, Trial, start_file
from bench.worker import plain
from bench.worker.plain import PlainNetwork
from seqsum_core import tasks
from seqsum_core.batching import draw_epochs
from seqsum_core.nn import models, own, training
from seqsum_core.nn.backend import share_rows
from seqsum_core.nn.execution_path import ExecutionPath, detect_path
from seqsum_core.nn.training import GoOn
from seqsum_core.settings import MODELS
from seqsum_core.start import draw_start
from seqsum_core.tasks import Sequences, Split, Task

MOST_EPOCHS = 1_000_000
"""Where a timed fit ends if nobody ends it: `fit` wants a number."""


def draw_rows(trial: Trial | Group, *, seed: int = 0) -> Split:
    """Draw the data of a trial, or of one of its seeds, and split them.

    Raises:
        ValueError: if the task is a user's own and not usable.
    """
    settings = trial.settings.task
    return tasks.split(tasks.draw(settings, length=trial.cell.length, seed=seed), settings)


def build_model(trial: Trial | Group, task: Task) -> Any:
    """Build and compile the Keras model of a trial.

    Raises:
        ValueError: if it is a user's own and not usable.
    """
    return models.build(
        trial.cell.model,
        length=trial.cell.length,
        task=task,
        network=trial.settings.network,
        training=trial.settings.training,
        variant=trial.cell.variant,
    )


def build(trial: Trial, data: Split, starts: Path | None = None) -> "TimedModel":
    """Build what a speed trial trains; `starts` has the starting weights of a user's own model.

    Raises:
        NotAvailableError: if the backend has no such variant of this model.
        ValueError: if the model is a user's own and not usable.
    """
    variant, name, settings = trial.cell.variant, trial.cell.model, trial.settings
    if variant.implementation != "ceiling":
        return KerasModel(trial, data, starts)
    plain.require("model", name, *MODELS)
    plain.require("task", settings.task.name, "sum")
    for setting, known in (("dtype", "float32"), ("batching", "padded"), ("devices", 1)):
        plain.require(setting, getattr(variant, setting), known)
    return plain.build(
        name,
        weights=draw_start(name, units=settings.network.units, seed=trial.index),
        fitted=data.fitted,
        network=settings.network,
        training=settings.training,
        device=trial.cell.device,
        seed=trial.index,
    )


class KerasModel:
    """A compiled Keras model: layers of Keras, fused layers, or a user's own."""

    def __init__(self, trial: Trial, data: Split, starts: Path | None) -> None:
        rows, variant = len(data.fitted), trial.cell.variant
        self._batch_size = trial.settings.training.batch_size
        sizes = {min(self._batch_size, rows), rows % self._batch_size or self._batch_size}
        share_rows(trial.cell.device, count=variant.devices, batches=tuple(sizes))
        self._model, self._fitted = build_model(trial, data.task), data.fitted
        if starts is not None and ":" in trial.cell.model:
            own.set_start(self._model, own.load_start(start_file(starts, trial.cell), 0), data)
        self._batches: training.LengthBatches | None = None
        if variant.batching != "padded":
            epochs = draw_epochs(data.fitted, variant.batching, batch_size=self._batch_size, seed=0)
            self._batches = training.LengthBatches(data.fitted, epochs, padding=trial.settings.task.padding)

        self.steps_per_epoch = ceil(rows / self._batch_size) if self._batches is None else len(self._batches)

    @property
    def compute_dtype(self) -> str:
        """Return what its layers with weights compute in."""
        return own.compute_dtypes(self._model)

    def fit(self, go_on: GoOn) -> list[float]:
        """Train until `go_on`, which is given all epoch times so far, returns False; return the epoch times."""
        return training.fit_for_speed(
            self._model,
            self._fitted,
            batch_size=self._batch_size,
            most_epochs=MOST_EPOCHS,
            go_on=go_on,
            batches=self._batches,
        )

    def detect_path(self) -> ExecutionPath:
        """Detect which recurrent path ran; to be called after a fit."""
        return detect_path(self._model, self._fitted, batch_size=self._batch_size)

    def validation_s(self, rows: Sequences, repeats: int) -> list[float]:
        """Time whole validations; the first one compiles."""
        return training.validation_s(self._model, rows, batch_size=self._batch_size, repeats=repeats)


TimedModel = KerasModel | PlainNetwork
"""What a speed trial trains and times."""
