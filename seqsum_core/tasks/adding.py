"""The adding problem: of two features a timestep, a value and a marker, output the sum of the two marked values.

No linear model solves it, since it multiplies one feature with the other, and one of the two values must be kept for
half of the row or more. A constant gets a mean squared error of 1/6. NumPy only.

Source: Hochreiter and Schmidhuber, Long Short-Term Memory, 1997, experiment 4; values from 0 to 1 and rows of one
length, as most later work has them.
"""

from collections.abc import Sequence

import numpy as np

from seqsum_core.settings import TaskSettings
from seqsum_core.tasks.rows import Sequences


def draw(settings: TaskSettings, length: int, seed: int) -> Sequences:
    """Draw `settings.sequences` rows of `length` timesteps and two features."""
    return draw_rows(length, settings.sequences, [settings.seed, length, *([3, seed] if settings.redraw else [])])


def fresh(settings: TaskSettings, length: int, rows: int) -> Sequences:
    """Draw rows that share no randomness with those of a training."""
    return draw_rows(length, rows, [settings.seed, length, 2])


def draw_rows(length: int, rows: int, stream: Sequence[int]) -> Sequences:
    """Draw rows with values from 0 to 1, and a marker in the first and in the second half of each."""
    random = np.random.default_rng(stream)
    values = random.uniform(0, 1, (rows, length)).astype(np.float32)
    markers, row = np.zeros_like(values), np.arange(rows)
    for low, high in ((0, length // 2), (length // 2, length)):
        markers[row, random.integers(low, high, rows)] = 1
    sums = (values.astype(np.float64) * markers).sum(axis=1)
    return Sequences(np.stack([values, markers], axis=2), np.full(rows, length, np.int32), sums)
