"""What a trained model keeps of the digit k steps before the end, and whether its gradient reaches that far.

Two figures for each k: how much the output moves when that digit grows by one, and the size of the loss
gradient with respect to the hidden state there. The end is the last true digit of a row, wherever its
padding stands; k = 0 is that digit, and the state after it was read.
"""

from dataclasses import dataclass
from math import ceil, log2
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from seqsum_core.nn import models
from seqsum_core.nn.state_gradients import StateGradients
from seqsum_core.settings import MODELS, NetworkSettings, TaskSettings, require
from seqsum_core.task import Sequences

DENSE = 32
BATCH_ROWS = 1024


@dataclass(frozen=True)
class Memory:
    """Both figures of one model; one value for each k.

    Args:
        steps_back: the k.
        rows: rows that have a digit there which can grow by one.
        moved: mean change of the output when it does; 1 is perfect memory, 0 is forgotten.
        gradient_start: mean norm of the gradient of a row's squared error with respect to the hidden
            state, over the rows that have a digit there, with the starting weights, by name of the
            state: "h", for an LSTM also "c".
        gradient: the same with the trained weights.
    """

    steps_back: tuple[int, ...]
    rows: tuple[int, ...]
    moved: tuple[float, ...]
    gradient_start: dict[str, tuple[float, ...]]
    gradient: dict[str, tuple[float, ...]]


class MemoryProbe:
    """Measures the memory of one cell's models; compiled once, used for any number of seeds.

    Args:
        model: "simple_rnn", "lstm" or "gru".
        rows: the rows to measure on, which should not have been trained on.
        task: the padding of the rows and the range of their digits.
        network: units, layers and mask.

    Raises:
        ValueError: for a model of the user's own, whose hidden state is not known.
    """

    def __init__(self, model: str, *, rows: Sequences, task: TaskSettings, network: NetworkSettings) -> None:
        known = ", ".join(MODELS)
        require(model in MODELS, f"`model` must be one of {known} for its memory.", model, "Take one of them.")
        self._rows, self._task = rows, task
        self._model = models.build(model, length=rows.digits.shape[1], network=network)
        self._gradients = StateGradients(model, rows=rows, network=network)

    def measure(self, start_weights: list[NDArray[Any]], weights: list[NDArray[Any]]) -> Memory:
        """Measure one seed.

        Args:
            start_weights: before training, in the order of the model that `models.build` makes.
            weights: after training.

        Returns:
            Both figures.

        Raises:
            ArithmeticError: if a figure is not finite, as that of a gradient that explodes.
        """
        self._model.set_weights(weights)
        steps_back, counts, moved = memory_curve(self._model, self._rows, self._task)
        start, trained = (self._mean_norms(steps_back, each) for each in (start_weights, weights))
        if not np.isfinite([moved, *start.values(), *trained.values()]).all():
            raise ArithmeticError("a figure of the memory is not finite")
        return Memory(steps_back, counts, moved, start, trained)

    def _mean_norms(self, steps_back: tuple[int, ...], weights: list[NDArray[Any]]) -> dict[str, tuple[float, ...]]:
        norms = self._gradients.norms(weights)
        places = [digit_places(self._rows, self._task, k) for k in steps_back]
        return {
            name: tuple(float(np.mean(of_state[place], dtype=np.float64)) for place in places)
            for name, of_state in norms.items()
        }


def memory_curve(
    model: keras.Model, rows: Sequences, task: TaskSettings
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[float, ...]]:
    """Measure how much the output moves when the digit k steps before the end grows by one.

    A forward difference over the rows whose digit can grow within the range of the task, so that no
    row is unlike those that were trained on.

    Args:
        model: any Keras model from (batch, timesteps, 1) to (batch, 1).
        rows: the rows to measure on.
        task: the padding of the rows and the range of their digits.

    Returns:
        The k that have such rows, how many, and the mean change of the output.
    """
    places = {k: _growing(rows, task, k) for k in choose_steps_back(rows.digits.shape[1])}
    places = {k: place for k, place in places.items() if len(place[0])}
    if not places:
        return (), (), ()
    changed = np.concatenate([np.array(place) for place in places.values()], axis=1)
    before, after = _outputs(model, rows), _outputs(model, rows, changed)
    ends = np.cumsum([len(place[0]) for place in places.values()])[:-1]
    moved = np.split(after - before[changed[0]], ends)
    return tuple(places), tuple(map(len, moved)), tuple(float(np.mean(of_k)) for of_k in moved)


def choose_steps_back(length: int) -> list[int]:
    """Return every k up to 32 and three for each doubling from there, all below the length."""
    doublings = ceil(log2(max(length, DENSE) / DENSE))
    sparse = [round(DENSE * 2 ** (third / 3)) for third in range(1, 3 * doublings + 1)]
    return [k for k in [*range(DENSE + 1), *sparse] if k < length]


def digit_places(rows: Sequences, task: TaskSettings, k: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return row and timestep of each digit that stands k steps before the end of its row."""
    (having,) = np.nonzero(rows.lengths > k)
    ends = rows.lengths[having] if task.padding == "post" else rows.digits.shape[1]
    return having, np.broadcast_to(ends - 1 - k, having.shape)


def _growing(rows: Sequences, task: TaskSettings, k: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    having, timesteps = digit_places(rows, task, k)
    can_grow = rows.digits[having, timesteps] < task.digits[1]
    return having[can_grow], timesteps[can_grow]


def _outputs(model: keras.Model, rows: Sequences, changed: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
    """Predict all rows, or one row for each changed digit, in batches of one size so that one is compiled.

    Args:
        model: any Keras model.
        rows: what it reads.
        changed: row and timestep of each digit that grows by one, shape (2, digits).

    Returns:
        Outputs, shape (rows,) or (digits,).
    """
    wanted = np.arange(len(rows)) if changed is None else changed[0]
    outputs = []
    for first in range(0, len(wanted), BATCH_ROWS):
        batch = np.arange(first, first + BATCH_ROWS) % len(wanted)
        inputs = rows.digits[wanted[batch], :, np.newaxis].astype(np.float32)
        if changed is not None:
            inputs[np.arange(BATCH_ROWS), changed[1, batch]] += 1
        outputs.append(model.predict_on_batch(inputs).ravel().astype(np.float64))
    return np.concatenate(outputs)[: len(wanted)]
