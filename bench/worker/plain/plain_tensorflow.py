"""Train in plain TensorFlow: one traced function an epoch, compiled by XLA, loops over batches and timesteps inside.

XLA wants loops of a known number of iterations, so the batches and the timesteps are counted; the rest batch is traced
as a step of its own.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bench.worker.plain import Array, PlainNetwork
from bench.worker.plain.compiled import Cell, Operations, States, Weights, as_arrays, descend, loss
from seqsum_core.nn.execution_path import ExecutionPath
from seqsum_core.tasks import Sequences


def scan(cell: Cell, start: States, inputs: Any) -> States:
    """Return the last states of a cell, from its first ones and the inputs of all timesteps."""
    length = inputs.shape[0]
    # each iteration reads its own element: the gradient of a slice would be as large as all inputs together
    array = tf.TensorArray(tf.float32, length).unstack(inputs)
    _, states = tf.while_loop(
        lambda time, _: time < length,
        lambda time, states: (time + 1, cell(states, array.read(time))),
        (tf.constant(0), start),
        maximum_iterations=length,
    )
    last: States = states
    return last


TENSORFLOW = Operations(
    tanh=tf.tanh,
    sigmoid=tf.sigmoid,
    sqrt=tf.sqrt,
    mean=tf.reduce_mean,
    zeros=tf.zeros,
    transpose=tf.transpose,
    split=tf.split,
    concatenate=lambda parts: tf.concat(parts, 0),
    product=lambda first, second: tf.matmul(first, second, transpose_a=True),
    scan=scan,
)


class Network(PlainNetwork):
    """See `PlainNetwork`."""

    def _start(self, weights: Sequence[Array], fitted: Sequences) -> None:
        self._place = f"/{self._device}:0"
        with tf.device(self._place):
            self._rows = [tf.constant(array) for array in as_arrays(fitted)]
            self._state = [tf.constant(array) for array in weights], [tf.zeros_like(array) for array in weights]
        self._loss = partial(loss, self._model, TENSORFLOW)
        self._evaluate: Any = tf.function(self._loss, jit_compile=True, autograph=False)
        self._program: Any = None

    def epoch(self, order: NDArray[np.intp]) -> float:
        """Train once on the rows in this order; the first call traces and compiles."""
        with tf.device(self._place):
            arguments = (*self._state, *self._rows, tf.constant(order, tf.int32))
            if self._program is None:
                epoch = tf.function(self._epoch, jit_compile=True, autograph=False)
                self._program = epoch.get_concrete_function(*arguments)
            weights, velocities, loss = self._program(*arguments)
        self._state = weights, velocities
        return float(loss)

    def evaluate(self, rows: Sequences) -> float:
        """Return the mean squared error, of all rows at once."""
        digits, sums = as_arrays(rows)
        with tf.device(self._place):
            return float(self._evaluate(self._state[0], digits.T, sums))

    def weights(self) -> list[Array]:
        """Fetch the weights."""
        return [array.numpy() for array in self._state[0]]

    def detect_path(self) -> ExecutionPath:
        """Count the loops of the traced epoch: the one over the batches, the others over the timesteps."""
        graph = self._program.graph.as_graph_def()
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        loops = sum(node.op.endswith("While") for node in nodes)
        xla = bool(self._program.function_def.attr["_XlaMustCompile"].b)
        evidence = f"an epoch in one function, {loops} While operations"
        return ExecutionPath("while_loop" if loops > 1 else "unrolled", xla, 1, evidence)

    def _epoch(self, weights: Weights, velocities: Weights, digits: Any, sums: Any, order: Any) -> Any:
        batch = self._training.batch_size
        steps, rest = divmod(order.shape[0], batch)
        digits, sums = tf.transpose(tf.gather(digits, order)), tf.gather(sums, order)

        def step(index: Any, total: Any, weights: Weights, velocities: Weights, size: int = batch) -> Any:
            first = index * batch
            part = tf.slice(digits, (0, first), (digits.shape[0], size)), tf.slice(sums, (first,), (size,))
            weights, velocities, loss = self._step(weights, velocities, *part)
            return index + 1, total + size * loss, weights, velocities

        state = (tf.constant(0), tf.constant(0.0), list(weights), list(velocities))
        if steps:
            state = tf.while_loop(lambda index, *_: index < steps, step, state, maximum_iterations=steps)
        if rest:
            state = step(*state, size=rest)
        _, total, weights, velocities = state
        return weights, velocities, total / order.shape[0]

    def _step(self, weights: Weights, velocities: Weights, digits: Any, sums: Any) -> tuple[Weights, Weights, Any]:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            error = self._loss(weights, digits, sums)
        gradients = tape.gradient(error, weights)
        return *descend(weights, velocities, gradients, rate=self._training.learning_rate, ops=TENSORFLOW), error
