"""Turns: who runs when, what a lost worker leaves, and when more processes are measured."""

from collections import defaultdict
from collections.abc import Callable
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
from test_runner import TIMING, run, wait_for

from bench.errors import UserError
from bench.host import pinned, usable_cores
from bench.measure.progress import Progress
from bench.measure.turns import WORKER_BYTES, Block, fitting_blocks, timing_cores, worker_cores
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import BACKENDS, Cell, Settings, Trial
from bench.plan.timing import Limits, Timing
from bench.records.schema import Failure, Record
from bench.records.speed import Speed
from bench.worker.pace import Pace

pytestmark = pytest.mark.usefixtures("own_lock")

ROUNDS = 4
THREE = [("jax", False), ("torch", False), ("tensorflow", True)]


def make_trial(backend: str, *, twin: bool = False, timing: Timing = TIMING) -> Trial:
    cell = Cell(backend=backend, device="cpu", model="lstm", length=4)  # type: ignore[arg-type]
    return Trial(kind="speed", cell=cell, index=0, settings=Settings(timing=timing), twin=twin)


class Measured:
    """A block measured with played workers: its records, and what was seen meanwhile."""

    def __init__(
        self,
        folder: Path,
        behaviours: dict[str, str] | None = None,
        *,
        rounds: int = ROUNDS,
        limit_s: float = 60.0,
        pace: Pace | None = None,
        look: Callable[[dict[Trial, WorkerProcess]], None] = lambda _: None,
        **changes: Any,
    ) -> None:
        timing = TIMING.model_copy(update={"rounds": rounds} | changes)
        self.trials = [make_trial(backend, twin=twin, timing=timing) for backend, twin in THREE]
        self.records: dict[str, Record] = {}
        self.begun: list[str] = []
        self.workers: dict[Trial, WorkerProcess] = {}

        def start(trial: Trial) -> WorkerProcess:
            python = fake_python(folder, (behaviours or {}).get(trial.cell.backend, "good"))
            worker = WorkerProcess(python, trial.cell, cores=usable_cores()[-1:], limits=Limits.all_phases(limit_s))
            self.workers[trial] = worker
            return worker

        def begins(trial: Trial) -> None:
            self.begun.append(trial.cell.backend)
            look(self.workers)

        def ends(trial: Trial, record: Record) -> None:
            assert trial.cell.backend not in self.records, "a trial left two records"
            self.records[trial.cell.backend] = record

        Block(
            self.trials, timing, start=start, pace=pace or Pace(), begun_s=monotonic(), begins=begins, ends=ends
        ).measure()

    def speed(self, backend: str) -> Speed:
        record = self.records[backend]
        assert isinstance(record, Speed)
        return record

    def failure(self, backend: str) -> Failure:
        record = self.records[backend]
        assert isinstance(record, Failure)
        return record

    def orders(self) -> list[tuple[str, ...]]:
        """Return who had a turn in each round, first ones first."""
        begun: dict[int, list[tuple[float, str]]] = defaultdict(list)
        for backend, record in self.records.items():
            for turn in record.slices if isinstance(record, Speed) else ():
                begun[turn.round].append((turn.begun_at_s, backend))
        return [tuple(backend for _, backend in sorted(begun[number])) for number in sorted(begun)]


def test_every_trial_leaves_one_record_with_a_turn_of_each_round(tmp_path: Path) -> None:
    block = Measured(tmp_path)
    assert block.records.keys() == set(BACKENDS)
    for backend in BACKENDS:
        assert [turn.round for turn in block.speed(backend).slices] == list(range(ROUNDS))
        assert [len(turn.steady_s) for turn in block.speed(backend).slices] == [TIMING.slice_epochs] * ROUNDS
    assert {backend: block.speed(backend).twin for backend in BACKENDS} == dict(THREE)


