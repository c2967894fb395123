"""Faster recurrent training on a CPU than with Keras 3.15.1: drop-in layers and a drop-in model.

`LAYERS` are Keras' recurrent layers computed by what the framework does best, `Sequential` runs its steps with less
around them, and `settings_for` has the arguments for `compile`. docs/extending.md has their limits.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from seqsum_core.nn.fused.layers import GRU, LAYERS, LSTM, SimpleRNN
from seqsum_core.nn.fused.steps import FUSED, Sequential, settings_for

__all__ = ["FUSED", "GRU", "LAYERS", "LSTM", "Sequential", "SimpleRNN", "replacing", "settings_for"]


@contextmanager
def replacing() -> Iterator[None]:
    """Let `keras.layers.SimpleRNN`, `LSTM` and `GRU` and `keras.Sequential` be the fused ones meanwhile.

        with fused.replacing():
            model = build(length=50)  # a function of yours that says keras.layers.LSTM(80)

    A name that was imported before, as by `from keras.layers import LSTM`, stays Keras'.
    """
    replaced = [(keras.layers, layer.__name__, layer) for layer in (SimpleRNN, LSTM, GRU)]
    replaced += [(keras, "Sequential", Sequential), (keras.models, "Sequential", Sequential)]
    before = [(place, name, getattr(place, name)) for place, name, _ in replaced]
    for place, name, ours in replaced:
        setattr(place, name, ours)
    try:
        yield
    finally:
        for place, name, theirs in before:
            setattr(place, name, theirs)
