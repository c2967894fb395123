"""The same training written directly in a framework: what Keras could reach there, its ceiling.

A ceiling starts from the weights that Keras starts from, reads the same batches and applies the same RMSprop, so Keras'
time divided by its time is what Keras costs there. No framework is imported before a network is built.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import NotAvailableError
from seqsum_core.settings import MODELS, NetworkSettings, TrainingSettings
from seqsum_core.task import Sequences

if TYPE_CHECKING:  # it imports Keras
    from seqsum_core.nn.execution_path import ExecutionPath

Array = NDArray[np.float32]

RHO = 0.9
EPSILON = 1e-7
"""Keras' RMSprop: v = RHO v + (1 - RHO) g^2, w -= rate g / sqrt(v + EPSILON), with epsilon under the root."""


class PlainNetwork(ABC):
    """One network that is trained without Keras; its state stays on the device from epoch to epoch.

    Args:
        model: "simple_rnn", "lstm" or "gru".
        weights: the start, as `model.get_weights()` orders and shapes it.
        fitted: the rows to train on; they move to the device here.
        training: learning rate and batch size.
        device: "cpu" or "gpu".
    """

    def __init__(
        self, model: str, weights: Sequence[Array], fitted: Sequences, *, training: TrainingSettings, device: str
    ) -> None:
        self._model, self._training, self._device = model, training, device
        self._units = weights[1].shape[0]
        self._start(weights, fitted)

    @abstractmethod
    def _start(self, weights: Sequence[Array], fitted: Sequences) -> None:
        """Move weights and rows to the device."""

    @abstractmethod
    def epoch(self, order: NDArray[np.intp]) -> float:
        """Train once on the fitted rows; the first call compiles.

        Args:
            order: the rows, batch after batch; the last batch may be smaller.

        Returns:
            The mean loss over the rows, as Keras' logs have it. Fetching it waits for the device.
        """

    @abstractmethod
    def evaluate(self, rows: Sequences) -> float:
        """Return the mean squared error of all rows at once, with the present weights."""

    @abstractmethod
    def weights(self) -> list[Array]:
        """Fetch the weights, as `model.get_weights()` orders and shapes them."""

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
) -> PlainNetwork:
    """Build the network in the framework that Keras runs on in this process: see `PlainNetwork`.

    Raises:
        NotAvailableError: if none is written for this model, network or optimizer.
    """
    known = ", ".join(MODELS)
    _require(model in MODELS, f"`model` must be one of {known} for a ceiling.", model, "Take one of them.")
    _require(network.layers == 1, "`layers` must be 1 for a ceiling.", network.layers, "Use one layer.")
    _require(not network.mask, "`mask` must be off for a ceiling.", network.mask, "Switch it off.")
    optimizer = training.optimizer
    _require(optimizer == "rmsprop", '`optimizer` must be "rmsprop" for a ceiling.', optimizer, "Use the article's.")
    import keras

    module = import_module(f"bench.worker.plain.plain_{keras.backend.backend()}")
    plain: PlainNetwork = module.Network(model, weights, fitted, training=training, device=device)
    return plain


def _require(holds: bool, rule: str, received: object, remedy: str) -> None:
    if not holds:
        raise NotAvailableError(f"{rule} Received: {received!r}. {remedy}")
