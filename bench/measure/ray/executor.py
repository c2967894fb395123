"""A Ray cluster as the place of a run: equal nodes measure one unit after another, each with its machine to itself.

Only nodes that are alike take part: same machine, versions and code. A node that is lost fails the trials it was
measuring and gets no more; `seqsum run --resume` measures them again.
"""

import shlex
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Self

from bench.errors import UserError
from bench.measure.accuracy import append_baselines
from bench.measure.environments import check_keras_backend, say_left_out
from bench.measure.executor import Prepared
from bench.measure.progress import Progress
from bench.measure.ray.cluster import ClusterNode, RayCluster, TaskLostError
from bench.measure.ray.node import RECORDS, Order, Records, Unit, describe, measure
from bench.measure.turns import fitting_blocks
from bench.names import say_count
from bench.plan.cells import Cell, Group
from bench.plan.sweep import Sweep
from bench.records.failures import WorkerError, failure
from bench.records.missing import missing_groups, missing_trials, place_of, timed_places
from bench.records.schema import Header, Node, Record
from bench.records.store import RunWriter

UNITS_PER_NODE = 2
"""How many parts each node's share of the trainings has: more cost more starts, fewer let nodes wait for the last."""


class RayExecutor(ExitStack):
    """The equal nodes of a Ray cluster: see `bench.measure.executor.Executor`.

    Args:
        cluster: where they are.
        pythons: interpreters named on the command line, by environment; paths on the nodes.
    """

    def __init__(self, cluster: RayCluster, pythons: Mapping[str, str]) -> None:
        super().__init__()
        self._cluster, self._pythons = cluster, dict(pythons)
        self._nodes: dict[ClusterNode, Prepared] = {}

    def __enter__(self) -> Self:
        self.enter_context(self._cluster)
        return self

    def prepare(self, sweep: Sweep, progress: Progress, *, like: Header | None = None) -> Prepared:
        """Ask every node, and keep those that are like the run that goes on, if any is, else the largest group."""
        check_keras_backend(sweep.backends)
        say_left_out(sweep.cells()[0], sweep.runtime, progress.say)
        if sweep.timing.precision is not None or sweep.timing.gates:
            goal = "gate" if sweep.timing.gates else "precision"
            raise UserError(
                f"`{goal}` cannot be reached on a cluster yet. Received: --executor ray with it. Ask for more "
                "--processes, or measure with --executor local."
            )
        nodes = self._ask(sweep, progress)
        if not nodes:
            raise UserError("No node of the cluster can measure this; the reasons are above. Fix one, or name another.")
        identities = {node: identity(prepared) for node, prepared in nodes.items()}
        every = list(identities.values())
        wanted = max(every, key=every.count)
        if like is not None and identity(like) in every:
            wanted = identity(like)
        for node, own in identities.items():
            if differs := [name for name, value in own.items() if value != wanted[name]]:
                progress.say(f"{node}: left out, since it is not like the others ({', '.join(differs)})")
        self._nodes = {node: prepared for node, prepared in nodes.items() if identities[node] == wanted}
        progress.say(f"Measuring on {say_count(len(self._nodes), 'node')}: {', '.join(map(str, self._nodes))}")
        first = next(iter(self._nodes.values()))
        alike = like if like is not None and identity(like) == wanted else first  # but for some pages of memory
        return first.model_copy(
            update={
                "machine": alike.machine,
                "load_average": max(prepared.load_average for prepared in self._nodes.values()),
                "nodes": tuple(
                    Node(name=node.name, load_average=prepared.load_average) for node, prepared in self._nodes.items()
                ),
            }
        )

    def _ask(self, sweep: Sweep, progress: Progress) -> dict[ClusterNode, Prepared]:
        """Return what the nodes report that can measure a sweep, and say why the others cannot."""
        tasks = {}
        for node in self._cluster.nodes():
            if sweep.device == "gpu" and not node.gpus:
                progress.say(f"{node}: left out, since Ray knows no GPU of it")
            else:
                tasks[self._call(describe, Order(sweep=sweep, pythons=self._pythons), node)] = node
        progress.say(f"Asking {say_count(len(tasks), 'node')}; one that measures something else answers after that ...")
        reports = {}
        for _ in tasks:
            task = self._cluster.wait()
            try:
                reports[tasks[task]] = Prepared.model_validate_json(self._cluster.answer(task))
            except (TaskLostError, UserError) as error:
                progress.say(f"{tasks[task]}: left out: {error}")
        return {node: reports[node] for node in tasks.values() if node in reports}

    def _call(self, function: Any, order: Order, node: ClusterNode) -> Any:
        """Call a function on a node, and keep all other tasks of the cluster away from it meanwhile."""
        gpus = node.gpus if order.sweep.device == "gpu" else 0
        return self._cluster.call(function, order.model_dump_json(), node, cpus=node.cpus, gpus=gpus)

    def measure(self, header: Header, writer: RunWriter, progress: Progress) -> None:
        """Measure what a run lacks, a unit at a time on each node; a lost node gets nothing more."""
        sweep = header.sweep
        blocks = fitting_blocks(sweep.blocks(), min(node.available_bytes for node in self._nodes.values()))
        cpus = sum(1 if sweep.device == "gpu" else node.cpus for node in self._nodes)
        progress.begin(missing_trials(sweep, writer.records, blocks), slots=cpus, timed_at_once=len(self._nodes))
        append_baselines(sweep, writer)
        waiting = deque(missing_units(sweep, writer.records, blocks, nodes=len(self._nodes)))
        free = deque(self._nodes)
        running: dict[Any, tuple[Unit, ClusterNode]] = {}
        while running or (waiting and free):
            while waiting and free:
                unit, node = waiting.popleft(), free.popleft()
                order = Order(sweep=sweep, pythons=self._pythons, header=header, unit=unit)
                running[self._call(measure, order, node)] = unit, node
                progress.say(f"{node}: {unit}")
            task = self._cluster.wait()
            unit, node = running.pop(task)
            try:
                records = RECORDS.validate_json(self._cluster.answer(task))
            except UserError as error:
                records = _failures(unit, WorkerError(str(error), "raised", phase="node"))
            except TaskLostError as error:
                records = _failures(unit, WorkerError(f"its node was lost: {error}", "lost", phase="node"))
                progress.say(f"{node}: lost, gets nothing more ({error})")
                del self._nodes[node]
            if node in self._nodes:
                free.append(node)
            for part, left in zip(unit.parts, records, strict=True):
                ended = [record.model_copy(update={"node": node.name}) for record in left]
                for record in ended:
                    writer.append(record)
                progress.trial_ends(part, *ended)
        if waiting:
            progress.say(
                f"No node is left: {say_count(len(waiting), 'unit')} not begun. Start nodes, then go on: "
                f"seqsum run --executor ray --resume {shlex.quote(str(writer.folder))}"
            )
        progress.end(writer.folder)


