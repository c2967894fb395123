"""Baselines: linear regression adds perfectly, the mean knows nothing."""

import numpy as np
import pytest

from seqsum_core.baselines import baseline_errors
from seqsum_core.settings import TaskSettings
from seqsum_core.task import Split, draw, split

TASKS = [
    (TaskSettings(), 4),
    (TaskSettings(), 25),
    (TaskSettings(source="generated", digits=(-9, 300), padding="post", sequences=400), 12),
]


@pytest.fixture(params=TASKS, ids=["article-4", "article-25", "generated-12"])
def data(request: pytest.FixtureRequest) -> Split:
    task, length = request.param
    return split(draw(task, length=length), task)


def test_linear_regression_solves_the_task(data: Split) -> None:
    found = baseline_errors(data)["linear_regression"]
    assert found.exact_sum_rate == 1.0
    assert found.mse < 1e-12 * float(np.var(data.test.sums))


def test_the_means_mse_is_the_variance_around_the_fitted_mean(data: Split) -> None:
    found = baseline_errors(data)["mean"]
    expected = np.mean((data.test.sums - data.fitted.sums.mean()) ** 2)
    assert found.mse == pytest.approx(expected)


def test_both_baselines_are_judged_on_all_test_rows(data: Split) -> None:
    found = baseline_errors(data)
    assert {name: errors.rows for name, errors in found.items()} == {
        "mean": len(data.test),
        "linear_regression": len(data.test),
    }