def test_rounds_follow_each_other_each_in_an_order_of_its_own_and_alike_in_every_run(tmp_path: Path) -> None:
    block = Measured(tmp_path)
    orders = block.orders()
    assert len(orders) == ROUNDS and all(sorted(order) == sorted(BACKENDS) for order in orders)
    assert len(set(orders)) > 1
    begun_at_s = [
        [turn.begun_at_s for backend in BACKENDS for turn in block.speed(backend).slices if turn.round == number]
        for number in range(ROUNDS)
    ]
    assert all(max(before) < min(after) for before, after in pairwise(begun_at_s))
    assert Measured(tmp_path).orders() == orders


def test_all_workers_of_a_block_are_there_at_once_until_it_ends(tmp_path: Path) -> None:
    alive: list[int] = []

    def look(workers: dict[Trial, WorkerProcess]) -> None:
        alive.append(sum(worker.alive for worker in workers.values()))

    block = Measured(tmp_path, look=look)
    assert alive == [0, 1, 2] + [3] * (len(alive) - 3) and len(alive) == 3 + 3 * ROUNDS + 3
    assert block.begun[:3] == [trial.cell.backend for trial in block.trials]
    assert not any(worker.alive for worker in block.workers.values())


@pytest.mark.parametrize(
    ("behaviour", "phase", "reason", "limit_s"),
    [
        ("dies at import", "import", "exit code 3: ImportError: no such library", 60.0),
        ("no gpu", "import", "`device` gpu was asked for", 60.0),
        ("raises", "first epoch", "RuntimeError: out of memory", 60.0),
        ("crashes in its second turn", "turns", "exit code -6", 60.0),
        ("raises in its second turn", "turns", "RuntimeError: out of memory", 60.0),
        ("hangs in its second turn", "turns", "silent for 5 s, ended", 5.0),
        ("wrong path", "witness", "ValueError: `expect` is", 60.0),
    ],
)
def test_lost_worker_is_a_failure_and_the_others_run_all_their_rounds(
    tmp_path: Path, behaviour: str, phase: str, reason: str, limit_s: float
) -> None:
    block = Measured(tmp_path, {"torch": behaviour}, limit_s=limit_s)
    failure = block.failure("torch")
    assert failure.phase == phase and reason in failure.reason
    assert (failure.trial, failure.cell.backend, failure.index) == ("speed", "torch", 0)
    for backend in ("jax", "tensorflow"):
        assert len(block.speed(backend).slices) == ROUNDS
    (lost,) = [worker for trial, worker in block.workers.items() if trial.cell.backend == "torch"]
    assert not lost.alive


def test_worker_lost_between_its_turns_is_a_failure_of_its_own_only(tmp_path: Path) -> None:
    """A parked worker may be killed from outside, for its memory say."""
    looks: list[int] = []

    def look(workers: dict[Trial, WorkerProcess]) -> None:
        looks.append(0)
        if len(looks) == 3 + 3 + 1:  # all are warm, and the first round is over
            (torch,) = [worker for trial, worker in workers.items() if trial.cell.backend == "torch"]
            torch.end()
            wait_for(lambda: not torch.alive)

    block = Measured(tmp_path, look=look)
    assert "exit code -9" in block.failure("torch").reason
    assert [len(block.speed(backend).slices) for backend in ("jax", "tensorflow")] == [ROUNDS, ROUNDS]


@pytest.mark.parametrize("repeats", [0, 2])
def test_disturbed_turn_is_kept_and_repeated_as_often_as_allowed(tmp_path: Path, repeats: int) -> None:
    block = Measured(tmp_path, {"torch": "disturbed"}, rounds=2, repeats=repeats)
    turns = block.speed("torch").slices
    assert [turn.round for turn in turns] == [0] * (1 + repeats) + [1] * (1 + repeats)
    assert all(turn.disturbed for turn in turns)
    assert len({turn.begun_at_s for turn in turns}) == len(turns)
    assert [turn.round for turn in block.speed("jax").slices] == [0, 1]


def test_turn_is_repeated_only_until_nobody_disturbs_it_and_that_one_counts(tmp_path: Path) -> None:
    record = Measured(tmp_path, {"torch": "disturbed once"}, rounds=2, repeats=3).speed("torch")
    assert [(turn.round, turn.disturbed) for turn in record.slices] == [(0, True), (0, False), (1, True), (1, False)]
    assert not any(turn.disturbed for turn in record.rounds.values())


