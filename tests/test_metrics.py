"""Metrics: errors by hand, rounding, and what NaN does to them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqsum_core.metrics import errors, errors_by_length


def test_errors_are_those_counted_by_hand() -> None:
    found = errors([1.0, 2.5, 7.0], [1, 3, 4])
    assert (found.rows, found.mse, found.mae) == (3, (0 + 0.25 + 9) / 3, (0 + 0.5 + 3) / 3)
    assert found.exact_sum_rate == pytest.approx(1 / 3)


@pytest.mark.parametrize(("output", "is_exact"), [(3.49, 1.0), (2.51, 1.0), (3.51, 0.0), (2.49, 0.0), (-0.4, 0.0)])
def test_an_output_is_exact_if_it_rounds_to_the_sum(output: float, is_exact: float) -> None:
    assert errors([output], [3]).exact_sum_rate == is_exact


def test_outputs_just_below_zero_round_to_zero() -> None:
    assert errors([-0.4], [0]).exact_sum_rate == 1.0


def test_columns_are_judged_like_rows() -> None:
    outputs, sums = np.array([1.0, 5.0, 2.0]), np.array([1, 2, 3])
    assert errors(outputs[:, None], sums[:, None]) == errors(outputs, sums) == errors(outputs[:, None], sums)


def test_one_nan_output_makes_every_figure_nan() -> None:
    found = errors([1.0, float("nan")], [1, 2])
    assert all(math.isnan(figure) for figure in (found.mse, found.mae, found.exact_sum_rate))
    assert found.rows == 2


@pytest.mark.parametrize(("outputs", "sums"), [([1.0], [1, 2]), ([], []), ([1.0, 2.0], [1])])
def test_unequal_or_no_rows_are_refused(outputs: list[float], sums: list[int]) -> None:
    with pytest.raises(ValueError, match=f"equally many rows.* Received: {len(outputs)} and {len(sums)}"):
        errors(outputs, sums)


def test_float32_outputs_are_judged_in_double_precision() -> None:
    outputs = np.full(3, 0.1, np.float32)
    assert errors(outputs, [0, 0, 0]).mse == pytest.approx(float(np.float32(0.1)) ** 2, rel=1e-15)


def test_each_true_length_is_judged_on_its_own_rows() -> None:
    found = errors_by_length(np.array([[1.0], [9.0], [3.0]]), np.array([1, 2, 3]), np.array([12, 2, 12]))
    assert list(found) == [2, 12]
    assert (found[2].rows, found[2].mse) == (1, 49.0)
    assert (found[12].rows, found[12].mse, found[12].exact_sum_rate) == (2, 0.0, 1.0)


@settings(deadline=None, max_examples=50)  # a busy machine is no failure
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 99), st.floats(-1e3, 1e3)), min_size=1))
def test_errors_of_the_lengths_average_to_those_of_all_rows(rows: list[tuple[int, int, float]]) -> None:
    lengths, sums, outputs = (np.array(column) for column in zip(*rows, strict=True))
    by_length = errors_by_length(outputs, sums, lengths)
    together = errors(outputs, sums)
    assert sum(part.rows for part in by_length.values()) == together.rows
    for name in ("mse", "mae", "exact_sum_rate"):
        parts = sum(part.rows * getattr(part, name) for part in by_length.values())
        assert parts / together.rows == pytest.approx(getattr(together, name), abs=1e-9)
