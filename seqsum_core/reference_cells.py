"""SimpleRNN, LSTM and GRU in plain NumPy: outputs, loss, every gradient, RMSprop. Float64 throughout.

The backends are compared with this. It is written from the equations, not from Keras' code, and the tests check its
gradients by finite differences, so no framework vouches for another. Only what Keras fixes by convention is taken over:
the order of the gates in a kernel, the GRU's reset gate after the product, and that a masked timestep leaves the state
as it was.

Arguments everywhere: `model` is "simple_rnn", "lstm" or "gru"; `weights` are in the order and shapes of
`start.draw_start`, with three more for each further layer below the `Dense(1)`; `inputs` have the shape
(batch, timesteps, 1) and `targets` (batch, 1), of any float type; with `mask` timesteps that are zero are skipped.

Sources: Elman, 1990; Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000; Cho et al., 2014,
with the reset gate as in cuDNN; Werbos, 1990, for the gradients through time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
State = tuple[Array, ...]
Weights = Sequence[NDArray[Any]]
Tape = list[tuple[Array, Array, NDArray[np.bool_], tuple[Array, ...]]]
"""Of each timestep: its input, the output before it, the rows it is not masked in, and what `Cell.backward` needs."""


@dataclass(frozen=True)
class Cell:
    """A timestep of a recurrent layer, forwards and backwards.

    Args:
        states: how many arrays of shape (batch, units) it carries; the first is its output.
        forward: from `from_input`, `from_state` and the old state to the new state, and to what `backward` needs.
        backward: from the gradient of the new state, and that, to those of `from_input`, `from_state` and old state.
    """

    states: int
    forward: Callable[[Array, Array, State], tuple[State, tuple[Array, ...]]]
    backward: Callable[[State, tuple[Array, ...]], tuple[Array, Array, State]]


def _sigmoid(x: Array) -> Array:
    """Return the logistic function, written so that it cannot overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def _simple_rnn_forward(from_input: Array, from_state: Array, old: State) -> tuple[State, tuple[Array, ...]]:
    h = np.tanh(from_input + from_state)
    return (h,), (h,)


def _simple_rnn_backward(d_new: State, kept: tuple[Array, ...]) -> tuple[Array, Array, State]:
    (h,) = kept
    dz = d_new[0] * (1 - h**2)
    return dz, dz, (np.zeros_like(h),)


def _lstm_forward(from_input: Array, from_state: Array, old: State) -> tuple[State, tuple[Array, ...]]:
    zi, zf, zg, zo = np.split(from_input + from_state, 4, axis=1)
    i, f, g, o = _sigmoid(zi), _sigmoid(zf), np.tanh(zg), _sigmoid(zo)
    c = f * old[1] + i * g
    tanh_c = np.tanh(c)
    return (o * tanh_c, c), (i, f, g, o, tanh_c, old[1])


def _lstm_backward(d_new: State, kept: tuple[Array, ...]) -> tuple[Array, Array, State]:
    i, f, g, o, tanh_c, c_old = kept
    dh, dc = d_new
    dc = dc + dh * o * (1 - tanh_c**2)
    gates = [dc * g * i * (1 - i), dc * c_old * f * (1 - f), dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)]
    dz = np.concatenate(gates, axis=1)
    return dz, dz, (np.zeros_like(dh), dc * f)


def _gru_forward(from_input: Array, from_state: Array, old: State) -> tuple[State, tuple[Array, ...]]:
    xz, xr, xg = np.split(from_input, 3, axis=1)
    hz, hr, hg = np.split(from_state, 3, axis=1)
    z, r = _sigmoid(xz + hz), _sigmoid(xr + hr)
    g = np.tanh(xg + r * hg)
    return (z * old[0] + (1 - z) * g,), (z, r, g, hg, old[0])


def _gru_backward(d_new: State, kept: tuple[Array, ...]) -> tuple[Array, Array, State]:
    z, r, g, hg, h_old = kept
    (dh,) = d_new
    dg = dh * (1 - z) * (1 - g**2)
    dz = dh * (h_old - g) * z * (1 - z)
    dr = dg * hg * r * (1 - r)
    return np.concatenate([dz, dr, dg], axis=1), np.concatenate([dz, dr, dg * r], axis=1), (dh * z,)


CELLS = {
    "simple_rnn": Cell(1, _simple_rnn_forward, _simple_rnn_backward),
    "lstm": Cell(2, _lstm_forward, _lstm_backward),
    "gru": Cell(1, _gru_forward, _gru_backward),
}


def predict(model: str, weights: Weights, inputs: NDArray[Any], *, mask: bool) -> Array:
    """Run the recurrent layers and the `Dense(1)` after them; return outputs of shape (batch, 1)."""
    return _run(model, _float64(weights), inputs, mask)[0]


