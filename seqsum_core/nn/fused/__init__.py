"""Faster recurrent training on a CPU than with Keras 3.15.1: drop-in layers and a drop-in model.

`LAYERS` are Keras' recurrent layers computed by what the framework does best, `Sequential` runs its steps with less
around them, and `settings_for` has the arguments for `compile`. docs/fused.md has figures and limits.
"""

from seqsum_core.nn.fused.layers import GRU, LAYERS, LSTM, SimpleRNN
from seqsum_core.nn.fused.steps import Sequential, settings_for

__all__ = ["GRU", "LAYERS", "LSTM", "Sequential", "SimpleRNN", "settings_for"]
