"""The same training written directly in a framework: what Keras could reach there, its ceiling.

A ceiling starts from the weights that Keras starts from, reads the same batches and applies the same RMSprop, so Keras'
time divided by its time is what Keras costs there. No framework is imported before a network is built.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import import_module
from math import ceil, isfinite
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import NotAvailableError
from seqsum_core.settings import MODELS, NetworkSettings, TrainingSettings
from seqsum_core.tasks import Sequences

if TYPE_CHECKING:  # it imports Keras
    from seqsum_core.nn.execution_path import ExecutionPath

Array = NDArray[np.float32]

RHO = 0.9
EPSILON = 1e-7
"""Keras' RMSprop: v = RHO v + (1 - RHO) g^2, w -= rate g / sqrt(v + EPSILON), with epsilon under the root."""


class PlainNetwork(ABC):
    """One network that is trained without Keras; its state stays on the device from epoch to epoch.

    Weights are ordered and shaped as by `model.get_weights()`.
    """

    def __init__(
        self,
        model: str,
        weights: Sequence[Array],
        fitted: Sequences,
        *,
        training: TrainingSettings,
        device: str,
        seed: int,
    ) -> None:
        self._model, self._training, self._device = model, training, device
        self._units, self._count = weights[1].shape[0], len(fitted)
        self._random = np.random.default_rng(seed)
        self.steps_per_epoch = ceil(len(fitted) / training.batch_size)
        self._start(weights, fitted)

    def fit(self, go_on: Callable[[list[float]], bool]) -> list[float]:
        """Train until `go_on`, which is given all epoch times so far, returns False; return the epoch times."""
        epochs_s: list[float] = []
        running = True
        while running:
            begin_s = perf_counter()
            loss = self.epoch(self._random.permutation(self._count))
            epochs_s.append(perf_counter() - begin_s)
            if not isfinite(loss):
                raise ArithmeticError(f"the loss is not finite after {len(epochs_s)} epochs")
            running = go_on(epochs_s)
        return epochs_s

    def validation_s(self, rows: Sequences, repeats: int) -> list[float]:
        """Time whole validations; the first one compiles."""
        times_s = []
        for _ in range(repeats):
            begin_s = perf_counter()
            self.evaluate(rows)
            times_s.append(perf_counter() - begin_s)
        return times_s

    @abstractmethod
    def _start(self, weights: Sequence[Array], fitted: Sequences) -> None:
        """Move weights and rows to the device."""

    @abstractmethod
    def epoch(self, order: NDArray[np.intp]) -> float:
        """Train once on the fitted rows in this order, the last batch perhaps smaller; the first call compiles.

        Returns:
            The mean loss over the rows, as Keras' logs have it. Fetching it waits for the device.
        """

    @abstractmethod
    def evaluate(self, rows: Sequences) -> float:
        """Return the mean squared error of all rows at once, with the present weights."""

    @abstractmethod
    def weights(self) -> list[Array]:
        """Fetch the weights."""

    @abstractmethod
    def detect_path(self) -> "ExecutionPath":
        """Detect which recurrent path ran; to be called after an epoch at least."""


def build(
    model: str,
    *,
    weights: Sequence[Array],
    fitted: Sequences,
    network: NetworkSettings,
    training: TrainingSettings,
    device: str,
    seed: int = 0,
) -> PlainNetwork:
    """Build the network in the framework that Keras runs on in this process; the seed is that of its batches.

    Raises:
        NotAvailableError: if none is written for this model, network or optimizer.
    """
    require("model", model, *MODELS)
    require("layers", network.layers, 1)
    require("mask", network.mask, False)
    require("optimizer", training.optimizer, "rmsprop")
    import keras

    module = import_module(f"bench.worker.plain.plain_{keras.backend.backend()}")
    plain: PlainNetwork = module.Network(model, weights, fitted, training=training, device=device, seed=seed)
    return plain


def require(name: str, received: object, *known: object) -> None:
    """Raise `NotAvailableError` where a setting has another value than a ceiling can have."""
    if received not in known:
        rule = f"`{name}` must be {', '.join(map(str, known))} for a ceiling."
        raise NotAvailableError(f"{rule} Received: {received!r}. Use that, or no ceiling.")
