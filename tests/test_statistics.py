"""Statistics: medians, ratios and break-evens by hand, and how often an interval is right."""

from itertools import pairwise
from math import exp, inf, isnan, nan, sqrt

import numpy as np
import pytest
from factories import make_cell, make_processes, make_slice, make_speed
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis import statistics
from bench.analysis.intervals import Interval
from bench.analysis.statistics import (
    Ratio,
    epoch_time,
    median,
    median_interval,
    median_ratio,
    overtaking,
    ratio,
)
from bench.records.speed import Speed

TORCH = make_cell("torch")
SECONDS = st.floats(1e-4, 1e2)


def start_and_epoch(start_s: float, epoch_s: float, processes: int = 1) -> list[Speed]:
    """Make processes that start, first epoch included, in so many seconds."""
    return [
        make_speed(
            process=process,
            steady_s=(epoch_s,),
            process_start_s=0.0,
            import_s=0.0,
            build_s=0.0,
            start_epochs_s=(start_s,),
        )
        for process in range(processes)
    ]


def test_the_median_is_that_of_the_processes_medians() -> None:
    """The process with more epochs has no more say: over all epochs the median would be 1."""
    time = epoch_time([make_speed(steady_s=(1, 1, 1, 1, 1)), make_speed(steady_s=(3,)), make_speed(steady_s=(4, 6))])
    assert (time.processes, time.median_s) == (3, 3.0)


def test_a_single_outlier_does_not_move_the_median() -> None:
    assert epoch_time([make_speed(steady_s=(1, 2, 3, 4, 1000))]).median_s == 3.0


def test_the_quartiles_are_those_of_all_epochs() -> None:
    time = epoch_time([make_speed(steady_s=(1, 2, 3)), make_speed(steady_s=(4, 5))])
    assert (time.quarter_s, time.three_quarters_s) == (2.0, 4.0)


def test_start_and_warm_up_are_not_counted() -> None:
    speed = make_speed(steady_s=(0.1,))
    assert min(*speed.start_epochs_s, speed.slices[0].epochs_s[0]) > 0.1
    assert epoch_time([speed]).three_quarters_s == 0.1


def test_a_disturbed_turn_is_not_counted_beside_its_repetition() -> None:
    turns = [make_slice((8.0,), others_cpu_s=9.0), make_slice((2.0,))]
    time = epoch_time([make_speed(slices=turns)])
    assert (time.median_s, time.three_quarters_s) == (2.0, 2.0)


def test_the_spread_is_a_share_of_the_medians() -> None:
    """Medians of 1 and exp(0.2): their logarithms are 0.1 from their mean."""
    assert epoch_time(make_processes(seconds=(1.0, exp(0.2)))).spread == pytest.approx(0.1 * sqrt(2))
    assert isnan(epoch_time([make_speed()]).spread)


@pytest.mark.parametrize("processes", [1, 4])
def test_fewer_than_five_processes_have_no_interval(processes: int) -> None:
    seconds = [1.0 + process for process in range(processes)]
    for interval in (
        epoch_time(make_processes(seconds=seconds)).interval,
        ratio(make_processes(seconds=seconds), make_processes(seconds=seconds)).interval,
        overtaking(start_and_epoch(2, 1, processes), start_and_epoch(1, 2, 9)).interval,
    ):
        assert isnan(interval.low) and isnan(interval.high)


def test_the_interval_of_a_median_is_between_its_extremes_and_holds_it() -> None:
    values = np.array([1.0, 2.0, 4.0, 3.0, 9.0, 7.0, 8.0])
    interval = median_interval(values)
    assert 1.0 <= interval.low < 4.0 < interval.high <= 9.0
    assert median_interval(values[::-1]) == interval, "the order does not choose the resamples"


def test_the_interval_of_many_values_is_that_of_the_bootstrap_found_by_a_shorter_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(5).lognormal(0, 0.1, statistics.MANY)
    ordered = median_interval(values)
    monkeypatch.setattr(statistics, "MANY", 1000)
    resampled = median_interval(values)
    assert (ordered.low, ordered.high) == pytest.approx((resampled.low, resampled.high), rel=0.02)


def test_the_interval_of_equal_values_is_that_value() -> None:
    assert median_interval(np.full(5, 0.25)) == Interval(0.25, 0.25)


def test_a_ratio_is_the_median_over_processes() -> None:
    """One process that lies far off does not move it."""
    found = ratio(make_processes(seconds=(2.0, 3.0, 99.0)), make_processes(TORCH, seconds=(1.0, 1.0, 1.0)))
    assert found.processes == 3 and found.value == pytest.approx(3.0)
    even = ratio(make_processes(seconds=(2.0, 8.0)), make_processes(TORCH, seconds=(1.0, 1.0)))
    assert even.value == pytest.approx(4.0), "halfway on logarithms; the arithmetic mean would be 5"


