"""Intervals: figures by hand, and how often they are right where the truth is known."""

from collections.abc import Callable
from itertools import combinations
from math import e, exp, inf, isnan, log, nan, sqrt
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from bench.analysis.intervals import (
    LEAST_SEEDS,
    MANY_SEEDS,
    RATE_MARGIN,
    RATIO_MARGIN,
    Contrast,
    Interval,
    holm,
    mean_interval,
    paired_difference,
    paired_ratio,
    verdicts,
)

# Rounding below a millionth of the largest figure is not what these tests are about.
figures = st.lists(st.integers(1, 10**6), min_size=LEAST_SEEDS, max_size=20)
paired = st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=LEAST_SEEDS, max_size=20)
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
T4_95, T4_90 = 2.7764451, 2.1318468  # Student's t with 4 degrees of freedom, from a printed table


def coverage(
    draw: Draw,
    truth: float,
    seeds: int,
    bounds: tuple[float, float] = (0, inf),
    method: Callable[[NDArray[np.float64]], Interval] | None = None,
) -> float:
    random = np.random.default_rng(seeds)
    method = method or (lambda sample: mean_interval(sample, bounds=bounds))
    found = [method(draw(random, seeds)) for _ in range(1000)]
    return float(np.mean([interval.low <= truth <= interval.high for interval in found]))


@pytest.mark.parametrize("seeds", [10, 15, 20])
@pytest.mark.parametrize("sigma", [0.2, 0.5])
def test_interval_covers_the_mean_of_a_skewed_sample(sigma: float, seeds: int) -> None:
    assert 0.90 <= coverage(lambda random, n: random.lognormal(0, sigma, n), exp(sigma**2 / 2), seeds) <= 0.98


@pytest.mark.parametrize("seeds", [10, 20])
def test_interval_of_a_very_skewed_sample_covers_less_but_not_much(seeds: int) -> None:
    """docs/interval_coverage.py measures it with more samples: 90 to 92 %."""
    assert 0.88 <= coverage(lambda random, n: random.lognormal(0, 1, n), exp(0.5), seeds) <= 0.95


@pytest.mark.parametrize("seeds", [10, 20])
def test_simpler_intervals_of_a_very_skewed_sample_cover_less(seeds: int) -> None:
    """Why the interval is studentised: of the same samples, Student's t holds the mean in at least 3 points fewer."""

    def student(sample: NDArray[np.float64]) -> Interval:
        half = float(special.stdtrit(seeds - 1, 0.975)) * float(sample.std(ddof=1)) / sqrt(seeds)
        return Interval(float(sample.mean()) - half, float(sample.mean()) + half)

    def very_skewed(random: np.random.Generator, n: int) -> NDArray[np.float64]:
        return random.lognormal(0, 1, n)

    studentised, students = (coverage(very_skewed, exp(0.5), seeds, method=method) for method in (None, student))
    assert studentised - students >= 0.03


@pytest.mark.parametrize("seeds", [10, 20])
@pytest.mark.parametrize(("a", "b"), [(3, 3), (9, 1), (2, 98)])
def test_interval_covers_the_mean_of_rates(a: int, b: int, seeds: int) -> None:
    def rates(random: np.random.Generator, n: int) -> NDArray[np.float64]:
        return random.binomial(200, random.beta(a, b, n)) / 200

    assert 0.90 <= coverage(rates, a / (a + b), seeds, (0, 1)) <= 0.98


@given(figures)
@settings(deadline=None)
def test_interval_holds_the_mean(values: list[int]) -> None:
    interval, mean = mean_interval(values), float(np.mean(values))
    assert interval.low <= mean + 1e-6 and mean - 1e-6 <= interval.high


@given(figures, st.randoms())
@settings(deadline=None)
def test_order_of_the_seeds_does_not_matter(values: list[int], random: Random) -> None:
    shuffled = random.sample(values, len(values))
    assert mean_interval(shuffled) == mean_interval(values)


@given(figures, st.sampled_from([0.25, 2.0, 1024.0]))
@settings(deadline=None)
def test_interval_has_the_unit_of_the_figures(values: list[int], unit: float) -> None:
    interval, scaled = mean_interval(values), mean_interval([unit * value for value in values])
    assert (scaled.low, scaled.high) == pytest.approx((unit * interval.low, unit * interval.high))


def test_interval_is_the_same_on_every_call() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 16.0]
    assert mean_interval(values) == mean_interval(values)


def test_interval_of_a_skewed_sample_reaches_further_on_the_long_side() -> None:
    values = [1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4, 2.6, 20.0]
    interval, mean = mean_interval(values), float(np.mean(values))
    assert interval.high - mean > 2 * (mean - interval.low)


def test_interval_of_equal_figures_has_no_width() -> None:
    interval = mean_interval([0.1] * 10)
    assert interval.low == interval.high == pytest.approx(0.1)


def test_interval_is_students_where_all_seeds_but_one_are_equal() -> None:
    """The mean is 0.9 and its standard error 0.1; a third of the resamples has nothing but ones."""
    interval = mean_interval([1.0] * 9 + [0.0])
    t9_95 = 2.2621572
    assert (interval.low, interval.high) == pytest.approx((0.9 - 0.1 * t9_95, 0.9 + 0.1 * t9_95))


