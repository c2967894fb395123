"""What the networks in plain JAX and plain TensorFlow have in common: their loss and their optimizer, for a compiler.

States are laid out (units, rows): a gate is then a contiguous block, which XLA's CPU loops read without strides. The
inputs' products with the kernel are taken for all timesteps at once, before the loop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.worker import plain
from bench.worker.plain import Array
from seqsum_core.tasks import Sequences

Weights = list[Any]
"""Kernel, recurrent kernel and bias of the layer, kernel and bias of the Dense one, in Keras' shapes."""
States = tuple[Any, ...]
Cell = Callable[[States, Any], States]
"""From the states and a timestep's inputs to the next states, the output first."""


Operation = Callable[..., Any]


@dataclass(frozen=True)
class Operations:
    """A framework's names for what a network needs; arrays are split and concatenated along their first axis.

    `product` is the transpose of the first times the second. `scan` returns the last states of a cell, from its first
    ones and the inputs of all timesteps.
    """

    tanh: Operation
    sigmoid: Operation
    sqrt: Operation
    mean: Operation
    zeros: Operation
    transpose: Operation
    split: Operation
    concatenate: Operation
    product: Operation
    scan: Operation


def loss(model: str, ops: Operations, weights: Weights, digits: Any, sums: Any) -> Any:
    """Return the mean squared error of a batch whose digits are laid out (timesteps, rows)."""
    kernel, recurrent, bias, dense, dense_bias = weights
    cell, bias = _cell(model, recurrent, bias, ops)
    states = (ops.zeros((recurrent.shape[0], digits.shape[1])),) * (2 if model == "lstm" else 1)
    output, *_ = ops.scan(cell, states, digits[:, None, :] * ops.transpose(kernel) + bias[:, None])
    results = ops.product(dense, output) + dense_bias
    return ops.mean((results[0] - sums) ** 2)


def _cell(model: str, recurrent: Any, bias: Any, ops: Operations) -> tuple[Cell, Any]:
    """Return the cell of a layer, and the part of its bias that is added to the inputs beforehand.

    Of a GRU these are the recurrent biases of both gates, too; the candidate's is reset, so it stays.
    """
    gates = 2 * recurrent.shape[0]

    def simple_rnn(states: States, inputs: Any) -> States:
        return (ops.tanh(inputs + ops.product(recurrent, states[0])),)

    def lstm(states: States, inputs: Any) -> States:
        output, carry = states
        enter, forget, candidate, leave = ops.split(inputs + ops.product(recurrent, output), 4)
        carry = ops.sigmoid(forget) * carry + ops.sigmoid(enter) * ops.tanh(candidate)
        return ops.sigmoid(leave) * ops.tanh(carry), carry

    def gru(states: States, inputs: Any) -> States:
        (output,) = states
        inner = ops.product(recurrent, output)
        update, reset = ops.split(ops.sigmoid(inputs[:gates] + inner[:gates]), 2)
        candidate = ops.tanh(inputs[gates:] + reset * (inner[gates:] + bias[1, gates:, None]))
        return (update * output + (1 - update) * candidate,)

    if model == "gru":
        return gru, ops.concatenate([bias[0, :gates] + bias[1, :gates], bias[0, gates:]])
    return (lstm if model == "lstm" else simple_rnn), bias


def descend(
    weights: Weights, velocities: Weights, gradients: Sequence[Any], *, rate: float, ops: Operations
) -> tuple[Weights, Weights]:
    """Apply a step of Keras' RMSprop; return the weights and velocities after it."""
    rho, epsilon = plain.RHO, plain.EPSILON
    after = [rho * old + (1 - rho) * new * new for old, new in zip(velocities, gradients, strict=True)]
    updated = [
        weight - rate * gradient / ops.sqrt(velocity + epsilon)
        for weight, gradient, velocity in zip(weights, gradients, after, strict=True)
    ]
    return updated, after


def as_arrays(rows: Sequences) -> tuple[Array, Array]:
    """Return digits of shape (rows, timesteps) and sums of shape (rows,)."""
    return rows.inputs()[:, :, 0], rows.targets()[:, 0]
