"""Task: the article's rows to the bit, generated rows of any size, and how rows are split and ordered."""

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from seqsum_core.settings import TaskSettings
from seqsum_core.tasks import Sequences, batch_order, draw, fresh_rows, split, split_rows

# First 16 hex digits of SHA-256 of the arrays that the 2017 stack drew: padded digits as int8, sums as int16.
ARTICLE_HASHES = {
    4: ("5fca23770721a3c8", "5137aca53d70d92f"),
    12: ("be8255ec10bd3d41", "5387a2159c343001"),
    25: ("2bd591133dea020b", "4d9f653bb30193ff"),
}
ARTICLE_TRAIN_ROWS, ARTICLE_TEST_ROWS = "e2f40ca0cfa86c4f", "1a854e19ea72e60e"


def fingerprint(values: NDArray[Any], dtype: str) -> str:
    narrow = np.ascontiguousarray(values, dtype)
    assert np.array_equal(narrow, values), "the values do not fit in the type that is hashed"
    return hashlib.sha256(narrow.tobytes()).hexdigest()[:16]


def generated(**fields: Any) -> TaskSettings:
    return TaskSettings(source="generated", **fields)


@st.composite
def tasks(draw_value: st.DrawFn) -> tuple[TaskSettings, int]:
    """Draw settings of any generated data set, and a length that it allows."""
    low = draw_value(st.integers(-400, 400))
    min_length = draw_value(st.integers(1, 9))
    task = generated(
        sequences=draw_value(st.integers(3, 200)),
        min_length=min_length,
        digits=(low, low + draw_value(st.integers(0, 400))),
        padding=draw_value(st.sampled_from(["pre", "post"])),
        seed=draw_value(st.integers(0, 2**40)),
    )
    return task, min_length + draw_value(st.integers(0, 20))


@pytest.mark.parametrize("length", ARTICLE_HASHES)
def test_article_rows_to_the_bit(length: int) -> None:
    data = draw(TaskSettings(), length=length)
    assert (fingerprint(data.x, "int8"), fingerprint(data.y, "int16")) == ARTICLE_HASHES[length]


def test_article_split_to_the_bit() -> None:
    test, train = split_rows(TaskSettings(), 2000)
    assert (fingerprint(train, "int16"), fingerprint(test, "int16")) == (ARTICLE_TRAIN_ROWS, ARTICLE_TEST_ROWS)
    parts = split(draw(TaskSettings(), length=4), TaskSettings())
    assert (len(parts.fitted), len(parts.validation), len(parts.test)) == (1620, 180, 200)


def test_post_padding_has_the_same_rows() -> None:
    pre, post = (draw(TaskSettings(padding=padding), length=12) for padding in ("pre", "post"))
    assert np.array_equal(pre.y, post.y)
    for before, after, length in zip(pre.x, post.x, pre.lengths, strict=True):
        assert np.array_equal(before[12 - length :], after[:length]) and not after[length:].any()


@settings(deadline=None)  # a busy machine is no failure
@given(tasks())
def test_generated_rows(task_and_length: tuple[TaskSettings, int]) -> None:
    """Shape, lengths, digits, padding and sums are as asked, and the same seed draws them again."""
    task, length = task_and_length
    data = draw(task, length=length)
    low, high = task.digits
    steps = np.arange(length)
    inside = steps < data.lengths[:, None] if task.padding == "post" else steps >= length - data.lengths[:, None]
    assert data.x.shape == (task.sequences, length) == (len(data), length)
    assert task.min_length <= data.lengths.min() and data.lengths.max() <= length
    assert not data.x[~inside].any()
    assert low <= data.x[inside].min() and data.x[inside].max() <= high
    assert np.array_equal(data.y, data.x.astype(np.int64).sum(axis=1))
    assert np.array_equal(data.x, draw(task, length=length).x)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**40), st.integers(1, 2**20))
def test_another_seed_draws_other_rows(seed: int, step: int) -> None:
    first, second = (draw(generated(seed=seed), length=12) for seed in (seed, seed + step))
    assert not np.array_equal(first.x, second.x)


def test_fresh_rows_follow_the_law_of_the_article() -> None:
    """Equally likely lengths and digits: shares and means lie within four standard errors of the law."""
    fresh = fresh_rows(TaskSettings(), length=12)
    assert fresh is not None
    assert len(fresh) == 20_000
    counts = np.bincount(fresh.lengths, minlength=13)[2:]
    assert np.abs(counts / 20_000 - 1 / 11).max() < 4 * np.sqrt(1 / 11 * 10 / 11 / 20_000)
    digits = np.concatenate([row[12 - length :] for row, length in zip(fresh.x, fresh.lengths, strict=True)])
    shares = np.bincount(digits, minlength=4) / len(digits)
    assert np.abs(shares - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / len(digits))
    article = draw(TaskSettings(), length=12)
    assert abs(fresh.y.mean() - article.y.mean()) < 4 * article.y.std() / np.sqrt(2_000)


def test_fresh_rows_share_no_randomness_with_the_data() -> None:
    task = generated(sequences=1_000, min_length=40)
    fitted = {row.tobytes() for row in draw(task, length=40).x}
    fresh = fresh_rows(task, length=40)
    assert fresh is not None and not any(row.tobytes() in fitted for row in fresh.x)


