"""Time the cells of a sweep in turns: while one worker runs, the others are parked and use no CPU.

Every worker is started, and its fit warmed up, while nothing else runs. Then each round gives every one of its block
a turn, in an order of its own. A worker that is lost leaves a failure, and the others go on.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from math import isinf, isnan
from time import monotonic
from typing import TypeVar

from bench.analysis.ratios import widest_interval
from bench.errors import UserError
from bench.host import pinned, usable_cores
from bench.measure.progress import Progress
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import Cell, Trial
from bench.plan.sweep import Sweep
from bench.plan.timing import Threads, Timing
from bench.records.failures import WorkerLostError, failure
from bench.records.missing import place_of, timed_places
from bench.records.schema import Record
from bench.records.speed import Slice, Speed, disturbers
from bench.records.store import RunWriter
from bench.worker.pace import Pace

StartWorker = Callable[[Trial], WorkerProcess]


def time_cells(
    sweep: Sweep,
    blocks: list[list[Cell]],
    interpreters: Mapping[str, str],
    writer: RunWriter,
    progress: Progress,
    *,
    begun_s: float,
) -> None:
    """Time every block in turns: all of them once, then again with fresh processes; not what the run has already.

    With a precision to reach, blocks whose intervals are wider get more processes until the budget is spent.

    Args:
        sweep: what to measure.
        blocks: its cells, those that take turns with each other together.
        interpreters: that of each side: a backend, or another installation of it.
        writer: the run.
        progress: told what happens.
        begun_s: when the run began, by the monotonic clock.
    """
    timing, timed = sweep.timing, timed_places(writer.records)

    def ends(trial: Trial, record: Record) -> None:
        writer.append(record)
        if isinstance(record, Speed) and (count := sum(turn.disturbed for turn in record.slices)):
            by = disturbers(record.slices)
            progress.say(f"{trial}: {count} of {len(record.slices)} turns disturbed by {by}; kept, marked")
        progress.trial_ends(trial, record)

    def measure(block: list[Cell], process: int) -> None:
        trials = sweep.turns(block, process=process)
        if all(place_of(trial) in timed for trial in trials):
            return
        begins = progress.trial_begins
        Block(trials, timing, start=start, pace=pace, begun_s=begun_s, begins=begins, ends=ends).measure()

    pace = Pace(timing.calm_s)
    with ready_to_time(sweep, interpreters) as start:
        for process in range(timing.processes):
            for block in blocks:
                measure(block, process)
        if timing.precision is not None:
            _narrow(blocks, timing, writer, progress, measure)
    if pace.spent_s >= 1:
        progress.say(f"The host slowed the core during {pace.spent_s:.0f} s of epochs: left out, or their turn marked")


def _narrow(
    blocks: list[list[Cell]],
    timing: Timing,
    writer: RunWriter,
    progress: Progress,
    measure: Callable[[list[Cell], int], None],
) -> None:
    """Measure blocks with more processes until their intervals are narrow, and say what was reached."""
    assert timing.precision is not None
    spent_at_s = monotonic() + timing.budget_s
    process = timing.processes
    while monotonic() < spent_at_s:
        wide = [block for block in blocks if widest_interval(writer.records, block) > timing.precision]
        if not wide:
            break
        for block in wide:
            if monotonic() < spent_at_s:
                progress.say(f"Length {block[0].length} is not narrow yet: process {process + 1}")
                measure(block, process)
        process += 1
    for block in blocks:
        width = widest_interval(writer.records, block)
        reached = f"{'reached' if width <= timing.precision else 'missed'}, {width:.1%}"
        verdict = "nothing was measured" if isnan(width) else "too few processes" if isinf(width) else reached
        progress.say(f"Precision {timing.precision:.1%} at length {block[0].length}: {verdict}")


WORKER_BYTES = 2**30
"""What a parked worker may take: the largest seen was three quarters of it."""


def fitting_blocks(blocks: list[list[Cell]], available_bytes: int) -> list[list[Cell]]:
    """Return the blocks, or those of one model each where all workers of a length do not fit into memory."""
    if max(map(len, blocks)) * 1.5 * WORKER_BYTES <= available_bytes:  # half as many again are controls
        return blocks
    return [
        [cell for cell in block if cell.model == model]
        for block in blocks
        for model in dict.fromkeys(cell.model for cell in block)
    ]


def timing_cores(threads: Threads, cores: list[int]) -> tuple[list[int], list[int]]:
    """Share the cores: those of the worker that is timed, and those of the coordinator.

    The worker gets the last ones, as many as it has threads; the coordinator the others, if any are left.
    """
    if threads == "default":
        return cores, cores
    return cores[-threads:], cores[:-threads] or cores


def worker_cores(cell: Cell, cores: list[int]) -> list[int]:
    """Return the cores of the worker that is timed: those of each of its devices."""
    threads = cell.threads if cell.threads == "default" else cell.threads * cell.variant.devices
    return timing_cores(threads, cores)[0]


@contextmanager
def ready_to_time(sweep: Sweep, interpreters: Mapping[str, str]) -> Iterator[StartWorker]:
    """Keep off the cores of the workers that are timed, and return what starts them."""
    cores = usable_cores()
    with pinned(timing_cores(1, cores)[1] if 1 in sweep.threads else cores):
        yield lambda trial: start_worker(interpreters, trial.cell, sweep, worker_cores(trial.cell, cores))


def start_worker(interpreters: Mapping[str, str], cell: Cell, sweep: Sweep, cores: list[int]) -> WorkerProcess:
    """Start a worker for the cells of a sweep that have the backend and threads of this one."""
    return WorkerProcess(interpreters[cell.side], cell, cores=cores, limits=sweep.limits, runtime=sweep.runtime)


Done = TypeVar("Done")


class Block:
    """The cells of one length, each in a fresh process.

    Args:
        trials: what is measured in turns, in the order of starting.
        timing: rounds and repeats.
        start: starts the worker of a trial.
        pace: told how fast the host lets the workers be.
        begun_s: when the run began, by the monotonic clock.
        begins: told which trial has its turn.
        ends: told each trial with its record, as soon as there is one.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        timing: Timing,
        *,
        start: StartWorker,
        pace: Pace,
        begun_s: float,
        begins: Callable[[Trial], None],
        ends: Callable[[Trial, Record], None],
    ) -> None:
        self._trials, self._timing, self._start, self._begun_s = trials, timing, start, begun_s
        self._pace, self._begins, self._ends = pace, begins, ends
        self._workers: dict[Trial, WorkerProcess] = {}
        self._turns: dict[Trial, list[Slice]] = defaultdict(list)

    def measure(self) -> None:
        """Start all workers, give them their turns, and collect their records."""
        with ExitStack() as stack:
            for trial in self._trials:
                self._begins(trial)
                try:
                    worker = self._workers[trial] = stack.enter_context(self._start(trial))
                except WorkerLostError as lost:
                    self._ends(trial, failure(trial, "start", lost))
                    continue
                self._attempt(trial, worker, partial(self._warm_up, trial=trial))
            for number in range(self._timing.rounds):
                for trial in self._order(number):
                    self._begins(trial)
                    self._attempt(trial, self._workers[trial], partial(self._take_turn, trial=trial, number=number))
            for trial, worker in list(self._workers.items()):
                self._begins(trial)
                if isinstance(record := self._attempt(trial, worker, WorkerProcess.leave), Speed):
                    self._ends(trial, record.model_copy(update={"slices": tuple(self._turns[trial])}))

    def _order(self, number: int) -> list[Trial]:
        """Shuffle those that are still there, differently in every round, alike in every run."""
        trials = [trial for trial in self._trials if trial in self._workers]
        return random.Random(f"{self._trials[0]} {number}").sample(trials, len(trials))

    def _attempt(self, trial: Trial, worker: WorkerProcess, do: Callable[[WorkerProcess], Done]) -> Done | None:
        """Let a worker do something; if it cannot, its trial has failed and the others go on."""
        try:
            return do(worker)
        except (WorkerLostError, UserError) as lost:
            worker.end()
            del self._workers[trial]
            self._ends(trial, failure(trial, worker.phase, lost))
            return None

    def _warm_up(self, worker: WorkerProcess, trial: Trial) -> None:
        worker.ready()
        self._pace.learn(trial.cell.side, worker.park(trial).fastest_probe_s)

    def _take_turn(self, worker: WorkerProcess, trial: Trial, number: int) -> None:
        """Run a turn, and again while others disturb it and repeats are left."""
        for _ in range(1 + self._timing.repeats):
            side, begun_at_s = trial.cell.side, monotonic() - self._begun_s
            turn = worker.run_turn(self._pace.turn(side, number=number, begun_at_s=begun_at_s))
            self._pace.spend(turn)
            if turn.fastest_probe_s is not None:
                self._pace.learn(side, turn.fastest_probe_s)
            self._turns[trial].append(turn)
            if not turn.disturbed:
                break