def loss_and_gradients(
    model: str, weights: Weights, inputs: NDArray[Any], targets: NDArray[Any], *, mask: bool
) -> tuple[float, list[Array]]:
    """Return the mean squared error and its gradients, by back-propagation through time; for one layer only."""
    weights = _float64(weights)
    kernel, recurrent, bias, dense, _ = weights
    outputs, h, tape = _run(model, weights, inputs, mask)
    errors = outputs - targets
    d_output = 2 * errors / len(errors)
    d_kernel, d_recurrent = np.zeros_like(kernel), np.zeros_like(recurrent)
    d_biases = np.zeros((2, kernel.shape[1]))
    for x, h_old, _, d_input, d_from in _through_time(model, d_output @ dense.T, recurrent, tape):
        d_kernel += x.T @ d_input
        d_recurrent += h_old.T @ d_from
        d_biases += d_input.sum(axis=0), d_from.sum(axis=0)
    d_bias = d_biases if bias.ndim == 2 else d_biases[0]
    return float(np.mean(errors**2)), [d_kernel, d_recurrent, d_bias, h.T @ d_output, d_output.sum(axis=0)]


def state_gradients(
    model: str, weights: Weights, inputs: NDArray[Any], targets: NDArray[Any], *, mask: bool
) -> tuple[Array, ...]:
    """Return the gradient of each row's squared error with respect to the last layer's states after each timestep.

    It is the total gradient, through all later timesteps. The h and c of an LSTM are differentiated apart, as what the
    next timestep reads; so the last c has none. Each has the shape (batch, timesteps, units).
    """
    weights = _float64(weights)
    recurrent, _, dense, _ = weights[-4:]
    outputs, _, tape = _run(model, weights, inputs, mask)
    d_last = 2 * (outputs - targets) @ dense.T
    d_states = [d_state for _, _, d_state, _, _ in _through_time(model, d_last, recurrent, tape)]
    return tuple(np.stack(gradients[::-1], axis=1) for gradients in zip(*d_states, strict=True))


def _through_time(
    model: str, d_last: Array, recurrent: Array, tape: Tape
) -> Iterator[tuple[Array, Array, State, Array, Array]]:
    """Walk back from the gradient with respect to the last output.

    Yields:
        Of each timestep its input, the output before it, the gradients of the states after it, `from_input`,
        `from_state`.
    """
    d_state: State = (d_last, *(np.zeros_like(d_last) for _ in range(CELLS[model].states - 1)))
    for x, h_old, counts, kept in reversed(tape):
        d_input, d_from, d_direct = CELLS[model].backward(tuple(np.where(counts, d, 0) for d in d_state), kept)
        yield x, h_old, d_state, d_input, d_from
        d_old = (d_direct[0] + d_from @ recurrent.T, *d_direct[1:])
        d_state = tuple(np.where(counts, d, passed) for d, passed in zip(d_old, d_state, strict=True))


def _run(model: str, weights: Sequence[Array], inputs: NDArray[Any], mask: bool) -> tuple[Array, Array, Tape]:
    """Return the outputs, the output of the last layer and that layer's tape for the way back."""
    *recurrent_weights, dense, dense_bias = weights
    steps = list(np.moveaxis(inputs.astype(np.float64), 1, 0))
    counts = [(x != 0).any(axis=1, keepdims=True) if mask else np.ones((len(x), 1), bool) for x in steps]
    for layer in range(0, len(recurrent_weights), 3):
        kernel, recurrent, bias = recurrent_weights[layer : layer + 3]
        input_bias, state_bias = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
        state: State = tuple(np.zeros((len(inputs), len(recurrent))) for _ in range(CELLS[model].states))
        tape, outputs = [], []
        for x, counting in zip(steps, counts, strict=True):
            new, kept = CELLS[model].forward(x @ kernel + input_bias, state[0] @ recurrent + state_bias, state)
            tape.append((x, state[0], counting, kept))
            state = tuple(np.where(counting, fresh, old) for fresh, old in zip(new, state, strict=True))
            outputs.append(state[0])
        steps = outputs
    return steps[-1] @ dense + dense_bias, steps[-1], tape


def _float64(weights: Weights) -> list[Array]:
    return [np.asarray(weight, np.float64) for weight in weights]


class RMSprop:
    """RMSprop as Keras 3 defines it, with its defaults: epsilon under the root. Keras 2 added it to the root.

    Source: Tieleman and Hinton, 2012; keras.optimizers.RMSprop of Keras 3.
    """

    def __init__(self, learning_rate: float, *, rho: float = 0.9, epsilon: float = 1e-7) -> None:
        self._learning_rate, self._rho, self._epsilon = learning_rate, rho, epsilon
        self._squares: list[Array] = []

    def step(self, weights: Sequence[Array], gradients: Sequence[Array]) -> list[Array]:
        """Return the weights after one step."""
        rho, old = self._rho, self._squares or [np.zeros_like(weight) for weight in weights]
        self._squares = [rho * square + (1 - rho) * g**2 for square, g in zip(old, gradients, strict=True)]
        return [
            weight - self._learning_rate * gradient / np.sqrt(square + self._epsilon)
            for weight, gradient, square in zip(weights, gradients, self._squares, strict=True)
        ]
