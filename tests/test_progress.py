"""Progress: plain lines without a terminal, what they count, and the time left."""

import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from factories import make_accuracy, make_baseline, make_cell, make_failure, make_group, make_speed, make_trial
from rich.console import Console

from bench.measure import progress as progress_module
from bench.measure.progress import Progress, expected_s, summary
from bench.plan.cells import BACKENDS, Group, Settings, Trial
from bench.records.schema import Record

LINE = re.compile(r"^\[(\d+)/(\d+)\] (.+): (.+) \(about (-?\d+) (s|min) left\)$")


class Clock:
    """A clock that goes only when it is told to."""

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
    trials: Sequence[Trial | Group], clock: Clock, *, pace: float = 1.0, order: int = 1, width: int = 80
) -> list[str]:
    """Run trials that each take `pace` times what is expected; return the lines that were printed."""
    out = StringIO()
    progress = Progress(Console(file=out, width=width, force_terminal=False))
    progress.begin(trials, slots=1)
    for trial in trials[::order]:
        progress.trial_begins(trial)
        clock.now_s += pace * expected_s(trial)
        record: Record = make_speed(trial.cell) if isinstance(trial, Trial) else make_accuracy(trial.cell)
        progress.trial_ends(trial, record)
    progress.end(Path("results", "some-run"))
    return out.getvalue().splitlines()


def left_s(line: str) -> float:
    match = LINE.match(line)
    assert match, line
    return float(match[5]) * (60 if match[6] == "min" else 1)


def test_lines_are_plain_without_a_terminal(clock: Clock) -> None:
    for line in show(sixteen_trials(), clock, width=200):
        assert line.isprintable() and "\x1b" not in line
        assert line == line.strip()


def test_every_trial_is_one_line_however_narrow_the_console(clock: Clock) -> None:
    """A log is searched by line; nobody sees the edge of a terminal there."""
    lines = show(sixteen_trials(), clock, width=40)
    assert len(lines) == 17
    assert all(LINE.match(line) for line in lines[:-1])
    assert lines[-1].endswith("Records: " + str(Path("results", "some-run")))


def test_trials_are_counted_up(clock: Clock) -> None:
    lines = show(sixteen_trials(), clock, width=200)
    counted = [match.groups()[:2] for line in lines if (match := LINE.match(line))]
    assert counted == [(str(number), "16") for number in range(1, 17)]
    assert lines[-1].startswith("Measured 16 trials in ")


def test_every_line_names_its_trial_and_what_came_out(clock: Clock) -> None:
    lines = show([make_trial(make_cell("torch", "gru", 4)), make_group()], clock, width=200)
    assert "speed torch gru 4 process 1: 10 ms an epoch" in lines[0]
    assert "accuracy jax lstm 12 seed 0: val_mse 1 after 2 epochs" in lines[1]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("pace", [1.0, 4.0])
def test_the_time_left_shrinks_to_nothing(clock: Clock, pace: float, order: int) -> None:
    lines = show(sixteen_trials(), clock, pace=pace, order=order, width=200)[:-1]
    left = [left_s(line) for line in lines]
    at_pace = left[6:]  # the first trials tell how fast this machine is
    assert at_pace == sorted(at_pace, reverse=True)
    assert left[-1] < left[len(left) // 2]
    assert lines[-1].endswith("(about 0 s left)")


def test_a_slow_machine_is_told_a_longer_time(clock: Clock) -> None:
    usual, slow = (show(sixteen_trials(), clock, pace=pace, width=200)[8] for pace in (1.0, 8.0))
    assert left_s(slow) > 4 * left_s(usual)


def test_accuracy_trials_that_run_at_once_take_less_time() -> None:
    trials = [make_group(seeds=(seed,)) for seed in range(8)]
    left = []
    for slots in (1, 4):
        out = StringIO()
        progress = Progress(Console(file=out, width=200, force_terminal=False))
        progress.begin([*trials, make_trial()], slots=slots)
        progress.trial_ends(make_trial(), make_speed())
        left.append(left_s(out.getvalue().splitlines()[0]))
    assert left[1] < 0.5 * left[0]


def test_the_reason_of_a_failure_is_shown(clock: Clock) -> None:
    out = StringIO()
    progress = Progress(Console(file=out, width=200, force_terminal=False))
    progress.begin([make_trial()], slots=1)
    progress.trial_ends(make_trial(), make_failure(reason="MemoryError: [red]no[/red] :smile: left"))
    assert "FAILED in fit: MemoryError: [red]no[/red] :smile: left" in out.getvalue()


def test_a_failure_is_shown_on_a_terminal_too(clock: Clock) -> None:
    out = StringIO()
    progress = Progress(Console(file=out, width=200, force_terminal=True, color_system=None))
    progress.begin([make_trial()], slots=1)
    progress.trial_ends(make_trial(), make_failure(reason="out of memory"))
    progress.close()
    assert "speed jax lstm 12 process 1: FAILED in fit: out of memory" in out.getvalue()


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (make_speed(steady_s=(0.001, 0.0123, 9.0)), "12.3 ms an epoch"),
        (make_speed(steady_s=(0.01, 0.03)), "20 ms an epoch"),
        (make_accuracy(val_loss=(2.0, 0.123456)), "val_mse 0.123 after 2 epochs"),
        (make_failure(reason="gone"), "FAILED in fit: gone"),
        (make_baseline(), "done"),
    ],
)
def test_a_record_is_summed_up_in_a_few_words(record: Record, said: str) -> None:
    assert summary(record) == said


def test_longer_sequences_and_slower_backends_are_expected_to_take_longer() -> None:
    for backend in BACKENDS:
        short, long = (make_group(make_cell(backend, "lstm", length)) for length in (4, 200))
        assert expected_s(short) < expected_s(long)


@pytest.mark.parametrize(
    "more",
    [{"rounds": 30}, {"slice_s": 60.0}, {"slice_epochs": 9000}, {"warmup_s": 60.0}, {"warmup_epochs": 9000}],
)
def test_longer_turns_are_expected_to_take_longer(more: dict[str, float]) -> None:
    usual, longer = make_trial(), make_trial(settings=Settings.model_validate({"timing": more}))
    assert expected_s(longer) > 2 * expected_s(usual)


def test_a_control_is_told_from_its_cell(clock: Clock) -> None:
    lines = show([make_trial(), make_trial(twin=True)], clock, width=200)
    assert "process 1: " in lines[0] and "process 1 (control): " in lines[1]
