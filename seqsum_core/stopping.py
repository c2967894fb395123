"""After which epoch early stopping ends a training, for several patiences and trainings at once.

NumPy only. The rule is that of Keras' `EarlyStopping`: an epoch counts against the patience unless its val_loss is
below the best before it. NaN is never below anything.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def stop_epoch(val_loss: ArrayLike, patience: int) -> int | None:
    """Return how many epochs run until patience ends, or None if it does not.

        stop_epoch([3, 2, 2.5, 1], patience=0)  # 3

    Args:
        val_loss: of each epoch.
        patience: epochs without a better val_loss that are endured; 0 and 1 stop at the first one (but never at the
            first epoch), a negative number never.

    Source: keras.callbacks.EarlyStopping of Keras 3.15.1.
    """
    best, waited = np.inf, 0
    for epoch, loss in enumerate(np.asarray(val_loss, np.float64), 1):
        waited = 0 if loss < best else waited + 1
        best = min(best, loss) if loss == loss else best
        if 0 <= patience <= waited and waited and epoch > 1:
            return epoch
    return None


class StopTracker:
    """The losses of trainings that run side by side, and when each patience ends each of them."""

    def __init__(self, trainings: int, patiences: Sequence[int]) -> None:
        self._losses: list[NDArray[np.float64]] = []
        self._val_losses: list[NDArray[np.float64]] = []
        self._running = {(training, patience) for training in range(trainings) for patience in patiences}

    def add(self, loss: ArrayLike, val_loss: ArrayLike) -> list[tuple[int, int]]:
        """Add the losses of an epoch, of shape (trainings,), and return the (training, patience) that it ends."""
        self._losses.append(np.asarray(loss, np.float64))
        self._val_losses.append(np.asarray(val_loss, np.float64))
        val_losses = np.stack(self._val_losses)
        ended = [pair for pair in self.running if stop_epoch(val_losses[:, pair[0]], pair[1])]
        self._running -= set(ended)
        return ended

    @property
    def running(self) -> list[tuple[int, int]]:
        """Return the (training, patience) that nothing has ended yet, in order."""
        return sorted(self._running)

    def losses(self, training: int) -> tuple[list[float], list[float]]:
        """Return loss and val_loss of each epoch so far of a training."""
        loss, val_loss = np.stack(self._losses)[:, training], np.stack(self._val_losses)[:, training]
        return loss.tolist(), val_loss.tolist()
