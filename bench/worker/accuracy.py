"""What is not timed inside a backend's process: trainings for accuracy, and replays of the runs of 2017.

Imported by the worker only, after the backend was imported.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.plan.cells import Group, Trial, start_file
from bench.records.failures import WorkerError, failure
from bench.records.schema import Accuracy, Failure, Memory
from bench.worker.models import build_model, draw_rows
from seqsum_core import metrics
from seqsum_core.article import reference
from seqsum_core.article.reference import Dtype
from seqsum_core.article.replay import replay
from seqsum_core.article.verdict import Replayed
from seqsum_core.memory import measure_memory
from seqsum_core.nn import models, own, replicas, training
from seqsum_core.settings import MODELS
from seqsum_core.tasks import Sequences, Split, fresh_rows
from seqsum_core.tasks.rows import MSE

Report = Callable[[str], None]
Weights = list[NDArray[np.float32]]


@dataclass(frozen=True)
class Fitted:
    """A seed that was trained.

    Args:
        weights: it started from; `start` says who drew them.
        trained: what each patience left.
        outputs: for the rows it is judged on, at each patience.
    """

    weights: Weights
    start: Literal["numpy", "shared", "keras"]
    trained: list[training.Trained]
    outputs: list[NDArray[np.float32]]
    loss_name: str = MSE


SHOWN = 6
"""Outputs that are kept."""
MEMORY_ROWS = 1_000
"""Fresh rows that memory and gradients are measured on."""


def train_group(group: Group, *, report: Report, starts: Path | None = None) -> list[Accuracy | Failure]:
    """Train seeds of one cell by the article's protocol and judge each at each patience.

    Several are trained as one Keras model if the model is one of this project. `starts` has the starting weights of
    models of the user's own.

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
    if group.together:
        trainings = _fit_together(group, data, fresh or data[0].test, report)
    else:
        trainings = _fit_alone(group, data, fresh, report, starts)
    report("judge")
    return [
        _judge(group, seed, of_seed, fitted, trained, fresh, outputs)
        for seed, of_seed, fitted in zip(group.seeds, data, trainings, strict=True)
        for trained, outputs in zip(fitted.trained, fitted.outputs, strict=True)
    ]


def _fit_together(group: Group, data: list[Split], fresh: Sequences, report: Report) -> list[Fitted]:
    """Train all seeds as replicas."""
    model = build_model(group, data[0].task)
    starts = [models.draw_weights(model, seed=seed) for seed in group.seeds]
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
    outputs = map(list, zip(*predictions, strict=True))
    return [Fitted(start, "numpy", *kept) for start, *kept in zip(starts, trained, outputs, strict=True)]  # type: ignore[arg-type]


def _fit_alone(
    group: Group, data: list[Split], fresh: Sequences | None, report: Report, starts: Path | None
) -> list[Fitted]:
    """Train one seed after another; a user's own model starts from its shared start, if there is one."""
    trainings: list[Fitted] = []
    for seed, rows in zip(group.seeds, data, strict=True):
        is_own = group.cell.model not in MODELS
        if is_own:  # ours draw nothing in Keras; the call would import TensorFlow, if here
            keras.utils.set_random_seed(seed)
        model = build_model(group, rows.task)
        if not is_own:
            models.set_start(model, seed=seed)
        elif starts is not None:
            own.set_start(model, own.load_start(start_file(starts, group.cell), seed), rows)
        else:
            own.build_weights(model, rows)
        weights = model.get_weights()
        report(f"fit, seed {seed}")
        fit, batching, padding = group.settings.training, group.cell.variant.batching, group.settings.task.padding
        trained = training.fit_for_accuracy(
            model, rows, fit, seed=seed, batching=batching, padding=padding, report=report
        )
        outputs = []
        for of_patience in trained:
            if fresh is None:
                outputs.append(of_patience.predictions)
                continue
            model.set_weights(of_patience.weights)
            outputs.append(training.predict(model, fresh, batching, batch_size=fit.batch_size, padding=padding))
        start: Literal["numpy", "shared", "keras"] = "numpy" if not is_own else "keras" if starts is None else "shared"
        trainings.append(Fitted(weights, start, trained, outputs, own.loss_name(model)))
    return trainings


def _judge(
    group: Group,
    seed: int,
    data: Split,
    fitted: Fitted,
    trained: training.Trained,
    fresh: Sequences | None,
    outputs: NDArray[np.float32],
) -> Accuracy | Failure:
    """Judge one training where one patience ended it, by its outputs for fresh rows, or for the test rows."""
    settings, judge, judged = group.settings, data.task.judge, fresh or data.test
    try:
        _check_finite(trained.loss, trained.val_loss)
        memory = None
        if fitted.start == "numpy" and fresh is not None and settings.task.name == "sum":
            mask, rows = settings.network.mask, fresh.first(MEMORY_ROWS)
            weights = fitted.weights, trained.weights
            measured = measure_memory(group.cell.model, *weights, rows=rows, task=settings.task, mask=mask)
            memory = Memory(**asdict(measured))
    except ArithmeticError as error:
        trial = Trial(kind="accuracy", cell=group.cell, index=seed, settings=settings)
        return failure(trial, WorkerError(str(error), "not finite", phase="fit"))
    return Accuracy(
        cell=group.cell,
        seed=seed,
        patience=trained.patience,
        start=fitted.start,
        start_hash=own.fingerprint(fitted.weights) if fitted.start == "shared" else "",
        loss_name=fitted.loss_name,
        judge=judge,
        loss=tuple(trained.loss),
        val_loss=tuple(trained.val_loss),
        stopped_early=trained.stopped_early,
        test=metrics.errors(outputs, judged.y, judge),
        test_by_length=dict(metrics.errors_by_length(outputs, judged.y, judged.lengths, judge)),
        split_test=None if fresh is None else metrics.errors(trained.predictions, data.test.y, judge),
        predictions=_first_outputs(trained.predictions, judge),
        targets=tuple(float(value) for value in data.test.y[:SHOWN]) if data.test.y.ndim == 1 else (),
        trained_as="replica" if group.together else "alone",
        memory=memory,
    )


def _first_outputs(outputs: NDArray[np.float32], judge: metrics.Judge) -> tuple[float, ...]:
    """Return the first outputs: numbers, or the likeliest classes; nothing where a row has several."""
    first = outputs[:SHOWN].argmax(axis=1) if judge == "class" else outputs[:SHOWN]
    return tuple(float(value) for value in first) if first.ndim == 1 else ()


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