def test_a_ratio_pairs_processes_by_their_number() -> None:
    """A process that the other side lacks is left out; the order of records does not matter."""
    first = make_processes(seconds=(10.0, 20.0, 40.0, 999.0))
    second = make_processes(TORCH, seconds=(5.0, 5.0, 5.0))[::-1]
    found = ratio(first, second)
    assert found.processes == 3 and found.value == pytest.approx(4.0)


def test_a_ratio_pairs_rounds_by_their_number() -> None:
    """A drift that both sides share cancels; medians of whole processes would not be 2 here."""
    first = make_speed(slices=[make_slice((2.0,)), make_slice((8.0,), number=1), make_slice((20.0,), number=2)])
    second = make_speed(slices=[make_slice((10.0,), number=2), make_slice((4.0,), number=1), make_slice((1.0,))])
    assert ratio([first], [second]).value == pytest.approx(2.0)
    lost = make_speed(slices=[make_slice((10.0,), number=2), make_slice((1.0,), number=7)])
    assert ratio([first], [lost]).value == pytest.approx(2.0), "the only round that both have"


def test_a_process_says_the_median_of_its_rounds() -> None:
    slices = [make_slice((seconds,), number=number) for number, seconds in enumerate((1.0, 3.0, 500.0))]
    assert ratio([make_speed(slices=slices)], [make_speed(steady_s=(1.0,), rounds=3)]).value == pytest.approx(3.0)


@pytest.mark.parametrize("noisy", [0, 1])
def test_a_round_that_was_disturbed_on_either_side_does_not_count(noisy: int) -> None:
    def side(place: int, seconds: float) -> Speed:
        noise = 99.0 if place == noisy else 0.0
        return make_speed(slices=[make_slice((seconds,), others_cpu_s=noise), make_slice((seconds,), number=1)])

    first, second = side(0, 3.0), side(1, 1.0)
    calm_first = make_speed(slices=[make_slice((100.0,)), make_slice((3.0,), number=1)])
    assert ratio([first], [second]).value == pytest.approx(3.0)
    assert ratio([calm_first], [second]).value == pytest.approx(3.0 if noisy == 1 else 51.5)


def test_disturbed_rounds_count_where_a_process_has_no_other() -> None:
    noisy = make_speed(steady_s=(3.0,), rounds=2, others_cpu_s=9.0)
    assert ratio([noisy], [make_speed(steady_s=(1.0,), rounds=2)]).value == pytest.approx(3.0)


def test_a_pair_without_a_common_round_is_no_process() -> None:
    first = [make_speed(process=0, slices=[make_slice(number=3)]), make_speed(process=1, steady_s=(2.0,))]
    found = ratio(first, make_processes(TORCH, seconds=(1.0, 1.0)))
    assert found.processes == 1 and found.value == pytest.approx(2.0)


def test_a_ratio_of_nothing_is_no_number() -> None:
    for found in (ratio([], [make_speed()]), median_ratio([]), median_ratio([nan])):
        assert found.processes == 0 and isnan(found.value) and isnan(found.half_width) and found.undecided


def test_a_pair_of_sides_turned_round_is_the_reciprocal() -> None:
    first, second = (make_processes(seconds=seconds) for seconds in ((1, 2, 3, 5, 8, 13), (2, 3, 5, 7, 11, 13)))
    forth, back = ratio(first, second), ratio(second, first)
    assert forth.value * back.value == pytest.approx(1.0)
    assert forth.interval.low * back.interval.high == pytest.approx(1.0, rel=1e-2), "resamples are not mirrored"


@pytest.mark.parametrize(
    ("low", "high", "undecided"),
    [(0.9, 1.1, True), (1.0, 1.1, True), (1.01, 1.1, False), (0.8, 0.99, False), (1.0, 1.0, True), (nan, nan, True)],
)
def test_a_ratio_is_undecided_while_its_interval_holds_one(low: float, high: float, undecided: bool) -> None:
    assert Ratio(8, 1.0, Interval(low, high)).undecided is undecided


def test_the_half_width_is_that_of_the_wider_side() -> None:
    assert Ratio(8, 2.0, Interval(1.9, 2.5)).half_width == pytest.approx(0.25)
    assert Ratio(8, 2.0, Interval(1.0, 2.5)).half_width == pytest.approx(1.0)
    assert isnan(Ratio(4, 2.0, Interval(nan, nan)).half_width)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(SECONDS, min_size=1, max_size=8), st.floats(1e-3, 1e3))
def test_the_same_factor_in_every_process_is_the_ratio(seconds: list[float], factor: float) -> None:
    slow = [round(one * factor, 9) for one in seconds]
    found = ratio(make_processes(seconds=slow), make_processes(seconds=[round(one, 9) for one in seconds]))
    assert found.processes == len(seconds)
    assert found.value == pytest.approx(factor, rel=0.01)


@settings(deadline=None)
@given(st.lists(SECONDS, min_size=5, max_size=12))
def test_an_interval_holds_its_figure(seconds: list[float]) -> None:
    def in_order(*values: float) -> bool:
        """Tell whether values grow, but for rounding: seconds are recorded to the nanosecond."""
        return all(left <= right * (1 + 1e-9) + 1e-9 for left, right in pairwise(values))

    time = epoch_time(make_processes(seconds=seconds))
    assert in_order(min(seconds), time.interval.low, time.median_s, time.interval.high, max(seconds))
    found = median_ratio(seconds)
    assert in_order(found.interval.low, found.value, found.interval.high)


