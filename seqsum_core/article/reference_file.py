"""Read a file of arrays that captured one 2017 training run, and say plainly what is wrong with it.

NumPy only. A file comes from anywhere: nothing in it is trusted, and nothing in it is executed
(`allow_pickle=False`). Every refusal is a ValueError of one line.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqsum_core.settings import require

Arrays = dict[str, NDArray[Any]]


class Rule(NamedTuple):
    """What an array must be: a kind of number, and its axes by name (equal names, equal sizes)."""

    kind: str
    axes: tuple[str, ...]


INTEGER = "integers"
SINGLE_OR_DOUBLE = "float32 or float64"
DOUBLE = "float64"
DTYPES = {INTEGER: "bhilqBHILQ", SINGLE_OR_DOUBLE: "fd", DOUBLE: "d"}

WEIGHTS = ("kernel", "recurrent_kernel", "bias", "dense_kernel", "dense_bias")
RULES: dict[str, Rule] = {
    "X_pad": Rule(INTEGER, ("rows", "length")),
    "y": Rule(INTEGER, ("rows",)),
    "train_idx": Rule(INTEGER, ("train",)),
    "test_idx": Rule(INTEGER, ("test",)),
    "perms": Rule(INTEGER, ("epochs", "fitted")),
    "init_kernel": Rule(SINGLE_OR_DOUBLE, ("1", "gates x units")),
    "init_recurrent_kernel": Rule(SINGLE_OR_DOUBLE, ("units", "gates x units")),
    "init_bias": Rule(SINGLE_OR_DOUBLE, ("gates x units",)),
    "init_dense_kernel": Rule(SINGLE_OR_DOUBLE, ("units", "1")),
    "init_dense_bias": Rule(SINGLE_OR_DOUBLE, ("1",)),
    "loss": Rule(DOUBLE, ("epochs",)),
    "val_loss": Rule(DOUBLE, ("epochs",)),
    "stopped_epoch": Rule(INTEGER, ()),
    "test_pred": Rule(SINGLE_OR_DOUBLE, ("test",)),
}
REMEDY = "Write the file again from the run it captures."


def read(path: Path) -> Arrays:
    """Read and check the arrays that a replay needs; others in the file are not looked at.

    Args:
        path: an .npz file.

    Returns:
        The arrays of `RULES`, by name.

    Raises:
        ValueError: if the file is no .npz, needs pickle, lacks an array, or holds one of a wrong
            dtype or shape, with values that are not finite, or with rows that do not exist.
    """
    arrays = _load(path)
    _check_dtypes(arrays)
    _check_shapes(arrays)
    _check_values(arrays)
    _check_rows(arrays)
    return arrays


def _load(path: Path) -> Arrays:
    require(
        path.is_file() and zipfile.is_zipfile(path),
        "`reference` must be an .npz file.",
        str(path),
        "Give the path of one, as `numpy.savez` writes it.",
    )
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as opened:
            arrays = {name: np.asarray(opened[name]) for name in RULES if name in opened.files}
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        require(
            "allow_pickle" not in reason,
            "`reference` must hold plain arrays; this one needs pickle, which can run code.",
            str(path),
            "Save its arrays with a numeric dtype.",
        )
        raise ValueError(
            f"`reference` must be a readable .npz. Received: {str(path)!r} ({reason[:120]}). {REMEDY}"
        ) from None
    missing = [name for name in RULES if name not in arrays]
    require(not missing, "`reference` must hold every array of a run; some are missing.", missing, REMEDY)
    return arrays


def _check_dtypes(arrays: Arrays) -> None:
    for name, rule in RULES.items():
        array = arrays[name]
        require(
            array.dtype.char in DTYPES[rule.kind],
            f"`reference`: `{name}` must hold {rule.kind}.",
            str(array.dtype),
            REMEDY,
        )
    dtypes = sorted({str(arrays[f"init_{name}"].dtype) for name in WEIGHTS} | {str(arrays["test_pred"].dtype)})
    require(
        len(dtypes) == 1,
        "`reference`: weights and `test_pred` must be of one dtype, that of the run.",
        dtypes,
        REMEDY,
    )


def _check_shapes(arrays: Arrays) -> None:
    """Compare every shape with its rule; an axis gets its size from the first array that has it."""
    sizes = {"1": 1}
    for name, rule in RULES.items():
        shape = arrays[name].shape
        fits = len(shape) == len(rule.axes) and all(
            size == sizes.setdefault(axis, size) for axis, size in zip(rule.axes, shape, strict=True)
        )
        require(fits, f"`reference`: `{name}` must have the shape {_wanted(rule, sizes)}.", shape, REMEDY)
    require(min(sizes.values()) > 0, "`reference`: no array may be empty.", _sizes(sizes), REMEDY)
    gates = sizes["gates x units"] / sizes["units"]
    require(
        gates in (1, 4),
        "`reference`: `init_recurrent_kernel` must be (units, units) for SimpleRNN or (units, 4 * units) for LSTM.",
        arrays["init_recurrent_kernel"].shape,
        REMEDY,
    )
    require(
        sizes["fitted"] < sizes["train"],
        "`reference`: `perms` must leave some rows of `train_idx` for validation.",
        f"fitted={sizes['fitted']}, train={sizes['train']}",
        REMEDY,
    )


def _wanted(rule: Rule, sizes: Mapping[str, int]) -> str:
    axes = [axis if axis == "1" else f"{axis}={sizes[axis]}" if axis in sizes else axis for axis in rule.axes]
    return f"({', '.join(axes)})"


def _sizes(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{axis}={size}" for axis, size in sizes.items())


def _check_values(arrays: Arrays) -> None:
    for name, rule in RULES.items():
        if rule.kind == INTEGER:
            continue
        bad = int(np.count_nonzero(~np.isfinite(arrays[name])))
        require(
            not bad,
            f"`reference`: `{name}` must be finite.",
            f"{bad} values that are NaN or infinite",
            REMEDY,
        )


def _check_rows(arrays: Arrays) -> None:
    rows, fitted = len(arrays["X_pad"]), arrays["perms"].shape[1]
    used = np.concatenate([arrays["train_idx"], arrays["test_idx"]]).astype(np.int64)
    require(
        np.array_equal(np.sort(used), np.arange(rows)),
        f"`reference`: `train_idx` and `test_idx` must together hold each row from 0 to {rows - 1} once.",
        f"{len(used)} rows, {len(np.unique(used))} of them different, from {used.min()} to {used.max()}",
        REMEDY,
    )
    wrong = np.flatnonzero((np.sort(arrays["perms"], axis=1) != np.arange(fitted)).any(axis=1))
    require(
        not len(wrong),
        f"`reference`: every epoch of `perms` must visit each row from 0 to {fitted - 1} once.",
        f"other rows in epochs {wrong[:5].tolist()}",
        REMEDY,
    )
    last = len(arrays["loss"]) - 1
    require(
        int(arrays["stopped_epoch"]) == last,
        "`reference`: `stopped_epoch` must be the last epoch, counted from 0.",
        f"{int(arrays['stopped_epoch'])} where {last} is the last",
        REMEDY,
    )
