"""What a model without recurrence gets, so that an accuracy can be judged.

Two baselines of scikit-learn: the mean of the fitted sums, which is what a network that has learned nothing reaches,
and linear regression on the padded digits. The latter SOLVES the task, for a sum is a linear function of the digits.
So no recurrent model is needed to add; its errors show what its training did not reach in the epochs that it got.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from seqsum_core.metrics import Errors, errors
from seqsum_core.task import Sequences

BASELINES = {"mean": DummyRegressor, "linear_regression": LinearRegression}


def baseline_errors(fitted: Sequences, *judged: Sequences) -> Mapping[str, list[Errors]]:
    """Fit each baseline and judge it on several sets of rows: its errors on each, by its name."""
    return {name: _errors(regressor(), fitted, judged) for name, regressor in BASELINES.items()}


def _errors(regressor: Any, fitted: Sequences, judged: Sequence[Sequences]) -> list[Errors]:
    regressor.fit(fitted.digits, fitted.sums)
    return [errors(regressor.predict(rows.digits), rows.sums) for rows in judged]
