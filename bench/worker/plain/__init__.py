"""The same training written directly in a framework: what Keras could reach there.

A ceiling starts from the weights that Keras starts from, sees the same batches and applies the same RMSprop, so
Keras' time divided by its time is what Keras costs there. No framework is imported before one is built.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.errors import NotAvailableError
from seqsum_core.settings import MODELS, NetworkSettings, TrainingSettings
from seqsum_core.task import Sequences

if TYPE_CHECKING:  # it imports Keras
    from seqsum_core.nn.execution_path import Witness

RHO = 0.9
EPSILON = 1e-7
"""Keras' RMSprop: v = RHO v + (1 - RHO) g^2, w -= rate g / sqrt(v + EPSILON), with epsilon under the root."""


class Ceiling(Protocol):
    """One network that is trained without Keras."""

    def epoch(self, order: NDArray[np.intp]) -> float:
        """Train once on the fitted rows.

        Args:
            order: the rows, batch after batch; the last batch may be smaller.

        Returns:
            The mean loss over the rows, as Keras' logs have it. Fetching it waits for the device.
        """

    def evaluate(self, rows: Sequences) -> float:
        """Return the mean squared error on rows, with the present weights."""

    def weights(self) -> list[NDArray[np.float32]]:
        """Return the weights as `model.get_weights()` orders and shapes them."""

    def witness(self) -> "Witness":
        """Say which recurrent path ran; asked after an epoch at least."""


def build(
    model: str,
    *,
    weights: Sequence[NDArray[np.float32]],
    fitted: Sequences,
    network: NetworkSettings,
    training: TrainingSettings,
    device: str,
) -> Ceiling:
    """Build the ceiling of the backend that Keras runs on in this process.

    Args:
        model: "simple_rnn", "lstm" or "gru".
        weights: the start, as `models.draw_weights` draws it for the Keras model.
        fitted: the rows to train on; they move to the device here.
        network: the units; a mask or several layers have no ceiling.
        training: learning rate and batch size of RMSprop.
        device: "cpu" or "gpu".

    Returns:
        A ceiling with this start.

    Raises:
        NotAvailableError: if none is written for this model, network or optimizer.
    """
    check_available(model, network, training)
    import keras

    module = import_module(f"bench.worker.plain.plain_{keras.backend.backend()}")
    ceiling: Ceiling = module.Network(model, weights, fitted, network=network, training=training, device=device)
    return ceiling


def check_available(model: str, network: NetworkSettings, training: TrainingSettings) -> None:
    """Refuse what no ceiling is written for.

    Raises:
        NotAvailableError: naming the first argument that has none.
    """
    for available, rule, received, remedy in (
        (model in MODELS, f"`model` must be one of {', '.join(MODELS)} for a ceiling.", model, "Name one of them."),
        (network.layers == 1, "`layers` must be 1 for a ceiling.", network.layers, "Use one layer."),
        (not network.mask, "`mask` must be off for a ceiling.", network.mask, "Switch it off."),
        (
            training.optimizer == "rmsprop",
            '`optimizer` must be "rmsprop" for a ceiling.',
            training.optimizer,
            "Use the article's.",
        ),
    ):
        if not available:
            raise NotAvailableError(f"{rule} Received: {received!r}. {remedy}")
