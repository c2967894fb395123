"""What runs on a node of a cluster: it proves the workers of that machine, and measures units with fresh processes.

Called with JSON and answers with JSON, so that nothing is unpickled but text. What is timed runs in workers of their
own, as on any machine; the process that this module runs in only coordinates.
"""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from time import monotonic, time

import psutil

from bench.errors import UserError
from bench.frozen import Frozen
from bench.host import usable_cores
from bench.measure.cluster.units import Unit
from bench.measure.environments import find_sides
from bench.measure.local import check_devices, machine_lock, prove_here, train_groups
from bench.measure.turns import Block, ready_to_time, start_worker
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import Cell, Group
from bench.plan.sweep import Sweep
from bench.records.failures import failure
from bench.records.schema import LINE, Machine, Record, Worker
from bench.worker.pace import Pace
from seqsum_core import __version__


class Question(Frozen):
    """Asks a node whether it can measure a sweep.

    Args:
        sweep: what shall be measured.
        pythons: interpreters named on the command line, by backend.
    """

    sweep: Sweep
    pythons: dict[str, str]


class Report(Frozen):
    """What a node says of itself.

    Args:
        problem: why it cannot measure the sweep; nothing if it can.
        workers: what each backend's process proved.
        machine: what it is.
        commit: of its code.
        version: of its seqsum.
        load_average: of the minute before.
        available_bytes: memory that is free.
    """

    problem: str = ""
    workers: tuple[Worker, ...] = ()
    machine: Machine | None = None
    commit: str = ""
    version: str = __version__
    load_average: float = 0.0
    available_bytes: int = 0


class Order(Frozen):
    """Asks a node to measure a unit.

    Args:
        sweep: what the run measures.
        pythons: interpreters named on the command line, by backend.
        unit: what of it.
        core: which of its cores trains for accuracy.
        begun_at: when the run began, in seconds of the epoch.
    """

    sweep: Sweep
    pythons: dict[str, str]
    unit: Unit
    core: int
    begun_at: float


def report(question: str) -> str:
    """Prove the workers of this node.

    Args:
        question: a `Question`.

    Returns:
        A `Report`.
    """
    asked = Question.model_validate_json(question)
    try:
        check_devices(asked.sweep)
        interpreters = find_sides(asked.sweep, asked.pythons)
        with machine_lock(wait=True):
            proved = prove_here(asked.sweep, interpreters)
    except UserError as error:
        return Report(problem=str(error)).model_dump_json()
    return Report(
        workers=proved.workers,
        machine=proved.machine,
        commit=proved.commit,
        load_average=proved.load_average,
        available_bytes=psutil.virtual_memory().available,
    ).model_dump_json()


def measure(order: str) -> str:
    """Measure a unit on this node.

    Args:
        order: an `Order`.

    Returns:
        A JSON list of its records.
    """
    asked = Order.model_validate_json(order)
    try:
        if asked.unit.timed:
            with machine_lock(wait=True):
                records = _time(asked)
        else:
            records = _train(asked)
    except UserError as error:
        records = [failure(trial, "node", error) for trial in asked.unit.all_trials]
    return json.dumps([record.model_dump(mode="json") for record in records])


def records_of(answer: str, node: str) -> list[Record]:
    """Read what `measure` has answered, and write into each record which node it is from."""
    records = (LINE.validate_json(json.dumps(record | {"node": node})) for record in json.loads(answer))
    return [record for record in records if isinstance(record, Record)]


def _time(order: Order) -> list[Record]:
    records: list[Record] = []
    with ready_to_time(order.sweep, find_sides(order.sweep, order.pythons)) as start:
        Block(
            order.unit.trials,
            order.sweep.timing,
            start=start,
            pace=Pace(order.sweep.timing.calm_s),
            begun_s=monotonic() - (time() - order.begun_at),
            begins=lambda _: None,
            ends=lambda _, record: records.append(record),
        ).measure()
    return records


def _train(order: Order) -> list[Record]:
    interpreters = find_sides(order.sweep, order.pythons)
    cores = usable_cores()
    waiting = deque(order.unit.groups)
    records: list[Record] = []

    def start(cell: Cell) -> WorkerProcess:
        return start_worker(interpreters, cell, order.sweep, [cores[order.core % len(cores)]])

    def groups() -> Iterator[Group]:
        while waiting:
            yield waiting.popleft()

    def keep(_: Group, found: Sequence[Record]) -> None:
        records.extend(found)

    while waiting:
        train_groups(groups(), start, begins=lambda _: None, ends=keep)
    return records
