"""Find the fastest backend and settings for one training, start included, within a budget of time.

First every candidate is timed once, in a fresh process; then those that could still win take turns in more fresh
processes until the budget is spent. What a candidate takes is from starting the process to the end of the last epoch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, nan
from statistics import median
from time import monotonic

from bench.analysis.statistics import Ratio, median_ratio
from bench.errors import UserError
from bench.host import pinned, usable_cores
from bench.measure.environments import check_keras_backend, find_interpreters
from bench.measure.local import machine_lock
from bench.measure.turns import Block, timing_cores
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import BackendName, Cell, Device, Settings, Trial
from bench.plan.timing import Limits, Timing
from bench.records.schema import Failure, Record
from bench.records.speed import Speed
from bench.worker.pace import Pace
from seqsum_core.settings import NetworkSettings, TaskSettings, TrainingSettings, VariantSettings
from seqsum_core.task import check_length

LEAST_BUDGET_S = 30.0
"""Less than this is not enough for one candidate on a slow machine: importing a framework alone can take 10 s."""
PATIENCE_S = 60.0
"""A candidate whose first epoch, compilation included, is silent for longer is given up."""
FIRST_SHARE = 0.6
"""Of the budget: until then new candidates are tried; the rest is for those that could win."""
FINALISTS, MOST_PROCESSES = 3, 8
WITHIN = 1.5
"""A finalist takes at most so many times as long as the best one."""
TIMING = Timing(processes=1, rounds=1, slice_s=0.3, validations=2, control="none", repeats=1)

STEPS = ceil(TaskSettings().fitted_rows / TrainingSettings().batch_size)
VARIANTS: Mapping[BackendName, tuple[VariantSettings, ...]] = {
    "jax": (
        VariantSettings(implementation="fused"),
        VariantSettings(unroll=True),
    ),
    "torch": (
        VariantSettings(implementation="fused"),
        VariantSettings(jit_compile=True),
    ),
    "tensorflow": (
        VariantSettings(implementation="fused"),
        VariantSettings(steps_per_execution=STEPS),
        VariantSettings(jit_compile=True),
        VariantSettings(unroll=True),
    ),
}
"""What is tried besides Keras' defaults, the most promising first."""


@dataclass(frozen=True)
class Task:
    """What shall be trained.

    Args:
        model: "simple_rnn", "lstm" or "gru".
        length: the padded time dimension.
        units: width of the recurrent layer.
        device: "cpu" or "gpu".
        epochs: of the training.
    """

    model: str
    length: int
    units: int
    device: Device
    epochs: int

    def __str__(self) -> str:
        return f"{self.epochs} epochs of {self.model}, length {self.length}, {self.units} units, on the {self.device}"


@dataclass(frozen=True)
class Candidate:
    """A backend with its settings, and what was found.

    Args:
        cell: which.
        epochs: of the training that is asked for.
        records: one of each fresh process.
        failed: why it was given up, or None.
    """

    cell: Cell
    epochs: int
    records: tuple[Speed, ...] = ()
    failed: str | None = None

    @property
    def name(self) -> str:
        """Return backend and settings in words."""
        return f"{self.cell.backend}, {self.cell.variant}"

    @property
    def usable(self) -> bool:
        """Tell whether it was measured and never failed."""
        return bool(self.records) and not self.failed

    @cached_property
    def totals_s(self) -> dict[int, float]:
        """Return the seconds of the whole training, by process."""
        return {one.process: one.start_s + (self.epochs - 1) * one.median_s for one in self.records}

    @property
    def total_s(self) -> float:
        """Return the median of them; NaN if nothing was measured."""
        return median(self.totals_s.values()) if self.records else nan

    def ratio_to(self, other: "Candidate") -> Ratio:
        """Return how many times as long this one takes, from processes that took turns."""
        together = self.totals_s.keys() & other.totals_s.keys()
        return median_ratio([self.totals_s[number] / other.totals_s[number] for number in sorted(together)])


@dataclass(frozen=True)
class Advice:
    """What is recommended, and on what evidence.

    Args:
        task: what was asked for.
        candidates: those that were measured, the fastest first; then those that were given up.
        untried: those for which no time was left.
        spent_s: how long it took.
    """

    task: Task
    candidates: tuple[Candidate, ...]
    untried: tuple[str, ...]
    spent_s: float

    @property
    def best(self) -> Candidate | None:
        """Return the fastest one that never failed, if there is any."""
        return next((one for one in self.candidates if one.usable), None)


def advise(
    task: Task,
    asked: Sequence[BackendName],
    *,
    budget_s: float,
    pythons: Mapping[str, str],
    say: Callable[[str], None],
) -> Advice:
    """Measure the sensible candidates and rank them.

    Args:
        task: what shall be trained.
        asked: backends; none means all that are here.
        budget_s: seconds, about: what has begun is finished.
        pythons: interpreters named on the command line, by backend.
        say: told each candidate that was tried.

    Raises:
        UserError: if the task makes no sense, the budget is too small, or a backend that was asked for is not here.
    """
    settings = _settings(task, budget_s)
    interpreters, missing = find_interpreters(list(asked), device=task.device, pythons=dict(pythons))
    if missing and (asked or not interpreters):
        raise UserError(next(iter(missing.values())))
    check_keras_backend(list(interpreters))
    worker_cores, own_cores = timing_cores(1, usable_cores())
    with machine_lock(), pinned(own_cores):
        return _Search(task, settings, interpreters, worker_cores, budget_s, say).run()


