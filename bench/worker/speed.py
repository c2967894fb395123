"""What a speed trial does inside a backend's process: one fit, cut into turns. The Keras side of a measurement.

Imported by the worker only, after the backend was chosen. Times are seconds of `time.perf_counter`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import compress
from math import ceil
from time import perf_counter

from bench import host as machine
from bench.errors import NotAvailableError
from bench.plan.cells import Device, Trial
from bench.plan.timing import Timing
from bench.records.speed import Slice, Speed, Witness
from bench.worker import timed_models as subjects
from bench.worker.accuracy import Report, build_model, draw_rows
from bench.worker.messages import AtPark, Leave, Parked, Turn, TurnDone
from bench.worker.pace import Probes, fastest_of_many_s
from seqsum_core.batching import buckets_of, padding_share
from seqsum_core.nn import backend, training
from seqsum_core.settings import VariantSettings

Park = Callable[[Parked | TurnDone], AtPark]

MOST_LATE = 0.2
"""By which share of the clocked time a device may go on in every turn; a clock that does not wait is off by more."""

MOST_EPOCHS = 1_000_000
"""Where a timed fit ends if nobody ends it: `fit` wants a number."""


def measure_speed(
    trial: Trial,
    *,
    process_start_s: float | None,
    import_s: float,
    report: Report,
    park: Park,
    tell: Callable[[float], None],
) -> Speed:
    """Time one cell in this process, which must not have trained anything before.

    Args:
        trial: a speed trial.
        process_start_s: how long this process took to start, if known.
        import_s: how long importing the backend took.
        report: told the phase that begins.
        park: called where the fit is parked; returns what comes next, and may block for as long as it likes.
        tell: told the warm-up of a turn that asks for it, then each counted epoch, in seconds.

    Returns:
        Raw times and memory.

    Raises:
        NotAvailableError: if the backend refuses the variant.
        ValueError: if the model is a user's own and not usable, or another recurrent path ran than
            the trial expects.
    """
    timing = trial.settings.timing
    report("build")
    data = draw_rows(trial)
    turns = _Turns(timing, report, park, tell, device=trial.cell.device, fastest_probe_s=fastest_of_many_s())
    with _refusals(trial, turns):
        start = perf_counter()
        subject = subjects.build(trial, data)
        build_s = perf_counter() - start
        report("first epoch")
        machine.reset_peak_rss()
        subject.fit(turns.after_epoch, most_epochs=MOST_EPOCHS)
    _check_clock(turns.slices)
    peak_rss_bytes, peak_device_bytes = machine.peak_rss_bytes(), backend.peak_device_bytes(trial.cell.device)
    report("witness")  # before validation, whose programs would be counted too
    found = subject.witness()
    if trial.expect not in (None, found.recurrence):
        raise ValueError(f"`expect` is {trial.expect}, but {found.recurrence} ran ({found.evidence})")
    report("validation")
    validation_s = subject.validation_s(timing.validations)
    return Speed(
        cell=trial.cell,
        process=trial.index,
        twin=trial.twin,
        process_start_s=process_start_s,
        import_s=import_s,
        build_s=build_s,
        start_epochs_s=tuple(turns.start_epochs_s),
        slices=tuple(turns.slices),
        validation_s=tuple(validation_s),
        steps_per_epoch=subject.steps_per_epoch,
        rows_per_epoch=len(data.fitted),
        padding_share=padding_share(data.fitted.lengths, buckets_of(data.fitted, trial.cell.variant.batching)),
        peak_rss_bytes=peak_rss_bytes,
        peak_device_bytes=peak_device_bytes,
        witness=Witness(**asdict(found)),
    )


def _check_clock(slices: list[Slice]) -> None:
    """Refuse times of a clock that did not wait for the device: then the device goes on when all epochs have ended.

    Raises:
        RuntimeError: saying by how much.
    """
    shares = [(turn.late_s or 0.0) / sum(turn.warm_s) for turn in slices]
    if shares and min(shares) > MOST_LATE:
        raise RuntimeError(f"the clock does not wait: the device went on for {min(shares):.0%} of each turn's time")


@contextmanager
def _refusals(trial: Trial, turns: "_Turns") -> Iterator[None]:
    """Tell settings of Keras that a backend refuses, in its own words, from what fails.

    Keras refuses with a ValueError, at the latest in the first step. Without such settings one is a failure.
    """
    usual = replace(trial.cell.variant, implementation="keras") == VariantSettings()
    try:
        yield
    except NotAvailableError:
        raise
    except ValueError as error:
        if usual or turns.start_epochs_s:
            raise
        raise NotAvailableError(str(error)) from error


class _Turns:
    """Cuts the epochs of one running fit into its start and the turns that the coordinator asks for.

    Args:
        timing: how long a turn is.
        report: told when turns begin.
        park: see `measure_speed`.
        tell: see `measure_speed`.
        device: where it is trained.
        fastest_probe_s: the least that a probe of the host has taken here.
    """

    def __init__(
        self,
        timing: Timing,
        report: Report,
        park: Park,
        tell: Callable[[float], None],
        *,
        device: Device,
        fastest_probe_s: float,
    ) -> None:
        self._device, self._fastest_probe_s = device, fastest_probe_s
        self._timing, self._report, self._park, self._tell = timing, report, park, tell
        self.start_epochs_s: list[float] = []
        self.slices: list[Slice] = []
        self._turn: Turn | None = None

    def after_epoch(self, epochs_s: training.EpochsSoFar) -> bool:
        """Take in the epoch that has just ended, and say whether the fit goes on."""
        if self._turn is None:
            return len(epochs_s) <= self._timing.warmup_epochs or self._begin_turns(epochs_s)
        self._epochs_s.append(epochs_s[-1])
        if not self._warm:
            self._look_whether_warm(self._turn)
            return True
        if self._turn.tell:
            self._tell(epochs_s[-1])
        return not self._is_over(self._turn) or self._end_turn(self._turn)

    def _begin_turns(self, epochs_s: training.EpochsSoFar) -> bool:
        self.start_epochs_s = list(epochs_s)
        self._report("turns")
        return self._next(Parked(epoch_s=epochs_s[-1], fastest_probe_s=self._fastest_probe_s))

    def _end_turn(self, turn: Turn) -> bool:
        start = perf_counter()
        backend.synchronize(self._device)
        late_s = perf_counter() - start
        noise = self._watch.noise()
        self.slices.append(
            Slice(
                round=turn.round,
                begun_at_s=turn.begun_at_s,
                epochs_s=tuple(self._epochs_s),
                warmup_epochs=self._warmup_epochs,
                late_s=late_s,
                **asdict(noise),
                **(self._probes.found if self._probes else {}),
            )
        )
        return self._next(TurnDone(slice=self.slices[-1]))

    def _next(self, parked: Parked | TurnDone) -> bool:
        answer = self._park(parked)
        if isinstance(answer, Leave):
            return False
        self._turn, self._epochs_s, self._warm = answer, list[float](), False
        self._watch = machine.Watch(gpu=self._device == "gpu")
        self._probes = None if answer.calm_s is None else Probes(answer.fastest_probe_s)
        self._look_whether_warm(answer)
        return True

    def _look_whether_warm(self, turn: Turn) -> None:
        timing, epochs_s = self._timing, self._epochs_s
        self._warm = len(epochs_s) >= timing.warmup_epochs and sum(epochs_s) >= timing.warmup_s
        self._warmup_epochs = len(epochs_s)
        if self._probes and (self._warm or not epochs_s):
            self._probes.take(len(epochs_s))
        if self._warm and turn.tell:
            self._tell(sum(epochs_s))

    def _is_over(self, turn: Turn) -> bool:
        if self._probes and not self._probes.due(self._epochs_s):
            return False
        warm_s = self._epochs_s[self._warmup_epochs :]
        if self._probes is None or turn.calm_s is None:
            return self._is_enough(warm_s, turn)
        self._probes.take(len(self._epochs_s))
        calm_s = tuple(compress(warm_s, self._probes.calm()[self._warmup_epochs :]))
        may_give_up = self._is_enough(warm_s, turn) and sum(warm_s) - sum(calm_s) > turn.calm_s
        return self._is_enough(calm_s, turn) or may_give_up

    def _is_enough(self, epochs_s: Sequence[float], turn: Turn) -> bool:
        if turn.epochs:
            return len(epochs_s) >= turn.epochs
        return len(epochs_s) >= self._timing.slice_epochs and sum(epochs_s) >= self._timing.slice_s


def weigh_harness(
    trial: Trial, *, fit_s: float, repeats: int, report: Report
) -> tuple[list[float], list[float], list[float]]:
    """Time whole calls of `fit`, bare and as `measure_speed` calls it, one after the other in turns.

    Args:
        trial: a speed trial.
        fit_s: how long each call shall last, about.
        repeats: how many pairs of calls; which of a pair comes first changes from pair to pair.
        report: told when a pair begins.

    Returns:
        Seconds of an epoch in each call: bare, and timed; and those of the timed ones spent in the callback.
    """
    data = draw_rows(trial)
    model = build_model(trial)
    batch_size = trial.settings.training.batch_size
    timing = trial.settings.timing.model_copy(update={"warmup_epochs": 0, "warmup_s": 0.0})
    warm_s = training.fit_for_speed(model, data.fitted, batch_size=batch_size, most_epochs=4, go_on=lambda _: True)
    epochs = max(2, ceil(fit_s / warm_s[-1]))
    device, fastest_probe_s = trial.cell.device, fastest_of_many_s()

    def ignore(_: object) -> None:
        pass

    def bare() -> None:
        model.fit(data.fitted.inputs(), data.fitted.targets(), batch_size=batch_size, epochs=epochs, verbose=0)

    def timed() -> None:
        requests: Iterator[AtPark] = iter([Turn(round=0, epochs=epochs - 1, calm_s=0.0), Leave()])
        turns = _Turns(timing, ignore, lambda _: next(requests), ignore, device=device, fastest_probe_s=fastest_probe_s)
        inside_s.append(0.0)

        def after_epoch(epochs_s: training.EpochsSoFar) -> bool:
            begin = perf_counter()
            go_on = turns.after_epoch(epochs_s)
            inside_s[-1] += (perf_counter() - begin) / epochs
            return go_on

        training.fit_for_speed(model, data.fitted, batch_size=batch_size, most_epochs=epochs, go_on=after_epoch)

    inside_s: list[float] = []
    seconds: dict[Callable[[], None], list[float]] = {bare: [], timed: []}
    for repeat in range(repeats):
        report("pair of fits")
        for way in (bare, timed) if repeat % 2 else (timed, bare):
            start = perf_counter()
            way()
            seconds[way].append((perf_counter() - start) / epochs)
    return seconds[bare], seconds[timed], inside_s
