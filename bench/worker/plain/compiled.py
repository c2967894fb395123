"""What the networks in plain JAX and plain TensorFlow have in common: their cells and their optimizer, for a compiler.

States are laid out (units, rows): a gate is then a contiguous block, which XLA's CPU loops read without strides. The
inputs' products with the kernel are taken for all timesteps at once, before the loop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.worker import plain
from bench.worker.plain import Array
from seqsum_core.task import Sequences

Weights = list[Any]
"""Kernel, recurrent kernel and bias of the layer, kernel and bias of the Dense one, in Keras' shapes."""
States = tuple[Any, ...]
Cell = Callable[[States, Any], States]
"""From the states and a timestep's inputs to the next states, the output first."""


@dataclass(frozen=True)
class Operations:
    """A framework's names for what a cell needs.

    Args:
        tanh: of each element.
        sigmoid: of each element.
        split: an array into that many along its first axis.
        concatenate: arrays along their first axis.
        product: transpose of the first, times the second.
    """

    tanh: Callable[[Any], Any]
    sigmoid: Callable[[Any], Any]
    split: Callable[[Any, int], Sequence[Any]]
    concatenate: Callable[[Sequence[Any]], Any]
    product: Callable[[Any, Any], Any]


def make_cell(model: str, recurrent: Any, bias: Any, ops: Operations) -> tuple[Cell, Any]:
    """Return the cell of a layer, and the part of its bias that is added to the inputs beforehand."""
    if model == "gru":
        return _gru(recurrent, bias, ops)

    def simple_rnn(states: States, inputs: Any) -> States:
        return (ops.tanh(inputs + ops.product(recurrent, states[0])),)

    def lstm(states: States, inputs: Any) -> States:
        output, carry = states
        enter, forget, candidate, leave = ops.split(inputs + ops.product(recurrent, output), 4)
        carry = ops.sigmoid(forget) * carry + ops.sigmoid(enter) * ops.tanh(candidate)
        return ops.sigmoid(leave) * ops.tanh(carry), carry

    return {"simple_rnn": simple_rnn, "lstm": lstm}[model], bias


def _gru(recurrent: Any, bias: Any, ops: Operations) -> tuple[Cell, Any]:
    """Move the recurrent biases of both gates to the inputs; the candidate's is reset, so it stays."""
    gates = 2 * recurrent.shape[0]

    def gru(states: States, inputs: Any) -> States:
        (output,) = states
        inner = ops.product(recurrent, output)
        update, reset = ops.split(ops.sigmoid(inputs[:gates] + inner[:gates]), 2)
        candidate = ops.tanh(inputs[gates:] + reset * (inner[gates:] + bias[1, gates:, None]))
        return (update * output + (1 - update) * candidate,)

    return gru, ops.concatenate([bias[0, :gates] + bias[1, :gates], bias[0, gates:]])


def descend(
    weights: Weights, velocities: Weights, gradients: Sequence[Any], *, rate: float, sqrt: Callable[[Any], Any]
) -> tuple[Weights, Weights]:
    """Apply a step of Keras' RMSprop; return the weights and velocities after it."""
    rho, epsilon = plain.RHO, plain.EPSILON
    after = [rho * old + (1 - rho) * new * new for old, new in zip(velocities, gradients, strict=True)]
    updated = [
        weight - rate * gradient / sqrt(velocity + epsilon)
        for weight, gradient, velocity in zip(weights, gradients, after, strict=True)
    ]
    return updated, after


def as_arrays(rows: Sequences) -> tuple[Array, Array]:
    """Return digits of shape (rows, timesteps) and sums of shape (rows,)."""
    return rows.inputs()[:, :, 0], rows.targets()[:, 0]