def _settings(task: Task, budget_s: float) -> Settings:
    if not budget_s >= LEAST_BUDGET_S:
        raise UserError(
            f"`--budget` must be at least {LEAST_BUDGET_S:g} seconds, or not one candidate is sure to be measured. "
            f"Received: {budget_s:g}. Give 120, say."
        )
    if task.epochs < 1:
        raise UserError(f"`--epochs` must be at least 1. Received: {task.epochs}. Give 100, say.")
    try:
        settings = Settings(network=NetworkSettings(units=task.units), timing=TIMING)
        check_length(settings.task, task.length)
    except ValueError as error:
        raise UserError(str(error)) from None
    return settings


class _Search:
    def __init__(
        self,
        task: Task,
        settings: Settings,
        interpreters: Mapping[BackendName, str],
        cores: list[int],
        budget_s: float,
        say: Callable[[str], None],
    ) -> None:
        self._task, self._settings, self._interpreters, self._cores = task, settings, interpreters, cores
        self._say = say
        self._begun_s, self._budget_s = monotonic(), budget_s
        self._pace = Pace()
        self._found: dict[Cell, Candidate] = {}

    def run(self) -> Advice:
        """Try every candidate for which there is time, then the finalists again and again."""
        untried = []
        for cell in self._cells():
            if self._found and self._spent_s() > FIRST_SHARE * self._budget_s:
                untried.append(Candidate(cell, self._task.epochs).name)
            else:
                self._measure([cell], process=0)
        for process in range(1, MOST_PROCESSES):
            finalists = self._finalists()
            if not finalists or self._spent_s() + self._wave_s(finalists) > self._budget_s:
                break
            self._measure([one.cell for one in finalists], process=process)
        return Advice(self._task, tuple(self._ranked()), tuple(untried), self._spent_s())

    def _cells(self) -> list[Cell]:
        """Return Keras' defaults on every backend, then the most promising others, and last what compiles longest."""
        variants = {backend: (VariantSettings(), *VARIANTS[backend]) for backend in self._interpreters}
        cells = [
            Cell(
                backend=backend,
                device=self._task.device,
                model=self._task.model,
                length=self._task.length,
                variant=of_backend[place],
            )
            for place in range(max(map(len, variants.values())))
            for backend, of_backend in variants.items()
            if place < len(of_backend)
        ]
        return sorted(cells, key=lambda cell: cell.variant.unroll)

    def _spent_s(self) -> float:
        return monotonic() - self._begun_s

    def _wave_s(self, finalists: Sequence[Candidate]) -> float:
        """Guess how long the finalists take once more: as long as their processes took, and a second each to end."""
        return sum(1 + one.records[0].start_s + 10 * one.records[0].median_s for one in finalists)

    def _finalists(self) -> list[Candidate]:
        ranked = [one for one in self._ranked() if one.usable]
        return [one for one in ranked if one.total_s <= WITHIN * ranked[0].total_s][:FINALISTS]

    def _ranked(self) -> list[Candidate]:
        found = self._found.values()
        return sorted(found, key=lambda one: (not one.records, one.total_s if one.records else 0.0))

    def _measure(self, cells: list[Cell], *, process: int) -> None:
        """Let cells take turns in a fresh process each."""
        trials = [Trial(kind="speed", cell=cell, index=process, settings=self._settings) for cell in cells]
        Block(
            trials,
            self._settings.timing,
            start=self._start,
            pace=self._pace,
            begun_s=self._begun_s,
            begins=lambda _: None,
            ends=self._keep,
        ).measure()

    def _start(self, trial: Trial) -> WorkerProcess:
        left_s = max(10.0, self._budget_s - self._spent_s())
        limits = Limits(first_epoch_s=min(PATIENCE_S, left_s))
        return WorkerProcess(self._interpreters[trial.cell.backend], trial.cell, cores=self._cores, limits=limits)

    def _keep(self, trial: Trial, record: Record) -> None:
        known = self._found.get(trial.cell, Candidate(trial.cell, self._task.epochs))
        if isinstance(record, Failure):
            known = replace(known, failed=_why(record))
            self._say(f"{known.name}: {known.failed}")
        elif isinstance(record, Speed):
            known = replace(known, records=(*known.records, record))
            self._say(
                f"{known.name}: {1e3 * record.median_s:.3g} ms an epoch, {record.start_s:.3g} s to start; "
                f"{known.totals_s[record.process]:.3g} s for {self._task.epochs} epochs"
            )
        self._found[trial.cell] = known


def _why(failure: Failure) -> str:
    if failure.fault == "silent":
        return f"given up in {failure.phase}: {failure.reason}"
    return failure.reason if failure.fault == "not available" else f"failed in {failure.phase}: {failure.reason}"