def test_the_interval_of_a_ratio_without_a_difference_misses_one_as_often_as_it_says() -> None:
    """Both sides are drawn alike, 8 processes each; a 95 % interval misses 1 about once in 20."""
    random = np.random.default_rng(3)
    draws = 400
    missed = 0
    for _ in range(draws):
        first, second = random.lognormal(0, 0.03, (2, 8)).tolist()
        missed += not ratio(make_processes(seconds=first), make_processes(TORCH, seconds=second)).undecided
    assert 0.01 < missed / draws < 0.10


def test_a_difference_beyond_the_noise_is_found_through_whole_records() -> None:
    random = np.random.default_rng(4)
    drift = random.lognormal(0, 0.5, 8)  # what both sides of a process share
    slow, fast = (drift * factor * random.lognormal(0, 0.01, 8) for factor in (1.1, 1.0))
    found = ratio(make_processes(seconds=slow.tolist()), make_processes(seconds=fast.tolist()))
    assert not found.undecided and found.value == pytest.approx(1.1, rel=0.02)
    assert found.interval.low < found.value < found.interval.high
    apart = ratio(make_processes(seconds=slow.tolist()), make_processes(seconds=fast[::-1].tolist()))
    assert apart.undecided, "without the pairs the drift hides the difference"


def test_overtaking_is_counted_by_hand() -> None:
    """Behind by 10 s after the first epoch, 2 s gained in each: level after 6 epochs, ahead after 7."""
    found = overtaking(start_and_epoch(11, 1), start_and_epoch(1, 3))
    assert found.epoch == 7
    assert 11 + 5 * 1 == 1 + 5 * 3 and 11 + 6 * 1 < 1 + 6 * 3


@pytest.mark.parametrize(
    ("first", "second", "epoch"),
    [
        ((1.0, 1.0), (2.0, 2.0), 1),
        ((2.0, 1.0), (2.0, 2.0), 2),
        ((2.5, 1.0), (2.0, 2.0), 2),
        ((3.0, 1.0), (2.0, 2.0), 3),
        ((2.0, 1.0), (1.0, 1.0), inf),
        ((2.0, 1.0), (2.0, 1.0), inf),
    ],
)
def test_overtaking_is_from_the_start_later_or_never(
    first: tuple[float, float], second: tuple[float, float], epoch: float
) -> None:
    assert overtaking(start_and_epoch(*first), start_and_epoch(*second)).epoch == epoch


def test_medians_decide_when_a_side_is_ahead() -> None:
    slow_starts = [*start_and_epoch(11, 1, 2), *start_and_epoch(9999, 1)]
    assert overtaking(slow_starts, start_and_epoch(1, 3, 3)).epoch == 7


def test_the_interval_of_overtaking_holds_it_and_reaches_to_never() -> None:
    sure = overtaking(start_and_epoch(11, 1, 5), start_and_epoch(1, 3, 5))
    assert sure.interval == Interval(7, 7)
    random = np.random.default_rng(5)
    first, second = (
        [
            start_and_epoch(start_s, epoch_s, 8)[process]
            for process, epoch_s in enumerate(random.normal(middle, 0.05, 8))
        ]
        for start_s, middle in ((11, 1.0), (1, 1.02))
    )
    unsure = overtaking(first, second)
    assert unsure.interval.low < unsure.epoch <= unsure.interval.high == inf


@settings(deadline=None)
@given(st.floats(0.01, 50), SECONDS, st.floats(0.01, 50), SECONDS)
def test_overtaking_is_the_first_epoch_with_less_time(
    start_s: float, epoch_s: float, other_start_s: float, other_epoch_s: float
) -> None:
    (first,), (second,) = start_and_epoch(start_s, epoch_s), start_and_epoch(other_start_s, other_epoch_s)
    epoch = overtaking([first], [second]).epoch

    def lead(epochs: float) -> float:
        return (second.start_s - first.start_s) + (epochs - 1) * (second.median_s - first.median_s)

    if epoch == inf:
        assert lead(1) <= 0 and lead(1e9) <= 0
    else:
        assert lead(epoch) > -1e-6 * epoch
        assert epoch == 1 or lead(epoch - 1) < 1e-6 * epoch


def test_one_wide_process_of_eight_does_not_make_the_interval_wide() -> None:
    found = median_ratio([0.98, 0.99, 0.99, 1.0, 1.0, 1.01, 1.02, 2.0])
    assert found.half_width < 0.05 and found.undecided


@pytest.mark.parametrize(
    ("values", "expected"), [([3.0, 1.0, 2.0], 2.0), ([1.0, None, 2.0], 1.5), ([None], None), ([], None), ([nan], None)]
)
def test_the_median_leaves_out_what_was_not_measured(values: list[float | None], expected: float | None) -> None:
    assert median(values) == expected
