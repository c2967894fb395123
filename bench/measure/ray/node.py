"""What runs on a node of a cluster: it describes that machine, and measures what it is sent with fresh processes.

Called with JSON and answers with JSON, so that nothing but text is unpickled. What is timed runs in workers, as on any
machine; the process that this module runs in only coordinates.
"""

from collections import defaultdict

import psutil
from pydantic import TypeAdapter

from bench.frozen import Frozen
from bench.host import Machine
from bench.measure.accuracy import group_records
from bench.measure.environments import find_interpreters
from bench.measure.executor import begun_s, check_devices, prepare_pool
from bench.measure.pool import WorkerPool
from bench.measure.turns import Block
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import Group, Trial
from bench.plan.sweep import Sweep
from bench.records.failures import WorkerError
from bench.records.schema import Accuracy, Failure, Header, Record, Worker
from bench.worker.messages import Train, Trained
from seqsum_core import __version__


class Unit(Frozen):
    """What a node measures at a time, with its machine to itself.

    Args:
        trials: a fresh process of each cell of a block, which take turns; or
        groups: seeds to train, shared by all cores of the node.
    """

    trials: tuple[Trial, ...] = ()
    groups: tuple[Group, ...] = ()

    @property
    def parts(self) -> list[Trial | Group]:
        """Return everything that leaves records."""
        return [*self.trials, *self.groups]

    def __str__(self) -> str:
        if self.trials:
            first = self.trials[0]
            return f"length {first.cell.length} in turns, process {first.index + 1}, {len(self.trials)} workers"
        return f"accuracy, {sum(len(group.seeds) for group in self.groups)} trainings"


class Order(Frozen):
    """Asks a node to describe itself for a sweep, or to measure a unit of a run.

    Args:
        sweep: what the run measures.
        pythons: interpreters named on the command line, by environment; paths on the node.
        header: of the run.
        unit: what of it.
    """

    sweep: Sweep
    pythons: dict[str, str]
    header: Header | None = None
    unit: Unit = Unit()


class Report(Frozen):
    """A node that can measure a sweep.

    Args:
        workers: what each environment's process reported.
        machine: what it is.
        commit: of its code.
        version: of its seqsum.
        load_average: of the minute before.
        available_bytes: memory that is free.
    """

    workers: tuple[Worker, ...]
    machine: Machine
    commit: str
    version: str = __version__
    load_average: float = 0.0
    available_bytes: int = 0

    @property
    def identity(self) -> dict[str, str]:
        """Return what must be the same on every node of a run, by what it is."""
        memory_gib = round(self.machine.memory_bytes / 2**30)  # equal machines may differ by some pages
        return {
            "machine": self.machine.model_copy(update={"memory_bytes": memory_gib}).model_dump_json(),
            "workers or their versions": str([worker.model_dump_json() for worker in self.workers]),
            "commit": self.commit,
            "version of seqsum": self.version,
        }


Records = dict[int, list[Record]]
"""Records by the number of the part of the unit that left them."""
RECORDS: TypeAdapter[Records] = TypeAdapter(Records)


def describe(order: str) -> str:
    """Check the workers of this node: an `Order` in, a `Report` out.

    Raises:
        UserError: if the sweep cannot be measured here.
    """
    asked = Order.model_validate_json(order)
    check_devices(asked.sweep)
    with _pool(asked) as pool:
        prepared = prepare_pool(pool, asked.sweep)
    return Report(
        workers=prepared.workers,
        machine=prepared.machine,
        commit=prepared.commit,
        load_average=prepared.load_average,
        available_bytes=psutil.virtual_memory().available,
    ).model_dump_json()


def measure(order: str) -> str:
    """Measure a unit on this node: an `Order` in, `Records` out.

    Raises:
        UserError: if an interpreter is not there any more.
    """
    asked = Order.model_validate_json(order)
    assert asked.header is not None
    parts, records = asked.unit.parts, defaultdict[int, list[Record]](list)

    def train(worker: WorkerProcess, group: Group) -> tuple[Accuracy | Failure, ...]:
        return worker.ask(Train(group=group), Trained).records

    def keep(part: Trial | Group, *ended: Record) -> None:
        records[parts.index(part)] += ended

    def keep_group(group: Group, result: tuple[Accuracy | Failure, ...] | WorkerError) -> None:
        keep(group, *group_records(group, result))

    with _pool(asked) as pool:
        if trials := asked.unit.trials:
            seed, begin_s = asked.header.order_seed, begun_s(asked.header)
            Block(trials, pool, order_seed=seed, begun_s=begin_s, begins=lambda _: None, ends=keep).measure()
        pool.map(asked.unit.groups, train, cell_of=lambda group: group.cell, on_done=keep_group)
    return RECORDS.dump_json(records).decode()


def _pool(order: Order) -> WorkerPool:
    """Return the workers of this node, once nobody else measures on it."""
    sweep = order.sweep
    interpreters = find_interpreters(sweep.backends, device=sweep.device, pythons=order.pythons)
    return WorkerPool(interpreters, limits=sweep.limits, runtime=sweep.runtime, wait=True)
