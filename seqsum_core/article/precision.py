"""Make Keras compute in float64 on every backend, and check that it does.

Imports Keras, so only a worker may import it.

`keras.config.set_floatx("float64")` is not enough. Keras 3.15.1's `result_type` turns float64 into float32 on JAX and
PyTorch: `matmul`, `mean` and the optimizers' arithmetic then round to 24 bits, while the result is cast back and still
called float64. The cause is one entry of one table, `keras.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE`, which
TensorFlow does not have. `float64` sets that entry aside. When Keras' `result_type("float64", "float32")` is "float64"
under floatx float64, `_float64_result_type` can go. JAX also needs its own switch for 64 bits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

TINY = 2.0**-40
"""A relative change that float64 keeps (53 bits) and float32 loses (24 bits)."""


@contextmanager
def float64() -> Iterator[None]:
    """Let what is built, trained and called inside compute in float64.

    Raises:
        RuntimeError: if Keras still resolves float64 to something else.
    """
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        with _float64_result_type(), _jax_float64():
            resolved = keras.backend.result_type("float64", "float32", float)
            _check(resolved == "float64", f"Keras resolves float64 with float32 to {resolved}")
            yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


@contextmanager
def _float64_result_type() -> Iterator[None]:
    """Take float64 out of Keras' table of demotions while inside, if there is that table."""
    from keras.src.backend.common import dtypes

    table = getattr(dtypes, "BIT64_TO_BIT32_DTYPE", {})
    demoted = table.pop("float64", None)
    try:
        yield
    finally:
        if demoted is not None:
            table["float64"] = demoted


@contextmanager
def _jax_float64() -> Iterator[None]:
    """Switch JAX to 64 bits in this thread while inside; other backends need no switch."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    with jax.enable_x64(True):
        yield


def check_float64(model: keras.Model, inputs: NDArray[np.float64], targets: NDArray[np.float64]) -> None:
    """Check that a compiled model holds, computes and scores in float64.

    A dtype alone proves nothing, for a value rounded to float32 may be cast back. Hence the last check: the first
    weights grow by 2**-40 of themselves, and the loss must follow by about as much. A float32 anywhere on the only way
    from there to the loss swallows the change or makes a jump of it.

    Raises:
        RuntimeError: if anything is not float64.
    """
    dtypes = {
        "the weights": {variable.dtype for variable in model.trainable_variables},
        "the activations": {keras.backend.standardize_dtype(model(inputs).dtype)},
        "the loss": {keras.backend.standardize_dtype(_loss(model, inputs, targets).dtype)},
        "the optimizer state": {variable.dtype for variable in model.optimizer.variables if "float" in variable.dtype},
    }
    for part, names in dtypes.items():
        _check(names == {"float64"}, f"{part} are {', '.join(sorted(names))}")
    first = model.trainable_variables[0]
    value = keras.ops.convert_to_numpy(first.value)
    before = keras.ops.convert_to_numpy(_loss(model, inputs, targets))
    first.assign(value * (1 + TINY))
    after = keras.ops.convert_to_numpy(_loss(model, inputs, targets))
    first.assign(value)
    change = float(abs(after - before) / before)
    _check(0 < change < 2**20 * TINY, f"growing a weight by 2**-40 changes the loss by {change:.1e} of itself")


def _loss(model: keras.Model, inputs: NDArray[np.float64], targets: NDArray[np.float64]) -> Any:
    return model.compute_loss(x=inputs, y=targets, y_pred=model(inputs))


def check_float64_values(*values: NDArray[np.float64]) -> None:
    """Check that arrays which training has changed have more digits than float32 holds.

    Raises:
        RuntimeError: if one of them, rounded to float32, stays as it is.
    """
    for value in values:
        rounded = value.astype(np.float32).astype(np.float64)
        _check(not np.array_equal(rounded, value), "a trained value has no more digits than float32 holds")


def _check(holds: bool, problem: str) -> None:
    if not holds:
        raise RuntimeError(
            f"Keras {keras.__version__} on {keras.backend.backend()} does not compute in float64: {problem}. "
            "Replay in float32, or use Keras 3.15.1."
        )
