"""Train in plain JAX: one compiled program an epoch, a scan over the batches around a scan over the timesteps."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from numpy.typing import NDArray

from bench.worker.plain import Array, PlainNetwork
from bench.worker.plain.compiled import Operations, Weights, as_arrays, descend, loss
from seqsum_core.nn.execution_path import ExecutionPath
from seqsum_core.tasks import Sequences

State = tuple[Weights, Weights]
"""Weights and the optimizer's velocities."""
JAX = Operations(
    tanh=jnp.tanh,
    sigmoid=jax.nn.sigmoid,
    sqrt=jnp.sqrt,
    mean=jnp.mean,
    zeros=jnp.zeros,
    transpose=jnp.transpose,
    split=jnp.split,
    concatenate=jnp.concatenate,
    product=lambda first, second: first.T @ second,
    scan=lambda cell, start, inputs: jax.lax.scan(lambda states, now: (cell(states, now), None), start, inputs)[0],
)


class Network(PlainNetwork):
    """See `PlainNetwork`."""

    def _start(self, weights: Sequence[Array], fitted: Sequences) -> None:
        self._rows = self._put(as_arrays(fitted))
        start = [np.array(array) for array in weights], [np.zeros_like(array) for array in weights]
        self._state: State = self._put(start)
        self._loss = partial(loss, self._model, JAX)
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
        digits, sums = self._put(as_arrays(rows))
        return float(self._evaluate(self._state[0], digits.T, sums))

    def weights(self) -> list[Array]:
        """Fetch the weights."""
        return [np.array(array) for array in self._state[0]]

    def detect_path(self) -> ExecutionPath:
        """Count the loops of the compiled epoch: the one over the batches, and those over the timesteps."""
        text = self._program.as_text()
        loops = len(re.findall(r"\bwhile\(", text))
        iterations = sorted(set(re.findall(r'"known_trip_count":\{"n":"(\d+)"', text)), key=int)
        evidence = f"an epoch in one program, {loops} while loops of {', '.join(iterations)} iterations"
        return ExecutionPath("scan" if loops > 1 else "unrolled", True, 1, evidence)

    def _put(self, values: Any) -> Any:
        return jax.device_put(values, jax.devices(self._device)[0])

    def _epoch(self, state: State, digits: Any, sums: Any, order: Any) -> tuple[State, Any]:
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

    def _step(self, state: State, batch: tuple[Any, Any]) -> tuple[State, Any]:
        weights, velocities = state
        error, gradients = jax.value_and_grad(self._loss)(weights, *batch)
        return descend(weights, velocities, gradients, rate=self._training.learning_rate, ops=JAX), error
