"""Find the fastest environment and settings for one training, start included, within a budget of time.

First every candidate is timed once, in a fresh process; then the fastest are timed again, one after another, until
the budget is spent. The time of a candidate is from starting the process to the end of the last epoch.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, nan
from statistics import median
from time import monotonic
from typing import Any

from bench.errors import UserError
from bench.measure.environments import find_available
from bench.measure.pool import WorkerPool
from bench.plan.cells import BackendName, Cell, Device, Settings, Trial, backend_of
from bench.plan.timing import Limits, Timing
from bench.records.failures import WorkerError
from bench.records.schema import Speed
from bench.worker import messages
from seqsum_core.settings import NetworkSettings, TaskSettings, TrainingSettings, VariantSettings
from seqsum_core.task import check_length

LEAST_BUDGET_S = 30.0
"""A smaller budget may not be enough for one candidate: importing a framework alone can take 10 s."""
SILENT_LIMIT_S = 60.0
"""A candidate whose first epoch, compilation included, takes longer is given up."""
TRIAL_SHARE = 0.6
"""Share of the budget in which new candidates are tried; the rest is for the fastest."""
FINALISTS, MOST_PROCESSES = 3, 9
FINALIST_RATIO = 1.5
"""A finalist takes at most this many times the fastest candidate's time."""
TIMING = Timing(processes=1, rounds=1, turn_s=0.3, validations=2, control="none", repeats=1)

STEPS = ceil(TaskSettings().fitted_rows / TrainingSettings().batch_size)
FUSED, UNROLLED = VariantSettings(implementation="fused"), VariantSettings(unroll=True)
XLA, ONE_CALL = VariantSettings(jit_compile=True), VariantSettings(steps_per_execution=STEPS)
VARIANTS: Mapping[BackendName, tuple[VariantSettings, ...]] = {
    "jax": (FUSED, UNROLLED),
    "torch": (FUSED, XLA),
    "tensorflow": (FUSED, ONE_CALL, XLA, UNROLLED),
}
"""What is tried besides Keras' defaults, the most promising first."""


@dataclass(frozen=True)
class Training:
    """The training that advice is asked for; `length` is in timesteps."""

    model: str = "lstm"
    length: int = 12
    units: int = 16
    device: Device = "cpu"
    epochs: int = 100

    def __str__(self) -> str:
        return f"{self.epochs} epochs of {self.model}, length {self.length}, {self.units} units, on the {self.device}"


@dataclass
class Candidate:
    """An environment with its settings: the record of each fresh process by its number, or why it was given up."""

    cell: Cell
    epochs: int
    records: dict[int, Speed] = field(default_factory=dict)
    failure: str = ""

    @property
    def name(self) -> str:
        """Return environment and settings."""
        return f"{self.cell.environment}, {self.cell.variant}"

    @property
    def usable(self) -> bool:
        """Tell whether it was measured and never failed."""
        return bool(self.records) and not self.failure

    @property
    def start_s(self) -> float:
        """Return the median seconds to the end of the first epoch; NaN if nothing was measured."""
        return _median(record.start_s for record in self.records.values())

    @property
    def epoch_s(self) -> float:
        """Return the median seconds of a steady epoch; NaN if nothing was measured."""
        return _median(map(epoch_s, self.records.values()))

    @property
    def totals_s(self) -> dict[int, float]:
        """Return the seconds of the whole training, by process."""
        steady = self.epochs - 1
        return {process: record.start_s + steady * epoch_s(record) for process, record in self.records.items()}

    @property
    def total_s(self) -> float:
        """Return the median of them; NaN if nothing was measured."""
        return _median(self.totals_s.values())


def _median(values: Iterable[float]) -> float:
    return median(known) if (known := list(values)) else nan


def epoch_s(record: Speed) -> float:
    """Return the seconds of a steady epoch of a process: the median over its rounds."""
    return median(turn.epoch_s for turn in record.counted_turns.values())


@dataclass(frozen=True)
class Advice:
    """What is recommended, and on what evidence.

    Args:
        training: what was asked for.
        candidates: those that were measured, the fastest first; then those that were given up.
        untried: names of those for which no time was left.
        spent_s: seconds that the search took.
    """

    training: Training
    candidates: tuple[Candidate, ...]
    untried: tuple[str, ...]
    spent_s: float

    @property
    def best(self) -> Candidate | None:
        """Return the fastest candidate that never failed, if there is any."""
        return next((candidate for candidate in self.candidates if candidate.usable), None)


