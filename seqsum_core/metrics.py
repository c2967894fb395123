"""Judge a model's outputs on some rows: how far off they are, and how many are right.

NumPy only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Judge = Literal["rounded", "within 0.04", "class", "error"]
"""When a row is right: its rounded output is the sum; it is off by less than 0.04 (Hochreiter and Schmidhuber, 1997,
for the adding problem); the likeliest class is the true one; "error": for numbers of an unknown scale nothing says."""

METRICS: dict[str, str] = {"class": "cross-entropy"}
"""What `Errors.error` is; for judges that are not named the mean squared error, "mse"."""


@dataclass(frozen=True)
class Errors:
    """What a model's outputs are worth on some rows.

    Args:
        error: the mean squared error, or for classes the cross-entropy in nats.
        mae: the mean absolute error; None for classes.
        right_rate: share of rows that are right; None where nothing says when a row is.
    """

    rows: int
    error: float
    mae: float | None
    right_rate: float | None


def errors(outputs: ArrayLike, targets: ArrayLike, judge: Judge = "rounded") -> Errors:
    """Compare outputs with targets; every figure is NaN where an output is.

    Args:
        outputs: numbers, as many as targets; for classes shape (rows, classes): probabilities, or logits if a row does
            not sum to 1.
        targets: shape (rows,) or (rows, outputs); classes by their numbers, shape (rows,).
        judge: when a row is right.

    Raises:
        ValueError: if the two differ in the number of rows or outputs, or there are none.
    """
    true = np.asarray(targets)
    predicted = np.asarray(outputs, np.float64)
    fits = predicted.shape[:1] == true.shape[:1] if judge == "class" else predicted.size == true.size
    if not fits or not len(true):
        rule = "Outputs and targets must have equally many rows, at least 1"
        raise ValueError(f"{rule}. Received: shapes {predicted.shape} and {true.shape}.")
    if judge == "class":
        return _class_errors(predicted.reshape(len(true), -1), true)
    off = predicted.reshape(len(true), -1) - true.reshape(len(true), -1).astype(np.float64)
    right = None
    if judge != "error":
        is_right = np.rint(predicted.reshape(off.shape)) == true.reshape(off.shape)
        hits = is_right if judge == "rounded" else np.abs(off) < 0.04
        right = float(np.mean(np.where(np.isnan(off), np.nan, hits)))
    return Errors(len(true), float(np.mean(off**2)), float(np.mean(np.abs(off))), right)


def _class_errors(outputs: NDArray[np.float64], classes: NDArray[Any]) -> Errors:
    unclear = np.isnan(outputs).any(axis=1)
    probabilities = not (outputs < 0).any() and np.allclose(outputs.sum(axis=1)[~unclear], 1, atol=1e-3)
    if not probabilities:
        outputs = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        outputs /= outputs.sum(axis=1, keepdims=True)
    likelihood = np.where(unclear, np.nan, outputs[np.arange(len(classes)), classes])
    hits = np.where(unclear, np.nan, outputs.argmax(axis=1) == classes)
    error = -np.log(np.maximum(likelihood, 1e-7))  # Keras' smallest probability
    return Errors(len(classes), float(np.mean(error)), None, float(np.mean(hits)))


def errors_by_length(
    outputs: ArrayLike, targets: ArrayLike, lengths: NDArray[np.integer], judge: Judge = "rounded"
) -> Mapping[int, Errors]:
    """Judge the rows of each true length that occurs on their own, the shortest first; nothing if all have one."""
    predicted, true = np.asarray(outputs), np.asarray(targets)
    found = np.unique(lengths)
    if len(found) == 1:
        return {}
    return {int(length): errors(predicted[lengths == length], true[lengths == length], judge) for length in found}
