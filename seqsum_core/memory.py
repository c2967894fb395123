"""What a trained model keeps of the digit k steps before the end, and whether its gradient reaches that far.

For each k there are two figures: how much the output changes when that digit grows by one, and the size of the loss
gradient with respect to the hidden state there. The end is the last true digit of a row, wherever its padding is;
k = 0 is that digit, and the state after it was read.

Both follow from the weights alone, so they are computed in float64 by `reference_cells`, whichever backend trained.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqsum_core import reference_cells
from seqsum_core.reference_cells import Array, Weights
from seqsum_core.settings import MODELS, Padding, TaskSettings, require
from seqsum_core.tasks import Sequences

DENSE = 32
BATCH_ROWS = 256
"""Rows that are computed at once; more would not be faster, and states of all timesteps are held."""


@dataclass(frozen=True)
class Memory:
    """Both figures of a model; one value for each k.

    Args:
        steps_back: the k.
        rows: rows that have a digit there which can grow by one.
        moved: mean change of the output when it does; 1 is perfect memory, 0 is forgotten.
        gradient_start: mean norm of the gradient of a row's squared error with respect to the hidden state, over the
            rows that have a digit there, with the starting weights, by name of the state: "h", for an LSTM also "c".
            With several layers the states are those of the last one.
        gradient: the same with the trained weights.
    """

    steps_back: tuple[int, ...]
    rows: tuple[int, ...]
    moved: tuple[float, ...]
    gradient_start: dict[str, tuple[float, ...]]
    gradient: dict[str, tuple[float, ...]]


def measure_memory(
    model: str, start_weights: Weights, weights: Weights, *, rows: Sequences, task: TaskSettings, mask: bool
) -> Memory:
    """Measure the memory of a trained model.

    Args:
        model: "simple_rnn", "lstm" or "gru".
        start_weights: before training, in the order of `get_weights()` of the model that `nn.models.build` makes.
        weights: after training.
        rows: the rows to measure on, such as the test rows.
        task: the padding of the rows and the range of their digits.
        mask: whether the model skips timesteps that are zero.

    Raises:
        ValueError: for a user's own model, whose hidden state is not known.
        ArithmeticError: if a figure is not finite, as that of a gradient that explodes.
    """
    rule = f"`model` must be one of {', '.join(MODELS)} for its memory."
    require(model in MODELS, rule, model, "Take one of them.")
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
        changes = output_changes(lambda inputs: _predict(model, weights, inputs, mask), rows, task)
        places = [digit_places(rows, task.padding, k) for k in changes]
        gradients = []
        for of_weights in (start_weights, weights):
            norms = _gradient_norms(model, of_weights, rows, mask)
            gradients.append({state: tuple(float(norm[place].mean()) for place in places) for state, norm in norms})
    moved = tuple(float(change.mean()) for change in changes.values())
    start, trained = gradients
    if not np.isfinite([moved, *start.values(), *trained.values()]).all():
        raise ArithmeticError("a figure of the memory is not finite")
    return Memory(tuple(changes), tuple(map(len, changes.values())), moved, start, trained)


def output_changes(predict: Callable[[NDArray[Any]], Array], rows: Sequences, task: TaskSettings) -> dict[int, Array]:
    """Measure how much the output changes when the digit k steps before the end grows by one: for each k, of each row.

    Only digits that can grow within the range of the task do, so that no row is unlike those that were trained on.
    """
    inputs = rows.inputs()
    before = predict(inputs)
    changes = {}
    for k in choose_steps_back(inputs.shape[1]):
        row, timestep = digit_places(rows, task.padding, k)
        can_grow = rows.inputs()[row, timestep, 0] < task.digits[1]
        row, timestep = row[can_grow], timestep[can_grow]
        if len(row):
            grown = inputs[row]
            grown[np.arange(len(row)), timestep] += 1
            changes[k] = predict(grown) - before[row]
    return changes


def choose_steps_back(length: int) -> list[int]:
    """Return every k up to 32 and three for each doubling from there, all below the length."""
    doublings = ceil(log2(max(length, DENSE) / DENSE))
    sparse = [round(DENSE * 2 ** (third / 3)) for third in range(1, 3 * doublings + 1)]
    return [k for k in [*range(DENSE + 1), *sparse] if k < length]


def digit_places(rows: Sequences, padding: Padding, k: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return row and timestep of each digit that comes k steps before the end of its row."""
    (row,) = np.nonzero(rows.lengths > k)
    ends = rows.lengths[row] if padding == "post" else rows.timesteps
    return row, np.broadcast_to(ends - 1 - k, row.shape)


def _predict(model: str, weights: Weights, inputs: NDArray[Any], mask: bool) -> Array:
    batches = [inputs[begin : begin + BATCH_ROWS] for begin in range(0, len(inputs), BATCH_ROWS)]
    return np.concatenate([reference_cells.predict(model, weights, batch, mask=mask)[:, 0] for batch in batches])


def _gradient_norms(model: str, weights: Weights, rows: Sequences, mask: bool) -> list[tuple[str, Array]]:
    """Return the L2 norm over the units, shape (rows, timesteps), of the gradient with respect to each state."""
    norms = []
    for begin in range(0, len(rows), BATCH_ROWS):
        batch = rows.take(np.arange(begin, min(begin + BATCH_ROWS, len(rows))))
        gradients = reference_cells.state_gradients(model, weights, batch.inputs(), batch.targets(), mask=mask)
        norms.append([np.linalg.norm(gradient, axis=2) for gradient in gradients])
    return [(state, np.concatenate(parts)) for state, parts in zip("hc", zip(*norms, strict=True), strict=False)]
