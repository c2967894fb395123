"""Batches of sequences of different lengths: all padded to the longest, to that of their bucket, or not at all.

A batch is one array, so its rows need one length. What padding wastes, buckets save, at the price of shapes that
change from batch to batch. NumPy only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seqsum_core.settings import Batching
from seqsum_core.task import Sequences

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


def buckets_of(rows: Sequences, batching: Batching) -> NDArray[np.int64]:
    """Return what the rows of each bucket are padded to, the shortest first: see `bucket_lengths`."""
    return bucket_lengths(rows.lengths, batching, longest=rows.digits.shape[1])


def whole_buckets(lengths: NDArray[np.integer], buckets: NDArray[np.int64]) -> list[Batch]:
    """Return all rows of each bucket as one batch, the shortest first."""
    of_row = np.searchsorted(buckets, lengths)
    return [Batch(np.flatnonzero(of_row == place), length) for place, length in enumerate(buckets.tolist())]


def draw_batches(
    lengths: NDArray[np.integer], buckets: NDArray[np.int64], *, batch_size: int, random: np.random.Generator
) -> list[Batch]:
    """Draw an epoch: the rows of each bucket in a new order, cut into batches, and these in a new order too.

    The last batch of a bucket may be smaller. The first two batches differ in length if any do: on TensorFlow
    Keras takes a dimension that they have in common for fixed (`get_tensor_spec`).

    Args:
        lengths: of the rows without padding, shape (rows,).
        buckets: see `bucket_lengths`.
        batch_size: rows of a batch, at most.
        random: draws the orders. The number of batches, and how many of each length, are the same in every epoch.
    """
    batches: list[Batch] = []
    for bucket in whole_buckets(lengths, buckets):
        rows = random.permutation(bucket.rows)
        cuts = [*range(0, len(rows), batch_size), len(rows)]
        batches += [Batch(rows[begin:end], bucket.length) for begin, end in pairwise(cuts)]
    batches = [batches[place] for place in random.permutation(len(batches))]
    other = next((place for place, one in enumerate(batches) if one.length != batches[0].length), None)
    if other is not None:
        batches[1], batches[other] = batches[other], batches[1]
    return batches


def draw_epochs(rows: Sequences, batching: Batching, *, batch_size: int, seed: int) -> Iterator[list[Batch]]:
    """Draw epoch after epoch without end, for the same seed the same ones on every backend."""
    random = np.random.default_rng([seed, 1])
    buckets = buckets_of(rows, batching)
    while True:
        yield draw_batches(rows.lengths, buckets, batch_size=batch_size, random=random)


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
