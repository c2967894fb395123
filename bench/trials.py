"""What one trial does inside a backend's process: the Keras side of a measurement.

Imported by the worker and by the pytest cases only, after the backend was chosen.
"""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from bench import machine
from bench.plan import Settings, Trial
from bench.records import Accuracy, Speed
from seqsum_core import backend, metrics, models, reference, task, training
from seqsum_core.reference import Dtype
from seqsum_core.replay import replay
from seqsum_core.verdict import Replayed

Report = Callable[[str], None]
GoOn = Callable[[training.EpochsSoFar], bool]


def enough_epochs(settings: Settings) -> GoOn:
    """Go on until the steady epochs are many enough and last long enough together."""
    timing = settings.timing

    def go_on(epochs_s: training.EpochsSoFar) -> bool:
        steady_s = epochs_s[1 + timing.warmup_epochs :]
        return len(steady_s) < timing.steady_epochs or sum(steady_s) < timing.steady_s

    return go_on


def measure_speed(
    trial: Trial,
    *,
    process_start_s: float | None,
    import_s: float,
    report: Report,
    go_on: GoOn,
) -> Speed:
    """Time one cell in this process, which must not have trained anything before.

    Args:
        trial: a speed trial.
        process_start_s: how long this process took to start, if known.
        import_s: how long importing the backend took.
        report: told the phase that begins.
        go_on: asked after each epoch whether the fit goes on.

    Returns:
        Raw times and memory.

    Raises:
        ValueError: if the model is a user's own and not usable.
    """
    settings, timing = trial.settings, trial.settings.timing
    report("build")
    data = _draw(trial)
    start = perf_counter()
    model = _build(trial)
    build_s = perf_counter() - start
    watch = machine.CpuWatch()

    def watched(epochs_s: training.EpochsSoFar) -> bool:
        if len(epochs_s) == 1 + timing.warmup_epochs:
            watch.start()
        return go_on(epochs_s)

    report("fit")
    machine.reset_peak_rss()
    batch_size = settings.training.batch_size
    epochs_s = training.fit_for_speed(
        model, data.fitted, batch_size=batch_size, most_epochs=timing.most_epochs, go_on=watched
    )
    others_cpu_s = watch.others_cpu_s()
    report("validation")
    validation_s = training.validation_s(model, data.validation, batch_size=batch_size, repeats=timing.validations)
    return Speed(
        cell=trial.cell,
        process=trial.index,
        process_start_s=process_start_s,
        import_s=import_s,
        build_s=build_s,
        epochs_s=tuple(epochs_s),
        warmup_epochs=timing.warmup_epochs,
        validation_s=tuple(validation_s),
        steps_per_epoch=-(-len(data.fitted) // batch_size),
        rows_per_epoch=len(data.fitted),
        peak_rss_bytes=machine.peak_rss_bytes(),
        peak_device_bytes=backend.peak_device_bytes(trial.cell.device),
        others_cpu_s=others_cpu_s,
    )


def measure_accuracy(trial: Trial, *, report: Report) -> Accuracy:
    """Train one cell from one seed by the article's protocol and judge it.

    Args:
        trial: an accuracy trial.
        report: told the phase that begins.

    Returns:
        Raw losses, and errors on the test rows.

    Raises:
        ValueError: if the model is a user's own and not usable.
    """
    report("build")
    data = _draw(trial)
    keras.utils.clear_session()
    keras.utils.set_random_seed(trial.index)
    model = _build(trial)
    drawn = models.set_start(model, seed=trial.index)
    report("fit")
    trained = training.fit_for_accuracy(model, data, trial.settings.training, seed=trial.index)
    _check_finite(trained.loss, trained.val_loss)
    return Accuracy(
        cell=trial.cell,
        seed=trial.index,
        start="numpy" if drawn else "keras",
        loss=tuple(trained.loss),
        val_loss=tuple(trained.val_loss),
        stopped_early=trained.stopped_early,
        test=metrics.errors(trained.predictions, data.test.sums),
        test_by_length=dict(metrics.errors_by_length(trained.predictions, data.test.sums, data.test.lengths)),
        predictions=tuple(float(value) for value in trained.predictions[:6]),
        sums=tuple(int(value) for value in data.test.sums[:6]),
    )


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
    _build(trial)


def _draw(trial: Trial) -> task.Split:
    settings = trial.settings.task
    return task.split(task.draw(settings, length=trial.cell.length), settings)


def _build(trial: Trial) -> Any:
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