def test_error_outside_the_workers_ends_them_all(tmp_path: Path) -> None:
    seen: dict[Trial, WorkerProcess] = {}

    def look(workers: dict[Trial, WorkerProcess]) -> None:
        seen.update(workers)
        if len(workers) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Measured(tmp_path, look=look)
    assert len(seen) == 3 and not any(worker.alive for worker in seen.values())


def speeds(folder: Path, behaviours: dict[str, str] | None = None, **changes: Any) -> tuple[list[Speed], str]:
    """Run a small sweep without accuracy trials; return its speed records and what was said."""
    shown = StringIO()
    progress = Progress(Console(file=shown, width=200))
    small: dict[str, Any] = {"backends": ("jax", "torch"), "models": ("lstm",), "lengths": (4,), "seeds": 0}
    written = run(folder, behaviours, progress=progress, **(small | changes))
    return [record for record in written.records if isinstance(record, Speed)], shown.getvalue()


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ("none", set()),
        ("one", {("jax", "simple_rnn", 4), ("torch", "simple_rnn", 12)}),
        ("each", {(backend, "simple_rnn", length) for backend in ("jax", "torch") for length in (4, 12)}),
    ],
)
def test_controls_are_twins_of_cells_that_are_measured_too(
    tmp_path: Path, control: str, expected: set[tuple[str, str, int]]
) -> None:
    timing = TIMING.model_copy(update={"control": control, "rounds": 1})
    records, _ = speeds(tmp_path, models=("simple_rnn", "lstm"), lengths=(4, 12), timing=timing)
    cells = [(one.cell.backend, one.cell.model, one.cell.length) for one in records if not one.twin]
    twins = [(one.cell.backend, one.cell.model, one.cell.length) for one in records if one.twin]
    assert set(twins) == expected and len(twins) == len(expected)
    assert len(cells) == len(set(cells)) == 8


def test_every_process_measures_all_lengths_before_the_next_one(tmp_path: Path) -> None:
    timing = TIMING.model_copy(update={"processes": 2, "rounds": 1})
    records, _ = speeds(tmp_path, lengths=(12, 4), timing=timing)
    assert [(one.process, one.cell.length) for one in records[::2]] == [(0, 4), (0, 12), (1, 4), (1, 12)]
    begun_at_s = [turn.begun_at_s for one in records for turn in one.slices]
    assert max(begun_at_s[:4]) < min(begun_at_s[4:])


def test_disturbed_turns_are_said(tmp_path: Path) -> None:
    timing = TIMING.model_copy(update={"repeats": 1})
    _, said = speeds(tmp_path, {"jax": "disturbed once"}, timing=timing)
    assert "speed jax lstm 4 process 1: 2 of 4 turns disturbed by other processes; kept, marked" in said
    assert "speed torch lstm 4 process 1: 2 of" not in said


def test_a_turn_that_the_host_slows_is_measured_again_and_both_are_kept(tmp_path: Path) -> None:
    timing = TIMING.model_copy(update={"repeats": 1, "rounds": 1, "processes": 1})
    records, said = speeds(tmp_path, {"jax": "slowed once"}, timing=timing)
    slices = {one.cell.backend: one.slices for one in records}
    assert [turn.slowed for turn in slices["jax"]] == [True, False] and len(slices["torch"]) == 1
    assert "speed jax lstm 4 process 1: 1 of 2 turns disturbed by the host; kept, marked" in said


def test_what_the_host_can_do_is_known_to_later_processes_of_a_side(tmp_path: Path) -> None:
    timing = TIMING.model_copy(update={"rounds": 1, "processes": 2, "repeats": 0})
    records, said = speeds(tmp_path, {"jax": "slowed"}, timing=timing)
    fastest_s = [one.slices[0].fastest_probe_s for one in records if one.cell.backend == "jax"]
    assert fastest_s == [1.0, 0.5], "the second process was told of the first, and had one half as long"
    assert "The host slowed the core during" in said


