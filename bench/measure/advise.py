"""Find the fastest environment and settings for one training, start included, within a budget of time.

First every candidate is timed once, in a fresh process; then the fastest are timed again, one after another, until
the budget is spent. The time of a candidate is from starting the process to the end of the last epoch. Last, the best
of each environment trains one epoch from the same start on the same batches, to see whether they learn the same. What
is measured is a run like any other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from math import ceil, nan
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from bench.errors import UserError
from bench.measure.accuracy import train_groups
from bench.measure.environments import find_available
from bench.measure.executor import keep_starts, prepare_pool
from bench.measure.pool import WorkerPool
from bench.measure.run import new_header
from bench.plan.cells import BackendName, Cell, Device, Group, Trial
from bench.plan.files import parse_sweep
from bench.plan.sweep import Sweep
from bench.plan.timing import Limits, Runtime, Timing
from bench.records.failures import WorkerError, failure
from bench.records.schema import Accuracy, Speed
from bench.records.store import RunWriter, check_writable, start_run
from bench.worker import messages
from seqsum_core.settings import VariantSettings
from seqsum_core.tasks import SUM, Task, draw, task_of

LEAST_BUDGET_S = 30.0
"""A smaller budget may not be enough for one candidate: importing a framework alone can take 10 s."""
SILENT_LIMIT_S = 60.0
"""A candidate whose first epoch, compilation included, takes longer is given up."""
TRIAL_SHARE = 0.6
"""Share of the budget in which new candidates are tried; the rest is for the fastest."""
FINALISTS, MOST_PROCESSES = 3, 9
FINALIST_RATIO = 1.5
"""A finalist takes at most this many times the fastest candidate's time."""
TIMING = Timing(
    processes=1, rounds=1, warmup_epochs=0, turn_epochs=1, turn_s=0.3, validations=2, control="none", repeats=1
)
"""Three epochs at least: the first, one that warms up, one that counts. A user's own may take ten seconds each."""

FUSED, UNROLLED = VariantSettings(implementation="fused"), VariantSettings(unroll=True)
XLA = VariantSettings(jit_compile=True)
USUAL_STEPS = 17
"""Training steps that one call executes where the rows of an epoch are not known before: those of the article."""


def variants(backend: BackendName, steps: int = USUAL_STEPS) -> tuple[VariantSettings, ...]:
    """Return what is tried besides Keras' defaults, the most promising first; an epoch has so many steps."""
    one_call = VariantSettings(steps_per_execution=max(2, steps))
    tried = {"jax": (FUSED, UNROLLED), "torch": (FUSED, XLA), "tensorflow": (FUSED, one_call, XLA, UNROLLED)}
    return tried[backend]


@dataclass(frozen=True)
class Training:
    """The training that advice is asked for.

    Args:
        model, task: built in, or package.module:function.
        length: timesteps; `units`: of a built-in model, None: 16.
        variables: environment variables that reach the workers.
    """

    model: str = "lstm"
    task: str = "sum"
    length: int = 12
    units: int | None = None
    batch_size: int = 100
    device: Device = "cpu"
    epochs: int = 100
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def is_own(self) -> bool:
        """Tell whether the model is a user's own."""
        return ":" in self.model

    def sweep(self, environments: Sequence[str]) -> Sweep:
        """Return it as a plan; a UserError if it makes no sense."""
        if self.epochs < 1:
            raise UserError(f"`--epochs` must be at least 1. Received: {self.epochs}. Give 100, say.")
        return parse_sweep(
            {
                "backends": environments,
                "models": [self.model],
                "lengths": [self.length],
                "device": self.device,
                "seeds": 1,
                "task": {"name": self.task},
                "network": {} if self.units is None else {"units": self.units},
                "training": {"batch_size": self.batch_size, "epochs": 1, "patience": -1},
                "timing": TIMING.model_dump(mode="json"),
                "runtime": {"variables": dict(self.variables)},
                "limits": {"first_epoch_s": SILENT_LIMIT_S},
            }
        )

    def __str__(self) -> str:
        size = "" if self.is_own else f", {self.units or 16} units"
        task = "" if self.task == "sum" else f" on {self.task}"
        return f"{self.epochs} epochs of {self.model}{task}, length {self.length}{size}, on the {self.device}"


