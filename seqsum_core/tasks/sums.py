"""The article's task: read a padded sequence of digits, output their sum. NumPy only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqsum_core.article import draw as article
from seqsum_core.settings import TaskSettings
from seqsum_core.tasks.rows import Sequences


def draw(settings: TaskSettings, length: int, seed: int) -> Sequences:
    """Draw the article's rows bit for bit, or generated ones, padded to `length` timesteps."""
    if settings.source == "article":
        rows = article.draw_rows(length)
        return Sequences(
            _pad(rows, length, settings.padding),
            np.array([len(row) for row in rows], np.int32),
            np.array([row.sum() for row in rows], np.int64),
        )
    stream = [settings.seed, 3, seed] if settings.redraw else settings.seed
    return _draw_vectorised(settings, length, settings.sequences, stream)


def fresh(settings: TaskSettings, length: int, rows: int) -> Sequences:
    """Draw rows of the same law that share no randomness with those of a training.

    The article's rows are drawn with a length that is equally likely from 2 to `length`, and with equally likely digits
    of 0 to 3, as those of generated data are.
    """
    return _draw_vectorised(settings, length, rows, [settings.seed, 2])


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
