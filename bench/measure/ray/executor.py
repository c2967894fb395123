"""A Ray cluster as the place of a run: equal nodes measure one unit after another, each with its machine to itself.

Only nodes that are alike take part: same machine, versions and code. A node that is lost fails the trials it was
measuring and gets no more; `seqsum run --resume` measures them again.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from bench.errors import UserError
from bench.measure.accuracy import append_baselines
from bench.measure.environments import check_keras_backend
from bench.measure.executor import Prepared
from bench.measure.progress import Progress
from bench.measure.ray.cluster import ClusterNode, RayCluster, TaskLostError
from bench.measure.ray.node import RECORDS, Order, Records, Report, Unit, describe, measure
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


class RayExecutor:
    """The equal nodes of a Ray cluster: see `bench.measure.executor.Executor`.

    Args:
        cluster: where they are.
        pythons: interpreters named on the command line, by environment; paths on the nodes.
    """

    def __init__(self, cluster: RayCluster, pythons: Mapping[str, str]) -> None:
        self._cluster, self._pythons = cluster, dict(pythons)
        self._reports: dict[ClusterNode, Report] = {}

    def __enter__(self) -> Self:
        self._cluster.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.__exit__(kind, error, trace)

    def prepare(self, sweep: Sweep, progress: Progress, *, like: Header | None = None) -> Prepared:
        """Ask every node, and keep those that are like the run that goes on, if any is, else the largest group."""
        check_keras_backend(sweep.backends)
        if sweep.timing.precision is not None:
            raise UserError(
                "`precision` cannot be reached on a cluster yet. Received: --executor ray with it. Ask for more "
                "--processes, or measure with --executor local."
            )
        reports = self._ask(sweep, progress)
        if not reports:
            raise UserError("No node of the cluster can measure this; the reasons are above. Fix one, or name another.")
        identities = [report.identity for report in reports.values()]
        wanted = max(identities, key=identities.count)
        machine = next(report.machine for report in reports.values() if report.identity == wanted)
        if like is not None:
            begun = Report(workers=like.workers, machine=like.machine, commit=like.commit, version=like.seqsum_version)
            if begun.identity in identities:
                wanted, machine = begun.identity, like.machine
        self._reports = {node: report for node, report in reports.items() if report.identity == wanted}
        for node, report in reports.items():
            differs = [name for name, value in report.identity.items() if value != wanted[name]]
            if differs:
                progress.say(f"{node}: left out, since it is not like the others ({', '.join(differs)})")
        progress.say(f"Measuring on {say_count(len(self._reports), 'node')}: {', '.join(map(str, self._reports))}")
        nodes = [Node(name=node.name, load_average=report.load_average) for node, report in self._reports.items()]
        first = next(iter(self._reports.values()))
        return Prepared(first.workers, machine, first.commit, max(node.load_average for node in nodes), tuple(nodes))

    def _ask(self, sweep: Sweep, progress: Progress) -> dict[ClusterNode, Report]:
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
                reports[tasks[task]] = Report.model_validate_json(self._cluster.answer(task))
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
        blocks = fitting_blocks(sweep.blocks(), min(report.available_bytes for report in self._reports.values()))
        cpus = sum(1 if sweep.device == "gpu" else node.cpus for node in self._reports)
        progress.begin(missing_trials(sweep, writer.records, blocks), slots=cpus, timed_at_once=len(self._reports))
        append_baselines(sweep, writer)
        waiting = deque(missing_units(sweep, writer.records, blocks, nodes=len(self._reports)))
        free = deque(self._reports)
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
                del self._reports[node]
            if node in self._reports:
                free.append(node)
            for number, part in enumerate(unit.parts):
                ended = [record.model_copy(update={"node": node.name}) for record in records.get(number, [])]
                for record in ended:
                    writer.append(record)
                progress.trial_ends(part, *ended)
        if waiting:
            progress.say(
                f"No node is left: {say_count(len(waiting), 'unit')} not begun. Start nodes, then go on: "
                f"seqsum run --executor ray --resume {writer.folder}"
            )
        progress.end(writer.folder)


def missing_units(sweep: Sweep, records: Sequence[Record], blocks: list[list[Cell]], *, nodes: int) -> list[Unit]:
    """Cut what a run lacks into units, what is timed first and the long ones before the short ones.

    Args:
        sweep: what is measured.
        records: what there is.
        blocks: cells that take turns with each other.
        nodes: how many share the units.
    """
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
    records: Records = {}
    for number, part in enumerate(unit.parts):
        trials = part.trials if isinstance(part, Group) else [part]
        records[number] = [failure(trial, error) for trial in trials]
    return records
