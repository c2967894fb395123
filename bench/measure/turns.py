"""Time the cells of a sweep in turns: while one worker trains, the others wait and use no CPU.

Every worker is started, and its model warmed up, while nothing else runs. Then each round gives every trial of the
block a turn, in an order of its own. A worker that is lost leaves a failure, and the others go on.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import isinf, isnan
from time import monotonic

from bench.analysis.gate import open_places
from bench.analysis.speed import widest_interval
from bench.measure.pool import WorkerPool
from bench.measure.progress import Progress
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import Cell, Trial
from bench.records.failures import WorkerError, failure
from bench.records.frame import Frames
from bench.records.missing import place_of, timed_places
from bench.records.schema import Header, Record, Speed
from bench.records.store import Run, RunWriter
from bench.worker.messages import Closed, CloseTrial, Opened, OpenTrial, RunTurn, TurnDone

WORKER_BYTES = 2**30
"""What a waiting worker may take: the largest that was seen took three quarters of it."""


def time_cells(
    header: Header, blocks: list[list[Cell]], pool: WorkerPool, writer: RunWriter, progress: Progress, *, begun_s: float
) -> None:
    """Time every block in turns: all of them once, then again with fresh processes; not what the run has already.

    With a precision to reach or gates, blocks whose intervals are wider or whose cells are undecided get more processes
    until the budget is spent.

    `begun_s` is when the run began, by the monotonic clock.
    """
    sweep = header.sweep
    timing, timed = sweep.timing, timed_places(writer.records)

    def ends(trial: Trial, record: Record) -> None:
        writer.append(record)
        progress.trial_ends(trial, record)

    def measure(block: list[Cell], process: int) -> None:
        trials = sweep.turns(block, process=process)
        if not all(place_of(trial) in timed for trial in trials):
            seed, begins = header.order_seed, progress.trial_begins
            Block(trials, pool, order_seed=seed, begun_s=begun_s, begins=begins, ends=ends).measure()

    for process in range(timing.processes):
        for block in blocks:
            measure(block, process)
    if timing.precision is not None or timing.gates:
        _narrow(header, blocks, writer, progress, measure)


def _narrow(
    header: Header,
    blocks: list[list[Cell]],
    writer: RunWriter,
    progress: Progress,
    measure: Callable[[list[Cell], int], None],
) -> None:
    """Measure blocks that have not reached their goal with more processes, and report what was reached."""
    timing = header.sweep.timing
    deadline_s = monotonic() + timing.budget_s
    process = timing.processes
    while monotonic() < deadline_s:
        unfinished = _open_blocks(header, blocks, writer)
        if not unfinished:
            break
        for block in unfinished:
            if monotonic() < deadline_s:
                why = "undecided" if timing.gates else "not narrow yet"
                progress.say(f"Length {block[0].length} is {why}: process {process + 1}")
                measure(block, process)
        process += 1
    for block in blocks if timing.precision is not None else ():
        precision, width = timing.precision or 0.0, _width(header, writer, block)
        reached = f"{'reached' if width <= precision else 'missed'}, {width:.1%}"
        verdict = "nothing was measured" if isnan(width) else "too few processes" if isinf(width) else reached
        progress.say(f"Precision {precision:.1%} at length {block[0].length}: {verdict}")


def _open_blocks(header: Header, blocks: list[list[Cell]], writer: RunWriter) -> list[list[Cell]]:
    """Return the blocks with an interval that is too wide, or with a cell that the gates leave undecided."""
    sweep = header.sweep
    precision = sweep.timing.precision
    places = open_places(_frames(header, writer.records), sweep) if sweep.timing.gates else set()
    return [
        block
        for block in blocks
        if (precision is not None and _width(header, writer, block) > precision)
        or any((cell.model, cell.length) in places for cell in block)
    ]


def _width(header: Header, writer: RunWriter, block: list[Cell]) -> float:
    """Return the share that the widest interval of a block reaches to either side so far."""
    cells = set(block)
    of_block = [record for record in writer.records if isinstance(record, Speed) and record.cell in cells]
    return widest_interval(_frames(header, of_block).turns)


def _frames(header: Header, records: Sequence[Record]) -> Frames:
    return Frames([Run(header, tuple(records))])


def fitting_blocks(blocks: list[list[Cell]], available_bytes: int) -> list[list[Cell]]:
    """Return the blocks, or those of one model each where all workers of a length do not fit into memory."""
    if max(map(len, blocks)) * 1.5 * WORKER_BYTES <= available_bytes:  # half as many again are controls
        return blocks
    parts = []
    for block in blocks:
        for model in dict.fromkeys(cell.model for cell in block):
            parts.append([cell for cell in block if cell.model == model])
    return parts


class Block:
    """Trials of a sweep that take turns with each other, each in a fresh process.

    `begins` is told which trial is at work, `ends` each trial with its record, as soon as there is one.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        pool: WorkerPool,
        *,
        order_seed: int,
        begun_s: float,
        begins: Callable[[Trial], None],
        ends: Callable[[Trial, Record], None],
    ) -> None:
        self._trials, self._timing = trials, trials[0].settings.timing
        self._pool, self._order_seed, self._begun_s = pool, order_seed, begun_s
        self._begins, self._ends = begins, ends
        self._workers: dict[Trial, WorkerProcess] = {}

    def measure(self) -> None:
        """Start all workers, give them their turns, and collect their records."""
        with ExitStack() as stack:
            for trial in self._trials:
                with self._at_work(trial):
                    worker = self._workers[trial] = stack.enter_context(self._pool.start(trial.cell))
                    worker.ask(OpenTrial(trial=trial, starts=self._pool.starts), Opened)
            for number in range(self._timing.rounds):
                for trial in self._order(number):
                    with self._at_work(trial):
                        self._take_turn(self._workers[trial], number)
            for trial, worker in list(self._workers.items()):
                with self._at_work(trial):
                    self._ends(trial, worker.ask(CloseTrial(), Closed).record)

    def _order(self, number: int) -> list[Trial]:
        """Shuffle the trials whose workers are still there, differently in every round and run."""
        trials = [trial for trial in self._trials if trial in self._workers]
        return random.Random(f"{self._order_seed} {self._trials[0]} {number}").sample(trials, len(trials))

    @contextmanager
    def _at_work(self, trial: Trial) -> Iterator[None]:
        """Let a trial's worker do something; if it cannot, its trial has failed and the others go on."""
        self._begins(trial)
        try:
            yield
        except WorkerError as error:
            if worker := self._workers.pop(trial, None):
                worker.end()
            self._ends(trial, failure(trial, error))

    def _take_turn(self, worker: WorkerProcess, number: int) -> None:
        """Run a turn, and again while others disturb it and repeats are left."""
        for _ in range(1 + self._timing.repeats):
            request = RunTurn(round=number, started_after_s=monotonic() - self._begun_s)
            if not worker.ask(request, TurnDone).turn.disturbed:
                break
