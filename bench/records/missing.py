"""What a run that was interrupted still lacks, and what of it must be measured again. Pure.

Cells that take turns with each other belong together: where a record of a block's process is missing, all of that
process are measured again, since rounds that did not meet have no ratio.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from bench.plan.cells import Cell, Group, Trial
from bench.plan.sweep import Sweep
from bench.records.schema import Accuracy, Failure, Record, Speed
from bench.records.store import Run

Place = tuple[Cell, int, bool]
"""A speed trial: its cell, the number of its process, whether it is a control."""


def place_of(trial: Trial) -> Place:
    """Return the place of a trial."""
    return trial.cell, trial.index, trial.is_control


def timed_places(records: Iterable[Record], *, failures: bool = True) -> set[Place]:
    """Return which speed trials have left a record, if only that they failed; one whose node was lost has not."""
    places: set[Place] = set()
    for record in records:
        match record:
            case Speed():
                places.add((record.cell, record.process, record.is_control))
            case Failure(trial="speed") if failures and record.fault != "lost":
                places.add((record.cell, record.index, record.is_control))
    return places


def trained_seeds(sweep: Sweep, records: Iterable[Record], *, failures: bool = True) -> set[tuple[Cell, int]]:
    """Return which seeds of which cells have left a record for every patience, or that they failed."""
    patiences: dict[tuple[Cell, int], set[int]] = defaultdict(set)
    failed: set[tuple[Cell, int]] = set()
    for record in records:
        match record:
            case Accuracy():
                patiences[record.cell, record.seed].add(record.patience)
            case Failure(trial="accuracy") if record.fault != "lost":
                failed.add((record.cell, record.index))
    wanted = set(sweep.training.patiences)
    done = {seed for seed, judged in patiences.items() if judged >= wanted}
    return done | failed if failures else done - failed


def missing_groups(sweep: Sweep, records: Iterable[Record]) -> list[Group]:
    """Return the accuracy trials that have left no record, grouped as they are trained."""
    done = trained_seeds(sweep, records)
    missing = []
    for group in sweep.accuracy_groups():
        seeds = tuple(seed for seed in group.seeds if (group.cell, seed) not in done)
        if seeds:
            missing.append(group.model_copy(update={"seeds": seeds}))
    return missing


def missing_trials(
    sweep: Sweep, records: Sequence[Record], blocks: list[list[Cell]] | None = None
) -> list[Trial | Group]:
    """Return everything of a sweep that has left no record, in the order of measuring; blocks as `speed_trials`."""
    timed = timed_places(records)
    trials = [trial for trial in sweep.speed_trials(blocks) if place_of(trial) not in timed]
    return [*trials, *missing_groups(sweep, records)]


def count_missing(sweep: Sweep, records: Sequence[Record]) -> int:
    """Count the trials of a sweep that have left no record."""
    missing = missing_trials(sweep, records)
    return sum(len(trial.seeds) if isinstance(trial, Group) else 1 for trial in missing)


def stale_lines(run: Run, *, retry: bool) -> tuple[int, ...]:
    """Return the lines whose trials are measured again: of incomplete blocks and seeds; of failures to `retry`."""
    sweep, failures = run.header.sweep, not retry
    trained = trained_seeds(sweep, run.records, failures=failures)
    incomplete = _incomplete_processes(run, failures=failures)

    def is_stale(record: Record) -> bool:
        match record:
            case Speed():
                return (record.cell, record.process) in incomplete
            case Accuracy():
                return (record.cell, record.seed) not in trained
            case Failure(trial="speed"):
                return (record.cell, record.index) in incomplete
            case Failure():
                return (record.cell, record.index) not in trained
        return False

    return tuple(line for line, record in zip(run.lines, run.records, strict=True) if is_stale(record))


def _incomplete_processes(run: Run, *, failures: bool) -> set[tuple[Cell, int]]:
    """Return cells and numbers of processes of blocks where not every trial has left a record."""
    sweep = run.header.sweep
    timed = timed_places(run.records, failures=failures)
    numbers = {process for _, process, _ in timed_places(run.records)} | set(range(sweep.timing.processes))
    incomplete: set[tuple[Cell, int]] = set()
    for process in numbers:
        for block in sweep.blocks():
            trials = sweep.turns(block, process=process)
            if not all(place_of(trial) in timed for trial in trials):
                incomplete |= {(trial.cell, process) for trial in trials}
    return incomplete
