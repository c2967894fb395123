"""Train in plain JAX: one compiled program an epoch, a scan over the batches around a scan over the timesteps.

States are laid out (units, rows): a gate is then a contiguous block, which XLA's CPU loops read without strides. The
inputs' products with the kernel are taken for all timesteps at once, before the scan.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from numpy.typing import NDArray

from bench.worker.plain import EPSILON, RHO
from seqsum_core.nn.execution_path import Witness
from seqsum_core.settings import NetworkSettings, TrainingSettings
from seqsum_core.task import Sequences

Weights = list[jax.Array]
"""Kernel, recurrent kernel and bias of the layer, kernel and bias of the Dense one, in Keras' shapes."""
Cell = Callable[[tuple[jax.Array, ...], jax.Array], tuple[tuple[jax.Array, ...], None]]


class Network:
    """A network whose state stays on the device from epoch to epoch: see `bench.worker.plain.build`."""

    def __init__(
        self,
        model: str,
        weights: Sequence[NDArray[np.float32]],
        fitted: Sequences,
        *,
        network: NetworkSettings,
        training: TrainingSettings,
        device: str,
    ) -> None:
        del network  # the units are read off the weights
        self._model, self._training = model, training
        self._device = jax.devices(device)[0]
        self._rows = self._put(_arrays(fitted))
        self._state = self._put(([np.array(one) for one in weights], [np.zeros_like(one) for one in weights]))
        self._evaluate = jax.jit(self._loss)
        self._program: Any = None

    def epoch(self, order: NDArray[np.intp]) -> float:
        """Train once on the rows in this order; the first call compiles."""
        arguments = (self._state, *self._rows, self._put(order.astype(np.int32)))
        if self._program is None:
            self._program = jax.jit(self._epoch, donate_argnums=0).lower(*arguments).compile()
        self._state, loss = self._program(*arguments)
        return float(loss)

    def evaluate(self, rows: Sequences) -> float:
        """Return the mean squared error, of all rows at once."""
        digits, sums = self._put(_arrays(rows))
        return float(self._evaluate(self._state[0], digits.T, sums))

    def weights(self) -> list[NDArray[np.float32]]:
        """Fetch the weights."""
        return [np.array(one) for one in self._state[0]]

    def witness(self) -> Witness:
        """Count the loops of the compiled epoch: that over the batches, and those over the timesteps."""
        text = self._program.as_text()
        loops = len(re.findall(r"\bwhile\(", text))
        turns = sorted(set(re.findall(r'"known_trip_count":\{"n":"(\d+)"', text)), key=int)
        return Witness(
            "scan" if loops > 1 else "unrolled",
            True,
            1,
            f"an epoch in one program, {loops} while loops of {', '.join(turns)} turns",
        )

    def _put(self, values: Any) -> Any:
        return jax.device_put(values, self._device)

    def _epoch(
        self, state: tuple[Weights, Weights], digits: jax.Array, sums: jax.Array, order: jax.Array
    ) -> tuple[tuple[Weights, Weights], jax.Array]:
        digits, sums, batch = digits[order], sums[order], self._training.batch_size
        steps, rest = divmod(len(order), batch)
        total = jnp.zeros(())
        if steps:
            full = steps * batch
            batches = digits[:full].reshape(steps, batch, -1).swapaxes(1, 2), sums[:full].reshape(steps, batch)
            state, losses = jax.lax.scan(self._step, state, batches)
            total += batch * losses.sum()
        if rest:
            state, loss = self._step(state, (digits[-rest:].T, sums[-rest:]))
            total += rest * loss
        return state, total / len(order)

    def _step(
        self, state: tuple[Weights, Weights], batch: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[Weights, Weights], jax.Array]:
        weights, velocities = state
        loss, gradients = jax.value_and_grad(self._loss)(weights, *batch)
        velocities = [RHO * old + (1 - RHO) * new * new for old, new in zip(velocities, gradients, strict=True)]
        rate = self._training.learning_rate
        weights = [
            weight - rate * gradient / jnp.sqrt(velocity + EPSILON)
            for weight, gradient, velocity in zip(weights, gradients, velocities, strict=True)
        ]
        return (weights, velocities), loss

    def _loss(self, weights: Weights, digits: jax.Array, sums: jax.Array) -> jax.Array:
        """Return the mean squared error of a batch whose digits are laid out (timesteps, rows)."""
        units = weights[1].shape[0]
        start = (jnp.zeros((units, len(sums))),) * (2 if self._model == "lstm" else 1)
        cell, bias = CELLS[self._model](*weights[1:3])
        inputs = digits[:, None, :] * weights[0].T + bias[:, None]
        (output, *_), _ = jax.lax.scan(cell, start, inputs)
        return jnp.mean((weights[3].T @ output + weights[4] - sums) ** 2)


def _arrays(rows: Sequences) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return rows.inputs()[:, :, 0], rows.targets()[:, 0]


def _simple_rnn(recurrent: jax.Array, bias: jax.Array) -> tuple[Cell, jax.Array]:
    def cell(states: tuple[jax.Array, ...], inputs: jax.Array) -> tuple[tuple[jax.Array, ...], None]:
        return (jnp.tanh(inputs + recurrent.T @ states[0]),), None

    return cell, bias


def _lstm(recurrent: jax.Array, bias: jax.Array) -> tuple[Cell, jax.Array]:
    def cell(states: tuple[jax.Array, ...], inputs: jax.Array) -> tuple[tuple[jax.Array, ...], None]:
        output, kept = states
        enter, forget, new, leave = jnp.split(inputs + recurrent.T @ output, 4)
        kept = jax.nn.sigmoid(forget) * kept + jax.nn.sigmoid(enter) * jnp.tanh(new)
        return (jax.nn.sigmoid(leave) * jnp.tanh(kept), kept), None

    return cell, bias


def _gru(recurrent: jax.Array, bias: jax.Array) -> tuple[Cell, jax.Array]:
    """Move the recurrent biases of both gates to the inputs; the candidate's is reset, so it stays."""
    gates = 2 * recurrent.shape[0]

    def cell(states: tuple[jax.Array, ...], inputs: jax.Array) -> tuple[tuple[jax.Array, ...], None]:
        (output,) = states
        inner = recurrent.T @ output
        update, reset = jnp.split(jax.nn.sigmoid(inputs[:gates] + inner[:gates]), 2)
        new = jnp.tanh(inputs[gates:] + reset * (inner[gates:] + bias[1, gates:, None]))
        return (update * output + (1 - update) * new,), None

    return cell, bias[0].at[:gates].add(bias[1, :gates])


CELLS = {"simple_rnn": _simple_rnn, "lstm": _lstm, "gru": _gru}
