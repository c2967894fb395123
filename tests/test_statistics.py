"""Intervals and tests: worked by hand, against SciPy, and how often they are right."""

from math import inf, isnan, nan

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy
from scipy import stats

from bench.analysis import statistics

FIGURES = of_numpy.arrays(np.float64, st.integers(0, 30), elements=st.floats(0.5, 100))


@pytest.mark.parametrize(
    ("count", "rank", "level"),
    [(0, 0, nan), (5, 0, nan), (6, 1, 1 - 2 / 64), (8, 1, 1 - 2 / 256), (9, 2, 1 - 20 / 512), (20, 6, 0.9586)],
)
def test_ranks(count: int, rank: int, level: float) -> None:
    """The rank is the largest whose level, counted in fair coins, is at least 95 %."""
    assert statistics.order_rank(count) == pytest.approx((rank, level), abs=5e-5, nan_ok=True)


def test_order_interval() -> None:
    values = [9, 1, 8, 2, 7, 3, 6, 4, 5, nan]
    assert statistics.order_interval(values)[:2] == (2, 8)
    assert statistics.order_interval(values[:6])[:2] == (1, 9)
    assert all(map(isnan, statistics.order_interval(values[:5])))


@given(FIGURES)
def test_inverse_order_intervals(values: np.ndarray) -> None:
    low, high, level = statistics.order_interval(np.log(values))
    assert statistics.order_interval(-np.log(values)) == pytest.approx((-high, -low, level), nan_ok=True)


@settings(deadline=None)
@given(FIGURES, FIGURES)
def test_medians_of_groups(first: np.ndarray, second: np.ndarray) -> None:
    """The median and interval of each group of a frame are those of its figures alone."""
    samples = {name: values for name, values in (("b", first), ("a", second)) if len(values)}
    rows = [(name, "x", value) for name, values in samples.items() for value in values]
    frame = pd.DataFrame([*rows, ("a", "x", nan)], columns=["cell", "other", "figure"])
    table = statistics.medians(frame, ["cell", "other"], "figure").set_index("cell")
    assert list(table.index) == list(samples)
    for name, values in samples.items():
        row = table.loc[name].to_dict()
        expected = (*statistics.order_interval(values), len(values), np.median(values), np.min(values), np.max(values))
        names = ("figure_low", "figure_high", "level", "processes", "figure", "figure_least", "figure_greatest")
        assert [row[name] for name in names] == pytest.approx(expected, nan_ok=True)


def test_medians_may_be_infinite() -> None:
    frame = pd.DataFrame({"cell": ["a"] * 9, "epoch": [3.0, 4, 5, 6, 7, inf, inf, inf, inf]})
    row = statistics.medians(frame, ["cell"], "epoch").iloc[0]
    assert (row["epoch"], row["epoch_low"], row["epoch_high"]) == (7, 4, inf)


def test_mean_interval_of_scipy() -> None:
    values = np.random.default_rng(1).lognormal(0, 0.5, 20)
    level = 1 - 2 * stats.norm.sf(stats.t.ppf(0.975, 19) * np.sqrt(20 / 19))
    reference = stats.bootstrap((values,), np.mean, confidence_level=level, n_resamples=50_000, rng=2)
    interval = statistics.mean_interval(values)
    assert interval.method == "BCa"
    expected = reference.confidence_interval
    assert interval[:2] == pytest.approx((expected.low, expected.high), abs=0.03 * (expected.high - expected.low))


@pytest.mark.parametrize(("seeds", "missed"), [(5, 0.1), (20, 0.07)])
def test_level_of_mean_intervals(seeds: int, missed: float) -> None:
    """Without Student's percentiles 15 % of the intervals of five seeds miss the mean."""
    samples = np.random.default_rng(3).normal(size=(500, seeds))
    intervals = [statistics.mean_interval(sample) for sample in samples]
    assert np.mean([not interval.low <= 0 <= interval.high for interval in intervals]) < missed


@given(of_numpy.arrays(np.float64, st.integers(5, 20), elements=st.floats(0, 1)))
def test_mean_interval_stays_within_the_figures(rates: np.ndarray) -> None:
    low, high, _ = statistics.mean_interval(rates, bounds=(0, 1))
    margin = 1e-12
    assert rates.min() - margin <= low <= rates.mean() + margin
    assert rates.mean() - margin <= high <= rates.max() + margin


def test_mean_intervals_that_are_no_bootstrap() -> None:
    """Few seeds have none, equal ones no width, and of many the interval is Student's."""
    assert statistics.mean_interval([1, 2, 3, 4, nan, inf]) == pytest.approx((nan, nan, ""), nan_ok=True)
    assert statistics.mean_interval([2.0] * 5) == (2, 2, "same")
    values = np.random.default_rng(4).random(1_000)
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    low, high, method = statistics.mean_interval(values)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert method == "Student"


