"""Runs on a real Ray of this machine, with played workers: `tox -e ray`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from fake_worker import fake_python

from bench.errors import UserError
from bench.measure.cluster.ray_cluster import RayCluster
from bench.records.missing import count_missing, place_of_record
from bench.records.schema import Accuracy, Failure, Record
from bench.records.speed import Speed
from bench.records.store import Run, load_run
from bench.records.verify import verify_run

pytestmark = pytest.mark.ray

SWEEP = """
models = ["lstm"]
lengths = [4, 5]
seeds = 2
[timing]
processes = 3
rounds = 1
warmup_epochs = 0
warmup_s = 0
slice_epochs = 2
slice_s = 0
control = "none"
"""


@pytest.fixture
def cluster() -> Iterator[Any]:
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


def command(folder: Path, *options: str, behaviour: str = "good") -> list[str]:
    python = fake_python(folder, behaviour)
    return [
        *(sys.executable, "-m", "bench", "run", "--results", str(folder / "results"), *options),
        *(word for backend in ("jax", "torch") for word in ("--python", f"{backend}={python}")),
    ]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "RAY_TMPDIR": "/tmp"}  # a lock of its own; Ray needs short paths


def call(folder: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], Run]:
    (folder / "sweep.toml").write_text(SWEEP)
    sweep = ("--sweep", str(folder / "sweep.toml"), "--backend", "jax", "--backend", "torch")
    answer = subprocess.run(command(folder, *sweep, *options), capture_output=True, text=True, env=environment(folder))
    return answer, newest(folder)


def newest(folder: Path) -> Run:
    return load_run(max((folder / "results").iterdir()))


def content(records: tuple[Record, ...]) -> list[str]:
    return sorted(f"{type(record).__name__} {place_of_record(record)}" for record in records)


def workers_of(folder: Path) -> list[int]:
    """Return the played workers that run: their interpreters stand in this folder."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(word.startswith(f"{folder}/python-") for word in process.info["cmdline"] or [])
    ]


def test_a_ray_of_this_machine_leaves_what_a_local_run_leaves(tmp_path: Path) -> None:
    by_ray, found = call(tmp_path, "--executor", "ray")
    assert by_ray.returncode == 0, by_ray.stderr
    assert "Measuring on 1 node" in by_ray.stderr and "Speed" in by_ray.stdout
    time.sleep(1.1)  # a run is named by its second
    local, alone = call(tmp_path)
    assert local.returncode == 0 and content(found.records) == content(alone.records)
    assert {one.node for one in found.records if isinstance(one, Speed | Accuracy)} == {found.header.nodes[0].name}
    assert not workers_of(tmp_path)


def test_two_nodes_measure_and_one_that_is_killed_costs_its_unit(tmp_path: Path, cluster: Any) -> None:
    (tmp_path / "sweep.toml").write_text(SWEEP)
    options = ("--executor", "ray", "--address", cluster.address)
    cells = ("--sweep", str(tmp_path / "sweep.toml"), "--backend", "jax", "--backend", "torch")
    errors = tmp_path / "errors"
    with errors.open("w") as said:
        running = subprocess.Popen(
            command(tmp_path, *options, *cells, behaviour="slow"),
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=environment(tmp_path),
        )
        victim = sorted(cluster.worker_nodes, key=lambda node: str(node.node_id))[0]
        wait_until(
            lambda: f"node {victim.node_id[:8]}" in errors.read_text().partition("Measuring on")[2].partition("\n")[2]
        )
        cluster.remove_node(victim, allow_graceful=False)
        assert running.wait(timeout=300) == 1, errors.read_text()
    assert f"node {victim.node_id[:8]}" in errors.read_text() and "lost" in errors.read_text()
    found = newest(tmp_path)
    lost = [record for record in found.records if isinstance(record, Failure)]
    assert lost and {(one.fault, one.node) for one in lost} == {("lost", victim.node_id[:8])}
    assert any(isinstance(record, Speed) for record in found.records)
    wait_until(lambda: not workers_of(tmp_path))

    folder = tmp_path / "results" / found.header.run
    python = fake_python(tmp_path)
    again = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "run", "--resume", str(folder), *options),
            *("--python", f"jax={python}", "--python", f"torch={python}"),
        ],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
    )
    whole = load_run(folder)
    assert again.returncode == 0, again.stderr
    assert count_missing(whole.header.sweep, whole.records) == 0 and verify_run(folder).holds
    assert not any(isinstance(record, Failure) for record in whole.records)


def test_no_worker_outlives_a_coordinator_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(SWEEP)
    cells = ("--sweep", str(tmp_path / "sweep.toml"), "--backend", "jax", "--backend", "torch", "--executor", "ray")
    running = subprocess.Popen(
        command(tmp_path, *cells, behaviour="slow"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(tmp_path),
    )
    wait_until(lambda: any((tmp_path / "results").glob("*/trials.jsonl")) and workers_of(tmp_path) != [])
    running.send_signal(signal.SIGKILL)
    running.wait()
    wait_until(lambda: not workers_of(tmp_path))


def test_an_address_that_does_not_answer_is_refused_in_time() -> None:
    begin = time.monotonic()
    with (
        pytest.raises(UserError, match=r"`--address` must be HOST:PORT .* Received: 127\.0\.0\.1:9"),
        RayCluster("127.0.0.1:9"),
    ):
        pass
    assert time.monotonic() - begin < 60


def test_no_ray_of_this_machine_to_join_is_refused() -> None:
    with pytest.raises(UserError, match="Received: auto"), RayCluster("auto"):
        pass


def wait_until(true: Any) -> None:
    for _ in range(1200):
        if true():
            return
        time.sleep(0.1)
    pytest.fail("waited in vain")
