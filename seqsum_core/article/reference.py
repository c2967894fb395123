"""The runs of 2017 that a replay is compared with: six that the package carries, and any file of their format.

`data/<case>.npz` holds what cannot be drawn again: the five initial weights, and `loss`, `val_loss` and `test_pred` of
the float32 run; for the lengths 4 and 12 also those of the same run in float64 without early stopping
(`float64_loss`, ...). Rows and batch order are drawn again, to the bit, by `task` and `article.draw`.

A user's file comes from anywhere: nothing in it is trusted, and nothing in it is executed (`allow_pickle=False`).
Every refusal is a ValueError of one line. NumPy only.
"""

import zipfile
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqsum_core import tasks
from seqsum_core.article import draw
from seqsum_core.settings import TaskSettings, TrainingSettings, require
from seqsum_core.start import WEIGHT_NAMES
from seqsum_core.stopping import stop_epoch

Arrays = dict[str, NDArray[Any]]
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
        inputs: padded digits, shape (rows, timesteps); `targets`: their sums.
        train_rows: rows of the training set in their order; the last ones are for validation.
        test_rows: rows that the fit did not get (short ones may equal a row that it got).
        order: position in `train_rows` of each fitted row, shape (epochs, fitted rows).
        weights: initial weights in the order of `start.WEIGHT_NAMES`, in the run's dtype.
        test_predictions: predictions after the last epoch.
        printed: the first predictions as the article prints them; empty where it prints none.
    """

    name: str
    inputs: NDArray[Any]
    targets: NDArray[Any]
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
        """Name the recurrent layer, which follows from the width of its kernel."""
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
        return last_epoch(self.val_loss)

    @property
    def stopped_early(self) -> bool:
        """Tell whether the run ended at its first worse epoch."""
        return self.stop_epoch == self.epochs - 1


def last_epoch(val_loss: NDArray[np.float64]) -> int | None:
    """Return the epoch at which patience 0 stops, counted from 0 as Keras 2 printed it, or None."""
    epochs = stop_epoch(val_loss, 0)
    return None if epochs is None else epochs - 1


def case(name: str, dtype: Dtype = "float32") -> Reference:
    """Read one of the package's own references, of `CASES` or, in float64, of `FLOAT64_CASES`.

    Raises:
        ValueError: if there is no such case, or none in this precision.
    """
    known = CASES if dtype == "float32" else FLOAT64_CASES
    require(name in known, f"`case` in {dtype} must be one of {', '.join(known)}.", name, "Choose one of them.")
    settings, length = TaskSettings(), int(name.partition("-")[2])
    with resources.files("seqsum_core.article").joinpath("data", f"{name}.npz").open("rb") as file:
        arrays = dict(np.load(file, allow_pickle=False))
    prefix = "float64_" if dtype == "float64" else ""
    weights = tuple(arrays[f"init_{weight}"].astype(dtype) for weight in WEIGHT_NAMES)
    loss = arrays[f"{prefix}loss"]
    drawn = tasks.draw(settings, length=length)
    test_rows, train_rows = tasks.split_rows(settings, len(drawn))
    order = draw.batch_order(
        length, epochs=len(loss), rows=settings.sizes(len(drawn)).fitted, recurrent_shape=weights[1].shape
    )
    return Reference(
        name=name,
        inputs=drawn.x,
        targets=drawn.y,
        train_rows=train_rows,
        test_rows=test_rows,
        order=order,
        weights=weights,
        loss=loss,
        val_loss=arrays[f"{prefix}val_loss"],
        test_predictions=arrays[f"{prefix}test_pred"],
        printed=PRINTED_PREDICTIONS.get(name, ()),
    )


def load(path: Path) -> Reference:
    """Read a user's reference file; arrays that no replay needs are not looked at.

    Args:
        path: an .npz file with the arrays of `RULES`, as `numpy.savez` writes it.

    Raises:
        ValueError: if an array is missing or breaks its rule, or the file is none.
    """
    arrays = _read(path)
    _check_dtypes(arrays)
    _check_shapes(arrays)
    _check_values(arrays)
    return Reference(
        name=path.name if path.name not in CASES else f"{path.name} (file)",  # never mistaken for the case
        inputs=arrays["X_pad"],
        targets=arrays["y"],
        train_rows=arrays["train_idx"],
        test_rows=arrays["test_idx"],
        order=arrays["perms"],
        weights=tuple(arrays[f"init_{name}"] for name in WEIGHT_NAMES),
        loss=arrays["loss"],
        val_loss=arrays["val_loss"],
        test_predictions=arrays["test_pred"],
    )


INTEGER, SINGLE_OR_DOUBLE, DOUBLE = "integers", "float32 or float64", "float64"
DTYPES = {INTEGER: "bhilqBHILQ", SINGLE_OR_DOUBLE: "fd", DOUBLE: "d"}
RULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "X_pad": (INTEGER, ("rows", "length")),
    "y": (INTEGER, ("rows",)),
    "train_idx": (INTEGER, ("train",)),
    "test_idx": (INTEGER, ("test",)),
    "perms": (INTEGER, ("epochs", "fitted")),
    "init_kernel": (SINGLE_OR_DOUBLE, ("1", "gates x units")),
    "init_recurrent_kernel": (SINGLE_OR_DOUBLE, ("units", "gates x units")),
    "init_bias": (SINGLE_OR_DOUBLE, ("gates x units",)),
    "init_dense_kernel": (SINGLE_OR_DOUBLE, ("units", "1")),
    "init_dense_bias": (SINGLE_OR_DOUBLE, ("1",)),
    "loss": (DOUBLE, ("epochs",)),
    "val_loss": (DOUBLE, ("epochs",)),
    "stopped_epoch": (INTEGER, ()),
    "test_pred": (SINGLE_OR_DOUBLE, ("test",)),
}
"""What each array of a file must be: a kind of number, and its axes by name (equal names, equal sizes)."""


def _check(holds: bool, rule: str, received: object) -> None:
    require(holds, f"`reference`{rule}", received, "Write the file again from the run it captures.")


def _read(path: Path) -> Arrays:
    remedy = "Give the path of one, as `numpy.savez` writes it."
    is_zip = path.is_file() and zipfile.is_zipfile(path)
    require(is_zip, "`reference` must be an .npz file.", str(path), remedy)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as opened:
            arrays = {name: np.asarray(opened[name]) for name in RULES if name in opened.files}
    except Exception as error:  # a damaged file can make zipfile and NumPy raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        no_code = "`reference` must hold plain arrays; this one needs pickle, which can run code."
        require("allow_pickle" not in reason, no_code, str(path), "Save its arrays with a numeric dtype.")
        reason = f"Received: {str(path)!r} ({reason[:120]})"
        raise ValueError(f"`reference` must be a readable .npz. {reason}. {remedy}") from None
    missing = [name for name in RULES if name not in arrays]
    _check(not missing, " must hold every array of a run; some are missing.", missing)
    return arrays


def _check_dtypes(arrays: Arrays) -> None:
    for name, (kind, _) in RULES.items():
        dtype = arrays[name].dtype
        _check(dtype.char in DTYPES[kind], f": `{name}` must hold {kind}.", str(dtype))
    dtypes = sorted({str(arrays[name].dtype) for name, (kind, _) in RULES.items() if kind == SINGLE_OR_DOUBLE})
    _check(len(dtypes) == 1, ": weights and `test_pred` must be of one dtype, that of the run.", dtypes)


def _check_shapes(arrays: Arrays) -> None:
    """Compare every shape with its rule; an axis gets its size from the first array that has it."""
    sizes = {"1": 1}
    for name, (_, axes) in RULES.items():
        shape = arrays[name].shape
        fits = len(shape) == len(axes)
        for axis, size in zip(axes, shape, strict=False):
            fits &= size == sizes.setdefault(axis, size)
        known = [f"{axis}={sizes[axis]}" if axis != "1" and axis in sizes else axis for axis in axes]
        _check(fits, f": `{name}` must have the shape ({', '.join(known)}).", shape)
    _check(min(sizes.values()) > 0, ": no array may be empty.", sizes)
    _check(
        sizes["gates x units"] in (sizes["units"], 4 * sizes["units"]),
        ": `init_recurrent_kernel` must be (units, units) for SimpleRNN or (units, 4 * units) for LSTM.",
        arrays["init_recurrent_kernel"].shape,
    )
    _check(
        sizes["fitted"] < sizes["train"],
        ": `perms` must leave some rows of `train_idx` for validation.",
        f"fitted={sizes['fitted']}, train={sizes['train']}",
    )


def _check_values(arrays: Arrays) -> None:
    for name, (kind, _) in RULES.items():
        bad = 0 if kind == INTEGER else int(np.count_nonzero(~np.isfinite(arrays[name])))
        _check(not bad, f": `{name}` must be finite.", f"{bad} values that are NaN or infinite")
    rows, fitted = len(arrays["X_pad"]), arrays["perms"].shape[1]
    used = np.concatenate([arrays["train_idx"], arrays["test_idx"]]).astype(np.int64)
    _check(
        np.array_equal(np.sort(used), np.arange(rows)),
        f": `train_idx` and `test_idx` must together hold each row from 0 to {rows - 1} once.",
        f"{len(used)} rows, {len(np.unique(used))} of them different, from {used.min()} to {used.max()}",
    )
    wrong = np.flatnonzero((np.sort(arrays["perms"], axis=1) != np.arange(fitted)).any(axis=1))
    _check(
        not len(wrong),
        f": every epoch of `perms` must visit each row from 0 to {fitted - 1} once.",
        f"other rows in epochs {wrong[:5].tolist()}",
    )
    stopped, last = int(arrays["stopped_epoch"]), len(arrays["loss"]) - 1
    is_last = ": `stopped_epoch` must be the last epoch, counted from 0."
    _check(stopped == last, is_last, f"{stopped} where {last} is the last")
