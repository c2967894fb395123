"""Turns: who runs when, what a lost worker leaves, and when more processes are measured."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from io import StringIO
from itertools import count, pairwise
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
from factories import make_cell, make_sweep
from fake_worker import fake_python
from rich.console import Console
from test_run import TIMING, run

from bench.measure.pool import WorkerPool
from bench.measure.progress import Progress
from bench.measure.turns import WORKER_BYTES, Block, fitting_blocks
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import BACKENDS, Cell, Settings, Trial
from bench.plan.timing import Limits, Timing
from bench.records.schema import Failure, Record, Speed

pytestmark = pytest.mark.usefixtures("own_lock")

ROUNDS = 4
Look = Callable[[Mapping[str, WorkerProcess]], None]


class WatchedPool(WorkerPool):
    """A pool that remembers its workers."""

    def start(self, cell: Cell, **_: Any) -> WorkerProcess:
        """Start a worker."""
        self.started[cell.environment] = worker = super().start(cell)
        return worker

    def __enter__(self) -> "WatchedPool":
        self.started: dict[str, WorkerProcess] = {}
        super().__enter__()
        return self


class Measured:
    """A block measured with played workers: its records, and what was seen meanwhile."""

    def __init__(
        self,
        folder: Path,
        behaviours: dict[str, str] | None = None,
        *,
        order_seed: int = 7,
        look: Look = lambda _: None,
        **timing: Any,
    ) -> None:
        settings = Settings(timing=TIMING.model_copy(update={"rounds": ROUNDS} | timing))
        self.trials = [
            Trial(kind="speed", cell=make_cell(backend, length=4), index=0, settings=settings, is_control=control)
            for backend, control in (("jax", False), ("torch", False), ("tensorflow", True))
        ]
        self.records: dict[str, Record] = {}

        def ends(trial: Trial, record: Record) -> None:
            assert trial.cell.backend not in self.records, "a trial left two records"
            self.records[trial.cell.backend] = record

        pythons: dict[str, str] = {
            backend: fake_python(folder, (behaviours or {}).get(backend, "good")) for backend in BACKENDS
        }
        with WatchedPool(pythons, limits=Limits.all_phases(60.0)) as pool:
            self.workers = pool.started
            Block(
                self.trials,
                pool,
                order_seed=order_seed,
                begun_s=monotonic(),
                begins=lambda _: look(self.workers),
                ends=ends,
            ).measure()

    def speed(self, backend: str) -> Speed:
        record = self.records[backend]
        assert isinstance(record, Speed)
        return record

    def orders(self) -> list[tuple[str, ...]]:
        """Return who had a turn in each round, first ones first."""
        begun: dict[int, list[tuple[float, str]]] = defaultdict(list)
        for backend in self.records:
            for turn in self.speed(backend).turns:
                begun[turn.round].append((turn.started_after_s, backend))
        return [tuple(backend for _, backend in sorted(begun[number])) for number in sorted(begun)]


def test_rounds(tmp_path: Path) -> None:
    alive: list[int] = []

    def look(workers: Mapping[str, WorkerProcess]) -> None:
        alive.append(sum(worker.alive for worker in workers.values()))

    block = Measured(tmp_path, look=look)
    assert alive[:3] == [0, 1, 2] and set(alive[3 : 3 + 3 * ROUNDS]) == {3}, "all are there at once"
    assert {trial.cell.backend: trial.is_control for trial in block.trials} == {
        backend: block.speed(backend).is_control for backend in BACKENDS
    }
    for backend in BACKENDS:
        turns = block.speed(backend).turns
        assert [(turn.round, len(turn.counted_epochs_s)) for turn in turns] == [(number, 3) for number in range(ROUNDS)]
    orders = block.orders()
    assert len(orders) == ROUNDS and len(set(orders)) > 1
    assert all(sorted(order) == sorted(BACKENDS) for order in orders)
    started_s = [[block.speed(backend).turns[number].started_after_s for backend in BACKENDS] for number in range(4)]
    assert all(max(before) < min(after) for before, after in pairwise(started_s))


def test_order_seed(tmp_path: Path) -> None:
    first, again, other = (Measured(tmp_path, order_seed=seed, rounds=8).orders() for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("behaviour", "phase", "fault"),
    [
        ("dies at import", "import", "crashed"),
        ("no gpu", "import", "raised"),
        ("crashes in its second turn", "turn", "crashed"),
        ("wrong path", "execution path", "raised"),
    ],
)
def test_lost_worker(tmp_path: Path, behaviour: str, phase: str, fault: str) -> None:
    block = Measured(tmp_path, {"torch": behaviour})
    lost = block.records["torch"]
    assert isinstance(lost, Failure)
    assert (lost.trial, lost.cell.backend, lost.index, lost.phase, lost.fault) == ("speed", "torch", 0, phase, fault)
    assert [len(block.speed(backend).turns) for backend in ("jax", "tensorflow")] == [ROUNDS, ROUNDS]


def test_worker_lost_between_turns(tmp_path: Path) -> None:
    """A waiting worker may be killed from outside, for its memory say."""
    looks = count(1)

    def look(workers: Mapping[str, WorkerProcess]) -> None:
        if next(looks) == 3 + 3 + 1:  # all are warm, and the first round is over
            workers["torch"].end()

    block = Measured(tmp_path, look=look)
    lost = block.records["torch"]
    assert isinstance(lost, Failure) and lost.exit_code == -9
    assert [len(block.speed(backend).turns) for backend in ("jax", "tensorflow")] == [ROUNDS, ROUNDS]


@pytest.mark.parametrize(
    ("behaviour", "repeats", "turns"),
    [
        ("disturbed", 0, [(0, True), (1, True)]),
        ("disturbed", 2, [(0, True)] * 3 + [(1, True)] * 3),
        ("disturbed once", 3, [(0, True), (0, False), (1, True), (1, False)]),
    ],
)
def test_disturbed_turn_is_repeated(
    tmp_path: Path, behaviour: str, repeats: int, turns: list[tuple[int, bool]]
) -> None:
    block = Measured(tmp_path, {"torch": behaviour}, rounds=2, repeats=repeats)
    assert [(turn.round, turn.disturbed) for turn in block.speed("torch").turns] == turns
    assert [turn.round for turn in block.speed("jax").turns] == [0, 1]


def test_error_outside_the_workers(tmp_path: Path) -> None:
    seen: dict[str, WorkerProcess] = {}

    def look(workers: Mapping[str, WorkerProcess]) -> None:
        seen.update(workers)
        if len(workers) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Measured(tmp_path, look=look)
    assert len(seen) == 3 and not any(worker.alive for worker in seen.values())


def speeds(folder: Path, behaviours: dict[str, str] | None = None, **changes: Any) -> tuple[list[Speed], str]:
    """Run a small sweep without accuracy trials; return its speed records and what was printed."""
    shown = StringIO()
    progress = Progress(Console(file=shown, width=200))
    small: dict[str, Any] = {"backends": ("jax", "torch"), "models": ("lstm",), "lengths": (4,), "seeds": 0}
    written = run(folder, behaviours, progress=progress, **(small | changes))
    return [record for record in written.records if isinstance(record, Speed)], shown.getvalue()


def test_processes_follow_each_other(tmp_path: Path) -> None:
    timing = TIMING.model_copy(update={"processes": 2, "rounds": 1, "control": "one"})
    records, _ = speeds(tmp_path, lengths=(12, 4), timing=timing)
    assert [(record.process, record.cell.length) for record in records[::3]] == [(0, 4), (0, 12), (1, 4), (1, 12)]
    controls = {(record.cell.backend, record.cell.length) for record in records if record.is_control}
    assert controls == {("jax", 4), ("torch", 12)} and len(records) == 2 * 2 * 3


def precise(**changes: Any) -> Timing:
    return TIMING.model_copy(update={"processes": 2, "rounds": 1, "precision": 0.05, **changes})


def test_precision(tmp_path: Path) -> None:
    records, shown = speeds(tmp_path, timing=precise())
    assert {record.process for record in records} == set(range(6))  # the fewest of an interval
    assert "Length 4 is not narrow yet: process 6" in shown
    assert "Precision 5.0% at length 4: reached, 0.0%" in shown


def test_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr("bench.measure.turns.monotonic", lambda: float(next(ticks)))
    timing = precise(budget_s=25.0)
    records, shown = speeds(tmp_path, {"jax": "unsteady at 12"}, backends=("jax",), lengths=(4, 12), timing=timing)
    counts = {length: len([record for record in records if record.cell.length == length]) for length in (4, 12)}
    assert counts[4] == 6 < counts[12]
    assert "Precision 5.0% at length 4: reached" in shown and "Precision 5.0% at length 12: missed" in shown


def test_no_budget(tmp_path: Path) -> None:
    records, shown = speeds(tmp_path, timing=precise(budget_s=0.0))
    assert len(records) == 2 * 2 and "at length 4: too few processes" in shown and "not narrow yet" not in shown


def test_fitting_blocks() -> None:
    blocks = make_sweep(models=("simple_rnn", "lstm")).blocks()
    needed = 6 * 1.5 * WORKER_BYTES
    assert fitting_blocks(blocks, int(needed)) == blocks
    split = fitting_blocks(blocks, int(needed) - 1)
    models = [(4, "simple_rnn"), (4, "lstm"), (12, "simple_rnn"), (12, "lstm")]
    assert [{(cell.length, cell.model) for cell in block} for block in split] == [{model} for model in models]
    assert [cell for block in split for cell in block] == [cell for block in blocks for cell in block]


def test_lack_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=2**30, available=2**29))
    timing = TIMING.model_copy(update={"control": "one", "rounds": 1})
    records, shown = speeds(tmp_path, models=("simple_rnn", "lstm"), timing=timing)
    assert "Each model takes turns on its own" in shown and "[1/6]" in shown and "[6/6]" in shown
    assert [record.cell.model for record in records] == ["simple_rnn"] * 3 + ["lstm"] * 3
