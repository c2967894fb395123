"""Batches of different lengths: every row once, no digit cut off, and as much padding as counted by hand."""

from itertools import islice
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqsum_core.batching import BUCKETS, Batch, bucket_lengths, cut, draw_batches, draw_epochs, padding_share
from seqsum_core.settings import Batching, TaskSettings
from seqsum_core.tasks import Sequences, draw

BATCHINGS: tuple[Batching, ...] = get_args(Batching)
LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=200).map(np.array)


def rows_of(lengths: Any, longest: int = 30) -> Sequences:
    digits = (np.arange(longest) >= longest - lengths[:, None]).astype(np.int8)
    return Sequences(digits, lengths, digits.sum(axis=1, dtype=np.int64))


def batches_of(lengths: Any, batching: Batching, *, batch_size: int = 7, seed: int = 0) -> list[Batch]:
    buckets = bucket_lengths(rows_of(lengths), batching)
    return draw_batches(lengths, buckets, batch_size=batch_size, random=np.random.default_rng(seed))


@given(LENGTHS, st.sampled_from(BATCHINGS), st.integers(1, 50))
def test_every_row_comes_once_and_fits(lengths: Any, batching: Batching, batch_size: int) -> None:
    batches = batches_of(lengths, batching, batch_size=batch_size)
    assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(len(lengths)))
    for batch in batches:
        assert 0 < len(batch.rows) <= batch_size
        assert lengths[batch.rows].max() <= batch.length <= 30
        if batching == "exact":
            assert set(lengths[batch.rows]) == {batch.length}


@given(LENGTHS)
def test_finer_buckets_never_pad_more(lengths: Any) -> None:
    padded, bucketed, exact = (padding_share(rows_of(lengths), batching) for batching in BATCHINGS)
    assert exact == pytest.approx(0) and exact <= bucketed <= padded < 1


@given(LENGTHS, st.sampled_from(BATCHINGS))
def test_epochs_have_equal_shapes(lengths: Any, batching: Batching) -> None:
    epochs = [batches_of(lengths, batching, seed=seed) for seed in (1, 2)]
    shapes = [sorted((len(batch.rows), batch.length) for batch in epoch) for epoch in epochs]
    assert shapes[0] == shapes[1]


@given(LENGTHS, st.integers(1, 50), st.integers(0, 5))
def test_first_two_batches_differ_in_length(lengths: Any, batch_size: int, seed: int) -> None:
    batches = batches_of(lengths, "exact", batch_size=batch_size, seed=seed)
    if len(set(lengths)) > 1:
        assert batches[0].length != batches[1].length


def test_epochs_are_drawn_from_the_seed() -> None:
    rows = draw(TaskSettings(), length=12)

    def two_epochs(seed: int) -> list[list[int]]:
        epochs = islice(draw_epochs(rows, "exact", batch_size=50, seed=seed), 2)
        return [np.concatenate([batch.rows for batch in epoch]).tolist() for epoch in epochs]

    first, second = two_epochs(3)
    assert two_epochs(3) == [first, second] != two_epochs(4)
    assert first != second


def test_buckets_and_padding_by_hand() -> None:
    lengths = np.array([1, 2, 3, 4, 5, 6, 7, 8])
    rows = rows_of(lengths, longest=10)
    assert list(bucket_lengths(rows, "padded")) == [10]
    assert list(bucket_lengths(rows, "exact")) == [1, 2, 3, 4, 5, 6, 7, 8]
    buckets = list(bucket_lengths(rows, "bucketed"))
    assert len(buckets) == BUCKETS and buckets[-1] == 8
    assert padding_share(rows, "padded") == pytest.approx(1 - 36 / 80)
    assert padding_share(rows_of(np.array([2, 2, 2, 8, 8, 8]), longest=10), "exact") == 0


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("batching", BATCHINGS)
def test_no_digit_is_cut_off(padding: Any, batching: Batching) -> None:
    rows = draw(TaskSettings(padding=padding), length=12)
    for batch in next(draw_epochs(rows, batching, batch_size=100, seed=0)):
        inputs = cut(rows.inputs(), batch, padding=padding)
        assert inputs.shape == (len(batch.rows), batch.length, 1)
        assert np.array_equal(inputs.sum((1, 2)), rows.y[batch.rows])