def precise(**changes: Any) -> Timing:
    return TIMING.model_copy(update={"processes": 2, "rounds": 1, "precision": 0.05, **changes})


def test_more_processes_are_measured_where_intervals_are_wide_until_all_are_narrow(tmp_path: Path) -> None:
    records, said = speeds(tmp_path, timing=precise())
    assert {one.process for one in records if one.cell.backend == "jax"} == {0, 1, 2, 3, 4}  # the fewest of an interval
    assert "Length 4 is not narrow yet: process 5" in said and "process 6" not in said
    assert "Precision 5.0% at length 4: reached, 0.0%" in said


def test_only_wide_blocks_get_more_processes_and_the_budget_ends_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count()
    monkeypatch.setattr("bench.measure.turns.monotonic", lambda: float(next(ticks)))
    records, said = speeds(tmp_path, {"torch": "unsteady at 12"}, lengths=(4, 12), timing=precise(budget_s=30.0))
    counts = {length: len([one for one in records if one.cell.length == length]) for length in (4, 12)}
    assert counts[4] == 2 * 5 < counts[12]
    assert "Precision 5.0% at length 4: reached" in said and "Precision 5.0% at length 12: missed" in said


def test_without_a_budget_what_was_missed_is_said_at_once(tmp_path: Path) -> None:
    records, said = speeds(tmp_path, timing=precise(budget_s=0.0))
    assert len(records) == 2 * 2 and "at length 4: too few processes" in said and "not narrow yet" not in said


def test_blocks_are_split_by_model_only_where_their_workers_do_not_fit_into_memory() -> None:
    whole = make_sweep(models=("simple_rnn", "lstm")).blocks()
    needed = 6 * 1.5 * WORKER_BYTES
    assert fitting_blocks(whole, int(needed)) == whole
    split = fitting_blocks(whole, int(needed) - 1)
    assert [{(cell.length, cell.model) for cell in block} for block in split] == [
        {(4, "simple_rnn")},
        {(4, "lstm")},
        {(12, "simple_rnn")},
        {(12, "lstm")},
    ]
    assert [cell for block in split for cell in block] == [cell for block in whole for cell in block]


def test_lack_of_memory_is_said_and_everything_is_measured_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=2**30, available=2**29))
    records, said = speeds(tmp_path, models=("simple_rnn", "lstm"))
    assert "Models take their turns apart" in said
    assert [one.cell.model for one in records] == ["simple_rnn"] * 2 + ["lstm"] * 2


def test_controls_of_models_that_take_turns_apart_are_counted_from_the_first_trial_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=2**30, available=2**29))
    timing = TIMING.model_copy(update={"control": "one"})
    records, said = speeds(tmp_path, models=("simple_rnn", "lstm"), timing=timing)
    assert len(records) == 6 and "[1/6]" in said and "[6/6]" in said


@pytest.mark.parametrize(
    ("threads", "cores", "shared"),
    [
        (1, [0, 1, 2], ([2], [0, 1])),
        (1, [5], ([5], [5])),
        (2, [0, 1, 2], ([1, 2], [0])),
        (2, [4, 6], ([4, 6], [4, 6])),
        (8, [0, 1], ([0, 1], [0, 1])),
        ("default", [0, 1], ([0, 1], [0, 1])),
    ],
)
def test_worker_and_coordinator_share_the_cores(
    threads: Any, cores: list[int], shared: tuple[list[int], list[int]]
) -> None:
    assert timing_cores(threads, cores) == shared


@pytest.mark.parametrize(("threads", "cores"), [(1, [2, 3]), (2, [0, 1, 2, 3]), ("default", [0, 1, 2, 3])])
def test_every_device_of_a_worker_has_cores_of_its_own(threads: Any, cores: list[int]) -> None:
    assert worker_cores(make_cell(threads=threads, devices=2), [0, 1, 2, 3]) == cores


def test_coordinator_gets_its_cores_back_whatever_happens() -> None:
    before = usable_cores()
    with pytest.raises(UserError), pinned(before[:1]):
        assert usable_cores() == before[:1]
        raise UserError("wrong")
    assert usable_cores() == before
