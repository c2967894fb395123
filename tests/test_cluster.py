"""A run on a cluster, without Ray: nodes that are played here, with workers that are played, too."""

from collections import deque
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from factories import make_sweep
from fake_worker import fake_python
from rich.console import Console

from bench.errors import UserError
from bench.measure.cluster.executor import OnCluster
from bench.measure.cluster.node import Report
from bench.measure.cluster.ray_cluster import ClusterNode, LostError, RayCluster
from bench.measure.local import ThisMachine
from bench.measure.progress import Progress
from bench.measure.run import resume_run, run_sweep
from bench.plan.sweep import Sweep
from bench.plan.timing import Limits, Timing
from bench.records.missing import count_missing, place_of_record
from bench.records.schema import Accuracy, Baseline, Failure, Record
from bench.records.speed import Speed
from bench.records.store import Run, load_run
from bench.records.verify import verify_run

pytestmark = pytest.mark.usefixtures("own_lock")

TIMING = Timing(processes=2, rounds=1, warmup_epochs=0, warmup_s=0, slice_epochs=2, slice_s=0, control="none")
NODES = [ClusterNode(name, f"{name} in full", f"host-{name}", cpus=2, gpus=0) for name in ("one", "two")]


class PlayedCluster:
    """Nodes that are this machine: a task runs when it is waited for.

    Args:
        nodes: what there is.
        dies: the node that is lost while it is at its second unit.
        says: changes what a node reports of itself.
    """

    def __init__(
        self, nodes: list[ClusterNode], *, dies: str = "", says: Callable[[ClusterNode, Report], Report] | None = None
    ) -> None:
        self._nodes, self._dies, self._says = list(nodes), dies, says
        self._tasks: deque[Any] = deque()
        self.called: list[tuple[str, str, int]] = []

    def __enter__(self) -> "PlayedCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self._tasks.clear()

    def nodes(self) -> list[ClusterNode]:
        return self._nodes

    def call(self, function: Callable[[str], str], argument: str, node: ClusterNode, *, cpus: int, gpus: int) -> Any:
        self.called.append((function.__name__, node.name, cpus))
        self._tasks.append((function, argument, node))
        return self._tasks[-1]

    def wait(self) -> Any:
        return self._tasks.popleft()

    def answer(self, task: Any) -> str:
        function, argument, node = task
        units = [name for kind, name, _ in self.called if (kind, name) == ("measure", self._dies)]
        if function.__name__ == "measure" and node.name == self._dies and len(units) > 1:
            self._nodes = [one for one in self._nodes if one.name != self._dies]
            raise LostError("The node died")
        answer: str = function(argument)
        if function.__name__ == "report" and self._says:
            return self._says(node, Report.model_validate_json(answer)).model_dump_json()
        return answer


def small_sweep(**changes: Any) -> Sweep:
    fields = {"backends": ("jax", "torch"), "models": ("lstm",), "seeds": 2, "timing": TIMING}
    return make_sweep(**{**fields, "limits": Limits.all_phases(60.0), **changes})


def on(cluster: Any, pythons: dict[str, str]) -> OnCluster:
    return OnCluster(cluster, pythons)


def run(folder: Path, cluster: Any, behaviour: str = "good", shown: StringIO | None = None, **changes: Any) -> Run:
    pythons = {backend: fake_python(folder, behaviour) for backend in ("jax", "torch")}
    written = run_sweep(
        small_sweep(**changes),
        profile="cluster",
        command="seqsum run --executor ray",
        results=folder / "results",
        site=on(cluster, pythons),
        progress=Progress(Console(file=shown or StringIO(), width=300)),
    )
    return load_run(written.folder)


def content(records: tuple[Record, ...]) -> list[str]:
    return sorted(f"{type(record).__name__} {place_of_record(record)}" for record in records)


def test_a_cluster_leaves_what_this_machine_leaves_and_which_node_it_is_from(tmp_path: Path) -> None:
    cluster = PlayedCluster(NODES)
    found = run(tmp_path, cluster)
    pythons = {backend: fake_python(tmp_path) for backend in ("jax", "torch")}
    alone = run_sweep(
        small_sweep(),
        profile="alone",
        command="seqsum run",
        results=tmp_path / "results",
        site=ThisMachine(pythons),
        progress=Progress(Console(quiet=True)),
    )
    assert content(found.records) == content(tuple(alone.records))
    assert {node.name for node in found.header.nodes} == {"one", "two"}
    measured = [record for record in found.records if isinstance(record, Speed | Accuracy)]
    assert {record.node for record in measured} == {"one", "two"}
    assert {record.node for record in alone.records if isinstance(record, Speed)} == {None}
    waves: dict[tuple[int, int], set[str | None]] = {}
    for record in measured:
        if isinstance(record, Speed):
            waves.setdefault((record.cell.length, record.process), set()).add(record.node)
    assert all(len(nodes) == 1 for nodes in waves.values())


def test_what_is_timed_takes_all_of_its_node_and_training_takes_a_core(tmp_path: Path) -> None:
    cluster = PlayedCluster(NODES)
    run(tmp_path, cluster)
    taken = [cpus for kind, _, cpus in cluster.called if kind == "measure"]
    assert taken == [2] * 4 + [1] * 4


