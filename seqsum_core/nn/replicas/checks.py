"""What would make replicas depend on each other, and is refused: `seqsum_core.nn.replicas` rests on it."""

from collections.abc import Sequence

import keras

from seqsum_core.settings import require

ELEMENTWISE = ("RMSprop", "Adam", "AdamW", "SGD", "Adamax", "Nadam", "Adagrad", "Adadelta", "Lion")
"""Keras optimizers that move each number by its own gradients only."""


def check_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuse an optimizer that would make replicas depend on each other.

    Clipping by a norm scales a gradient by the size of all replicas' together; so do optimizers that
    use the norm of a weight (Lamb, Muon, Adafactor) and dynamic loss scaling. Weight averaging is
    applied when training ends, which is not when a replica's own training does.

    Raises:
        ValueError: naming what couples them.
    """
    name = type(optimizer).__name__  # Keras on PyTorch has subclasses of its own, of the same names
    known = name in ELEMENTWISE and isinstance(optimizer, getattr(keras.optimizers, name))
    require(known, f"`optimizer` of replicas must be one of {', '.join(ELEMENTWISE)}.", name, "Train each seed alone.")
    for setting in ("clipnorm", "global_clipnorm", "use_ema"):
        value = getattr(optimizer, setting)
        require(not value, f"`{setting}` would couple the replicas.", value, "Train each seed alone, or leave it out.")


COUPLING = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.TerminateOnNaN,
    keras.callbacks.SwapEMAWeights,
)
"""Callbacks that would act on all replicas for what one of them, or their mean, does."""


def check_callbacks(callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Refuse Keras' callbacks that would make replicas depend on each other.

    Raises:
        ValueError: naming the first one.
    """
    for callback in callbacks:
        require(
            not isinstance(callback, COUPLING),
            "`callbacks` of replicas must not act on what all of them do together.",
            type(callback).__name__,
            "Leave it out: each replica stops by `patience` on its own.",
        )
