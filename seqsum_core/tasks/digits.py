"""Handwritten digits as sequences: 1,797 images of 8 x 8 pixels, ten classes, real data that comes with scikit-learn.

Length 8 reads an image row by row, 8 features a timestep; length 64 pixel by pixel.

Source: UCI, Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998), by `sklearn.datasets.load_digits`.
"""

import numpy as np

from seqsum_core.settings import DIGIT_IMAGES, TaskSettings
from seqsum_core.tasks.rows import Sequences

LENGTHS = (8, 64)


def draw(settings: TaskSettings, length: int, seed: int) -> Sequences:
    """Return all images as rows, pixels from 0 to 1, in the order of the data set; nothing is drawn."""
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    x = (images / 16).astype(np.float32).reshape(DIGIT_IMAGES, length, -1)
    return Sequences(x, np.full(DIGIT_IMAGES, length, np.int32), classes.astype(np.int32))
