"""What `seqsum parity` asks of every backend, and the answer of the float64 reference.

A case says what is computed, a `Quantity` is an array of the answer. Backends answer in `nn.parity`, the reference here
with `reference_cells`; both get the same weights, rows and order. NumPy only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqsum_core.reference_cells import Array, RMSprop, loss_and_gradients, predict
from seqsum_core.settings import NetworkSettings, TaskSettings, TrainingSettings
from seqsum_core.start import WEIGHT_NAMES, draw_start
from seqsum_core.tasks import Sequences, Split, batch_order, draw, split

CheckName = Literal["start", "loss", "gradient", "update", "curve", "output"]

# Rows that make 8 batches of 100, one of validation and one of test: a batch of another size would be compiled once
# more, and compiling takes most of the time. 900 rows times 0.889 is 800.1.
ROWS = TaskSettings(source="generated", sequences=1000, test_share=0.1, validation_share=0.111)

# Sizes of the gradients that the optimizer is tried with: from far below the root of RMSprop's epsilon (3e-4), where
# only epsilon counts, to far above it, where it does not.
GRADIENT_SIZES = np.array([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0])


@dataclass(frozen=True, kw_only=True)
class ModelCase:
    """A model of one layer at a length: its first step and a short training, never stopped early."""

    kind: Literal["model"] = "model"
    model: str
    length: int
    network: NetworkSettings
    training: TrainingSettings
    seed: int

    def __str__(self) -> str:
        return f"{self.model} {self.length}{' mask' if self.network.mask else ''}"


@dataclass(frozen=True, kw_only=True)
class OptimizerCase:
    """The optimizer alone, on gradients of the sizes `GRADIENT_SIZES`.

    On the task's own gradients, most of which are large, two definitions of RMSprop hardly differ.
    """

    kind: Literal["optimizer"] = "optimizer"
    training: TrainingSettings
    steps: int

    def __str__(self) -> str:
        return "optimizer"


@dataclass(frozen=True, kw_only=True)
class TrainingCase:
    """A training of a user's own: its first step and some epochs. No reference: backends are compared with each other.

    Args:
        start: file of the starting weights of a user's own model, see `nn.own.load_start`.
    """

    kind: Literal["training"] = "training"
    model: str
    task: TaskSettings
    length: int
    training: TrainingSettings
    start: str | None = None

    def __str__(self) -> str:
        return f"{self.model} {self.length}"


Case = ModelCase | OptimizerCase | TrainingCase


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """An array that is compared.

    Args:
        check: what it belongs to: the weights at the "start"; the first step's "loss" and "gradient"; the "update" by
            the optimizer; the "curve" of the losses; the "output" of the trained model.
        values: its numbers in C order.
    """

    check: CheckName
    name: str
    shape: tuple[int, ...]
    values: tuple[float, ...]

    def array(self) -> Array:
        """Return the numbers in their shape."""
        return np.array(self.values, np.float64).reshape(self.shape)


def quantity(check: CheckName, name: str, values: Any) -> Quantity:
    """Write down an array; an ArithmeticError if a value is not finite."""
    array = np.asarray(values, np.float64)
    if not np.isfinite(array).all():
        raise ArithmeticError(f"{check} {name} is not finite")
    return Quantity(check=check, name=name, shape=array.shape, values=tuple(array.ravel().tolist()))


def weight_quantities(check: CheckName, arrays: Sequence[NDArray[Any]]) -> list[Quantity]:
    """Write down an array for each weight, under the weights' names."""
    return [quantity(check, name, array) for name, array in zip(WEIGHT_NAMES, arrays, strict=True)]


def case_rows(case: ModelCase) -> Split:
    """Return the rows of the case's length: 800 fitted, 100 validation and 100 test rows."""
    return split(draw(ROWS, length=case.length), ROWS)


def batches(case: ModelCase, rows: Sequences) -> list[list[Sequences]]:
    """Return the batches of each epoch, as `training.fit_for_accuracy` takes them."""
    size = case.training.batch_size
    orders = batch_order(len(rows), epochs=case.training.epochs, seed=case.seed)
    return [[rows.take(order[begin : begin + size]) for begin in range(0, len(rows), size)] for order in orders]


def optimizer_batch() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a row (1, sizes) and its target (1, 1) for a `Dense(1)` without bias and with weights of zero.

    The gradient of its squared error in the first step is the row itself, and the weights hold all digits of updates.
    """
    return GRADIENT_SIZES[np.newaxis].astype(np.float32), np.full((1, 1), -0.5, np.float32)


def reference(case: ModelCase | OptimizerCase) -> list[Quantity]:
    """Compute a case in float64."""
    if isinstance(case, ModelCase):
        return _model_reference(case)
    inputs, targets = (values.astype(np.float64) for values in optimizer_batch())
    optimizer, weights = RMSprop(case.training.learning_rate), [np.zeros((inputs.size, 1))]
    updates = []
    for step in range(1, case.steps + 1):
        weights = optimizer.step(weights, [2 * inputs.T @ (inputs @ weights[0] - targets)])
        updates.append(quantity("update", f"step {step}", weights[0]))
    return updates


def _model_reference(case: ModelCase) -> list[Quantity]:
    model, mask, rows = case.model, case.network.mask, case_rows(case)
    start = draw_start(model, units=case.network.units, seed=case.seed)
    epochs = batches(case, rows.fitted)
    first = epochs[0][0]
    loss, gradients = loss_and_gradients(model, start, first.inputs(), first.targets(), mask=mask)
    optimizer, losses, val_losses = RMSprop(case.training.learning_rate), [], []
    weights: list[Array] = [weight.astype(np.float64) for weight in start]
    for epoch in epochs:
        sum_of_squares = 0.0
        for batch in epoch:
            mse, batch_gradients = loss_and_gradients(model, weights, batch.inputs(), batch.targets(), mask=mask)
            weights = optimizer.step(weights, batch_gradients)
            sum_of_squares += mse * len(batch)
        losses.append(sum_of_squares / len(rows.fitted))
        errors = predict(model, weights, rows.validation.inputs(), mask=mask) - rows.validation.targets()
        val_losses.append(float(np.mean(errors**2)))
    return [
        *weight_quantities("start", start),
        quantity("loss", "first step", [loss]),
        *weight_quantities("gradient", gradients),
        quantity("curve", "loss", losses),
        quantity("curve", "val_loss", val_losses),
        quantity("output", "test rows", predict(model, weights, rows.test.inputs(), mask=mask).ravel()),
    ]
