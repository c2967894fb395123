"""Hold a replayed run to its reference: what is measured, and how far off it may be.

NumPy only: whoever collects results judges them without a backend. Relative differences are
|replay - reference| / |reference|; differences of predictions are in digits, the task's unit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqsum_core.reference import Dtype, Model, Reference, first_worse_epoch

FIRST = 6
"""How many predictions the article prints."""


@dataclass(frozen=True)
class Replayed:
    """What a replay on one backend gave.

    Args:
        backend: the backend's name.
        dtype: precision of the replay.
        loss: training loss of each epoch, shape (epochs,).
        val_loss: validation loss after each epoch, shape (epochs,).
        test_predictions: predictions after the last epoch, shape (test rows,).
        stop_predictions: predictions after the reference's stop epoch, shape (test rows,); the same as
            `test_predictions` where training ended there or earlier, or the reference has none.
    """

    backend: str
    dtype: Dtype
    loss: NDArray[np.float64]
    val_loss: NDArray[np.float64]
    test_predictions: NDArray[np.float64]
    stop_predictions: NDArray[np.float64]

    @property
    def stop_epoch(self) -> int | None:
        """Return the epoch at which patience 0 stops, counted from 0; None if no epoch was worse."""
        return first_worse_epoch(self.val_loss)


@dataclass(frozen=True)
class Bar:
    """One thing that was measured, and the most that it may be.

    Args:
        name: what was measured, with its unit.
        measured: what came out.
        limit: the most that passes.
    """

    name: str
    measured: float
    limit: float

    @property
    def passed(self) -> bool:
        """Say whether the bar holds; NaN never does."""
        return bool(self.measured <= self.limit)