@dataclass
class Candidate:
    """An environment with its settings: the record of each fresh process by its number, or why it was given up.

    `first_loss` is the training loss after one epoch from the start and the batches that all share; NaN if not trained.
    """

    cell: Cell
    epochs: int
    records: dict[int, Speed] = field(default_factory=dict)
    failure: str = ""
    first_loss: float = nan

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
    def peak_bytes(self) -> float:
        """Return the median of the most memory that its processes held; NaN if nothing was measured."""
        return _median(record.peak_rss_bytes for record in self.records.values())

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
        compiled: whether the user's own model compiles itself.
        task: what is read and output.
        run: folder of the records.
    """

    training: Training
    candidates: tuple[Candidate, ...]
    untried: tuple[str, ...]
    spent_s: float
    compiled: bool = False
    task: Task = SUM
    run: Path | None = None

    @property
    def best(self) -> Candidate | None:
        """Return the fastest candidate that never failed, if there is any."""
        return next((candidate for candidate in self.candidates if candidate.usable), None)


def advise(
    training: Training,
    environments: Sequence[str] = (),
    *,
    budget_s: float = 120.0,
    pythons: Mapping[str, str] | None = None,
    say: Callable[[str], None] = print,
    results: Path = Path("results"),
    command: str = "seqsum advise",
) -> Advice:
    """Measure the sensible candidates and rank them.

        advise(Training(model="mine:build", task="mine:rows", length=50), budget_s=600).best.name

    Args:
        training: what is asked for.
        environments: those that are tried; none: every backend that is here.
        budget_s: seconds, about: a candidate that has begun is finished.
        pythons: interpreters named on the command line, by environment.
        say: told each candidate that was tried.
        results: folder of all runs.
        command: what the user typed, for the record.

    Raises:
        UserError: if the training makes no sense, the budget is too small, a backend that was asked for is not here,
            a model or task is not usable, or somebody else measures.
    """
    if not budget_s >= LEAST_BUDGET_S:
        raise UserError(
            f"`--budget` must be at least {LEAST_BUDGET_S:g} seconds, or not even one candidate may be measured. "
            f"Received: {budget_s:g}. Give 120, say."
        )
    training.sweep(environments or ["jax"])  # before anything is looked for
    interpreters, missing = find_available(environments, device=training.device, pythons=pythons or {})
    if missing:
        raise UserError(next(iter(missing.values())))
    sweep = training.sweep(list(interpreters))
    limits = Limits(first_epoch_s=min(SILENT_LIMIT_S, budget_s))
    with WorkerPool(interpreters, limits=limits, runtime=Runtime(variables=training.variables)) as pool:
        begun_s = monotonic()
        check_writable(results)
        prepared = prepare_pool(pool, sweep, say)
        compiled = training.model in prepared.compiled
        header = new_header(sweep, prepared, profile="advise", command=command, harness="seqsum advise")
        with closing(start_run(results, header)) as writer:
            keep_starts(pool, writer.folder)
            search = _Search(training, sweep, pool, writer, deadline_s=begun_s + budget_s, begun_s=begun_s, say=say)
            candidates, untried = search.run(_cells(training, sweep, is_compiled=compiled))
        spent_s = monotonic() - begun_s
    task = prepared.task
    if sweep.task.rows is not None:
        task = task_of(draw(sweep.task, length=training.length), training.task)
    return Advice(training, tuple(candidates), tuple(untried), spent_s, compiled, task, writer.folder)


def _cells(training: Training, sweep: Sweep, *, is_compiled: bool) -> list[Cell]:
    """Return Keras' defaults in every environment, then the most promising others, and last what compiles longest."""
    rows = sweep.task.rows
    steps = USUAL_STEPS if rows is None else ceil(sweep.task.sizes(rows).fitted / training.batch_size)
    ranks: dict[Cell, tuple[bool, int]] = {}
    for base in sweep.cells():
        for rank, variant in enumerate((VariantSettings(), *variants(base.backend, steps))):
            own_choice = variant.jit_compile != "auto" or variant.steps_per_execution > 1
            if training.is_own and (variant.unroll or (is_compiled and own_choice)):
                continue  # does not reach the model
            ranks[base.model_copy(update={"variant": variant})] = variant.unroll, rank
    return sorted(ranks, key=ranks.__getitem__)