def test_redrawn_data() -> None:
    task = generated(redraw=True)
    first, again, second = (draw(task, length=12, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.x, again.x) and not np.array_equal(first.x, second.x)
    assert np.array_equal(draw(generated(), length=12).x, draw(generated(), length=12, seed=1).x)
    with pytest.raises(ValueError, match="`redraw`"):
        TaskSettings(redraw=True)


def test_every_length_and_digit_occurs() -> None:
    data = draw(generated(digits=(-2, 5), min_length=3), length=9)
    assert set(data.lengths.tolist()) == set(range(3, 10))
    assert set(data.x.ravel().tolist()) == set(range(-2, 6))


@pytest.mark.parametrize(
    ("digits", "dtype"), [((-128, 127), np.int8), ((0, 128), np.int16), ((-129, 0), np.int16), ((0, 32767), np.int16)]
)
def test_bytes_of_a_digit(digits: tuple[int, int], dtype: type[np.generic]) -> None:
    assert draw(generated(digits=digits), length=12).x.dtype == dtype


def test_wide_sums_do_not_overflow() -> None:
    data = draw(generated(digits=(32767, 32767), min_length=200), length=200)
    assert set(data.y.tolist()) == {200 * 32767}


def test_inputs_and_targets() -> None:
    data = draw(TaskSettings(), length=4)
    assert (data.inputs().shape, data.inputs().dtype.name) == ((2000, 4, 1), "float32")
    assert (data.targets().shape, data.targets().dtype.name) == ((2000, 1), "float32")
    assert np.array_equal(data.inputs().sum(axis=1), data.targets())


@settings(deadline=None)
@given(st.integers(3, 400), st.floats(0.01, 0.6), st.floats(0.01, 0.99))
def test_split(rows: int, test_share: float, validation_share: float) -> None:
    task = generated(sequences=rows, test_share=test_share, validation_share=validation_share)
    numbered = Sequences(np.zeros((rows, 1), np.int8), np.ones(rows, np.int32), np.arange(rows))
    parts = split(numbered, task)
    train, test = train_test_split(np.arange(rows), test_size=test_share, random_state=0)
    kept = int(len(train) * (1 - validation_share))  # what Keras' validation_split fits
    assert parts.test.y.tolist() == test.tolist()
    assert parts.fitted.y.tolist() == train[:kept].tolist()
    assert parts.validation.y.tolist() == train[kept:].tolist()
    counts = (len(parts.fitted), len(parts.validation), len(parts.test))
    assert counts == task.sizes(rows) and sum(counts) == rows


def test_batch_order() -> None:
    order = batch_order(50, epochs=3, seed=7)
    assert (np.sort(order, axis=1) == np.arange(50)).all()
    assert not np.array_equal(order[0], order[1])
    np.testing.assert_array_equal(order[:2], batch_order(50, epochs=2, seed=7))
    assert not np.array_equal(order, batch_order(50, epochs=3, seed=8))


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 60), st.integers(0, 2**40))
def test_adding(length: int, seed: int) -> None:
    """The target is the sum of the two marked values, one in each half; other rows of the law are drawn apart."""
    task = TaskSettings(name="adding", sequences=40, seed=seed)
    rows = draw(task, length=length)
    values, markers = rows.x[:, :, 0], rows.x[:, :, 1]
    assert rows.x.shape == (40, length, 2) and ((values >= 0) & (values < 1)).all()
    half = length // 2
    assert (markers[:, :half].sum(axis=1) == 1).all() and (markers[:, half:].sum(axis=1) == 1).all()
    np.testing.assert_allclose(rows.y, (values * markers).sum(axis=1), rtol=1e-6)
    fresh = fresh_rows(task, length=length, rows=40)
    assert fresh is not None and not np.array_equal(fresh.x, rows.x)
    assert np.array_equal(draw(task, length=length).x, rows.x)


def test_digits() -> None:
    """The same images by rows and by pixels, ten classes; there is no law to draw more from."""
    task = TaskSettings(name="digits")
    by_row, by_pixel = (draw(task, length=length) for length in (8, 64))
    assert by_row.x.shape == (1797, 8, 8) and by_pixel.x.shape == (1797, 64, 1)
    assert np.array_equal(by_row.x.ravel(), by_pixel.x.ravel()) and set(by_row.y) == set(range(10))
    assert split(by_row, task).task.outputs == 10 and fresh_rows(task, length=8) is None


@pytest.mark.parametrize(
    ("task", "length", "rule"),
    [
        (TaskSettings(name="digits"), 12, "must be 8 .* or 64"),
        (TaskSettings(name="adding"), 1, "at least 2"),
        (TaskSettings(), 1, "at least `min_length`, which is 2"),
        (generated(min_length=1), 0, "at least 1"),
    ],
)
def test_lengths_that_a_task_has_not(task: TaskSettings, length: int, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        draw(task, length=length)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "addition"},
        {"name": "adding", "digits": (0, 9)},
        {"name": "digits", "sequences": 100},
        {"name": "mine:rows", "seed": 1},
        {"name": "mine:rows", "padding": "post"},
    ],
)
def test_settings_that_a_task_does_not_have(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Received: "):
        TaskSettings(**fields)
