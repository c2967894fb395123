"""Rows of a task: what a model reads and what it is trained to output, split and put in order for training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqsum_core.metrics import Judge
from seqsum_core.settings import TaskSettings

MSE, CROSS_ENTROPY = "mean_squared_error", "sparse_categorical_crossentropy"


@dataclass(frozen=True)
class Task:
    """How a task is trained and judged.

    Args:
        judge: how outputs are judged, see `seqsum_core.metrics`.
        features: values that are read in a timestep; 0 where it is not one array of numbers.
        outputs: numbers that a model outputs.
    """

    judge: Judge = "rounded"
    features: int = 1
    outputs: int = 1

    @property
    def loss(self) -> str:
        """Return Keras' name of the loss that models are trained with unless they are compiled already."""
        return CROSS_ENTROPY if self.judge == "class" else MSE


SUM = Task()
JUDGES: dict[str, Judge] = {"sum": "rounded", "adding": "within 0.04"}


@dataclass(frozen=True)
class Sequences:
    """Drawn rows.

    Args:
        x: what is read: padded digits, shape (rows, timesteps); else (rows, timesteps, features), or several arrays by
            the names of a model's inputs.
        lengths: timesteps of each row without padding, shape (rows,).
        y: what is to be output: numbers, shape (rows,) or (rows, outputs), or the number of a class, shape (rows,).
    """

    x: Any
    lengths: NDArray[np.int32]
    y: NDArray[Any]

    def __len__(self) -> int:
        return len(self.y)

    @property
    def timesteps(self) -> int:
        """Return the timesteps of each row, padding included."""
        return int(next(iter(self.x.values())).shape[1] if isinstance(self.x, Mapping) else self.x.shape[1])

    def take(self, rows: NDArray[np.intp] | slice) -> "Sequences":
        """Return the given rows in the given order."""
        x = {name: array[rows] for name, array in self.x.items()} if isinstance(self.x, Mapping) else self.x[rows]
        return Sequences(x, self.lengths[rows], self.y[rows])

    def first(self, count: int) -> "Sequences":
        """Return the first rows, or all if they are fewer."""
        return self.take(slice(count))

    def inputs(self) -> Any:
        """Return what a model reads: float32, shape (rows, timesteps, features); tokens and images stay as they are."""
        if isinstance(self.x, Mapping) or self.x.ndim > 3 or self.x.dtype == np.int32:
            return self.x
        return self.x.reshape(*self.x.shape[:2], -1).astype(np.float32, copy=False)

    def targets(self) -> NDArray[Any]:
        """Return what a model is trained to output: numbers as float32, (rows, outputs); classes as int32, (rows,)."""
        return self.y if self.y.dtype == np.int32 else self.y.reshape(len(self.y), -1).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Split:
    """The rows that are fitted, those that val_loss is taken on, and the test rows.

    The three share no row, but short sequences repeat: of the article's 200 test rows 191 equal a fitted row at length
    4, 66 at 12, 19 at 25 and 4 at 50. At length 4 the test therefore asks for recall. See `fresh_rows`.
    """

    fitted: Sequences
    validation: Sequences
    test: Sequences
    task: Task = SUM


def task_of(rows: Sequences, name: str) -> Task:
    """Return how a task of a name is trained and judged, given all its rows: the largest class says how many."""
    inputs = rows.inputs()
    features = inputs.shape[2] if not isinstance(inputs, Mapping) and inputs.ndim == 3 else 0
    if rows.targets().ndim == 1:
        return Task("class", features, int(rows.y.max(initial=0)) + 1)
    return Task(JUDGES.get(name, "error"), features, rows.targets().shape[1])


def split(data: Sequences, settings: TaskSettings) -> Split:
    """Split rows as the article does.

    The test rows are drawn at random (seed 0, the permutation that scikit-learn's
    `train_test_split` uses, so that the article's own rows come out); the validation rows are the
    last of what is left, taken before any shuffling, as Keras' `validation_split` takes them.
    """
    test, train = split_rows(settings, len(data))
    fitted = settings.sizes(len(data)).fitted
    task = task_of(data, settings.name)
    return Split(data.take(train[:fitted]), data.take(train[fitted:]), data.take(test), task)


def split_rows(settings: TaskSettings, rows: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of the test rows and of all others, in their order."""
    order = np.random.RandomState(0).permutation(rows)
    test = settings.sizes(rows).test
    return order[:test], order[test:]


def batch_order(rows: int, *, epochs: int, seed: int) -> NDArray[np.intp]:
    """Draw the order in which each epoch visits the rows, shape (epochs, rows); the same on every backend."""
    random = np.random.default_rng([seed, 1])
    return np.stack([random.permutation(rows) for _ in range(epochs)])
