"""What a run that was interrupted still lacks, and what of it must be measured again. Pure.

Cells that took turns with each other are one: where a record of a block's process is missing, all of that process are
measured again, since no ratio could be taken of rounds that did not meet.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from bench.plan.cells import Cell, Group, Trial
from bench.plan.sweep import Sweep
from bench.records.schema import Accuracy, Failure, Record
from bench.records.speed import Speed
from bench.records.store import Run

Place = tuple[Cell, int, bool]
"""A trial: its cell, the number of its process or its seed, whether it is a control."""


def place_of(trial: Trial) -> Place:
    """Return the place of a trial."""
    return trial.cell, trial.index, trial.twin


def place_of_record(record: Record) -> Place | None:
    """Return the place of the trial that left a record; a baseline is of none."""
    match record:
        case Speed():
            return record.cell, record.process, record.twin
        case Accuracy():
            return record.cell, record.seed, False
        case Failure():
            return record.cell, record.index, record.twin
    return None


def timed_places(records: Iterable[Record], *, failures: bool = True) -> set[Place]:
    """Return which speed trials have left a record, if only that they failed; one whose node was lost has not."""
    places: set[Place] = set()
    for record in records:
        match record:
            case Speed():
                places.add((record.cell, record.process, record.twin))
            case Failure(trial="speed") if failures and record.fault != "lost":
                places.add((record.cell, record.index, record.twin))
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
    done = {place for place, found in patiences.items() if found >= wanted}
    return done | failed if failures else done - failed


def missing_groups(sweep: Sweep, records: Iterable[Record]) -> list[Group]:
    """Return the accuracy trials that have left no record, grouped as they are trained."""
    done = trained_seeds(sweep, records)
    groups = (
        group.model_copy(update={"seeds": tuple(seed for seed in group.seeds if (group.cell, seed) not in done)})
        for group in sweep.accuracy_groups()
    )
    return [group for group in groups if group.seeds]


def missing_trials(
    sweep: Sweep, records: Sequence[Record], blocks: list[list[Cell]] | None = None
) -> list[Trial | Group]:
    """Return everything of a sweep that has left no record, in the order of measuring.

    Args:
        sweep: what is measured.
        records: what there is.
        blocks: what takes turns with what, if not all cells of a length do.
    """
    timed = timed_places(records)
    return [
        *(trial for trial in sweep.speed_trials(blocks) if place_of(trial) not in timed),
        *missing_groups(sweep, records),
    ]


def count_missing(sweep: Sweep, records: Sequence[Record]) -> int:
    """Count the trials of a sweep that have left no record."""
    return sum(len(one.seeds) if isinstance(one, Group) else 1 for one in missing_trials(sweep, records))


def stale_lines(run: Run, *, retry: bool) -> tuple[int, ...]:
    """Return the lines of a run whose trials must be measured again: those of blocks and seeds that are not whole.

    Args:
        run: as read back.
        retry: whether what failed is measured again, too.
    """
    sweep, failures = run.header.sweep, not retry
    timed = timed_places(run.records, failures=failures)
    trained = trained_seeds(sweep, run.records, failures=failures)
    torn = {
        (trial.cell, trial.index)
        for trials in _waves(sweep, run.records)
        if not all(place_of(trial) in timed for trial in trials)
        for trial in trials
    }

    def stale(record: Record) -> bool:
        match record:
            case Speed():
                return (record.cell, record.process) in torn
            case Accuracy():
                return (record.cell, record.seed) not in trained
            case Failure():
                where = record.cell, record.index
                return where in torn if record.trial == "speed" else where not in trained
        return False

    return tuple(line for line, record in zip(run.lines, run.records, strict=True) if stale(record))


def _waves(sweep: Sweep, records: Iterable[Record]) -> Iterator[list[Trial]]:
    """Yield what took turns, for every number of a process that there is."""
    numbers = {number for _, number, _ in timed_places(records)}
    for process in sorted(numbers | set(range(sweep.timing.processes))):
        for block in sweep.blocks():
            yield sweep.turns(block, process=process)
