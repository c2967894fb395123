"""What is not timed inside a backend's process: trainings for accuracy, and replays of the runs of 2017.

Imported by the worker only, after the backend was imported.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.plan.cells import Group, Trial
from bench.records.failures import WorkerError, failure
from bench.records.schema import Accuracy, Failure, Memory
from bench.worker.models import build_model, draw_rows
from seqsum_core import metrics
from seqsum_core.article import reference
from seqsum_core.article.reference import Dtype
from seqsum_core.article.replay import replay
from seqsum_core.article.verdict import Replayed
from seqsum_core.memory import measure_memory
from seqsum_core.nn import models, replicas, training
from seqsum_core.settings import MODELS
from seqsum_core.task import Sequences, Split, fresh_rows

Report = Callable[[str], None]
Weights = list[NDArray[np.float32]]
Fitted = tuple[Weights | None, list[training.Trained], list[NDArray[np.float32]]]
"""The weights a seed starts from, None if Keras drew them; what each patience left; its outputs for fresh rows."""

MEMORY_ROWS = 1_000
"""Fresh rows that memory and gradients are measured on."""


def train_group(group: Group, *, report: Report) -> list[Accuracy | Failure]:
    """Train seeds of one cell by the article's protocol and judge each at each patience.

    Several are trained as one Keras model if the model is one of this project.

    Returns:
        For each seed and patience raw losses, errors on fresh rows and on the test rows of the split. A training whose
        losses are not finite is a failure of its own.

    Raises:
        ValueError: if the model is a user's own and not usable.
    """
    report("build")
    if group.settings.task.redraw:
        data = [draw_rows(group, seed=seed) for seed in group.seeds]
    else:
        data = [draw_rows(group)] * len(group.seeds)
    fresh = fresh_rows(group.settings.task, length=group.cell.length)
    keras.utils.clear_session()
    trainings = (_fit_together if group.together else _fit_alone)(group, data, fresh, report)
    report("judge")
    return [
        _judge(group, seed, of_seed.test, start, trained, fresh, outputs)
        for seed, of_seed, (start, patiences, predictions) in zip(group.seeds, data, trainings, strict=True)
        for trained, outputs in zip(patiences, predictions, strict=True)
    ]


def _fit_together(group: Group, data: list[Split], fresh: Sequences, report: Report) -> list[Fitted]:
    """Train all seeds as replicas."""
    model = build_model(group)
    starts = [models.draw_weights(model, seed=seed) or [] for seed in group.seeds]
    report("fit")
    name, settings = group.cell.model, group.settings
    trained = replicas.fit_replicas(
        name, starts, data, settings.training, seeds=group.seeds, network=settings.network, report=report
    )
    report("predict")
    predictions = [
        replicas.predict_replicas(name, [seed.weights for seed in of_patience], fresh, network=settings.network)
        for of_patience in zip(*trained, strict=True)
    ]
    return list(zip(starts, trained, map(list, zip(*predictions, strict=True)), strict=True))


def _fit_alone(group: Group, data: list[Split], fresh: Sequences, report: Report) -> list[Fitted]:
    """Train one seed after another; a user's model with layers of its own starts as Keras draws it."""
    trainings: list[Fitted] = []
    for seed, rows in zip(group.seeds, data, strict=True):
        if group.cell.model not in MODELS:  # ours draw nothing in Keras; the call would import TensorFlow, if here
            keras.utils.set_random_seed(seed)
        model = build_model(group)
        start = models.draw_weights(model, seed=seed)
        if start is not None:
            model.set_weights(start)
        report(f"fit, seed {seed}")
        fit, batching, padding = group.settings.training, group.cell.variant.batching, group.settings.task.padding
        trained = training.fit_for_accuracy(model, rows, fit, seed=seed, batching=batching, padding=padding)
        predictions = []
        for of_patience in trained:
            model.set_weights(of_patience.weights)
            outputs = training.predict(model, fresh, batching, batch_size=fit.batch_size, padding=padding)
            predictions.append(outputs)
        trainings.append((start, trained, predictions))
    return trainings


def _judge(
    group: Group,
    seed: int,
    split_test: Sequences,
    start: Weights | None,
    trained: training.Trained,
    fresh: Sequences,
    outputs: NDArray[np.float32],
) -> Accuracy | Failure:
    """Judge one training where one patience ended it, by its outputs for fresh rows."""
    settings, sums = group.settings, split_test.sums
    try:
        _check_finite(trained.loss, trained.val_loss)
        memory = None
        if group.cell.model in MODELS and start is not None:
            mask, task = settings.network.mask, settings.task
            rows = fresh.first(MEMORY_ROWS)
            measured = measure_memory(group.cell.model, start, trained.weights, rows=rows, task=task, mask=mask)
            memory = Memory(**asdict(measured))
    except ArithmeticError as error:
        trial = Trial(kind="accuracy", cell=group.cell, index=seed, settings=settings)
        return failure(trial, WorkerError(str(error), "not finite", phase="fit"))
    return Accuracy(
        cell=group.cell,
        seed=seed,
        patience=trained.patience,
        start="keras" if start is None else "numpy",
        loss=tuple(trained.loss),
        val_loss=tuple(trained.val_loss),
        stopped_early=trained.stopped_early,
        test=metrics.errors(outputs, fresh.sums),
        test_by_length=dict(metrics.errors_by_length(outputs, fresh.sums, fresh.lengths)),
        split_test=metrics.errors(trained.predictions, sums),
        predictions=tuple(float(value) for value in trained.predictions[:6]),
        sums=tuple(int(value) for value in sums[:6]),
        trained_as="replica" if group.together else "alone",
        memory=memory,
    )


def replay_run(dtype: Dtype, *, case: str | None, file: Path | None, report: Report) -> Replayed:
    """Repeat a run of 2017: one of the package's, or of a reference file.

    Raises:
        ValueError: if there is no such case or the file is not what it should be.
        ArithmeticError: if a loss or prediction is not finite.
    """
    report("build")
    keras.utils.clear_session()
    run = reference.load(file) if file is not None else reference.case(str(case), dtype)
    replayed = replay(run, dtype, report=report)
    _check_finite(replayed.loss, replayed.val_loss)
    if not np.isfinite([*replayed.test_predictions, *replayed.stop_predictions]).all():
        raise ArithmeticError("a prediction is not finite")
    return replayed


def _check_finite(loss: ArrayLike, val_loss: ArrayLike) -> None:
    """Raise `ArithmeticError` at the first loss that is not finite: it would end every mean in NaN."""
    bad = np.flatnonzero(~np.isfinite(np.array([loss, val_loss])).all(axis=0))
    if len(bad):
        raise ArithmeticError(f"the loss of epoch {bad[0] + 1} is not finite")
