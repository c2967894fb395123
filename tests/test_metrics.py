"""Metrics and baselines: errors by hand, rounding, NaN, and what models without recurrence get."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqsum_core.baselines import baseline_errors
from seqsum_core.metrics import errors, errors_by_length
from seqsum_core.settings import TaskSettings
from seqsum_core.tasks import draw, split


def test_errors_by_hand() -> None:
    result = errors([1.0, 2.5, 7.0], [1, 3, 4])
    assert (result.rows, result.error, result.mae) == (3, (0 + 0.25 + 9) / 3, (0 + 0.5 + 3) / 3)
    assert result.right_rate == pytest.approx(1 / 3)


@pytest.mark.parametrize(("output", "true", "exact"), [(3.49, 3, 1), (2.51, 3, 1), (3.51, 3, 0), (2.49, 3, 0)])
def test_exact(output: float, true: int, exact: int) -> None:
    assert errors([output], [true]).right_rate == exact
    assert errors([-0.4], [0]).right_rate == 1


def test_columns_are_judged_like_rows() -> None:
    outputs, sums = np.array([1.0, 5.0, 2.0]), np.array([1, 2, 3])
    assert errors(outputs[:, None], sums[:, None]) == errors(outputs, sums) == errors(outputs[:, None], sums)


def test_nan_makes_every_figure_nan() -> None:
    result = errors([1.0, float("nan")], [1, 2])
    assert all(math.isnan(figure) for figure in (result.error, result.mae or 0.0, result.right_rate or 0.0))


@pytest.mark.parametrize(("outputs", "sums"), [([1.0], [1, 2]), ([], []), ([1.0, 2.0], [1])])
def test_unequal_or_no_rows_are_refused(outputs: list[float], sums: list[int]) -> None:
    with pytest.raises(ValueError, match=r"equally many rows.* Received: shapes"):
        errors(outputs, sums)


def test_classes() -> None:
    """Probabilities and logits say the same; a class that nothing is given for costs as much as Keras' smallest."""
    chances = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.0, 1.0, 0.0]])
    classes = np.array([0, 1, 0])
    result = errors(chances, classes, "class")
    assert result.error == pytest.approx(-(math.log(0.7) + math.log(0.3) + math.log(1e-7)) / 3)
    assert result.right_rate == pytest.approx(1 / 3) and result.mae is None
    logits = errors(np.log(chances[:2]) + np.array([[5.0], [-3.0]]), classes[:2], "class")
    assert logits.error == pytest.approx(errors(chances[:2], classes[:2], "class").error)
    unknown = errors([[0.5, 0.5], [float("nan"), 1.0]], [0, 1], "class")
    assert math.isnan(unknown.error) and math.isnan(unknown.right_rate or 0.0)


def test_right_is_what_the_task_says() -> None:
    near = errors([1.03, 2.05], [1.0, 2.0], "within 0.04")
    assert near.right_rate == 0.5 and near.error == pytest.approx((0.03**2 + 0.05**2) / 2)
    several = errors([[1.0, 2.0], [3.0, 5.0]], [[1.0, 2.0], [3.0, 4.0]], "error")
    assert (several.right_rate, several.rows, several.error) == (None, 2, 0.25)


def test_double_precision() -> None:
    assert errors(np.full(3, 0.1, np.float32), [0, 0, 0]).error == pytest.approx(float(np.float32(0.1)) ** 2, rel=1e-15)


@settings(deadline=None, max_examples=50)  # a busy machine is no failure
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 99), st.floats(-1e3, 1e3)), min_size=1))
def test_errors_by_length(rows: list[tuple[int, int, float]]) -> None:
    lengths, sums, outputs = (np.array(column) for column in zip(*rows, strict=True))
    by_length = errors_by_length(outputs, sums, lengths)
    together = errors(outputs, sums)
    assert {length: part.rows for length, part in by_length.items()} == {k: list(lengths).count(k) for k in by_length}
    assert list(by_length) in ([], sorted(set(lengths.tolist())))
    assert bool(by_length) == (len(set(lengths.tolist())) > 1), "one length says nothing more"
    for name in ("error", "mae", "right_rate") if by_length else ():
        parts = sum(part.rows * getattr(part, name) for part in by_length.values())
        assert parts / together.rows == pytest.approx(getattr(together, name), abs=1e-9)


@pytest.mark.parametrize(
    ("task", "length"),
    [
        (TaskSettings(), 4),
        (TaskSettings(), 25),
        (TaskSettings(source="generated", digits=(-9, 300), padding="post", sequences=400), 12),
    ],
)
def test_baselines(task: TaskSettings, length: int) -> None:
    data = split(draw(task, length=length), task)
    results = baseline_errors(data.fitted, data.test, data.validation)
    for place, rows in enumerate((data.test, data.validation)):
        linear, mean = results["linear_regression"][place], results["mean"][place]
        assert linear.right_rate == 1.0 and linear.error < 1e-12 * float(np.var(rows.y))
        assert mean.error == pytest.approx(np.mean((rows.y - data.fitted.y.mean()) ** 2))
        assert linear.rows == mean.rows == len(rows)


def test_baselines_of_other_tasks() -> None:
    """No linear model solves the adding problem; the digits are nearly separable by planes."""
    for name, length, constant, linear in (
        ("adding", 20, "mean", "linear_regression"),
        ("digits", 8, "class_shares", "logistic_regression"),
    ):
        task = TaskSettings(name=name)
        data = split(draw(task, length=length), task)
        results = baseline_errors(data.fitted, data.test, judge=data.task.judge)
        (alone,), (fitted,) = results[constant], results[linear]
        if name == "adding":
            assert alone.error == pytest.approx(1 / 6, rel=0.3) and fitted.error > 0.8 * alone.error
        else:
            assert alone.error == pytest.approx(math.log(10), rel=0.05) and (fitted.right_rate or 0) > 0.9
