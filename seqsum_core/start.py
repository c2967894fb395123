"""Draw starting weights in NumPy, in Keras' order and by Keras' default distributions.

NumPy only, so that the float64 reference starts where the backends start: `models` puts these very numbers into a
Keras model. The same seed gives the same weights everywhere.
"""

import numpy as np
from numpy.typing import NDArray

GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}
"""Gates of a recurrent layer, the candidate included. Keras orders them i, f, g, o (LSTM) and z, r, g (GRU)."""
WEIGHT_NAMES = ("kernel", "recurrent_kernel", "bias", "dense_kernel", "dense_bias")


def draw_start(model: str, *, units: int, seed: int, features: int = 1) -> list[NDArray[np.float32]]:
    """Draw the weights of one recurrent layer, and of the `Dense(1)` after it.

    Args:
        model: "simple_rnn", "lstm" or "gru".
        units: width of the recurrent layer.
        seed: the same seed draws what `models.set_start` draws.
        features: values that the layer reads in a timestep.

    Returns:
        In the order of `WEIGHT_NAMES`; shapes (features, units * gates), (units, units * gates), (units * gates,), for
        a GRU (2, units * gates), then (units, 1) and (1,).
    """
    random = np.random.default_rng(seed)
    width = units * GATES[model]
    kernel = glorot_uniform((features, width), random)
    recurrent = orthogonal((units, width), random)
    bias = np.zeros((2, width) if model == "gru" else (width,), np.float32)
    if model == "lstm":
        bias[units : 2 * units] = 1.0
    return [kernel, recurrent, bias, glorot_uniform((units, 1), random), np.zeros(1, np.float32)]


def glorot_uniform(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float32]:
    """Draw a kernel of shape (inputs, outputs). Source: Glorot and Bengio, 2010."""
    limit = np.sqrt(6.0 / sum(shape))
    return random.uniform(-limit, limit, shape).astype(np.float32)


def orthogonal(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float32]:
    """Draw (units, units * gates) with orthonormal rows. Source: Saxe et al., 2014."""
    tall = random.normal(size=(max(shape), min(shape)))
    q, r = np.linalg.qr(tall)
    q *= np.sign(np.diag(r))
    return (q if shape[0] >= shape[1] else q.T).astype(np.float32)
