"""The 2017 article's random stream: its data and its batch order, equal to the bit.

NumPy only. The article ran Python 2.7, Keras 2.0.7 and Theano with `np.random.seed(14)`; a single legacy stream drew
the data, then parts of the initial weights, then each epoch's shuffle. NumPy guarantees that stream (`RandomState`), so
it can be drawn again.
"""

import numpy as np
from numpy.typing import NDArray

from seqsum_core.settings import ARTICLE_DIGITS, ARTICLE_MIN_LENGTH, ARTICLE_SEED, ARTICLE_SEQUENCES


def draw_rows(length: int, stream: np.random.RandomState | None = None) -> list[NDArray[np.int64]]:
    """Draw the article's 2,000 sequences, unpadded: 2 to `length` digits from 0 to 3; by default from a new stream."""
    stream = stream or np.random.RandomState(ARTICLE_SEED)
    low, high = ARTICLE_DIGITS
    return [
        stream.randint(low, high + 1, stream.randint(ARTICLE_MIN_LENGTH, length + 1)) for _ in range(ARTICLE_SEQUENCES)
    ]


def batch_order(length: int, *, epochs: int, rows: int, recurrent_shape: tuple[int, int]) -> NDArray[np.intp]:
    """Draw the order in which the article's fit visited its rows.

    Between the data and the first shuffle the stream also seeded two kernels and drew the matrix that the orthogonal
    recurrent kernel is made of; those draws are repeated here and thrown away. The index is shuffled again and again,
    never reset, so the permutations accumulate.

    Args:
        length: the longest sequence, which decides how far the data moved the stream.
        epochs: how many orders are drawn.
        rows: how many rows are fitted.
        recurrent_shape: shape of the recurrent kernel, (units, units * gates).

    Returns:
        Row indices, shape (epochs, rows).
    """
    stream = np.random.RandomState(ARTICLE_SEED)
    draw_rows(length, stream)
    stream.randint(1, 10_000_000)
    stream.normal(0.0, 1.0, recurrent_shape)
    stream.randint(1, 10_000_000)
    index = np.arange(rows)
    orders = np.empty((epochs, rows), np.intp)
    for order in orders:
        stream.shuffle(index)
        order[:] = index
    return orders
