"""What runs on a node of a cluster: it describes that machine, and measures what it is sent with fresh processes.

Called with JSON and answers with JSON, so that nothing but text is unpickled. What is timed runs in workers, as on any
machine; the process that this module runs in only coordinates.
"""

from collections.abc import Sequence

from pydantic import TypeAdapter

from bench.frozen import Frozen
from bench.measure.accuracy import train_groups
from bench.measure.environments import find_interpreters
from bench.measure.executor import begun_s, check_devices, prepare_pool
from bench.measure.pool import WorkerPool
from bench.measure.turns import Block
from bench.plan.cells import Group, Trial
from bench.plan.sweep import Sweep
from bench.records.schema import Header, Record


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
        header: of the run, if a unit is measured.
        unit: what of it.
    """

    sweep: Sweep
    pythons: dict[str, str]
    header: Header | None = None
    unit: Unit = Unit()


Records = list[list[Record]]
"""The records that each part of a unit left."""
RECORDS: TypeAdapter[Records] = TypeAdapter(Records)


def describe(order: str) -> str:
    """Check the workers of this node: an `Order` in, `Prepared` out; raises `UserError` if it cannot measure this."""
    asked = Order.model_validate_json(order)
    check_devices(asked.sweep)
    with _pool(asked) as pool:
        return prepare_pool(pool, asked.sweep).model_dump_json()


def measure(order: str) -> str:
    """Measure a unit on this node: an `Order` in, `Records` out."""
    asked = Order.model_validate_json(order)
    assert asked.header is not None
    parts = asked.unit.parts
    records: Records = [[] for _ in parts]

    def begins(_: Trial | Group) -> None:
        """Say nothing: nobody looks at a node."""

    def ends(part: Trial | Group, ended: Record | Sequence[Record]) -> None:
        records[parts.index(part)] += ended if isinstance(ended, Sequence) else [ended]

    with _pool(asked) as pool:
        if trials := asked.unit.trials:
            seed, begin_s = asked.header.order_seed, begun_s(asked.header)
            Block(trials, pool, order_seed=seed, begun_s=begin_s, begins=begins, ends=ends).measure()
        train_groups(asked.unit.groups, pool, begins=begins, ends=ends)
    return RECORDS.dump_json(records).decode()


def _pool(order: Order) -> WorkerPool:
    """Return the workers of this node, once nobody else measures on it."""
    sweep = order.sweep
    interpreters = find_interpreters(sweep.backends, device=sweep.device, pythons=order.pythons)
    return WorkerPool(interpreters, limits=sweep.limits, runtime=sweep.runtime, wait=True)
