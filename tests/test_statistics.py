"""Statistics: medians by hand, and which of several trials of a process counts."""

import pytest
from factories import make_speed

from bench.statistics import epoch_time, median, undisturbed


def test_the_median_is_that_of_the_processes_medians() -> None:
    """The process with more epochs has no more say: over all epochs the median would be 1."""
    time = epoch_time([make_speed(steady_s=(1, 1, 1, 1, 1)), make_speed(steady_s=(3,)), make_speed(steady_s=(4, 6))])
    assert (time.processes, time.epochs, time.median_s) == (3, 8, 3.0)


def test_a_single_outlier_does_not_move_the_median() -> None:
    assert epoch_time([make_speed(steady_s=(1, 2, 3, 4, 1000))]).median_s == 3.0


def test_the_quartiles_are_those_of_all_epochs() -> None:
    time = epoch_time([make_speed(steady_s=(1, 2, 3)), make_speed(steady_s=(4, 5))])
    assert (time.quarter_s, time.three_quarters_s) == (2.0, 4.0)


def test_the_first_epoch_and_the_warm_up_are_not_counted() -> None:
    speed = make_speed(steady_s=(0.1,))
    assert max(speed.epochs_s) > 1
    assert epoch_time([speed]).three_quarters_s == 0.1


def test_an_undisturbed_trial_is_kept_instead_of_disturbed_ones() -> None:
    calm, noisy = make_speed(), make_speed(others_cpu_s=1.0)
    assert undisturbed([noisy, calm]) == [calm]
    assert undisturbed([calm, noisy]) == [calm]
    assert undisturbed([noisy, calm, noisy]) == [calm]


def test_the_last_of_several_equal_trials_is_kept() -> None:
    first, last = make_speed(steady_s=(1,)), make_speed(steady_s=(2,))
    assert undisturbed([first, last]) == [last]


def test_a_process_that_was_disturbed_every_time_still_counts() -> None:
    first, last = (make_speed(steady_s=(seconds,), others_cpu_s=9.0) for seconds in (1, 2))
    assert undisturbed([first, last]) == [last]


def test_every_process_keeps_one_trial() -> None:
    trials = [make_speed(process=process, others_cpu_s=noise) for process in (0, 1, 2) for noise in (1.0, 0.0)]
    assert [(trial.process, trial.disturbed) for trial in undisturbed(trials)] == [(0, False), (1, False), (2, False)]


@pytest.mark.parametrize(
    ("values", "expected"), [([3.0, 1.0, 2.0], 2.0), ([1.0, None, 2.0], 1.5), ([None], None), ([], None)]
)
def test_the_median_leaves_out_what_was_not_measured(values: list[float | None], expected: float | None) -> None:
    assert median(values) == expected
