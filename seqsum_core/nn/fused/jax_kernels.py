"""All timesteps of a recurrent layer in one scan on JAX, with the rows of a batch last.

A scan of Keras holds states as (rows, units). Here they are (units, rows): the long axis lies together in memory,
and gates are split without cutting a row. JAX's own differentiation takes the gradients; derivatives worked out by
hand, unrolling and projecting the inputs beforehand were all slower, see docs/fused.md.

Shapes: B rows, T timesteps, F features, U units; inputs (B, T, F), outputs (B, T, U), states (B, U).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import numpy as jnp

Result = tuple[Any, list[Any]]
States = tuple[Any, ...]


def simple_rnn(inputs: Any, states: Sequence[Any], weights: tuple[Any, Any, Any]) -> Result:
    """Run tanh(x K + h R + b) over all timesteps.

    Args:
        inputs: shape (B, T, F).
        states: the state before the first timestep.
        weights: kernel, recurrent kernel and bias, None without one.

    Returns:
        Outputs of all timesteps, and the last state.
    """
    kernel, recurrent, bias = _columns(weights)

    def step(before: States, x: Any) -> States:
        return (jnp.tanh(kernel @ x + bias + recurrent @ before[0]),)

    return _scan(step, inputs, states)


def lstm(inputs: Any, states: Sequence[Any], weights: tuple[Any, Any, Any]) -> Result:
    """Run Keras' LSTM over all timesteps; arguments and results as `simple_rnn`, with a carry state besides."""
    kernel, recurrent, bias = _columns(weights)

    def step(before: States, x: Any) -> States:
        hidden, carry = before
        enter, forget, new, leave = jnp.split(kernel @ x + bias + recurrent @ hidden, 4)
        carry = jax.nn.sigmoid(forget) * carry + jax.nn.sigmoid(enter) * jnp.tanh(new)
        return jax.nn.sigmoid(leave) * jnp.tanh(carry), carry

    return _scan(step, inputs, states)


def gru(inputs: Any, states: Sequence[Any], weights: tuple[Any, Any, Any]) -> Result:
    """Run Keras' GRU with `reset_after` over all timesteps; arguments and results as `simple_rnn`, with two biases."""
    kernel, recurrent, bias = weights
    kernel, recurrent = kernel.T, recurrent.T
    first, second = (0.0, 0.0) if bias is None else (bias[0][:, None], bias[1][:, None])

    def step(before: States, x: Any) -> States:
        (hidden,) = before
        from_input, from_state = jnp.split(kernel @ x + first, 3), jnp.split(recurrent @ hidden + second, 3)
        update = jax.nn.sigmoid(from_input[0] + from_state[0])
        reset = jax.nn.sigmoid(from_input[1] + from_state[1])
        return (update * hidden + (1 - update) * jnp.tanh(from_input[2] + reset * from_state[2]),)

    return _scan(step, inputs, states)


def _columns(weights: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    """Turn weights round, so that they multiply columns of rows."""
    kernel, recurrent, bias = weights
    return kernel.T, recurrent.T, 0.0 if bias is None else bias[:, None]


def _scan(step: Callable[[States, Any], States], inputs: Any, states: Sequence[Any]) -> Result:
    def with_output(before: States, x: Any) -> tuple[States, Any]:
        after = step(before, x)
        return after, after[0]

    first = tuple(state.T for state in states)
    last, outputs = jax.lax.scan(with_output, first, inputs.transpose(1, 2, 0))
    return outputs.transpose(2, 0, 1), [state.T for state in last]