def test_paired_difference_is_students() -> None:
    first, second = [3.0, 5, 4, 6, 8], [2.0, 3, 4, 4, 5]
    contrast = statistics.paired_difference([*first, nan], [*second, 1], margin=3)
    expected = stats.ttest_rel(first, second)
    interval = expected.confidence_interval()
    assert (contrast.pairs, contrast.value, contrast.p_value) == pytest.approx((5, 1.6, expected.pvalue))
    assert (contrast.low, contrast.high) == pytest.approx((interval.low, interval.high))
    below = stats.ttest_1samp(np.subtract(first, second), 3, alternative="less").pvalue
    assert contrast.equivalent == (below < 0.05)
    assert not statistics.paired_difference(first, second, margin=2).equivalent


def test_contrasts_without_spread_or_pairs() -> None:
    assert statistics.paired_difference([1.0] * 5, [1.0] * 5).p_value == 1
    assert statistics.paired_difference([2.0] * 5, [1.0] * 5).p_value == 0
    assert isnan(statistics.paired_difference([1.0] * 4, [0.0] * 4).p_value)
    assert statistics.paired_difference([], []).pairs == 0
    assert statistics.paired_ratio([1.0, 0, nan], [2.0, 3, 1]).pairs == 1


@given(of_numpy.arrays(np.float64, (2, 7), elements=st.floats(0.01, 100)))
def test_exchanged_cells_have_inverse_ratios(figures: np.ndarray) -> None:
    first, second = figures
    ratio, inverse = statistics.paired_ratio(first, second), statistics.paired_ratio(second, first)
    assert (ratio.value, ratio.low, ratio.p_value) == pytest.approx(
        (1 / inverse.value, 1 / inverse.high, inverse.p_value)
    )


def test_p_values_of_scipy() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(0.1, 1, 9), random.normal(0, 3, 7)
    groups = pd.Series([0] * 9 + [1] * 7 + [2] * 5)
    figures = pd.Series([*first, *second, *first[:5]])
    zero_mean = statistics.zero_mean_p_values(figures, groups)
    assert zero_mean[:2].tolist() == pytest.approx([stats.ttest_1samp(sample, 0).pvalue for sample in (first, second)])
    assert isnan(zero_mean[2]) and isnan(statistics.equal_means_p_value(first, second[:5]))
    welch = stats.ttest_ind(first, second, equal_var=False).pvalue
    assert statistics.equal_means_p_value(first, second) == pytest.approx(welch)
    assert [statistics.equal_means_p_value([1.0] * 6, [value] * 6) for value in (1.0, 2.0)] == [1, 0]


def test_holm() -> None:
    """The least p-value is raised by the number of tests, the next one by one less; none is below the one before."""
    assert statistics.holm([0.04, nan, 0.01, 0.03]) == pytest.approx([0.06, nan, 0.03, 0.06], nan_ok=True)
    assert statistics.holm([0.6, 0.9]) == pytest.approx([1, 1])
    assert statistics.holm([]).size == 0


def test_verdicts() -> None:
    """Holm's correction counts every contrast of the table."""
    equal = statistics.paired_difference([0.001, 0, 0.001, 0, 0.001], [0.0] * 5)
    different = statistics.paired_difference([1.0, 1.1, 1, 1.1, 1], [0.0] * 5)
    unclear = statistics.paired_difference([1.0, -1, 1, -1, 1], [0.0] * 5)
    assert statistics.verdicts([[equal], [equal, different], [unclear]]) == ["equal", "different", "open"]
    weak = statistics.paired_difference([1.0, 2, 3, 1, 2], [0.6, 1.1, 1.2, 0.6, 0.3])
    assert 0.01 < weak.p_value < 0.05
    assert statistics.verdicts([[weak]]) == ["different"]
    assert statistics.verdicts([[weak]] + [[unclear]] * 9) == ["open"] * 10


def test_ratio_of_medians() -> None:
    """To exchange two independent samples inverts the ratio and its interval."""
    first, second = np.random.default_rng(5).lognormal(0, 0.1, (2, 9))
    ratio, low, high = statistics.ratio_of_medians(2 * first, second)
    assert ratio == pytest.approx(2 * np.median(first) / np.median(second))
    assert low < ratio < high
    assert statistics.ratio_of_medians(second, 2 * first) == pytest.approx((1 / ratio, 1 / high, 1 / low))
    assert all(map(isnan, statistics.ratio_of_medians(first[:5], second)[1:]))


@pytest.mark.parametrize("processes", [6, 9])
def test_level_of_ratios_of_medians(processes: int) -> None:
    """Also on a host that has two speeds."""
    generator = np.random.default_rng(6)
    slow = generator.choice([1.0, 1.5], (2, 300, processes))
    samples = slow * generator.lognormal(0, 0.03, slow.shape)
    intervals = [statistics.ratio_of_medians(*pair) for pair in samples.transpose(1, 0, 2)]
    assert np.mean([not low <= 1 <= high for _, low, high in intervals]) < 0.09
