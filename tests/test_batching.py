"""Batches of different lengths: every row once, no digit cut off, and as much padding as counted by hand."""

from itertools import islice
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqsum_core.batching import (
    BUCKETS,
    Batch,
    bucket_lengths,
    cut,
    draw_batches,
    draw_epochs,
    padding_share,
    whole_buckets,
)
from seqsum_core.settings import Batching, TaskSettings
from seqsum_core.task import draw

BATCHINGS: tuple[Batching, ...] = get_args(Batching)
lengths_drawn = st.lists(st.integers(1, 30), min_size=1, max_size=200).map(np.array)


def drawn(lengths: Any, batching: Batching, *, batch_size: int = 7, seed: int = 0) -> list[Batch]:
    buckets = bucket_lengths(lengths, batching, longest=30)
    return draw_batches(lengths, buckets, batch_size=batch_size, random=np.random.default_rng(seed))


@given(lengths_drawn, st.sampled_from(BATCHINGS), st.integers(1, 50))
def test_every_row_comes_once_and_fits(lengths: Any, batching: Batching, batch_size: int) -> None:
    batches = drawn(lengths, batching, batch_size=batch_size)
    assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(len(lengths)))
    for batch in batches:
        assert 0 < len(batch.rows) <= batch_size
        assert lengths[batch.rows].max() <= batch.length <= 30
        if batching == "exact":
            assert set(lengths[batch.rows]) == {batch.length}


@given(lengths_drawn)
def test_finer_buckets_never_pad_more(lengths: Any) -> None:
    shares = {name: padding_share(lengths, bucket_lengths(lengths, name, longest=30)) for name in BATCHINGS}
    assert shares["exact"] == pytest.approx(0)
    assert shares["exact"] <= shares["bucketed"] <= shares["padded"] < 1


@given(lengths_drawn, st.sampled_from(BATCHINGS))
def test_epochs_differ_in_their_order_alone(lengths: Any, batching: Batching) -> None:
    first, second = (drawn(lengths, batching, seed=seed) for seed in (1, 2))
    shapes = [sorted((len(one.rows), one.length) for one in epoch) for epoch in (first, second)]
    assert shapes[0] == shapes[1]
    assert all(set(lengths[one.rows]) <= set(range(one.length + 1)) for one in second)


@given(lengths_drawn, st.integers(1, 50), st.integers(0, 5))
def test_the_first_two_batches_show_that_lengths_differ(lengths: Any, batch_size: int, seed: int) -> None:
    batches = drawn(lengths, "exact", batch_size=batch_size, seed=seed)
    if len(set(lengths)) > 1:
        assert batches[0].length != batches[1].length


def test_epoch_after_epoch_is_drawn_from_one_seed() -> None:
    rows = draw(TaskSettings(), length=12)
    first, again, other = (
        [
            batch.rows.tolist()
            for epoch in islice(draw_epochs(rows, "exact", batch_size=50, seed=seed), 2)
            for batch in epoch
        ]
        for seed in (3, 3, 4)
    )
    assert first == again != other
    assert first[: len(first) // 2] != first[len(first) // 2 :]


@given(lengths_drawn, st.sampled_from(BATCHINGS))
def test_buckets_hold_all_rows_in_their_order(lengths: Any, batching: Batching) -> None:
    buckets = whole_buckets(lengths, bucket_lengths(lengths, batching, longest=30))
    assert sorted(np.concatenate([one.rows for one in buckets])) == list(range(len(lengths)))
    assert all((np.diff(one.rows) > 0).all() and (lengths[one.rows] <= one.length).all() for one in buckets)


def test_buckets_and_waste_are_those_counted_by_hand() -> None:
    lengths = np.array([1, 2, 3, 4, 5, 6, 7, 8])
    assert list(bucket_lengths(lengths, "padded", longest=10)) == [10]
    assert list(bucket_lengths(lengths, "exact", longest=10)) == [1, 2, 3, 4, 5, 6, 7, 8]
    buckets = bucket_lengths(lengths, "bucketed", longest=10)
    assert len(buckets) == BUCKETS and buckets[-1] == 8
    assert padding_share(lengths, np.array([10])) == pytest.approx(1 - 36 / 80)
    assert padding_share(lengths, np.array([4, 8])) == pytest.approx(1 - 36 / 48)


def test_rows_are_shuffled_anew() -> None:
    lengths = np.full(50, 3)
    first, second = (np.concatenate([one.rows for one in drawn(lengths, "exact", seed=seed)]) for seed in (1, 2))
    assert list(first) != list(second)


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("batching", BATCHINGS)
def test_no_digit_is_cut_off(padding: Any, batching: Batching) -> None:
    rows = draw(TaskSettings(padding=padding), length=12)
    buckets = bucket_lengths(rows.lengths, batching, longest=12)
    for batch in draw_batches(rows.lengths, buckets, batch_size=100, random=np.random.default_rng(0)):
        inputs = cut(rows.inputs(), batch, padding=padding)
        assert inputs.shape == (len(batch.rows), batch.length, 1)
        assert np.array_equal(inputs.sum((1, 2)), rows.sums[batch.rows])