def advise(
    training: Training,
    environments: Sequence[str] = (),
    *,
    budget_s: float,
    pythons: Mapping[str, str],
    say: Callable[[str], None],
) -> Advice:
    """Measure the sensible candidates and rank them.

    Example: `advise(Training(model="lstm", length=100), budget_s=120, pythons={}, say=print)`.

    Args:
        training: what is asked for.
        environments: those that are tried; none: every backend that is here.
        budget_s: seconds, about: a candidate that has begun is finished.
        pythons: interpreters named on the command line, by environment.
        say: told each candidate that was tried.

    Raises:
        UserError: if the training makes no sense, the budget is too small, a backend that was asked for is not here,
            or somebody else measures.
    """
    settings = _settings(training, budget_s)
    interpreters, missing = find_available(environments, device=training.device, pythons=pythons)
    if missing:
        raise UserError(next(iter(missing.values())))
    limits = Limits(first_epoch_s=min(SILENT_LIMIT_S, budget_s))
    with WorkerPool(interpreters, limits=limits) as pool:
        return _Search(training, settings, pool, budget_s, say).run(_cells(training, list(interpreters)))


def _settings(training: Training, budget_s: float) -> Settings:
    if not budget_s >= LEAST_BUDGET_S:
        raise UserError(
            f"`--budget` must be at least {LEAST_BUDGET_S:g} seconds, or not even one candidate may be measured. "
            f"Received: {budget_s:g}. Give 120, say."
        )
    if training.epochs < 1:
        raise UserError(f"`--epochs` must be at least 1. Received: {training.epochs}. Give 100, say.")
    try:
        settings = Settings(network=NetworkSettings(units=training.units), timing=TIMING)
        check_length(settings.task, training.length)
    except ValueError as error:
        raise UserError(str(error)) from None
    return settings


def _cells(training: Training, environments: Sequence[str]) -> list[Cell]:
    """Return Keras' defaults in every environment, then the most promising others, and last what compiles longest."""
    asked: dict[str, Any] = {"device": training.device, "model": training.model, "length": training.length}
    ranks: dict[Cell, tuple[bool, int]] = {}
    for environment in environments:
        for rank, variant in enumerate((VariantSettings(), *VARIANTS[backend_of(environment)])):
            ranks[Cell(environment=environment, variant=variant, **asked)] = variant.unroll, rank
    return sorted(ranks, key=ranks.__getitem__)


class _Search:
    """Candidates being measured, and the time that is left."""

    def __init__(
        self, training: Training, settings: Settings, pool: WorkerPool, budget_s: float, say: Callable[[str], None]
    ) -> None:
        self._training, self._settings, self._pool, self._say = training, settings, pool, say
        self._begun_s, self._budget_s = monotonic(), budget_s
        self._candidates: list[Candidate] = []

    def run(self, cells: Sequence[Cell]) -> Advice:
        """Try every candidate for which there is time, then the finalists again and again."""
        untried = []
        for cell in cells:
            candidate = Candidate(cell, self._training.epochs)
            if self._candidates and self._spent_s() > TRIAL_SHARE * self._budget_s:
                untried.append(candidate.name)
            else:
                self._candidates.append(candidate)
                self._measure(candidate, process=0)
        for process in range(1, MOST_PROCESSES):
            finalists = self._finalists()
            if not finalists or self._spent_s() + sum(map(self._cost_s, finalists)) > self._budget_s:
                break
            for candidate in finalists:
                self._measure(candidate, process=process)
        return Advice(self._training, tuple(self._ranked()), tuple(untried), self._spent_s())

    def _spent_s(self) -> float:
        return monotonic() - self._begun_s

    def _cost_s(self, candidate: Candidate) -> float:
        """Guess how long a candidate takes once more: its start, some epochs, and a second to end."""
        return 1 + candidate.start_s + 10 * candidate.epoch_s

    def _ranked(self) -> list[Candidate]:
        return sorted(self._candidates, key=lambda each: (not each.records, each.total_s if each.records else 0.0))

    def _finalists(self) -> list[Candidate]:
        usable = [candidate for candidate in self._ranked() if candidate.usable]
        return [each for each in usable if each.total_s <= FINALIST_RATIO * usable[0].total_s][:FINALISTS]

    def _measure(self, candidate: Candidate, *, process: int) -> None:
        """Time a candidate in a fresh process."""
        trial = Trial(kind="speed", cell=candidate.cell, index=process, settings=self._settings)
        try:
            with self._pool.start(candidate.cell) as worker:
                worker.ask(messages.OpenTrial(trial=trial), messages.Opened)
                worker.ask(messages.RunTurn(round=0), messages.TurnDone)
                record = worker.ask(messages.CloseTrial(), messages.Closed).record
        except WorkerError as error:
            ends = "given up" if error.fault == "silent" else "failed"
            candidate.failure = str(error) if error.fault == "not available" else f"{ends} in {error.phase}: {error}"
            return self._say(f"{candidate.name}: {candidate.failure}")
        candidate.records[process] = record
        self._say(
            f"{candidate.name}: {1e3 * epoch_s(record):.3g} ms an epoch, {record.start_s:.3g} s to start; "
            f"{candidate.totals_s[process]:.3g} s for {candidate.epochs} epochs"
        )
