"""A speed trial inside a backend's process: a model is built and warmed up once, then each turn is one fit of it.

Imported by the worker only, after the backend was imported. Times are seconds of `time.perf_counter`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter

from bench import host
from bench.errors import NotAvailableError
from bench.plan.cells import Trial
from bench.plan.timing import Timing
from bench.records.schema import ExecutionPath, Speed, Turn
from bench.worker import models
from bench.worker.trace import count_calls
from seqsum_core.batching import padding_share
from seqsum_core.nn import backend
from seqsum_core.settings import MODELS, VariantSettings

Report = Callable[[str], None]

MOST_LAG = 0.2
"""By which share of its counted time a device may go on after every turn; a clock that does not wait lags more."""


class SpeedTrial:
    """One cell that is timed in this process, which must not have trained anything before.

        open_trial = SpeedTrial(trial, process_start_s=0.03, import_s=2.1, report=print)
        open_trial.run_turn(0, started_after_s=12.5)
        record = open_trial.close()

    `report` is called with each phase that begins; `starts` has the starting weights of a user's own model.

    Raises:
        NotAvailableError: if the backend refuses the variant.
        ValueError: if the model is a user's own and not usable.
    """

    def __init__(
        self,
        trial: Trial,
        *,
        process_start_s: float | None,
        import_s: float,
        report: Report,
        starts: Path | None = None,
    ) -> None:
        self._trial, self._report = trial, report
        self._process_start_s, self._import_s = process_start_s, import_s
        self._turns: list[Turn] = []
        report("build")
        self._data = models.draw_rows(trial)
        epochs = 1 + trial.settings.timing.warmup_epochs
        with _refusals(trial):
            begin_s = perf_counter()
            self._model = models.build(trial, self._data, starts)
            self._build_s = perf_counter() - begin_s
            report("first epoch")
            host.reset_peak_rss()
            self._start_epochs_s = list(self._model.fit(lambda epochs_s: len(epochs_s) < epochs))

    def run_turn(self, number: int, *, started_after_s: float) -> Turn:
        """Run one fit: warm-up epochs, then counted ones. The turn started so many seconds after the run began."""
        self._report("turn")
        device = self._trial.cell.device
        length = _TurnLength(self._trial.settings.timing, device)
        watch = host.Watch(gpu=device == "gpu")
        epochs_s = self._model.fit(length.go_on)
        turn = Turn(
            round=number,
            started_after_s=started_after_s,
            epochs_s=tuple(epochs_s),
            warmup_epochs=length.warmup_epochs,
            device_lag_s=length.device_lag_s,
            **asdict(watch.noise()),
        )
        self._turns.append(turn)
        return turn

    def close(self) -> Speed:
        """Detect the execution path, count calls, time the validation and return the record.

        Raises:
            RuntimeError: if the clock did not wait for the device.
            ValueError: if another recurrent path ran than the trial expects.
        """
        trial, model = self._trial, self._model
        _check_clock(self._turns)
        peak_rss_bytes, peak_device_bytes = host.peak_rss_bytes(), backend.peak_device_bytes(trial.cell.device)
        self._report("execution path")  # before the validation, whose programs would be counted too
        path = model.detect_path()
        if trial.expected_path not in (None, path.recurrence):
            raise ValueError(f"`expect` is {trial.expected_path}, but {path.recurrence} ran ({path.evidence})")
        python_calls = None
        if trial.index == 0 and not trial.is_control:  # every other process would count the same
            self._report("calls")
            python_calls = count_calls(model)[1].total()
        self._report("validation")
        return Speed(
            cell=trial.cell,
            process=trial.index,
            is_control=trial.is_control,
            process_start_s=self._process_start_s,
            import_s=self._import_s,
            build_s=self._build_s,
            start_epochs_s=tuple(self._start_epochs_s),
            turns=tuple(self._turns),
            validation_s=tuple(model.validation_s(self._data.validation, trial.settings.timing.validations)),
            steps_per_epoch=model.steps_per_epoch,
            rows_per_epoch=len(self._data.fitted),
            padding_share=padding_share(self._data.fitted, trial.cell.variant.batching),
            peak_rss_bytes=peak_rss_bytes,
            peak_device_bytes=peak_device_bytes,
            execution_path=ExecutionPath(**asdict(path)),
            python_calls=python_calls,
            compute_dtype=getattr(model, "compute_dtype", None),
        )


class _TurnLength:
    """Decides after each epoch whether the fit of a turn goes on, and looks at the end whether the device is idle."""

    def __init__(self, timing: Timing, device: str) -> None:
        self._timing, self._device = timing, device
        self._warm = not timing.warmup_epochs and not timing.warmup_s
        self.warmup_epochs = 0
        self.device_lag_s = 0.0

    def go_on(self, epochs_s: list[float]) -> bool:
        """Return whether another epoch is wanted after these."""
        timing = self._timing
        if not self._warm:
            self.warmup_epochs = len(epochs_s)
            self._warm = len(epochs_s) >= timing.warmup_epochs and sum(epochs_s) >= timing.warmup_s
            return True
        counted_s = epochs_s[self.warmup_epochs :]
        if len(counted_s) < timing.turn_epochs or sum(counted_s) < timing.turn_s:
            return True
        begin_s = perf_counter()
        backend.synchronize(self._device)
        self.device_lag_s = perf_counter() - begin_s
        return False


def _check_clock(turns: list[Turn]) -> None:
    """Raise `RuntimeError` if the clock did not wait: then the device goes on when all epochs have ended."""
    shares = [(turn.device_lag_s or 0.0) / sum(turn.counted_epochs_s) for turn in turns]
    if shares and min(shares) > MOST_LAG:
        raise RuntimeError(f"the clock does not wait: the device went on for {min(shares):.0%} of each turn's time")


@contextmanager
def _refusals(trial: Trial) -> Iterator[None]:
    """Tell what a backend refuses, in its own words, from what fails.

    Keras refuses settings with a ValueError, at the latest in the first step, and fused layers a user's own model that
    has none to replace. Where nothing is set, one is a failure.
    """
    variant = trial.cell.variant
    try:
        yield
    except NotAvailableError:
        raise
    except ValueError as error:
        is_own = trial.cell.model not in MODELS
        if (variant if is_own else replace(variant, implementation="keras")) == VariantSettings():
            raise
        raise NotAvailableError(str(error)) from error
