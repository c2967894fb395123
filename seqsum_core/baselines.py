"""What a model without recurrence gets, so that an accuracy can be judged.

Two baselines of scikit-learn: the mean of the fitted sums, which is what a network that has learned nothing reaches,
and linear regression on the padded digits. The latter SOLVES the task, for a sum is a linear function of the digits.
So no recurrent model is needed to add; its errors show what its training did not reach in the epochs that it got.
"""

from collections.abc import Mapping
from typing import Any

from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from seqsum_core.metrics import Errors, errors
from seqsum_core.task import Split

BASELINES = {"mean": DummyRegressor, "linear_regression": LinearRegression}


def baseline_errors(data: Split) -> Mapping[str, Errors]:
    """Fit each baseline on the fitted rows and judge it on the test rows."""
    return {name: _test_errors(regressor(), data) for name, regressor in BASELINES.items()}


def _test_errors(regressor: Any, data: Split) -> Errors:
    regressor.fit(data.fitted.digits, data.fitted.sums)
    return errors(regressor.predict(data.test.digits), data.test.sums)