class _Search:
    """Candidates being measured, and the time that is left."""

    def __init__(
        self,
        training: Training,
        sweep: Sweep,
        pool: WorkerPool,
        writer: RunWriter,
        *,
        begun_s: float,
        deadline_s: float,
        say: Callable[[str], None],
    ) -> None:
        self._training, self._sweep, self._pool, self._writer, self._say = training, sweep, pool, writer, say
        self._begun_s, self._deadline_s = begun_s, deadline_s
        self._candidates: list[Candidate] = []

    def run(self, cells: Sequence[Cell]) -> tuple[list[Candidate], list[str]]:
        """Try every candidate for which there is time, then the finalists again and again.

        Returns:
            The candidates, the fastest first, and the names of those that were not tried.
        """
        untried = []
        tried_until_s = self._begun_s + TRIAL_SHARE * (self._deadline_s - self._begun_s)
        for cell in cells:
            candidate = Candidate(cell, self._training.epochs)
            if self._candidates and monotonic() > tried_until_s:
                untried.append(candidate.name)
            else:
                self._candidates.append(candidate)
                self._measure(candidate, process=0)
        for process in range(1, MOST_PROCESSES):
            finalists = self._finalists()
            if not finalists or monotonic() + sum(map(self._cost_s, finalists)) > self._deadline_s:
                break
            for candidate in finalists:
                self._measure(candidate, process=process)
        self._train_best()
        return self._ranked(), untried

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
        trial = Trial(
            kind="speed", cell=candidate.cell, index=process, settings=self._sweep.settings.of(candidate.cell.variant)
        )
        try:
            with self._pool.start(candidate.cell) as worker:
                worker.ask(messages.OpenTrial(trial=trial, starts=self._pool.starts), messages.Opened)
                since_s = monotonic() - self._begun_s
                worker.ask(messages.RunTurn(round=0, started_after_s=since_s), messages.TurnDone)
                record = worker.ask(messages.CloseTrial(), messages.Closed).record
        except WorkerError as error:
            ends = "given up" if error.fault == "silent" else "failed"
            candidate.failure = str(error) if error.fault == "not available" else f"{ends} in {error.phase}: {error}"
            self._writer.append(failure(trial, error))
            return self._say(f"{candidate.name}: {candidate.failure}")
        self._writer.append(record)
        candidate.records[process] = record
        self._say(
            f"{candidate.name}: {1e3 * epoch_s(record):.3g} ms an epoch, {record.start_s:.3g} s to start; "
            f"{candidate.totals_s[process]:.3g} s for {candidate.epochs} epochs"
        )

    def _train_best(self) -> None:
        """Train the best candidate of each environment for one epoch, on batches that all share."""
        best: dict[Cell, Candidate] = {}
        for candidate in self._ranked():
            environments = {cell.environment for cell in best}
            if candidate.usable and candidate.cell.environment not in environments:
                best[candidate.cell] = candidate
        settings = self._sweep.settings
        groups = [Group(cell=cell, seeds=(0,), settings=settings.of(cell.variant)) for cell in best]

        def ends(group: Group, records: Any) -> None:
            for record in records:
                self._writer.append(record)
                if isinstance(record, Accuracy):
                    best[group.cell].first_loss = record.loss[0]

        train_groups(groups, self._pool, begins=lambda group: None, ends=ends)
