"""A user's own data: what `package.module:function` returns for a length. Imports the user's module: workers only."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqsum_core.own import call_own
from seqsum_core.settings import require
from seqsum_core.tasks.rows import Sequences

RETURNED = "Return (inputs, targets): arrays of NumPy with a row for each sequence."


def draw(name: str, length: int) -> Sequences:
    """Return the rows of a user's own task.

        def rows(length):  # in mine.py: name "mine:rows"
            x = np.random.default_rng(0).normal(size=(5_000, length, 30))
            return x, x.mean(axis=(1, 2))

    Inputs are one array, shape (rows, timesteps, ...), or several by the names of a model's inputs, floats or tokens;
    targets are numbers (floats), shape (rows,) or (rows, outputs), or classes (integers from 0), shape (rows,).

    Raises:
        ValueError: if the function cannot be imported or fails, or returns something else, or another length.
    """
    returned = call_own("task", name, length)
    rule = f"Task `{name}` must return inputs and targets."
    pair = isinstance(returned, tuple) and len(returned) == 2
    require(pair, rule, type(returned).__name__, RETURNED)
    x: Any = returned[0]
    x = {str(key): _array(name, key, x[key]) for key in x} if isinstance(x, Mapping) else _array(name, "inputs", x)
    y = _targets(name, _array(name, "targets", returned[1]))
    arrays = x if isinstance(x, dict) else {"inputs": x}
    counts = {key: len(array) for key, array in arrays.items()} | {"targets": len(y)}
    same = len(set(counts.values())) == 1
    require(same, f"Task `{name}` must return equally many rows of everything.", counts, RETURNED)
    shapes = {key: array.shape for key, array in arrays.items()}
    rule = f"Task `{name}` must return {length} timesteps for length {length}: inputs of shape (rows, {length}, ...)."
    with_time = [array for array in arrays.values() if array.ndim > 1 and array.shape[1] == length]
    require(bool(with_time), rule, shapes, "Use the length that the function is given, or ask for another --length.")
    if isinstance(x, dict):  # the one with timesteps first: it says how many there are
        x = dict(sorted(x.items(), key=lambda item: item[1].ndim < 2 or item[1].shape[1] != length))
    return Sequences(x, np.full(len(y), length, np.int32), y)


def _array(name: str, key: object, value: Any) -> NDArray[Any]:
    """Return float32 or int32; lists of unequal length and objects are refused."""
    rule = f"Task `{name}` must return {key} as an array of numbers."
    try:
        array = np.asarray(value)
    except ValueError:  # rows of unequal length
        require(False, rule, "rows of unequal length", "Pad them to one length.")
    require(array.dtype.kind in "fiub", rule, f"dtype {array.dtype}", "Convert it, and pad rows to one length.")
    require(array.ndim >= 1, rule, f"shape {array.shape}", RETURNED)
    finite = bool(np.isfinite(array).all())
    require(finite, f"Task `{name}` must return finite {key}.", "NaN or infinity", "Clean the data.")
    return array.astype(np.int32 if array.dtype.kind in "iu" else np.float32)


def _targets(name: str, y: NDArray[Any]) -> NDArray[Any]:
    """Return numbers as float64, or classes as int32, shape (rows,)."""
    if y.dtype != np.int32:
        rule = f"Task `{name}` must return targets of shape (rows,) or (rows, outputs)."
        require(y.ndim <= 2, rule, y.shape, "Reshape them.")
        return y.astype(np.float64)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    rule = f"Task `{name}`: whole numbers are classes, from 0 on, shape (rows,)."
    received = y.shape if y.ndim > 1 else int(y.min(initial=0))
    require(y.ndim == 1 and bool((y >= 0).all()), rule, received, "For numbers to be learned return floats.")
    return y
