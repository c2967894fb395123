"""Draw padded sequences of digits whose target is their sum, split them, and order them for training.

NumPy only. Digits are small signed integers; `inputs` and `targets` turn the rows that a model
sees into float32.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqsum_core.article import draw as article
from seqsum_core.settings import TaskSettings, require

FRESH_ROWS = 20_000
"""Rows that every training is judged on: so many that another draw of them changes no published digit by much."""


@dataclass(frozen=True)
class Sequences:
    """Drawn rows.

    Args:
        digits: padded digits, shape (rows, timesteps); of another task (rows, timesteps, features).
        lengths: digits in each row without padding, shape (rows,).
        sums: the target, shape (rows,).
    """

    digits: NDArray[np.int8] | NDArray[np.int16] | NDArray[np.float32]
    lengths: NDArray[np.int32]
    sums: NDArray[np.int64] | NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.sums)

    def take(self, rows: NDArray[np.intp]) -> "Sequences":
        """Return the given rows in the given order."""
        return Sequences(self.digits[rows], self.lengths[rows], self.sums[rows])

    def first(self, count: int) -> "Sequences":
        """Return the first rows, or all if they are fewer."""
        return Sequences(self.digits[:count], self.lengths[:count], self.sums[:count])

    def inputs(self) -> NDArray[np.float32]:
        """Return what a model reads, shape (rows, timesteps, features)."""
        return self.digits.reshape(*self.digits.shape[:2], -1).astype(np.float32)

    def targets(self) -> NDArray[np.float32]:
        """Return what a model is trained to output, shape (rows, 1)."""
        return self.sums[:, np.newaxis].astype(np.float32)


@dataclass(frozen=True)
class Split:
    """The rows that are fitted, those that val_mse is taken on, and the test rows.

    The three share no row, but short sequences repeat: of the article's 200 test rows 191 equal a fitted row at length
    4, 66 at 12, 19 at 25 and 4 at 50. At length 4 the test therefore asks for recall. See `fresh_rows`.
    """

    fitted: Sequences
    validation: Sequences
    test: Sequences


def draw(settings: TaskSettings, *, length: int, seed: int = 0) -> Sequences:
    """Draw `settings.sequences` rows, padded to `length` timesteps.

        draw(TaskSettings(), length=12).sums[:6]

    Args:
        settings: of the task.
        length: timesteps.
        seed: of the weights that are trained on the rows; it matters if `settings.redraw`.

    Raises:
        ValueError: if `length` is below 1 or below the shortest sequence.
    """
    check_length(settings, length)
    if settings.source == "article":
        rows = article.draw_rows(length)
        return Sequences(
            _pad(rows, length, settings.padding),
            np.array([len(row) for row in rows], np.int32),
            np.array([row.sum() for row in rows], np.int64),
        )
    stream = [settings.seed, 3, seed] if settings.redraw else settings.seed
    return _draw_vectorised(settings, length, settings.sequences, stream)


def fresh_rows(settings: TaskSettings, *, length: int, rows: int = FRESH_ROWS) -> Sequences:
    """Draw rows of the same law that no training has seen and that share none of its randomness.

    The article's rows are drawn with a length that is equally likely from 2 to `length`, and with equally likely digits
    of 0 to 3, as those of generated data are.

    Raises:
        ValueError: as `draw`.
    """
    check_length(settings, length)
    return _draw_vectorised(settings, length, rows, [settings.seed, 2])


def check_length(settings: TaskSettings, length: int) -> None:
    """Raise a ValueError if a length is below 1 or below the shortest sequence."""
    require(length >= 1, "`length` must be at least 1.", length, "Ask for a length such as 12.")
    require(
        length >= settings.min_length,
        f"`length` must be at least `min_length`, which is {settings.min_length}.",
        length,
        "Ask for a longer one, or lower `min_length` of generated data.",
    )


def _draw_vectorised(settings: TaskSettings, length: int, rows: int, stream: int | list[int]) -> Sequences:
    """Draw a full rectangle in one call and blank its padding in place: one byte a digit."""
    random = np.random.default_rng(stream)
    low, high = settings.digits
    dtype: type[np.int8] | type[np.int16] = np.int8 if low >= -128 and high <= 127 else np.int16
    lengths = random.integers(settings.min_length, length + 1, rows, dtype=np.int32)
    digits: NDArray[Any] = random.integers(low, high + 1, (rows, length), dtype=dtype)
    steps, ends = np.arange(length, dtype=np.int32), lengths[:, np.newaxis]
    digits *= steps < ends if settings.padding == "post" else steps >= length - ends
    return Sequences(digits, lengths, digits.sum(axis=1, dtype=np.int64))


def _pad(rows: list[NDArray[np.int64]], length: int, padding: str) -> NDArray[np.int8]:
    padded = np.zeros((len(rows), length), np.int8)
    for target, row in zip(padded, rows, strict=True):
        target[slice(len(row)) if padding == "post" else slice(length - len(row), None)] = row
    return padded


def split(data: Sequences, settings: TaskSettings) -> Split:
    """Split rows as the article does.

    The test rows are drawn at random (seed 0, the permutation that scikit-learn's
    `train_test_split` uses, so that the article's own rows come out); the validation rows are the
    last of what is left, taken before any shuffling, as Keras' `validation_split` takes them.
    """
    test, train = split_rows(settings)
    fitted = settings.fitted_rows
    return Split(data.take(train[:fitted]), data.take(train[fitted:]), data.take(test))


def split_rows(settings: TaskSettings) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of the test rows and of all others, in their order."""
    order = np.random.RandomState(0).permutation(settings.sequences)
    return order[: settings.test_rows], order[settings.test_rows :]


def batch_order(rows: int, *, epochs: int, seed: int) -> NDArray[np.intp]:
    """Draw the order in which each epoch visits the rows, shape (epochs, rows); the same on every backend."""
    random = np.random.default_rng([seed, 1])
    return np.stack([random.permutation(rows) for _ in range(epochs)])
