"""The pool: who is started, who shares, what a lost worker costs, and that nobody else measures meanwhile."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from factories import make_cell
from fake_worker import fake_python

from bench.errors import UserError
from bench.host import usable_cores
from bench.measure.pool import WorkerPool, machine_lock, worker_cores
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import Cell
from bench.plan.timing import Limits
from bench.records.failures import WorkerError

pytestmark = pytest.mark.usefixtures("own_lock")

CELLS = [make_cell(environment, length=length) for environment in ("jax", "torch") for length in (4, 5, 6)]


def make_pool(folder: Path, behaviour: str = "good", **limits: float) -> WorkerPool:
    python = fake_python(folder, behaviour)
    return WorkerPool({"jax": python, "torch": python}, limits=Limits(**limits))


def same(cell: Cell) -> Cell:
    return cell


def test_jobs(tmp_path: Path) -> None:
    done: dict[Cell, str] = {}
    pids: dict[str, set[int]] = {"jax": set(), "torch": set()}

    def ask(worker: WorkerProcess, cell: Cell) -> str:
        pids[cell.environment].add(worker.pid)
        return worker.worker.environment

    with make_pool(tmp_path) as pool:
        pool.map(CELLS, ask, cell_of=same, on_done=lambda cell, result: done.update({cell: str(result)}))
    assert done == {cell: cell.environment for cell in CELLS}
    assert all(1 <= len(workers) <= len(usable_cores()) for workers in pids.values()), "workers are used again"


def test_lost_worker(tmp_path: Path) -> None:
    failed: list[Cell] = []

    def ask(worker: WorkerProcess, cell: Cell) -> None:
        if cell.length == 5:
            worker.end()
            raise WorkerError("gone", "killed")

    def keep(cell: Cell, result: WorkerError | None) -> None:
        failed.extend([cell] if result else [])
        done.append(cell)

    done: list[Cell] = []
    with make_pool(tmp_path) as pool:
        pool.map(CELLS, ask, cell_of=same, on_done=keep)
    assert sorted(cell.environment for cell in failed) == ["jax", "torch"] and {cell.length for cell in failed} == {5}
    assert len(done) == len(CELLS)


@pytest.mark.parametrize(("behaviour", "is_users"), [("dies at import", False), ("no gpu", True)])
def test_worker_that_does_not_start(tmp_path: Path, behaviour: str, is_users: bool) -> None:
    results: list[Any] = []
    with make_pool(tmp_path, behaviour) as pool:
        pool.map(CELLS[:2], lambda *_: None, cell_of=same, on_done=lambda _, result: results.append(result))
    assert [(result.phase, isinstance(result.__cause__, UserError)) for result in results] == [("import", is_users)] * 2


def test_other_error_ends_all_workers(tmp_path: Path) -> None:
    workers: list[WorkerProcess] = []
    both = threading.Barrier(2)

    def ask(worker: WorkerProcess, cell: Cell) -> None:
        workers.append(worker)
        if len(usable_cores()) > 1:
            both.wait(60)
        if cell.environment == "jax":
            raise KeyboardInterrupt
        while worker.alive:
            threading.Event().wait(0.01)
        raise WorkerError("ended", "killed")

    done: list[Cell] = []
    with make_pool(tmp_path) as pool, pytest.raises(KeyboardInterrupt):
        pool.map(CELLS, ask, cell_of=same, on_done=lambda cell, _: done.append(cell))
    assert done == [] and not any(worker.alive for worker in workers)


def test_interrupted_while_a_thread_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C may come before the executor knows of a thread that runs already: it does nothing more."""
    start = threading.Thread.start
    runs: list[threading.Thread] = []

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if "ThreadPoolExecutor" in thread.name:
            runs.append(thread)
            raise KeyboardInterrupt

    done: list[Cell] = []
    with make_pool(tmp_path) as pool, pytest.raises(KeyboardInterrupt), monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        pool.map(CELLS, lambda *_: None, cell_of=same, on_done=lambda cell, _: done.append(cell))
    runs[0].join(60)
    assert not runs[0].is_alive() and done == []


def test_leaving(tmp_path: Path) -> None:
    before = usable_cores()
    with make_pool(tmp_path) as pool:
        worker = pool.start(make_cell())
        assert worker.alive and usable_cores() == (before[:-1] or before)
    assert not worker.alive and usable_cores() == before


def test_second_pool(tmp_path: Path) -> None:
    with machine_lock(), pytest.raises(UserError, match=f"process {os.getpid()}"), make_pool(tmp_path):
        pass


@pytest.mark.parametrize(
    ("threads", "devices", "cores", "expected"),
    [
        (1, 1, [0, 1, 2], [2]),
        (2, 1, [0, 1, 2], [1, 2]),
        (8, 1, [0, 1], [0, 1]),
        ("default", 1, [0, 1], [0, 1]),
        (1, 2, [0, 1, 2, 3], [2, 3]),
        (2, 2, [0, 1, 2, 3], [0, 1, 2, 3]),
    ],
)
def test_cores(threads: Any, devices: int, cores: list[int], expected: list[int]) -> None:
    assert worker_cores(make_cell(threads=threads, devices=devices), cores) == expected
