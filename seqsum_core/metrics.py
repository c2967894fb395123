"""Judge predictions of a sum: how far off, and how often exactly right once rounded.

NumPy only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Errors:
    """What a model's outputs are worth on some rows.

    Args:
        exact_sum_rate: share of rows whose rounded output is the sum.
    """

    rows: int
    mse: float
    mae: float
    exact_sum_rate: float


def errors(predictions: ArrayLike, sums: ArrayLike) -> Errors:
    """Compare outputs with sums, both of shape (rows,) or (rows, 1); every figure is NaN where an output is.

    Raises:
        ValueError: if the two differ in the number of rows, or there are none.
    """
    predicted = np.asarray(predictions, np.float64).ravel()
    true = np.asarray(sums, np.float64).ravel()
    if len(predicted) != len(true) or not len(true):
        raise ValueError(
            f"Predictions and sums must have equally many rows, at least 1. Received: {len(predicted)} and {len(true)}."
        )
    off = predicted - true
    exact = np.where(np.isnan(predicted), np.nan, np.rint(predicted) == true)
    return Errors(len(true), float(np.mean(off**2)), float(np.mean(np.abs(off))), float(np.mean(exact)))


def errors_by_length(predictions: ArrayLike, sums: ArrayLike, lengths: NDArray[np.integer]) -> Mapping[int, Errors]:
    """Judge the rows of each true length that occurs on their own, the shortest first; arrays as those of `errors`."""
    predicted, true = np.ravel(predictions), np.ravel(sums)
    return {int(length): errors(predicted[lengths == length], true[lengths == length]) for length in np.unique(lengths)}