def test_interval_is_cut_at_what_is_possible() -> None:
    interval = mean_interval([1.0] * 9 + [0.0], bounds=(0, 1))
    assert 0 < interval.low < 0.9 and interval.high == 1


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0, nan, inf]])
def test_few_seeds_have_no_interval(values: list[float]) -> None:
    interval = mean_interval(values)
    assert isnan(interval.low) and isnan(interval.high)


def test_figures_that_are_not_finite_are_left_out() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 16.0]
    assert mean_interval([*values, nan, inf]) == mean_interval(values)


def test_difference_is_students_of_the_pairs() -> None:
    """Differences 1, 2, 3, 4, 5: mean 3, standard error sqrt(2.5 / 5)."""
    found = paired_difference([11, 22, 33, 44, 55], [10, 20, 30, 40, 50], margin=4)
    half, reach = (t * sqrt(0.5) for t in (T4_95, T4_90))
    assert (found.pairs, found.value) == (5, 3.0)
    assert (found.interval.low, found.interval.high) == pytest.approx((3 - half, 3 + half))
    assert not found.equivalent and 3 + reach > 4
    assert found.p_value == pytest.approx(0.0132356, abs=1e-6)


@pytest.mark.parametrize(("margin", "equivalent"), [(4.50, False), (4.51, True)])
def test_within_the_margins_means_the_90_percent_interval_is(margin: float, equivalent: bool) -> None:
    """The 90 % interval ends at 3 + 2.1318 sqrt(0.5) = 4.507, the 95 % interval at 4.963."""
    assert paired_difference([1, 2, 3, 4, 5], [0] * 5, margin=margin).equivalent is equivalent
    assert paired_difference([0] * 5, [1, 2, 3, 4, 5], margin=margin).equivalent is equivalent


def test_ratio_is_the_geometric_mean_of_the_pairs() -> None:
    """Logarithms of the ratios 1, 2, 3, 4, 5, as above."""
    found = paired_ratio([e, e**2, e**3, e**4, e**5], [1] * 5)
    half = T4_95 * sqrt(0.5)
    assert found.value == pytest.approx(e**3)
    assert (found.interval.low, found.interval.high) == pytest.approx((exp(3 - half), exp(3 + half)))
    assert found.p_value == pytest.approx(0.0132356, abs=1e-6)


def test_pairing_takes_out_what_the_seeds_have_in_common() -> None:
    hard = np.array([1.0, 10.0, 100.0, 1000.0, 10000.0])
    found = paired_ratio(1.5 * hard, hard * [0.99, 1.0, 1.01, 1.0, 1.0])
    assert 1.48 < found.interval.low < found.value < found.interval.high < 1.52


@given(paired)
def test_sides_exchanged_invert_the_ratio(pairs: list[tuple[int, int]]) -> None:
    there, back = (paired_ratio(*np.transpose(order)) for order in (pairs, [pair[::-1] for pair in pairs]))
    assert (back.value, back.interval.low, back.interval.high) == pytest.approx(
        (1 / there.value, 1 / there.interval.high, 1 / there.interval.low), rel=1e-9
    )
    assert back.p_value == pytest.approx(there.p_value)
    assert back.equivalent is there.equivalent


@given(paired)
def test_sides_exchanged_turn_the_difference(pairs: list[tuple[int, int]]) -> None:
    there, back = (paired_difference(*np.transpose(order)) for order in (pairs, [pair[::-1] for pair in pairs]))
    assert (back.value, back.interval.low, back.interval.high) == (
        -there.value,
        -there.interval.high,
        -there.interval.low,
    )


@given(paired, st.randoms())
def test_order_of_the_pairs_does_not_matter(pairs: list[tuple[int, int]], random: Random) -> None:
    there, shuffled = (paired_ratio(*np.transpose(order)) for order in (pairs, random.sample(pairs, len(pairs))))
    assert (shuffled.value, shuffled.interval.low, shuffled.p_value) == pytest.approx(
        (there.value, there.interval.low, there.p_value), rel=1e-6
    )


@given(figures)
def test_equal_samples_are_equal(values: list[int]) -> None:
    contrasts = paired_ratio(values, values), paired_difference(values, values)
    assert [contrast.value for contrast in contrasts] == [1.0, 0.0]
    assert [contrast.interval for contrast in contrasts] == [Interval(1.0, 1.0), Interval(0.0, 0.0)]
    assert verdicts([contrasts]) == ["equal"]


def test_the_same_difference_in_every_seed_is_no_accident() -> None:
    found = paired_difference([0.5] * 5, [0.25] * 5)
    assert (found.value, found.interval, found.p_value) == (0.25, Interval(0.25, 0.25), 0.0)
    assert verdicts([[found]]) == ["different"]


