"""The runs of 2017 that a replay is held to: six that the package carries, and any file of their format.

NumPy only. `data/<case>.npz` keeps what cannot be drawn again: the five initial weights, and the
`loss`, `val_loss` and `test_pred` of the float32 run; for the lengths 4 and 12 also those of the same
run in float64 without early stopping (`float64_loss`, ...). Rows and batch order come from
`task` and `article`, which draw them to the bit.
"""

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqsum_core import task
from seqsum_core.article import draw as article
from seqsum_core.article import reference_file
from seqsum_core.settings import TaskSettings, TrainingSettings, require

Dtype = Literal["float32", "float64"]
Model = Literal["simple_rnn", "lstm"]

CASES = ("rnn-4", "lstm-4", "rnn-12", "lstm-12", "rnn-25", "lstm-25")
FLOAT64_CASES = ("rnn-4", "lstm-4", "rnn-12", "lstm-12")
PRINTED_PREDICTIONS: dict[str, tuple[float, ...]] = {
    "rnn-4": (3.70650864, -0.08745918, 7.8017683, -0.08745918, 6.66305399, 5.0816884),
    "rnn-12": (17.03078651, 14.13139198, 11.11346722, 7.76618958, 6.90901232, -1.77918459),
}
"""The first six test predictions as the article prints them."""

BATCH_SIZE = TrainingSettings().batch_size


@dataclass(frozen=True)
class Reference:
    """One training run, with everything that repeats it.

    Args:
        name: the case, such as "rnn-4", or the file's name, such as "rnn_004.npz".
        inputs: padded digits, shape (rows, timesteps).
        targets: their sums, shape (rows,).
        train_rows: rows of the training set in their order; the last ones are for validation.
        test_rows: rows never seen in training.
        order: position in `train_rows` of each fitted row, shape (epochs, fitted rows).
        weights: initial kernel, recurrent kernel, bias, Dense kernel and Dense bias, in the run's dtype.
        loss: training loss of each epoch, shape (epochs,).
        val_loss: validation loss after each epoch, shape (epochs,).
        test_predictions: predictions after the last epoch, shape (test rows,).
        printed: the first predictions as the article prints them; empty where it prints none.
    """

    name: str
    inputs: NDArray[np.integer]
    targets: NDArray[np.integer]
    train_rows: NDArray[np.integer]
    test_rows: NDArray[np.integer]
    order: NDArray[np.integer]
    weights: tuple[NDArray[Any], ...] = field(repr=False)
    loss: NDArray[np.float64] = field(repr=False)
    val_loss: NDArray[np.float64] = field(repr=False)
    test_predictions: NDArray[Any] = field(repr=False)
    printed: tuple[float, ...] = ()

    @property
    def dtype(self) -> Dtype:
        """Name the precision of the run."""
        return "float64" if self.weights[0].dtype == np.float64 else "float32"

    @property
    def units(self) -> int:
        """Count the recurrent layer's units."""
        return len(self.weights[1])

    @property
    def model(self) -> Model:
        """Name the recurrent layer, which the width of its kernel tells."""
        return "simple_rnn" if self.weights[1].shape[1] == self.units else "lstm"

    @property
    def length(self) -> int:
        """Count the timesteps."""
        return int(self.inputs.shape[1])

    @property
    def epochs(self) -> int:
        """Count the epochs that ran."""
        return len(self.order)

    @property
    def fitted_rows(self) -> int:
        """Count the rows whose gradients were taken."""
        return int(self.order.shape[1])

    @property
    def stop_epoch(self) -> int | None:
        """Return the epoch at which patience 0 stops, counted from 0; None if no epoch was worse."""
        return first_worse_epoch(self.val_loss)

    @property
    def stopped_early(self) -> bool:
        """Say whether the run ended at its first worse epoch."""
        return self.stop_epoch == self.epochs - 1


def first_worse_epoch(val_loss: NDArray[np.float64]) -> int | None:
    """Find the first epoch that is no better than the best before it.

    Args:
        val_loss: validation loss of each epoch, shape (epochs,).

    Returns:
        That epoch, counted from 0, or None.
    """
    worse = val_loss[1:] >= np.minimum.accumulate(val_loss)[:-1]
    return int(worse.argmax()) + 1 if worse.any() else None


def load(path: Path) -> Reference:
    """Read a user's reference file.

    Args:
        path: an .npz file.

    Returns:
        The run that the file captures, with its own rows and batch order.

    Raises:
        ValueError: if the file is not what it should be.
    """
    arrays = reference_file.read(path)
    return Reference(
        name=path.name if path.name not in CASES else f"{path.name} (file)",  # never mistaken for the case
        inputs=arrays["X_pad"],
        targets=arrays["y"],
        train_rows=arrays["train_idx"],
        test_rows=arrays["test_idx"],
        order=arrays["perms"],
        weights=tuple(arrays[f"init_{name}"] for name in reference_file.WEIGHTS),
        loss=arrays["loss"],
        val_loss=arrays["val_loss"],
        test_predictions=arrays["test_pred"],
    )


def cases(dtype: Dtype = "float32") -> dict[str, Reference]:
    """Read the package's own references.

    Args:
        dtype: precision of the runs; of the six cases four ran in float64 as well.

    Returns:
        The references by name.
    """
    return {name: case(name, dtype) for name in (CASES if dtype == "float32" else FLOAT64_CASES)}


def case(name: str, dtype: Dtype = "float32") -> Reference:
    """Read one of the package's own references.

    Args:
        name: one of `CASES`.
        dtype: precision of the run.

    Returns:
        The run, with its rows and batch order drawn again.

    Raises:
        ValueError: if there is no such case, or none in this precision.
    """
    known = CASES if dtype == "float32" else FLOAT64_CASES
    require(name in known, f"`case` in {dtype} must be one of {', '.join(known)}.", name, "Choose one of them.")
    settings = TaskSettings()
    with resources.files("seqsum_core.article").joinpath("data", f"{name}.npz").open("rb") as file:
        arrays = dict(np.load(file, allow_pickle=False))
    prefix = "float64_" if dtype == "float64" else ""
    weights = tuple(arrays[f"init_{weight}"].astype(dtype) for weight in reference_file.WEIGHTS)
    loss = arrays[f"{prefix}loss"]
    length = int(name.partition("-")[2])
    drawn = task.draw(settings, length=length)
    test_rows, train_rows = task.split_rows(settings)
    return Reference(
        name=name,
        inputs=drawn.digits,
        targets=drawn.sums,
        train_rows=train_rows,
        test_rows=test_rows,
        order=article.batch_order(
            length, epochs=len(loss), rows=settings.fitted_rows, recurrent_shape=weights[1].shape
        ),
        weights=weights,
        loss=loss,
        val_loss=arrays[f"{prefix}val_loss"],
        test_predictions=arrays[f"{prefix}test_pred"],
        printed=PRINTED_PREDICTIONS.get(name, ()),
    )
