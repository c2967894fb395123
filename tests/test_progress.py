"""Progress: plain lines without a terminal, what they count, and the time left."""

import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from factories import (
    make_accuracy,
    make_baseline,
    make_cell,
    make_failure,
    make_group,
    make_speed,
    make_trial,
    make_turn,
)
from rich.console import Console

from bench.measure import progress as progress_module
from bench.measure.progress import Progress, expected_s, summary
from bench.plan.cells import BACKENDS, Group, Settings, Trial
from bench.records.schema import Record

LINE = re.compile(r"^\[(\d+)/(\d+)\] (.+): (.+) \(about (-?\d+) (s|min) left\)$")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress_module, "monotonic", clock)
    return clock


def sixteen_trials() -> list[Trial | Group]:
    cells = [make_cell(backend, "lstm", length) for backend in BACKENDS for length in (4, 25)]
    trials = [make_trial(cell, index=index) for cell in cells for index in (0, 1)]
    return [*trials, *(make_group(cell) for cell in cells[:4])]


def show(
    trials: Sequence[Trial | Group], clock: Clock, *, slowness: float = 1.0, order: int = 1, width: int = 200
) -> list[str]:
    """Run trials that each take `slowness` times what is expected; return the lines that were printed."""
    out = StringIO()
    progress = Progress(Console(file=out, width=width, force_terminal=False))
    progress.begin(trials, slots=1)
    for trial in trials[::order]:
        progress.trial_begins(trial)
        clock.now_s += slowness * expected_s(trial)
        record: Record = make_speed(trial.cell) if isinstance(trial, Trial) else make_accuracy(trial.cell)
        progress.trial_ends(trial, record)
    progress.end(Path("results", "some-run"))
    return out.getvalue().splitlines()


def left_s(line: str) -> float:
    match = LINE.match(line)
    assert match, line
    return float(match[5]) * (60 if match[6] == "min" else 1)


@pytest.mark.parametrize("width", [40, 200])
def test_line_of_a_trial(clock: Clock, width: int) -> None:
    """A log is searched by line; nobody sees the edge of a terminal there."""
    *lines, last = show(sixteen_trials(), clock, width=width)
    counted = [match.groups()[:2] for line in lines if (match := LINE.match(line))]
    assert counted == [(str(number), "16") for number in range(1, 17)]
    assert last.startswith("Measured 16 trials in ") and last.endswith(f"Records: {Path('results', 'some-run')}")
    assert all(line.isprintable() and line == line.strip() for line in lines)


def test_names_and_results(clock: Clock) -> None:
    trials: list[Trial | Group] = [make_trial(make_cell("torch", "gru", 4)), make_trial(is_control=True), make_group()]
    lines = show(trials, clock)
    assert "speed torch gru 4 process 1: 10 ms an epoch" in lines[0]
    assert "process 1 (control): " in lines[1]
    assert "accuracy jax lstm 12 seed 0: val_loss 1 after 2 epochs" in lines[2]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("slowness", [1.0, 4.0])
def test_time_left(clock: Clock, slowness: float, order: int) -> None:
    lines = show(sixteen_trials(), clock, slowness=slowness, order=order)[:-1]
    left = [left_s(line) for line in lines]
    assert left[6:] == sorted(left[6:], reverse=True), "the first trials show how fast this machine is"
    assert left[-1] == 0 < left[len(left) // 2]


def test_slow_machine(clock: Clock) -> None:
    usual, slow = (show(sixteen_trials(), clock, slowness=slowness)[8] for slowness in (1.0, 8.0))
    assert left_s(slow) > 4 * left_s(usual)


def test_slots() -> None:
    trials = [make_group(seeds=(seed,)) for seed in range(8)]
    left = []
    for slots in (1, 4):
        out = StringIO()
        progress = Progress(Console(file=out, width=200, force_terminal=False))
        progress.begin([*trials, make_trial()], slots=slots)
        progress.trial_ends(make_trial(), make_speed())
        left.append(left_s(out.getvalue().splitlines()[0]))
    assert left[1] < 0.5 * left[0]


def test_disturbed_turns_are_counted_in_one_line(clock: Clock) -> None:
    out = StringIO()
    progress = Progress(Console(file=out, width=200, force_terminal=False))
    progress.begin([make_trial()] * 3, slots=1)
    for others_cpu_s in (9.0, 0.0, 9.0):
        turns = [make_turn(), make_turn(number=1, others_cpu_s=others_cpu_s)]
        progress.trial_ends(make_trial(), make_speed(turns=turns))
    progress.end(Path("run"))
    assert out.getvalue().count("disturbed") == 1
    assert "2 of 6 turns were disturbed by others; kept, marked." in out.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_failure(clock: Clock, terminal: bool) -> None:
    out = StringIO()
    progress = Progress(Console(file=out, width=200, force_terminal=terminal, color_system=None))
    progress.begin([make_trial()], slots=1)
    progress.trial_ends(make_trial(), make_failure(reason="MemoryError: [red]no[/red] :smile: left"))
    progress.close()
    assert "process 1: FAILED in turn: MemoryError: [red]no[/red] :smile: left" in out.getvalue()


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (make_failure(reason="gone"), "FAILED in turn: gone"),
        (make_failure(reason="`layers` must be 1.", fault="not available"), "not available: `layers` must be 1."),
        (make_baseline(), "done"),
    ],
)
def test_summary(record: Record, text: str) -> None:
    assert summary(record) == text


def test_longer_sequences() -> None:
    for backend in BACKENDS:
        short, long = (make_group(make_cell(backend, "lstm", length)) for length in (4, 200))
        assert expected_s(short) < expected_s(long)


@pytest.mark.parametrize(
    "more", [{"rounds": 30}, {"turn_s": 60.0}, {"turn_epochs": 9000}, {"warmup_s": 60.0}, {"warmup_epochs": 9000}]
)
def test_longer_turns(more: dict[str, float]) -> None:
    usual, longer = make_trial(), make_trial(settings=Settings.model_validate({"timing": more}))
    assert expected_s(longer) > 2 * expected_s(usual)
