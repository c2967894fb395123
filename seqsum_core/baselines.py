"""What a model without recurrence gets, so that an accuracy can be judged.

Two baselines of scikit-learn: what a network that has learned nothing reaches, the mean of the fitted targets or how
frequent each class is; and a linear model of all that is read. The latter SOLVES the sum, which is a linear function of
the digits: there a recurrent model's errors show what its training did not reach. It cannot solve the adding problem.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression

from seqsum_core.metrics import Errors, Judge, errors
from seqsum_core.tasks import Sequences

BASELINES = {"mean": DummyRegressor, "linear_regression": LinearRegression}
OF_CLASSES = {
    "class_shares": DummyClassifier,
    "logistic_regression": lambda: LogisticRegression(max_iter=1000),
}


def baseline_errors(fitted: Sequences, *judged: Sequences, judge: Judge = "rounded") -> Mapping[str, list[Errors]]:
    """Fit each baseline and judge it on several sets of rows: its errors on each, by its name."""
    made: Mapping[str, Any] = OF_CLASSES if judge == "class" else BASELINES
    return {name: _errors(make(), fitted, judged, judge) for name, make in made.items()}


def _errors(baseline: Any, fitted: Sequences, judged: Sequence[Sequences], judge: Judge) -> list[Errors]:
    baseline.fit(_flat(fitted), fitted.y)
    if judge != "class":
        return [errors(baseline.predict(_flat(rows)), rows.y, judge) for rows in judged]
    return [errors(_probabilities(baseline, rows), rows.y, judge) for rows in judged]


def _probabilities(baseline: Any, rows: Sequences) -> NDArray[np.float64]:
    """Return a column for every class up to the largest; one that was not fitted has probability 0."""
    columns = np.zeros((len(rows), 1 + max(int(rows.y.max()), int(baseline.classes_.max()))))
    columns[:, baseline.classes_] = baseline.predict_proba(_flat(rows))
    return columns


def _flat(rows: Sequences) -> NDArray[Any]:
    """Return everything that is read, a row a line."""
    arrays = rows.x.values() if isinstance(rows.x, Mapping) else [rows.x]
    return np.concatenate([array.reshape(len(rows), -1) for array in arrays], axis=1)