def test_pairs_that_cannot_be_compared_are_not_counted() -> None:
    first = [1.0, 2.0, 3.0, 4.0, 5.0, nan, 1.0, 1.0, 0.0, inf]
    second = [1.0, 2.0, 3.0, 4.0, 5.0, 1.0, nan, inf, 1.0, inf]
    assert (paired_ratio(first, second).pairs, paired_difference(first, second).pairs) == (5, 6)


def test_sides_that_are_worlds_apart_have_an_interval_too() -> None:
    found = paired_ratio([1e300, 1e-300, 1.0, 1e300, 1e300], [1e-300, 1e300, 1.0, 1.0, 1e-300])
    assert found.interval.low == 0 and found.interval.high == inf


@pytest.mark.parametrize("pairs", range(LEAST_SEEDS))
def test_few_pairs_stay_open(pairs: int) -> None:
    """Even where they are the same: too few to know."""
    contrasts = paired_ratio([2.0] * pairs, [2.0] * pairs), paired_difference([2.0] * pairs, [2.0] * pairs)
    for contrast in contrasts:
        assert contrast.pairs == pairs
        assert isnan(contrast.value) is (pairs == 0)
        assert isnan(contrast.interval.low) and isnan(contrast.p_value)
    assert verdicts([contrasts]) == ["open"]


@pytest.mark.parametrize(
    ("p_values", "raised"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.04, 0.04], [0.08, 0.08]),
        ([0.6, 0.9], [1.0, 1.0]),
        ([nan, 0.02, nan, 0.03], [nan, 0.04, nan, 0.04]),
    ],
)
def test_holm_raises_each_by_those_that_are_left(p_values: list[float], raised: list[float]) -> None:
    assert holm(p_values) == pytest.approx(raised, nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    """Rejected is what every set of hypotheses that holds it rejects by Bonferroni."""
    places = range(len(p_values))
    sets = [chosen for size in range(1, len(p_values) + 1) for chosen in combinations(places, size)]
    for place, raised in zip(places, holm(p_values), strict=True):
        closed = max(min(1.0, len(held) * min(p_values[i] for i in held)) for held in sets if place in held)
        assert raised == pytest.approx(closed)


def contrast(p_value: float, *, equivalent: bool = False) -> Contrast:
    return Contrast(10, 1.0, Interval(0.9, 1.1), equivalent, p_value)


def test_a_difference_within_the_margins_is_equal_even_if_it_is_no_accident() -> None:
    assert verdicts([[contrast(1e-9, equivalent=True)]]) == ["equal"]


def test_a_comparison_is_equal_only_if_all_its_contrasts_are() -> None:
    assert verdicts([[contrast(0.5, equivalent=True), contrast(0.5)]]) == ["open"]


def test_a_comparison_is_different_if_one_of_its_contrasts_is() -> None:
    assert verdicts([[contrast(1e-9), contrast(0.5, equivalent=True)]]) == ["different"]


def test_more_comparisons_in_a_table_need_more_evidence() -> None:
    assert verdicts([[contrast(0.01)]]) == ["different"]
    assert verdicts([[contrast(0.01)]] * 10) == ["open"] * 10
    assert verdicts([[contrast(0.01)]] + [[contrast(nan)]] * 9) == ["different"] + ["open"] * 9


def test_no_difference_is_rarely_found_where_there_is_none() -> None:
    """Twenty comparisons a table: without correction two of three tables would have a false one."""
    random = np.random.default_rng(0)
    tables = 200
    false = 0
    for _ in range(tables):
        noise = random.standard_t(3, (20, 10))
        false += "different" in verdicts([[paired_difference(row, 0 * row)] for row in noise])
    assert false / tables <= 0.08


def test_sides_at_the_margin_are_rarely_called_equal() -> None:
    random = np.random.default_rng(0)
    noise = 0.05 * random.standard_normal((1000, 10))
    called = [paired_ratio(RATIO_MARGIN * np.exp(row), np.ones(10)).equivalent for row in noise]
    assert 0.03 <= np.mean(called) <= 0.07


def test_the_margins_lie_on_both_sides() -> None:
    inside, outside = 0.99 * log(RATIO_MARGIN), 1.01 * log(RATIO_MARGIN)
    for sign in (-1, 1):
        assert paired_ratio([exp(sign * inside)] * 5, [1] * 5).equivalent
        assert not paired_ratio([exp(sign * outside)] * 5, [1] * 5).equivalent
        assert paired_difference([0.5 + 0.99 * sign * RATE_MARGIN] * 5, [0.5] * 5).equivalent
        assert not paired_difference([0.5 + 1.01 * sign * RATE_MARGIN] * 5, [0.5] * 5).equivalent


def test_many_seeds_need_no_resamples() -> None:
    """One seed fewer is resampled; the two ways must agree, skewed as the figures are."""
    figures = np.random.default_rng(5).lognormal(sigma=0.5, size=MANY_SEEDS)
    resampled, direct = mean_interval(figures[:-1]), mean_interval(figures)
    width = direct.high - direct.low
    assert direct.low == pytest.approx(resampled.low, abs=0.1 * width)
    assert direct.high == pytest.approx(resampled.high, abs=0.1 * width)
    assert direct.high - np.mean(figures) == pytest.approx(np.mean(figures) - direct.low)
