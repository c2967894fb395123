"""What a timed process leaves behind: which epochs count, which turn stands for a round, what starting is."""

from typing import Any

import pytest
from factories import make_slice, make_speed
from pydantic import ValidationError

from bench.records.speed import Slice, Witness, disturbers


def test_the_warm_up_of_a_turn_is_not_counted() -> None:
    turn = make_slice((0.1, 0.2, 0.6))
    assert turn.epochs_s == (0.5, 0.1, 0.2, 0.6) and turn.warmup_epochs == 1
    assert turn.steady_s == (0.1, 0.2, 0.6)
    assert turn.median_s == 0.2


def test_epochs_before_the_first_turn_are_not_counted() -> None:
    speed = make_speed(steady_s=(0.1, 0.2, 0.3), rounds=2)
    assert (speed.start_epochs_s, speed.first_epoch_s) == ((1.5, 0.75, 0.75), 1.5)
    assert speed.steady_s == (0.1, 0.2, 0.3, 0.1, 0.2, 0.3)


def test_the_median_of_a_process_is_that_of_its_rounds() -> None:
    """A turn with more epochs has no more say: over all epochs the median would be 1."""
    turns = [make_slice(seconds, number=number) for number, seconds in enumerate([(1, 1, 1, 1, 1), (3,), (4, 6)])]
    assert make_speed(slices=turns).median_s == 3.0


@pytest.mark.parametrize(("others_cpu_s", "disturbed"), [(0.0, False), (0.1, False), (0.12, True)])
def test_a_tenth_of_a_core_disturbs(others_cpu_s: float, disturbed: bool) -> None:
    """Of the whole turn, which is 1.1 s with its warm-up."""
    assert make_slice((0.1, 0.2, 0.3), others_cpu_s=others_cpu_s).disturbed is disturbed


def probed(*probes_s: float, after: Any = None, steady_s: Any = (0.1, 0.2, 0.3, 0.4, 0.5)) -> Slice:
    """Make a turn of six epochs, the first of which is warm-up, on a core that does a probe in 1 s."""
    return make_slice(steady_s, probes_s=probes_s, probed_after=after, fastest_probe_s=1.0)


def test_epochs_beside_a_slow_probe_do_not_count() -> None:
    turn = probed(1.0, 1.2, 1.2, 1.4, after=(0, 1, 4, 6))
    assert not turn.slowed and turn.slowdown == 1.2
    assert (turn.steady_s, turn.slow_s, turn.median_s) == ((0.1, 0.2, 0.3), (0.4, 0.5), 0.2)


def test_a_turn_with_too_few_calm_epochs_counts_whole_and_is_slowed() -> None:
    turn = probed(1.0, 1.2, 1.2, 1.4, after=(0, 1, 3, 6))
    assert turn.slowed and turn.disturbed and turn.slowdown == 1.4
    assert (turn.steady_s, turn.slow_s) == ((0.1, 0.2, 0.3, 0.4, 0.5), (0.3, 0.4, 0.5))


def test_a_turn_that_is_short_needs_no_more_calm_epochs_than_it_has() -> None:
    assert not probed(1.0, 1.0, after=(0, 2), steady_s=(0.1,)).slowed
    assert probed(1.0, 1.4, after=(0, 2), steady_s=(0.1,)).slowed


@pytest.mark.parametrize(("probes_s", "slowed"), [((1.0, 1.2), False), ((1.3, 1.0), True), ((1.0, 1.3), True)])
def test_an_older_turn_was_probed_before_and_behind_it(probes_s: tuple[float, float], slowed: bool) -> None:
    turn = probed(*probes_s)
    assert (turn.slowed, turn.slowdown) == (slowed, max(probes_s))
    assert len(turn.steady_s) == 5 and len(turn.slow_s) == (5 if slowed else 0)


def test_a_turn_that_nobody_probed_is_not_slowed() -> None:
    turn = make_slice()
    assert (turn.slowed, turn.slowdown, turn.slow_s) == (False, None, ())


@pytest.mark.parametrize("after", [(), (0,), (0, 5), (1, 6), (0, 7, 6), (0, 3, 6), (0, 10**12)])
def test_probes_that_do_not_cover_the_turn_are_refused(after: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="probed_after"):
        probed(1.0, 1.0, after=after)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([], ""),
        ([make_slice()], ""),
        ([make_slice(others_cpu_s=9.0)], "other processes"),
        ([probed(1.0, 1.8)], "the host"),
        ([probed(1.8, 1.0), make_slice(others_cpu_s=9.0)], "other processes and the host"),
        ([make_slice(probes_s=(1.8, 1.0), fastest_probe_s=1.0, others_cpu_s=9.0)], "other processes"),
    ],
)
def test_who_disturbed_is_named(turns: list[Slice], expected: str) -> None:
    assert disturbers(turns) == expected


CALM, NOISY = 0.0, 9.0


@pytest.mark.parametrize(
    ("noise", "kept"),
    [
        ((CALM,), 0),
        ((NOISY, CALM), 1),
        ((CALM, NOISY), 0),
        ((CALM, CALM), 1),
        ((NOISY, CALM, NOISY), 1),
        ((NOISY, NOISY), 1),
    ],
)
def test_a_round_is_its_last_undisturbed_turn_or_its_last(noise: tuple[float, ...], kept: int) -> None:
    turns = [make_slice((place + 1.0,), others_cpu_s=one) for place, one in enumerate(noise)]
    assert make_speed(slices=turns).rounds == {0: turns[kept]}


def test_every_round_keeps_a_turn_of_its_own() -> None:
    turns = [
        make_slice((seconds,), number=number, others_cpu_s=noise)
        for number, seconds, noise in [(0, 1.0, NOISY), (0, 2.0, CALM), (1, 3.0, NOISY), (2, 4.0, CALM)]
    ]
    speed = make_speed(slices=turns)
    assert list(speed.rounds.items()) == [(0, turns[1]), (1, turns[2]), (2, turns[3])]
    assert (speed.steady_s, speed.median_s) == ((2.0, 3.0, 4.0), 3.0)


def test_starting_is_counted_up_to_the_end_of_the_first_epoch() -> None:
    assert make_speed().start_s == 0.05 + 2.5 + 0.25 + 1.5
    assert make_speed(process_start_s=None).start_s == 2.5 + 0.25 + 1.5


@pytest.mark.parametrize(
    ("recurrence", "xla", "written"),
    [("scan", True, "scan, XLA"), ("while_loop", False, "while loop"), ("cudnn", False, "cudnn")],
)
def test_a_path_is_written_for_people(recurrence: str, xla: bool, written: str) -> None:
    assert str(Witness(recurrence=recurrence, xla=xla, compilations=1, evidence="")) == written
