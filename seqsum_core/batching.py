"""Batches of sequences of different lengths: all padded to the longest, to that of their bucket, or not at all.

A batch is one array, so its rows need one length. What padding wastes, buckets save, at the price of shapes that
change from batch to batch. NumPy only.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seqsum_core.settings import Batching

BUCKETS = 4


@dataclass(frozen=True)
class Batch:
    """Rows that are trained on together.

    Args:
        rows: which.
        length: the timesteps that they are padded to.
    """

    rows: NDArray[np.intp]
    length: int


def bucket_lengths(lengths: NDArray[np.integer], batching: Batching, *, longest: int) -> NDArray[np.int64]:
    """Return what the rows of each bucket are padded to, the shortest first.

    Args:
        lengths: of the rows without padding, shape (rows,).
        batching: "padded": one bucket for all; "bucketed": four that hold about as many rows each; "exact": one
            for each length that there is.
        longest: the time dimension of the padded rows.
    """
    if batching == "exact":
        return np.unique(lengths).astype(np.int64)
    if batching == "padded":
        return np.array([longest], np.int64)
    quarters = np.quantile(lengths, np.arange(1, BUCKETS + 1) / BUCKETS, method="higher")
    return np.unique(quarters).astype(np.int64)


def draw_batches(
    lengths: NDArray[np.integer], buckets: NDArray[np.int64], *, batch_size: int, random: np.random.Generator
) -> list[Batch]:
    """Draw an epoch: the rows of each bucket in a new order, cut into batches; the last one of each may be smaller.

    Args:
        lengths: of the rows without padding, shape (rows,).
        buckets: see `bucket_lengths`.
        batch_size: rows of a batch, at most.
        random: draws the order. The number of batches, and their lengths, are the same in every epoch.
    """
    of_row = np.searchsorted(buckets, lengths)
    batches: list[Batch] = []
    for place, length in enumerate(buckets.tolist()):
        rows = random.permutation(np.flatnonzero(of_row == place))
        cuts = [*range(0, len(rows), batch_size), len(rows)]
        batches += [Batch(rows[begin:end], length) for begin, end in pairwise(cuts)]
    return batches


def padding_share(lengths: NDArray[np.integer], buckets: NDArray[np.int64]) -> float:
    """Return the share of all timesteps of an epoch that are padding."""
    padded = buckets[np.searchsorted(buckets, lengths)]
    return 1.0 - float(lengths.sum()) / float(padded.sum())


def cut(inputs: NDArray[np.float32], batch: Batch, *, padding: Literal["pre", "post"]) -> NDArray[np.float32]:
    """Return what a model reads of a batch, shape (rows, length, 1).

    Args:
        inputs: of all rows, padded to the longest, shape (all rows, longest, 1).
        batch: which of them.
        padding: the side on which the zeros are.
    """
    return inputs[batch.rows, -batch.length :] if padding == "pre" else inputs[batch.rows, : batch.length]
