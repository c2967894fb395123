"""Train in plain TensorFlow: one traced function an epoch, compiled by XLA, loops over batches and timesteps inside.

States are laid out (units, rows), as in `plain_jax`. XLA wants loops of a known number of turns, so the batches and the
timesteps are counted; the rest batch is traced as a step of its own.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bench.worker.plain import EPSILON, RHO
from seqsum_core.nn.execution_path import Witness
from seqsum_core.settings import NetworkSettings, TrainingSettings
from seqsum_core.task import Sequences

Weights = list[Any]
"""Kernel, recurrent kernel and bias of the layer, kernel and bias of the Dense one, in Keras' shapes."""
Cell = Callable[[Sequence[Any], Any], tuple[Any, ...]]


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
        self._model, self._training, self._units = model, training, network.units
        self._place = f"/{device}:0"
        with tf.device(self._place):
            self._digits, self._sums = (tf.constant(one) for one in _arrays(fitted))
            self._state = [tf.constant(one) for one in weights], [tf.zeros_like(one) for one in weights]
        self._evaluate: Any = tf.function(self._loss, jit_compile=True, autograph=False)
        self._program: Any = None

    def epoch(self, order: NDArray[np.intp]) -> float:
        """Train once on the rows in this order; the first call traces and compiles."""
        with tf.device(self._place):
            arguments = (*self._state, self._digits, self._sums, tf.constant(order, tf.int32))
            if self._program is None:
                self._program = tf.function(self._epoch, jit_compile=True, autograph=False).get_concrete_function(
                    *arguments
                )
            weights, velocities, loss = self._program(*arguments)
        self._state = weights, velocities
        return float(loss)

    def evaluate(self, rows: Sequences) -> float:
        """Return the mean squared error, of all rows at once."""
        digits, sums = _arrays(rows)
        with tf.device(self._place):
            return float(self._evaluate(self._state[0], digits.T, sums))

    def weights(self) -> list[NDArray[np.float32]]:
        """Fetch the weights."""
        return [one.numpy() for one in self._state[0]]

    def witness(self) -> Witness:
        """Count the loops of the traced epoch: one over the batches, the others over the timesteps."""
        graph = self._program.graph.as_graph_def()
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        loops = sum(node.op.endswith("While") for node in nodes)
        return Witness(
            "while_loop" if loops > 1 else "unrolled",
            bool(self._program.function_def.attr["_XlaMustCompile"].b),
            1,
            f"an epoch in one function, {loops} While operations",
        )

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
            index, total, weights, velocities = state
            state = step(index, total, weights, velocities, size=rest)
        _, total, weights, velocities = state
        return weights, velocities, total / order.shape[0]

    def _step(self, weights: Weights, velocities: Weights, digits: Any, sums: Any) -> tuple[Weights, Weights, Any]:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = self._loss(weights, digits, sums)
        gradients = tape.gradient(loss, weights)
        velocities = [RHO * old + (1 - RHO) * new * new for old, new in zip(velocities, gradients, strict=True)]
        rate = self._training.learning_rate
        weights = [
            weight - rate * gradient / tf.sqrt(velocity + EPSILON)
            for weight, gradient, velocity in zip(weights, gradients, velocities, strict=True)
        ]
        return weights, velocities, loss

    def _loss(self, weights: Weights, digits: Any, sums: Any) -> Any:
        """Return the mean squared error of a batch whose digits are laid out (timesteps, rows)."""
        length, rows = digits.shape
        start = (tf.zeros((self._units, rows)),) * (2 if self._model == "lstm" else 1)
        cell, bias = CELLS[self._model](*weights[1:3])
        inputs = digits[:, None, :] * tf.transpose(weights[0]) + bias[:, None]
        # each turn reads its own element: the gradient of a slice would be as large as all inputs together
        array = tf.TensorArray(tf.float32, length).unstack(inputs)
        _, (output, *_) = tf.while_loop(
            lambda time, _: time < length,
            lambda time, states: (time + 1, cell(states, array.read(time))),
            (tf.constant(0), start),
            maximum_iterations=length,
        )
        results = tf.matmul(weights[3], output, transpose_a=True) + weights[4]
        return tf.reduce_mean((results[0] - sums) ** 2)


def _arrays(rows: Sequences) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return rows.inputs()[:, :, 0], rows.targets()[:, 0]


def _simple_rnn(recurrent: Any, bias: Any) -> tuple[Cell, Any]:
    def cell(states: Sequence[Any], inputs: Any) -> tuple[Any, ...]:
        return (tf.tanh(inputs + tf.matmul(recurrent, states[0], transpose_a=True)),)

    return cell, bias


def _lstm(recurrent: Any, bias: Any) -> tuple[Cell, Any]:
    def cell(states: Sequence[Any], inputs: Any) -> tuple[Any, ...]:
        output, kept = states
        enter, forget, new, leave = tf.split(inputs + tf.matmul(recurrent, output, transpose_a=True), 4)
        kept = tf.sigmoid(forget) * kept + tf.sigmoid(enter) * tf.tanh(new)
        return tf.sigmoid(leave) * tf.tanh(kept), kept

    return cell, bias


def _gru(recurrent: Any, bias: Any) -> tuple[Cell, Any]:
    """Move the recurrent biases of both gates to the inputs; the candidate's is reset, so it stays."""
    units = recurrent.shape[0]

    def cell(states: Sequence[Any], inputs: Any) -> tuple[Any, ...]:
        (output,) = states
        inner = tf.matmul(recurrent, output, transpose_a=True)
        update, reset = tf.split(tf.sigmoid(inputs[: 2 * units] + inner[: 2 * units]), 2)
        new = tf.tanh(inputs[2 * units :] + reset * (inner[2 * units :] + bias[1, 2 * units :, None]))
        return (update * output + (1 - update) * new,)

    return cell, tf.concat([bias[0, : 2 * units] + bias[1, : 2 * units], bias[0, 2 * units :]], 0)


CELLS = {"simple_rnn": _simple_rnn, "lstm": _lstm, "gru": _gru}
