"""Batches of sequences of different lengths: all padded to the longest, to that of their bucket, or not at all.

A batch is one array, so its rows need one length. Buckets save padding, at the price of shapes that change from batch
to batch. NumPy only.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqsum_core.settings import Batching, Padding
from seqsum_core.tasks import Sequences

BUCKETS = 4


@dataclass(frozen=True)
class Batch:
    """Indices of rows that are trained on together, and the timesteps that they are padded to."""

    rows: NDArray[np.intp]
    length: int


def bucket_lengths(rows: Sequences, batching: Batching) -> NDArray[np.int64]:
    """Return what the rows of each bucket are padded to, the shortest first.

    Args:
        rows: padded to the longest.
        batching: "padded": one bucket for all; "bucketed": four that hold about as many rows each; "exact": one for
            each length that occurs.
    """
    if batching == "exact":
        return np.unique(rows.lengths).astype(np.int64)
    if batching == "padded":
        return np.array([rows.timesteps], np.int64)
    quarters = np.quantile(rows.lengths, np.arange(1, BUCKETS + 1) / BUCKETS, method="higher")
    return np.unique(quarters).astype(np.int64)


def whole_buckets(lengths: NDArray[np.integer], buckets: NDArray[np.int64]) -> list[Batch]:
    """Return all rows of each bucket (`bucket_lengths`) as one batch, the shortest first."""
    bucket_of_row = np.searchsorted(buckets, lengths)
    return [Batch(np.flatnonzero(bucket_of_row == index), length) for index, length in enumerate(buckets.tolist())]


def draw_batches(
    lengths: NDArray[np.integer], buckets: NDArray[np.int64], *, batch_size: int, random: np.random.Generator
) -> list[Batch]:
    """Draw an epoch: the rows of each bucket in a new order, cut into batches, and these in a new order too.

    The last batch of a bucket may be smaller. The number of batches, and how many of each length, are the same in
    every epoch. The first two batches differ in length if any do: on TensorFlow Keras takes a dimension that they have
    in common for fixed (`get_tensor_spec`).

    Args:
        lengths: of the rows without padding, shape (rows,).
        buckets: see `bucket_lengths`.
        batch_size: rows of a batch, at most.
        random: draws the orders.
    """
    batches: list[Batch] = []
    for bucket in whole_buckets(lengths, buckets):
        rows = random.permutation(bucket.rows)
        batches += [Batch(rows[begin : begin + batch_size], bucket.length) for begin in range(0, len(rows), batch_size)]
    batches = [batches[index] for index in random.permutation(len(batches))]
    for index, batch in enumerate(batches):
        if batch.length != batches[0].length:
            batches[1], batches[index] = batch, batches[1]
            break
    return batches


def draw_epochs(rows: Sequences, batching: Batching, *, batch_size: int, seed: int) -> Iterator[list[Batch]]:
    """Draw epoch after epoch without end, for the same seed the same ones on every backend."""
    random = np.random.default_rng([seed, 1])
    buckets = bucket_lengths(rows, batching)
    while True:
        yield draw_batches(rows.lengths, buckets, batch_size=batch_size, random=random)


def padding_share(rows: Sequences, batching: Batching) -> float:
    """Return the share of all timesteps of an epoch that are padding."""
    buckets = bucket_lengths(rows, batching)
    padded = buckets[np.searchsorted(buckets, rows.lengths)]
    return 1.0 - float(rows.lengths.sum()) / float(padded.sum())


def cut(inputs: NDArray[np.float32], batch: Batch, *, padding: Padding) -> NDArray[np.float32]:
    """Return what a model reads of a batch, (its rows, its length, 1), of inputs padded to the longest on one side."""
    return inputs[batch.rows, -batch.length :] if padding == "pre" else inputs[batch.rows, : batch.length]
