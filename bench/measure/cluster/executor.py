"""A cluster as the place of a run: its equal nodes are proved, then measure one unit after another.

Only nodes that are alike take part in a run: same machine, versions and code. A node that is lost costs the units it
was at and gets no more; their trials have failed, and `seqsum run --resume` measures them again.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic, time
from types import TracebackType
from typing import Any, Self

from bench.errors import UserError
from bench.measure.cluster import node as on_node
from bench.measure.cluster.node import Order, Question, Report
from bench.measure.cluster.ray_cluster import ClusterNode, LostError, RayCluster
from bench.measure.cluster.units import Place, Schedule, Unit, missing_units
from bench.measure.environments import check_keras_backend
from bench.measure.executor import Proved
from bench.measure.local import append_baselines
from bench.measure.progress import Progress
from bench.measure.turns import fitting_blocks
from bench.names import say_count
from bench.plan.cells import Group, Trial
from bench.plan.sweep import Sweep
from bench.records.failures import WorkerLostError, failure
from bench.records.missing import missing_trials, place_of, place_of_record
from bench.records.schema import Failure, Header, Machine, Node, Record, Worker
from bench.records.store import RunWriter

Kind = tuple[str, str, str, str]
"""Machine, workers with their versions, commit and version of seqsum: what must be the same on every node of a run."""


@dataclass(frozen=True)
class Member:
    """A node that takes part in a run."""

    node: ClusterNode
    report: Report

    @property
    def kind(self) -> Kind:
        """Return what must be the same on every node of a run."""
        report = self.report
        return _kind(self.machine, report.workers, report.commit, report.version)

    @property
    def machine(self) -> Machine:
        """Return what it is."""
        assert self.report.machine is not None
        return self.report.machine


def _kind(machine: Machine, workers: tuple[Worker, ...], commit: str, version: str) -> Kind:
    """Equal machines may differ by some pages of memory."""
    rounded = machine.model_copy(update={"memory_bytes": round(machine.memory_bytes / 2**30)})
    return rounded.model_dump_json(), str([worker.model_dump_json() for worker in workers]), commit, version


class OnCluster:
    """The equal nodes of a Ray cluster.

    Args:
        cluster: where they are.
        pythons: interpreters named on the command line, by backend; paths on the nodes.
    """

    def __init__(self, cluster: RayCluster, pythons: Mapping[str, str]) -> None:
        self._cluster, self._pythons = cluster, dict(pythons)
        self._members: dict[str, Member] = {}

    def __enter__(self) -> Self:
        self._cluster.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.__exit__(kind, error, trace)

    def prove(self, sweep: Sweep, progress: Progress, *, like: Header | None = None) -> Proved:
        """Ask every node to prove its workers, and choose those that are alike: see `bench.measure.executor`.

        Chosen are those like `like`, if there are any, else the largest group.
        """
        check_keras_backend(list(sweep.backends))
        if sweep.timing.precision is not None:
            raise UserError(
                "`precision` cannot be reached on a cluster yet. Received: --executor ray with it. Ask for more "
                "--processes, or measure with --executor local."
            )
        groups: dict[Kind, list[Member]] = defaultdict(list)
        for member in self._ask(sweep, progress):
            groups[member.kind].append(member)
        if not groups:
            raise UserError("No node of the cluster can measure this; why stands above. Mend that, or name another.")
        wanted = _kind(like.machine, like.workers, like.commit, like.seqsum_version) if like else None
        chosen = groups[wanted] if wanted in groups else max(groups.values(), key=len)
        self._members = {member.node.name: member for member in chosen}
        first = chosen[0]
        for member in (member for group in groups.values() if group is not chosen for member in group):
            differs = _differs(member.kind, first.kind)
            progress.say(f"{member.node}: left out, since it is not like the others ({differs})")
        progress.say(f"Measuring on {say_count(len(chosen), 'node')}: {', '.join(str(one.node) for one in chosen)}")
        return Proved(
            first.report.workers,
            like.machine if like and first.kind == wanted else first.machine,
            first.report.commit,
            max(member.report.load_average for member in chosen),
            tuple(Node(name=one.node.name, load_average=one.report.load_average) for one in chosen),
        )

    def _ask(self, sweep: Sweep, progress: Progress) -> list[Member]:
        """Return the nodes that can measure a sweep, and say why the others cannot."""
        question = Question(sweep=sweep, pythons=self._pythons).model_dump_json()
        nodes = {}
        for node in self._cluster.nodes():
            if sweep.device == "gpu" and not node.gpus:
                progress.say(f"{node}: left out, since Ray knows no GPU of it")
                continue
            nodes[self._cluster.call(on_node.report, question, node, **_whole(sweep, node))] = node
        progress.say(f"Asking {say_count(len(nodes), 'node')}; one that measures something else answers after that ...")
        members = []
        for _ in range(len(nodes)):
            task = self._cluster.wait()
            try:
                report = Report.model_validate_json(self._cluster.answer(task))
            except (LostError, UserError) as error:
                report = Report(problem=str(error))
            if report.problem:
                progress.say(f"{nodes[task]}: left out: {report.problem}")
            else:
                members.append(Member(nodes[task], report))
        order = list(nodes.values())
        return sorted(members, key=lambda member: order.index(member.node))

    def measure(self, sweep: Sweep, writer: RunWriter, progress: Progress, *, begun_s: float) -> None:
        """Measure what a run lacks: see `bench.measure.executor`."""
        least = min(member.report.available_bytes for member in self._members.values())
        blocks = fitting_blocks(sweep.blocks(), least)
        slots = {
            name: member.node.gpus if sweep.device == "gpu" else member.node.cpus
            for name, member in self._members.items()
        }
        schedule = Schedule(missing_units(sweep, writer.records, blocks), slots)
        progress.begin(
            missing_trials(sweep, writer.records, blocks), slots=sum(slots.values()), timed_at_once=len(slots)
        )
        append_baselines(sweep, writer)
        _Round(self._cluster, self._members, schedule, sweep, self._pythons, writer, progress).run(begun_s)
        progress.end(writer.folder)


class _Round:
    """Units on their way to nodes and back."""

    def __init__(
        self,
        cluster: RayCluster,
        members: Mapping[str, Member],
        schedule: Schedule,
        sweep: Sweep,
        pythons: dict[str, str],
        writer: RunWriter,
        progress: Progress,
    ) -> None:
        self._cluster, self._members, self._schedule = cluster, members, schedule
        self._sweep, self._pythons, self._writer, self._progress = sweep, pythons, writer, progress
        self._running: dict[Any, tuple[Unit, Place]] = {}

    def run(self, begun_s: float) -> None:
        """Give out units until none is left, or no node."""
        begun_at = time() - (monotonic() - begun_s)
        while True:
            while following := self._schedule.next():
                self._send(*following, begun_at)
            if not self._running:
                break
            task = self._cluster.wait()
            unit, place = self._running.pop(task)
            self._keep(unit, self._records(task, unit, place))
            self._schedule.ends(unit, place)
        if self._schedule.waiting:
            self._progress.say(
                f"No node is left: {say_count(self._schedule.waiting, 'unit')} not begun. Start nodes, then go on: "
                f"seqsum run --executor ray --resume {self._writer.folder}"
            )

    def _send(self, unit: Unit, place: Place, begun_at: float) -> None:
        node = self._members[place.node].node
        order = Order(sweep=self._sweep, pythons=self._pythons, unit=unit, core=place.core, begun_at=begun_at)
        gpu = self._sweep.device == "gpu"
        share = _whole(self._sweep, node) if unit.timed else {"cpus": 1, "gpus": int(gpu)}
        task = self._cluster.call(on_node.measure, order.model_dump_json(), node, **share)
        self._running[task] = unit, place
        self._progress.say(f"{node}: {unit}")

    def _records(self, task: Any, unit: Unit, place: Place) -> list[Record]:
        """Return what a unit has left: its records, or that every trial has failed."""
        try:
            return on_node.records_of(self._cluster.answer(task), place.node)
        except UserError as error:
            return [_failed(trial, place, WorkerLostError(str(error), "raised")) for trial in unit.all_trials]
        except LostError as lost:
            if place.node in self._schedule.nodes:  # alive or not: what it is given next may be lost, too
                self._schedule.loses(place.node)
                self._progress.say(f"{self._members[place.node].node}: lost, gets nothing more ({lost})")
            why = WorkerLostError(f"its node was lost: {lost}", "lost")
            return [_failed(trial, place, why) for trial in unit.all_trials]

    def _keep(self, unit: Unit, records: list[Record]) -> None:
        for record in records:
            self._writer.append(record)
        for one in unit.parts:
            self._progress.trial_ends(one, *_of(one, records))


def _whole(sweep: Sweep, node: ClusterNode) -> dict[str, int]:
    """Return what keeps all other tasks of the cluster away from a node."""
    return {"cpus": node.cpus, "gpus": node.gpus if sweep.device == "gpu" else 0}


def _of(trial: Trial | Group, records: list[Record]) -> list[Record]:
    """Return the records of a trial or group among those of its unit."""
    places = {place_of(one) for one in (trial.trials if isinstance(trial, Group) else [trial])}
    return [record for record in records if place_of_record(record) in places]


def _failed(trial: Trial, place: Place, error: WorkerLostError) -> Failure:
    return failure(trial, "node", error).model_copy(update={"node": place.node})


def _differs(one: Kind, other: Kind) -> str:
    """Say in a few words in what two nodes differ."""
    names = ("machine", "workers or their versions", "commit", "version of seqsum")
    return ", ".join(name for name, left, right in zip(names, one, other, strict=True) if left != right)