def missing_units(sweep: Sweep, records: Sequence[Record], blocks: list[list[Cell]], *, nodes: int) -> list[Unit]:
    """Cut what a run lacks into units for some nodes: what is timed first, and long lengths before short ones."""
    timed = timed_places(records)
    units = []
    for process in range(sweep.timing.processes):
        for block in blocks:
            trials = sweep.turns(block, process=process)
            if any(place_of(trial) not in timed for trial in trials):
                units.append(Unit(trials=tuple(trials)))
    units.sort(key=lambda unit: -unit.trials[0].cell.length)
    groups = missing_groups(sweep, records)
    count = min(len(groups), UNITS_PER_NODE * nodes)
    return [*units, *(Unit(groups=tuple(groups[first::count])) for first in range(count))]


def _failures(unit: Unit, error: WorkerError) -> Records:
    """Return a failure of every trial of a unit."""
    parts = [part.trials if isinstance(part, Group) else [part] for part in unit.parts]
    return [[failure(trial, error) for trial in trials] for trials in parts]


def identity(node: Prepared | Header) -> dict[str, str]:
    """Return what must be the same on every node of a run, by what it is."""
    memory_gib = round(node.machine.memory_bytes / 2**30)  # equal machines may differ by some pages
    return {
        "machine": node.machine.model_copy(update={"memory_bytes": memory_gib}).model_dump_json(),
        "workers or their versions": str([worker.model_dump_json() for worker in node.workers]),
        "commit": node.commit,
        "version of seqsum": node.seqsum_version,
    }
