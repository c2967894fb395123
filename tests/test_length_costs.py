"""What length costs: lines made up are found again, whatever single processes or lengths do."""

from math import isnan
from typing import Any

import numpy as np
import pytest
from factories import make_cell, make_processes, make_run, make_speed, select_all
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.length_costs import LengthCost, fit_lines, length_costs
from bench.analysis.selection import select
from bench.plan.cells import BackendName
from bench.records.schema import Record

LENGTHS = (4, 12, 25, 50)
STEPS = 17
NOISE = (0.98, 1.0, 1.01, 0.99, 1.02)


def timed(
    fixed_ms: float,
    timestep_ms: float,
    backend: BackendName = "jax",
    *,
    lengths: tuple[int, ...] = LENGTHS,
    noise: tuple[float, ...] = NOISE,
    off: dict[int, float] | None = None,
    **cell: Any,
) -> list[Record]:
    """Make processes whose steps take so long; `off` makes single lengths slower."""
    return [
        record
        for length in lengths
        for record in make_processes(
            make_cell(backend, length=length, **cell),
            seconds=[
                STEPS * 1e-3 * (fixed_ms + timestep_ms * length) * one * (off or {}).get(length, 1.0) for one in noise
            ],
            peak_rss_bytes=2**20 * (500 + length),
            validation_s=(9.0, 1e-3 * (2 + length / 10)),
        )
    ]


def cost(*records: Record) -> LengthCost:
    (one,) = length_costs(select_all(*records))
    return one


@given(
    fixed=st.floats(0.01, 100),
    slope=st.floats(0, 10),
    lengths=st.lists(st.integers(1, 1000), min_size=3, max_size=8, unique=True),
)
def test_a_line_is_found_again(fixed: float, slope: float, lengths: list[int]) -> None:
    x = np.array(sorted(lengths), np.float64)
    found = fit_lines(x, fixed + slope * x)
    assert found[0] == pytest.approx(fixed, rel=1e-5, abs=1e-6 * slope * x[-1])
    assert found[1] == pytest.approx(slope, rel=1e-6, abs=1e-6 * fixed)


@given(scale=st.floats(1e-6, 1e6))
def test_the_fit_does_not_depend_on_the_unit(scale: float) -> None:
    x, y = np.array(LENGTHS, np.float64), np.array([1.0, 1.7, 3.4, 5.6])
    assert fit_lines(x, scale * y) == pytest.approx([scale * one for one in fit_lines(x, y)])


def test_relative_residuals_have_the_least_squares() -> None:
    """So a short length counts as much as a long one, whose residual is larger in seconds alone."""
    x = np.array([4.0, 12.0, 25.0, 200.0])
    y = (1 + 0.1 * x) * np.array([1.1, 0.95, 1.0, 1.05])

    def missed(fixed: float, slope: float) -> float:
        return float(((fixed + slope * x) / y - 1) @ ((fixed + slope * x) / y - 1))

    fixed, slope = map(float, fit_lines(x, y))
    for other in (0.99, 1.01):
        assert missed(fixed * other, slope) > missed(fixed, slope) < missed(fixed, slope * other)


def test_many_lines_are_fitted_at_once() -> None:
    x = np.array(LENGTHS, np.float64)
    fixed, slopes = fit_lines(x, np.stack([1 + 2 * x, 5 + 0.5 * x]))
    assert fixed == pytest.approx([1, 5]) and slopes == pytest.approx([2, 0.5])


def test_a_step_has_a_fixed_cost_and_one_for_each_timestep() -> None:
    one = cost(*timed(2.0, 0.1))
    assert one.line.fixed == pytest.approx(2e-3) and one.line.slope == pytest.approx(1e-4)
    assert one.fixed.low < 2e-3 < one.fixed.high and one.slope.low < 1e-4 < one.slope.high
    assert one.lengths.tolist() == [4, 12, 25, 50] and one.cell.length == 0
    assert one.residuals == pytest.approx(0, abs=1e-9)


def test_validation_and_memory_have_lines_too() -> None:
    one = cost(*timed(2.0, 0.1))
    assert [one.validation.fixed, one.validation.slope] == pytest.approx([2e-3, 1e-4])
    assert one.memory.tolist() == [2**20 * (500 + length) for length in LENGTHS]
    assert one.memory_line.slope == pytest.approx(2**20)


def test_a_length_that_the_line_does_not_fit_is_seen() -> None:
    residuals = cost(*timed(2.0, 0.1, off={12: 1.3})).residuals
    assert np.argmax(np.abs(residuals)) == 1 and residuals[1] > 0.1


def test_single_slow_processes_do_not_move_the_line() -> None:
    one = cost(*timed(2.0, 0.1, noise=(1, 1, 1, 1, 3)))
    assert one.line.slope == pytest.approx(1e-4) and one.line.fixed == pytest.approx(2e-3)


@pytest.mark.parametrize("noise", [(1.0,), (0.9, 1.0, 1.0, 1.1)])
def test_fewer_than_five_processes_have_no_intervals(noise: tuple[float, ...]) -> None:
    one = cost(*timed(2.0, 0.1, noise=noise))
    assert isnan(one.fixed.low) and isnan(one.slope.high) and one.line.fixed == pytest.approx(2e-3)


def test_two_lengths_are_no_line_and_controls_are_left_out() -> None:
    twin = [make_speed(make_cell(length=25), twin=True)]
    assert length_costs(select_all(*timed(2.0, 0.1, lengths=(4, 12)), *twin)) == []


def test_cells_that_differ_in_more_than_length_have_lines_of_their_own() -> None:
    found = length_costs(select_all(*timed(2.0, 0.1), *timed(4.0, 0.1, threads=2), *timed(6.0, 0.1, unroll=True)))
    assert sorted(one.line.fixed for one in found) == pytest.approx([2e-3, 4e-3, 6e-3])


def test_the_interval_of_a_slope_holds_it_about_as_often_as_it_says() -> None:
    """Eight noisy processes at four lengths; the percentile bootstrap of medians is a little narrow at best."""
    source = np.random.default_rng(3)
    held = 0
    for _ in range(60):
        records = [
            record
            for length in LENGTHS
            for record in make_processes(
                make_cell(length=length),
                seconds=(STEPS * 1e-3 * (2 + 0.1 * length) * np.exp(0.03 * source.standard_normal(8))).tolist(),
            )
        ]
        slope = cost(*records).slope
        held += slope.low <= 1e-4 <= slope.high
    assert held >= 50


def test_lengths_of_several_runs_make_one_line() -> None:
    runs = [
        make_run(timed(2.0, 0.1, lengths=lengths), name)
        for lengths, name in (((4, 12), "2030-01-01"), ((25, 50), "2030-01-02"))
    ]
    (one,) = length_costs(select(runs))
    assert one.lengths.tolist() == list(LENGTHS)
