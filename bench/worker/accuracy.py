"""What an accuracy trial and a replay do inside a backend's process: the Keras side of what is not timed in turns.

Imported by the worker and by the pytest cases only, after the backend was chosen.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.plan.cells import Group, Trial
from bench.records.failures import failure, raised
from bench.records.schema import Accuracy, Failure, KerasWay, Memory, Way
from seqsum_core import metrics, task
from seqsum_core.article import reference
from seqsum_core.article.reference import Dtype
from seqsum_core.article.replay import replay
from seqsum_core.article.verdict import Replayed
from seqsum_core.nn import models, replicas, training
from seqsum_core.nn.memory import Probe
from seqsum_core.settings import MODELS

Report = Callable[[str], None]


def measure_group(group: Group, *, report: Report) -> list[Accuracy | Failure]:
    """Train seeds of one cell by the article's protocol and judge each at each patience.

    Args:
        group: the seeds; several are trained as one Keras model if the model is one of this project.
        report: told the phase that begins.

    Returns:
        For each seed and patience raw losses and errors on the test rows. A training whose losses
        are no numbers is a failure of its own.

    Raises:
        ValueError: if the model is a user's own and not usable.
    """
    report("build")
    data = draw_rows(group)
    keras.utils.clear_session()
    together = group.together
    started = (_fit_together if together else _fit_alone)(group, data, report)
    report("judge")
    judge = _Judge(group, data, "replica" if together else "alone")
    return [
        judge.record(seed, start, trained)
        for seed, (start, of_seed) in zip(group.seeds, started, strict=True)
        for trained in of_seed
    ]


def time_seeds(group: Group, way: Way, *, report: Report) -> tuple[float, tuple[float, ...]]:
    """Train all seeds of a group in one way and time it, compilation included.

    Args:
        group: the seeds; "replica" trains as many at once as `Group.at_once` says.
        way: "replica", "alone" or, on PyTorch only, "plain": without Keras.
        report: told what begins.

    Returns:
        Seconds from before the first model is built to the last prediction, and the last val_loss of
        each seed.
    """
    report("build")
    data = draw_rows(group)
    begin_s = perf_counter()
    if way == "plain":
        from bench.worker.plain import plain_torch

        settings, model = group.settings, build_model(group)
        val_losses = plain_torch.train_seeds(
            group.cell.model,
            data,
            settings.training,
            starts=[models.draw_weights(model, seed=seed) or [] for seed in group.seeds],
            seeds=group.seeds,
            network=settings.network,
            device=group.cell.device,
            report=report,
        )
        return perf_counter() - begin_s, tuple(val_losses)
    trained = []
    for part in group.split() if way == "replica" else [group]:
        keras.utils.clear_session()
        trained += (_fit_together if way == "replica" else _fit_alone)(part, data, report)
    return perf_counter() - begin_s, tuple(of_seed[-1].val_loss[-1] for _, of_seed in trained)


Start = list[NDArray[np.float32]]


def _fit_together(group: Group, data: task.Split, report: Report) -> list[tuple[Start | None, list[training.Trained]]]:
    """Train all seeds as replicas; return the start of each and what each patience left."""
    model = build_model(group)
    starts = [models.draw_weights(model, seed=seed) or [] for seed in group.seeds]
    report("fit")
    settings = group.settings
    trained = replicas.fit_replicas(
        group.cell.model, starts, data, settings.training, seeds=group.seeds, network=settings.network, report=report
    )
    return list(zip(starts, trained, strict=True))


def _fit_alone(group: Group, data: task.Split, report: Report) -> list[tuple[Start | None, list[training.Trained]]]:
    """Train one seed after another; a user's model with layers of its own starts as Keras draws it."""
    fitted = []
    for seed in group.seeds:
        if group.cell.model not in MODELS:  # ours draw nothing in Keras; the call would import TensorFlow, if here
            keras.utils.set_random_seed(seed)
        model = build_model(group)
        start = models.draw_weights(model, seed=seed)
        if start is not None:
            model.set_weights(start)
        report(f"fit, seed {seed}")
        trained = training.fit_for_accuracy(
            model,
            data,
            group.settings.training,
            seed=seed,
            batching=group.cell.variant.batching,
            padding=group.settings.task.padding,
        )
        fitted.append((start, trained))
    return fitted


