"""A run on a cluster: played nodes with played workers; marked `ray`, a real Ray of this machine (`tox -e ray`)."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from factories import make_sweep
from fake_worker import fake_python
from rich.console import Console

from bench.errors import UserError
from bench.measure.executor import Prepared, ThisMachine
from bench.measure.progress import Progress
from bench.measure.ray.cluster import ClusterNode, RayCluster, TaskLostError
from bench.measure.ray.executor import RayExecutor, missing_units
from bench.measure.run import resume_run, run_sweep
from bench.plan.sweep import Sweep
from bench.plan.timing import Limits, Timing
from bench.records.missing import count_missing
from bench.records.schema import Accuracy, Baseline, Failure, Record, Speed
from bench.records.store import Run, load_run

TIMING = Timing(processes=2, rounds=1, warmup_epochs=0, warmup_s=0, turn_epochs=2, turn_s=0, control="none")
NODES = [ClusterNode(name, f"{name} in full", f"host-{name}", cpus=2, gpus=0) for name in ("one", "two")]


class PlayedCluster:
    """Nodes that are this machine: a task runs when it is waited for.

    The node `dies` is lost while it measures its second unit; `reports` changes what a node reports.
    """

    def __init__(
        self,
        nodes: list[ClusterNode],
        *,
        dies: str = "",
        reports: Callable[[ClusterNode, Prepared], Prepared] | None = None,
    ) -> None:
        self._nodes, self._dies, self._reports = list(nodes), dies, reports
        self._tasks: deque[Any] = deque()
        self.measured: list[tuple[str, int]] = []

    def __enter__(self) -> "PlayedCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self._tasks.clear()

    def nodes(self) -> list[ClusterNode]:
        return self._nodes

    def call(self, function: Callable[[str], str], argument: str, node: ClusterNode, *, cpus: int, gpus: int) -> Any:
        if function.__name__ == "measure":
            self.measured.append((node.name, cpus))
        task = (function, argument, node, self.measured.count((node.name, cpus)))
        self._tasks.append(task)
        return task

    def wait(self) -> Any:
        return self._tasks.popleft()

    def answer(self, task: Any) -> str:
        function, argument, node, unit = task
        if function.__name__ == "measure" and node.name == self._dies and unit == 2:
            raise TaskLostError("The node died")
        answer: str = function(argument)
        if function.__name__ == "describe" and self._reports:
            return self._reports(node, Prepared.model_validate_json(answer)).model_dump_json()
        return answer


def small_sweep(**changes: Any) -> Sweep:
    fields = {"backends": ("jax", "torch"), "models": ("lstm",), "seeds": 2, "timing": TIMING}
    return make_sweep(**{**fields, "limits": Limits.all_phases(60.0), **changes})


def pythons_of(folder: Path, behaviour: str = "good") -> dict[str, str]:
    return {backend: fake_python(folder, behaviour) for backend in ("jax", "torch")}


def run(folder: Path, executor: Any, shown: StringIO | None = None, **changes: Any) -> Run:
    writer = run_sweep(
        small_sweep(**changes),
        profile="cluster",
        command="seqsum run",
        results=folder / "results",
        executor=executor,
        progress=Progress(Console(file=shown or StringIO(), width=300)),
    )
    return load_run(writer.folder)


def resume(folder: Path, cluster: Any, begun: Run) -> Run:
    """Resume a run and return it."""
    run = folder / "results" / begun.header.run
    executor = RayExecutor(cluster, pythons_of(folder))
    resume_run(run, command="x", executor=executor, progress=Progress(Console(quiet=True)))
    return load_run(run)


def content(records: tuple[Record, ...]) -> list[str]:
    """Return what records there are, in an order of its own."""
    texts = []
    for record in records:
        fields = record.model_dump()
        names = ("kind", "cell", "process", "seed", "patience", "index", "name", "length")
        texts.append(str([fields.get(name) for name in names]))
    return sorted(texts)


@pytest.mark.usefixtures("own_lock")
class TestPlayedNodes:
    """Nodes that are played by this machine."""

    def test_as_on_this_machine(self, tmp_path: Path) -> None:
        """And every record knows its node; what takes turns is measured on one node, which it has to itself."""
        cluster: Any = PlayedCluster(NODES)
        by_ray = run(tmp_path, RayExecutor(cluster, pythons_of(tmp_path)))
        local = run(tmp_path, ThisMachine(pythons_of(tmp_path)))
        assert content(by_ray.records) == content(local.records)
        assert {node.name for node in by_ray.header.nodes} == {"one", "two"}
        assert {cpus for _, cpus in cluster.measured} == {2}
        nodes: dict[tuple[int, int], set[str | None]] = {}
        for record in by_ray.records:
            if isinstance(record, Speed):
                nodes.setdefault((record.cell.length, record.process), set()).add(record.node)
        assert sorted(map(str, nodes.values())) == ["{'one'}", "{'one'}", "{'two'}", "{'two'}"]
        assert {record.node for record in by_ray.records if isinstance(record, Accuracy)} == {"one", "two"}
        assert {record.node for record in local.records if isinstance(record, Speed)} == {None}

    def test_lost_node(self, tmp_path: Path) -> None:
        shown = StringIO()
        cluster: Any = PlayedCluster(NODES, dies="two")
        begun = run(tmp_path, RayExecutor(cluster, pythons_of(tmp_path)), shown)
        failures = [record for record in begun.records if isinstance(record, Failure)]
        assert failures and {(record.fault, record.node) for record in failures} == {("lost", "two")}
        assert "its node was lost: The node died" in failures[0].reason
        assert "node two (host-two): lost, gets nothing more" in shown.getvalue()
        sweep = begun.header.sweep
        assert count_missing(sweep, begun.records) == len(failures)
        whole = resume(tmp_path, PlayedCluster(NODES[:1]), begun)
        assert not any(isinstance(record, Failure) for record in whole.records)
        assert count_missing(sweep, whole.records) == 0
        assert [node.name for node in whole.resumed[0].nodes] == ["one"]
        assert len([record for record in whole.records if isinstance(record, Baseline)]) == 4

    def test_no_node_left(self, tmp_path: Path) -> None:
        shown = StringIO()
        cluster: Any = PlayedCluster(NODES[:1], dies="one")
        begun = run(tmp_path, RayExecutor(cluster, pythons_of(tmp_path)), shown)
        assert "No node is left: 4 units not begun" in shown.getvalue()
        assert any(isinstance(record, Speed) for record in begun.records)
        assert count_missing(begun.header.sweep, begun.records) > 0

    def test_only_equal_nodes_take_part(self, tmp_path: Path) -> None:
        """Some pages of memory more or less are equal, another processor is not."""

        def reports(node: ClusterNode, report: Prepared) -> Prepared:
            machine = report.machine
            changes: dict[str, dict[str, Any]] = {
                "two": {"memory_bytes": 2**30 * round(machine.memory_bytes / 2**30) + 4096},
                "three": {"cpu": "another"},
            }
            return report.model_copy(update={"machine": machine.model_copy(update=changes.get(node.name, {}))})

        shown = StringIO()
        third = ClusterNode("three", "three in full", "host-three", cpus=2, gpus=0)
        cluster: Any = PlayedCluster([third, *NODES], reports=reports)
        begun = run(tmp_path, RayExecutor(cluster, pythons_of(tmp_path)), shown)
        assert [node.name for node in begun.header.nodes] == ["one", "two"]
        assert "node three (host-three): left out, since it is not like the others (machine)" in shown.getvalue()
        assert {node for node, _ in cluster.measured} == {"one", "two"}

    def test_resume_refuses_other_nodes(self, tmp_path: Path) -> None:
        def reports(_: ClusterNode, report: Prepared) -> Prepared:
            return report.model_copy(update={"machine": report.machine.model_copy(update={"cpu": "another"})})

        lost: Any = PlayedCluster(NODES, dies="two")
        begun = run(tmp_path, RayExecutor(lost, pythons_of(tmp_path)))
        with pytest.raises(UserError, match=r"machine.cpu was .*, is another"):
            resume(tmp_path, PlayedCluster(NODES, reports=reports), begun)
        assert load_run(tmp_path / "results" / begun.header.run).records == begun.records

    def test_useless_nodes(self, tmp_path: Path) -> None:
        shown = StringIO()
        cluster: Any = PlayedCluster(NODES)
        with pytest.raises(UserError, match="No node of the cluster can measure this"):
            run(tmp_path, RayExecutor(cluster, pythons_of(tmp_path, "dies at import")), shown)
        assert shown.getvalue().count("left out: Environment") == 2 and not (tmp_path / "results").exists()
        with pytest.raises(UserError, match="No node"):
            run(tmp_path, RayExecutor(cluster, pythons_of(tmp_path)), shown, device="gpu")
        assert shown.getvalue().count("Ray knows no GPU of it") == 2

    def test_failing_worker(self, tmp_path: Path) -> None:
        cluster: Any = PlayedCluster(NODES[:1])
        begun = run(tmp_path, RayExecutor(cluster, pythons_of(tmp_path, "crashes at 12")))
        failures = [record for record in begun.records if isinstance(record, Failure)]
        assert {(record.cell.length, record.fault, record.node) for record in failures} == {(12, "crashed", "one")}
        assert count_missing(begun.header.sweep, begun.records) == 0

    def test_precision_is_refused(self, tmp_path: Path) -> None:
        cluster: Any = PlayedCluster(NODES)
        with pytest.raises(UserError, match="`precision` cannot be reached on a cluster yet"):
            run(tmp_path, RayExecutor(cluster, {}), timing=TIMING.model_copy(update={"precision": 0.05}))


@pytest.mark.parametrize("nodes", [1, 3, 40])
def test_units_hold_every_trial_once(nodes: int) -> None:
    """Long blocks come first; trainings are shared, and none is left out or done twice."""
    sweep = small_sweep(models=("a:model",), lengths=(4, 12), seeds=7)  # a user's model: each seed is a group
    units = missing_units(sweep, [], sweep.blocks(), nodes=nodes)
    parts = [str(part) for unit in units for part in unit.parts]
    assert sorted(parts) == sorted(map(str, [*sweep.speed_trials(), *sweep.accuracy_groups()]))
    timed = [unit.trials[0].cell.length for unit in units if unit.trials]
    assert timed == [12, 12, 4, 4] and len(units) - len(timed) == min(2 * nodes, 28)


def test_missing_ray_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.measure.ray.cluster.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install ray"):
        RayCluster(None)


SWEEP = """
models = ["lstm"]
lengths = [4, 5]
seeds = 2
[timing]
processes = 3
rounds = 1
warmup_epochs = 0
warmup_s = 0
turn_epochs = 2
turn_s = 0
control = "none"
"""


@pytest.mark.ray
class TestRealRay:
    """A Ray of this machine, with played workers."""

    @pytest.fixture
    def cluster(self) -> Iterator[Any]:
        """Start a Ray of three nodes: one that runs nothing, and two that can be ended."""
        from ray.cluster_utils import Cluster

        started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        try:
            for _ in range(2):
                started.add_node(num_cpus=2)
            started.wait_for_nodes()
            yield started
        finally:
            started.shutdown()

    def command(self, folder: Path, *options: str, behaviour: str = "good") -> dict[str, Any]:
        """Return the arguments of a process that runs `seqsum run` with workers that play."""
        (folder / "sweep.toml").write_text(SWEEP)
        words = [sys.executable, "-m", "bench", "run", *options]
        words += [f"--python={backend}={python}" for backend, python in pythons_of(folder, behaviour).items()]
        if "--resume" not in options:
            words += ["--results", str(folder / "results"), "--sweep", str(folder / "sweep.toml")]
            words += ["--backend", "jax", "--backend", "torch"]
        # a lock of its own; Ray needs short paths
        return {"args": words, "text": True, "env": {**os.environ, "TMPDIR": str(folder), "RAY_TMPDIR": "/tmp"}}

    def test_as_a_local_run(self, tmp_path: Path) -> None:
        by_ray = subprocess.run(**self.command(tmp_path, "--executor", "ray"), capture_output=True)
        assert by_ray.returncode == 0, by_ray.stderr
        assert "Measuring on 1 node" in by_ray.stderr
        run_by_ray = newest(tmp_path)
        time.sleep(1.1)  # a run is named by its second
        local = subprocess.run(**self.command(tmp_path), capture_output=True)
        assert local.returncode == 0 and content(run_by_ray.records) == content(newest(tmp_path).records)
        assert not workers_of(tmp_path)

    def test_killed_node_costs_its_unit(self, tmp_path: Path, cluster: Any) -> None:
        options = ("--executor", "ray", "--address", cluster.address)
        messages = tmp_path / "messages"
        with messages.open("w") as file:
            command = self.command(tmp_path, *options, behaviour="slow")
            running = subprocess.Popen(**command, stdout=subprocess.DEVNULL, stderr=file)
            victim = sorted(cluster.worker_nodes, key=lambda node: str(node.node_id))[0]
            wait_until(lambda: f"node {victim.node_id[:8]}" in messages.read_text().partition("Measuring on")[2])
            cluster.remove_node(victim, allow_graceful=False)
            assert running.wait(timeout=300) == 1, messages.read_text()
        begun = newest(tmp_path)
        lost = [record for record in begun.records if isinstance(record, Failure)]
        assert lost and {(record.fault, record.node) for record in lost} == {("lost", victim.node_id[:8])}
        wait_until(lambda: not workers_of(tmp_path))
        folder = tmp_path / "results" / begun.header.run
        again = subprocess.run(**self.command(tmp_path, "--resume", str(folder), *options), capture_output=True)
        whole = load_run(folder)
        assert again.returncode == 0, again.stderr
        assert count_missing(whole.header.sweep, whole.records) == 0

    def test_killed_coordinator(self, tmp_path: Path) -> None:
        command = self.command(tmp_path, "--executor", "ray", behaviour="slow")
        running = subprocess.Popen(**command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: any((tmp_path / "results").glob("*/trials.jsonl")) and workers_of(tmp_path) != [])
        running.send_signal(signal.SIGKILL)
        running.wait()
        wait_until(lambda: not workers_of(tmp_path))

    @pytest.mark.parametrize("address", ["127.0.0.1:9", "auto"])
    def test_wrong_address(self, address: str) -> None:
        begin_s = time.monotonic()
        with pytest.raises(UserError, match=rf"`--address` must be .* Received: {address}"), RayCluster(address):
            pass
        assert time.monotonic() - begin_s < 60


def newest(folder: Path) -> Run:
    return load_run(max((folder / "results").iterdir()))


def workers_of(folder: Path) -> list[int]:
    """Return the played workers that run: their interpreters are in this folder."""
    pids = []
    for process in psutil.process_iter(["cmdline"]):
        if any(word.startswith(f"{folder}/python-") for word in process.info["cmdline"] or []):
            pids.append(process.pid)
    return pids


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(1200):
        if holds():
            return
        time.sleep(0.1)
    pytest.fail("it did not happen in two minutes")