def test_a_lost_node_costs_its_unit_and_resume_measures_it_again(tmp_path: Path) -> None:
    shown = StringIO()
    found = run(tmp_path, PlayedCluster(NODES, dies="two"), shown=shown)
    failures = [record for record in found.records if isinstance(record, Failure)]
    assert failures and {(one.fault, one.node) for one in failures} == {("lost", "two")}
    assert (
        "its node was lost: The node died" in failures[0].reason
        and "node two (host-two): lost, gets nothing more" in shown.getvalue()
    )
    sweep = found.header.sweep
    assert count_missing(sweep, found.records) == len(failures)
    folder = tmp_path / "results" / found.header.run
    again = PlayedCluster(NODES[:1])
    pythons = {backend: fake_python(tmp_path) for backend in ("jax", "torch")}
    resume_run(folder, command="x", site=on(again, pythons), progress=Progress(Console(quiet=True)))
    whole = load_run(folder)
    assert not any(isinstance(record, Failure) for record in whole.records)
    assert count_missing(sweep, whole.records) == 0 and verify_run(folder).holds
    assert [node.name for node in whole.resumed[0].nodes] == ["one"]
    assert len([record for record in whole.records if isinstance(record, Baseline)]) == 4


def test_when_every_node_is_lost_the_run_ends_and_can_go_on(tmp_path: Path) -> None:
    shown = StringIO()
    found = run(tmp_path, PlayedCluster(NODES[:1], dies="one"), shown=shown)
    assert "No node is left: 6 units not begun" in shown.getvalue()
    assert any(isinstance(record, Speed) for record in found.records) and count_missing(
        found.header.sweep, found.records
    )


def test_only_nodes_that_are_alike_take_part(tmp_path: Path) -> None:
    def says(node: ClusterNode, report: Report) -> Report:
        machine = report.machine
        assert machine
        if node.name == "three":
            return report.model_copy(update={"machine": machine.model_copy(update={"cpu": "another"})})
        if node.name == "two":  # some pages less
            return report.model_copy(
                update={"machine": machine.model_copy(update={"memory_bytes": machine.memory_bytes - 4096})}
            )
        return report

    shown = StringIO()
    third = ClusterNode("three", "three in full", "host-three", cpus=2, gpus=0)
    cluster = PlayedCluster([third, *NODES], says=says)
    found = run(tmp_path, cluster, shown=shown)
    assert [node.name for node in found.header.nodes] == ["one", "two"]
    assert "node three (host-three): left out, since it is not like the others (machine)" in shown.getvalue()
    assert {name for kind, name, _ in cluster.called if kind == "measure"} == {"one", "two"}


def test_a_run_goes_on_on_nodes_like_its_own_only(tmp_path: Path) -> None:
    def other(_: ClusterNode, report: Report) -> Report:
        assert report.machine
        return report.model_copy(update={"machine": report.machine.model_copy(update={"cpu": "another"})})

    found = run(tmp_path, PlayedCluster(NODES, dies="two"))
    pythons = {backend: fake_python(tmp_path) for backend in ("jax", "torch")}
    folder = tmp_path / "results" / found.header.run
    before = (folder / "trials.jsonl").read_bytes()
    with pytest.raises(UserError, match=r"machine\.cpu was .*, is another"):
        resume_run(
            folder,
            command="x",
            site=on(PlayedCluster(NODES, says=other), pythons),
            progress=Progress(Console(quiet=True)),
        )
    assert (folder / "trials.jsonl").read_bytes() == before


def test_a_node_without_a_backend_is_left_out_and_says_why(tmp_path: Path) -> None:
    shown = StringIO()
    with pytest.raises(UserError, match="No node of the cluster can measure this"):
        run(tmp_path, PlayedCluster(NODES), "dies at import", shown=shown)
    assert shown.getvalue().count("left out: Backend") == 2 and not (tmp_path / "results").exists()


def test_nodes_without_a_gpu_are_not_asked_for_one(tmp_path: Path) -> None:
    shown = StringIO()
    with pytest.raises(UserError, match="No node"):
        run(tmp_path, PlayedCluster(NODES), shown=shown, device="gpu")
    assert shown.getvalue().count("Ray knows no GPU of it") == 2


def test_a_worker_that_fails_on_a_node_is_a_failure_there(tmp_path: Path) -> None:
    found = run(tmp_path, PlayedCluster(NODES[:1]), "crashes at 12")
    failures = [record for record in found.records if isinstance(record, Failure)]
    assert {(one.cell.length, one.fault, one.node) for one in failures} == {(12, "crashed", "one")}
    assert count_missing(found.header.sweep, found.records) == 0


def test_a_precision_to_reach_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`precision` cannot be reached on a cluster yet"):
        run(tmp_path, PlayedCluster(NODES), timing=TIMING.model_copy(update={"precision": 0.05}))


def test_without_ray_its_installation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.measure.cluster.ray_cluster.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install ray"):
        RayCluster(None)