class _Judge:
    """Turns what trainings of one cell left into records."""

    def __init__(self, group: Group, data: task.Split, way: KerasWay) -> None:
        self._group, self._test, self._way = group, data.test, way
        settings = group.settings
        self._probe = (
            Probe(group.cell.model, rows=data.test, task=settings.task, network=settings.network)
            if group.cell.model in MODELS
            else None
        )

    def record(self, seed: int, start: Start | None, trained: training.Trained) -> Accuracy | Failure:
        """Judge one training where one patience ended it."""
        try:
            _check_finite(trained.loss, trained.val_loss)
            memory = self._memory(start, trained)
        except ArithmeticError as error:
            trial = Trial(kind="accuracy", cell=self._group.cell, index=seed, settings=self._group.settings)
            return failure(trial, "fit", raised(f"ArithmeticError: {error}"))
        sums = self._test.sums
        return Accuracy(
            cell=self._group.cell,
            seed=seed,
            patience=trained.patience,
            start="keras" if start is None else "numpy",
            loss=tuple(trained.loss),
            val_loss=tuple(trained.val_loss),
            stopped_early=trained.stopped_early,
            test=metrics.errors(trained.predictions, sums),
            test_by_length=dict(metrics.errors_by_length(trained.predictions, sums, self._test.lengths)),
            predictions=tuple(float(value) for value in trained.predictions[:6]),
            sums=tuple(int(value) for value in sums[:6]),
            way=self._way,
            memory=memory,
        )

    def _memory(self, start: Start | None, trained: training.Trained) -> Memory | None:
        if self._probe is None or start is None:
            return None
        return Memory(**asdict(self._probe.measure(start, trained.weights)))


def replay_run(dtype: Dtype, *, case: str | None, file: Path | None, report: Report) -> Replayed:
    """Repeat a run of 2017.

    Args:
        dtype: precision of the replay.
        case: name of one of the package's runs; used if `file` is None.
        file: a reference file.
        report: told the phase that begins.

    Returns:
        Losses and predictions.

    Raises:
        ValueError: if there is no such case or the file is not what it should be.
        ArithmeticError: if a loss or prediction is no number.
    """
    report("build")
    keras.utils.clear_session()
    run = reference.load(file) if file is not None else reference.case(str(case), dtype)
    replayed = replay(run, dtype, report=report)
    _check_finite(replayed.loss, replayed.val_loss)
    if not np.isfinite([*replayed.test_predictions, *replayed.stop_predictions]).all():
        raise ArithmeticError("a prediction is not finite")
    return replayed


def check_model(trial: Trial) -> None:
    """Build the model of a trial and throw it away.

    Raises:
        ValueError: if it cannot be used.
    """
    build_model(trial)


def draw_rows(trial: Trial | Group) -> task.Split:
    """Draw the data of a trial and split them."""
    settings = trial.settings.task
    return task.split(task.draw(settings, length=trial.cell.length), settings)


def build_model(trial: Trial | Group) -> Any:
    """Build and compile the model of a trial.

    Raises:
        ValueError: if it is a user's own and not usable.
    """
    return models.build(
        trial.cell.model,
        length=trial.cell.length,
        network=trial.settings.network,
        training=trial.settings.training,
        variant=trial.cell.variant,
    )


def _check_finite(loss: ArrayLike, val_loss: ArrayLike) -> None:
    """Turn losses that are no numbers into a failure: they would end every mean in NaN.

    Raises:
        ArithmeticError: naming the first such epoch.
    """
    bad = np.flatnonzero(~np.isfinite(np.array([loss, val_loss])).all(axis=0))
    if len(bad):
        raise ArithmeticError(f"the loss of epoch {bad[0] + 1} is not finite")
