"""Tell a person what runs, what is done and how long it will still take; to stderr, always.

A moving bar on a terminal, plain lines elsewhere.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

from bench.plan.cells import Group, Trial
from bench.records.schema import Accuracy, Failure, Record, Speed


class Progress:
    """Show a run as it goes.

    The time left is the expected time of the trials still to come, scaled by how much slower or faster than expected
    the earlier ones were.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._lock = threading.Lock()
        self._running: list[Trial | Group] = []
        self._done = self._trials = self._turns = self._disturbed = 0
        self._slots = self._timed_at_once = 1
        self._expected_s = self._passed_s = 0.0
        self._begun_s = monotonic()
        self._bar = Bar(
            SpinnerColumn(),
            MofNCompleteColumn(),
            BarColumn(20),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}"),
            console=self._console,
            transient=True,
            refresh_per_second=2,
            disable=not self._console.is_terminal,
        )

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def begin(self, trials: Sequence[Trial | Group], *, slots: int, timed_at_once: int = 1) -> None:
        """Begin to count; `slots` accuracy trials run at once, and on several machines as many that are timed."""
        self._trials, self._slots, self._timed_at_once = sum(map(_count, trials)), slots, timed_at_once
        self._done, self._passed_s = 0, 0.0
        for task in self._bar.task_ids:  # of a run before this one
            self._bar.remove_task(task)
        self._expected_s = sum(self._share_s(trial) for trial in trials)
        self._begun_s = monotonic()
        self._task = self._bar.add_task("", total=self._trials, left=self._left())
        self._bar.start()

    def trial_begins(self, trial: Trial | Group) -> None:
        """Show what runs now; a trial that is timed has the machine to itself, the others wait."""
        with self._lock:
            self._running = [trial] if isinstance(trial, Trial) else [*self._running, trial]
            self._refresh()

    def trial_ends(self, trial: Trial | Group, *records: Record) -> None:
        """Count a trial, or a group, and print in a few words what came out."""
        with self._lock:
            self._running = [running for running in self._running if running is not trial]
            self._done += _count(trial)
            turns = [turn for record in records if isinstance(record, Speed) for turn in record.turns]
            self._turns += len(turns)
            self._disturbed += sum(turn.disturbed for turn in turns)
            self._trials = max(self._trials, self._done)  # a precision to reach can want more than were planned
            self._passed_s += self._share_s(trial)
            self._refresh()
            if not self._console.is_terminal:
                self.say(f"[{self._done}/{self._trials}] {trial}: {summary(*records)} ({self._left()})")
            elif any(isinstance(record, Failure) for record in records):
                self.say(f"{trial}: {summary(*records)}")

    def end(self, folder: Path) -> None:
        """Take the bar away and print what others disturbed and where the records are."""
        self.close()
        if self._disturbed:
            self.say(f"{self._disturbed} of {self._turns} turns were disturbed by others; kept, marked.")
        self.say(f"Measured {self._done} trials in {_duration(monotonic() - self._begun_s)}. Records: {folder}")

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()

    def _refresh(self) -> None:
        running = ", ".join(str(trial) for trial in self._running)
        self._bar.update(self._task, completed=self._done, total=self._trials, description=running, left=self._left())

    def _share_s(self, trial: Trial | Group) -> float:
        return expected_s(trial) / (self._slots if isinstance(trial, Group) else self._timed_at_once)

    def _left(self) -> str:
        slowness = (monotonic() - self._begun_s) / self._passed_s if self._passed_s > 20 else 1.0
        return f"about {_duration(max(0.0, self._expected_s - self._passed_s) * slowness)} left"


def _count(trial: Trial | Group) -> int:
    return len(trial.seeds) if isinstance(trial, Group) else 1


def summary(*records: Record) -> str:
    """Describe in a few words what a trial, or a group of them, left."""
    if failures := [record for record in records if isinstance(record, Failure)]:
        if failures[0].fault == "not available":
            return f"not available: {failures[0].reason}"
        return f"FAILED in {failures[0].phase}: {failures[0].reason}"
    trained = [record for record in records if isinstance(record, Accuracy)]
    if trained:
        val_loss = median(record.val_loss[-1] for record in trained)
        return f"val_loss {_number(val_loss)} after {max(len(record.loss) for record in trained)} epochs"
    turns = [turn for record in records if isinstance(record, Speed) for turn in record.counted_turns.values()]
    return f"{_number(1e3 * median(turn.epoch_s for turn in turns))} ms an epoch" if turns else "done"


def _number(value: float) -> str:
    """Write three digits; whoever reads a log wants no more."""
    return f"{float(f'{value:.3g}'):g}"


def expected_s(trial: Trial | Group) -> float:
    """Guess how long a trial takes; only the time left that is shown depends on it.

    Source: one standard run on two cores without a GPU, rounded.
    """
    start_s, epoch_s, step_s = {
        "jax": (5.0, 0.006, 0.0002),
        "torch": (5.0, 0.03, 0.006),
        "tensorflow": (6.0, 0.07, 0.0015),
    }[trial.cell.backend]
    timing, training = trial.settings.timing, trial.settings.training
    one_epoch_s = epoch_s + step_s * trial.cell.length
    if isinstance(trial, Group):
        return start_s / 2 + one_epoch_s * training.epochs / 2 * (1 + len(trial.seeds) / 5)
    warmup_s = max(timing.warmup_s, timing.warmup_epochs * one_epoch_s)
    turn_s = warmup_s + max(timing.turn_s, timing.turn_epochs * one_epoch_s)
    return start_s + timing.rounds * turn_s + timing.validations * one_epoch_s / 5


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
