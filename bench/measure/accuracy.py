"""Train for accuracy: nothing is timed, so workers share the cores, one on each. Never imports a framework."""

from collections.abc import Callable, Iterable
from itertools import chain

from bench.measure.pool import WorkerPool
from bench.measure.progress import Progress
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import Group
from bench.plan.sweep import Sweep
from bench.records.baselines import baselines
from bench.records.failures import WorkerError, failure
from bench.records.missing import missing_groups
from bench.records.schema import Accuracy, Baseline, Failure
from bench.records.store import RunWriter
from bench.worker.messages import Judge, Judged, Train, Trained

Result = tuple[Accuracy | Failure, ...]


def train_for_accuracy(sweep: Sweep, pool: WorkerPool, writer: RunWriter, progress: Progress) -> None:
    """Run the accuracy trials that a run lacks, and judge what models without recurrence get; nothing without seeds."""

    def ends(group: Group, records: Result) -> None:
        for record in records:
            writer.append(record)
        progress.trial_ends(group, *records)

    append_baselines(sweep, writer, pool)
    train_groups(missing_groups(sweep, writer.records), pool, begins=progress.trial_begins, ends=ends)


def train_groups(
    groups: Iterable[Group], pool: WorkerPool, *, begins: Callable[[Group], None], ends: Callable[[Group, Result], None]
) -> None:
    """Train groups of seeds, as many at once as there are cores.

    Args:
        groups: in the order of training.
        pool: starts the workers.
        begins: told each group that begins.
        ends: told each group with its records, a failure of each seed if its worker was lost.
    """

    def train(worker: WorkerProcess, group: Group) -> Result:
        begins(group)
        return worker.ask(Train(group=group, starts=pool.starts), Trained).records

    def keep(group: Group, result: Result | WorkerError) -> None:
        if isinstance(result, WorkerError):
            result = tuple(failure(trial, result) for trial in group.trials)
        ends(group, result)

    pool.map(groups, train, cell_of=lambda group: group.cell, on_done=keep)


def append_baselines(sweep: Sweep, writer: RunWriter, pool: WorkerPool | None = None) -> None:
    """Append what models without recurrence get on the same rows, if anything is trained and it is not there yet.

    The rows of a user's own task are made by a worker of the pool; without one its baselines are left out.
    """
    lengths = sorted(set(sweep.lengths)) if sweep.seeds else []
    if ":" not in sweep.task.name:
        found = [baselines(sweep.task, length) for length in lengths]
    elif lengths and pool is not None:
        with pool.start(sweep.cells()[0], cores=pool.cores) as worker:
            asked = (Judge(task=sweep.task, length=length) for length in lengths)
            found = [worker.ask(request, Judged).baselines for request in asked]
    else:
        found = []
    done = {(record.name, record.length) for record in writer.records if isinstance(record, Baseline)}
    for record in chain.from_iterable(found):
        if (record.name, record.length) not in done:
            writer.append(record)
