"""All timesteps of a recurrent layer in one scan on JAX, with the rows of a batch last.

A scan of Keras holds states as (rows, units). Here they are (units, rows): the long axis lies together in memory, and
gates are split without cutting a row. JAX differentiates it; derivatives by hand, unrolling and projecting the inputs
beforehand were not faster. Gates are i, f, g, o (LSTM) and z, r, g (GRU), as Keras orders them.

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
    """Run Keras' LSTM over all timesteps; arguments and results as `simple_rnn`, with states h and c."""
    kernel, recurrent, bias = _columns(weights)

    def step(before: States, x: Any) -> States:
        h, c = before
        i, f, g, o = jnp.split(kernel @ x + bias + recurrent @ h, 4)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    return _scan(step, inputs, states)


def gru(inputs: Any, states: Sequence[Any], weights: tuple[Any, Any, Any]) -> Result:
    """Run Keras' GRU with `reset_after` over all timesteps; arguments and results as `simple_rnn`, with two biases."""
    kernel, recurrent, bias = weights
    kernel, recurrent = kernel.T, recurrent.T
    input_bias, state_bias = (0.0, 0.0) if bias is None else (bias[0][:, None], bias[1][:, None])

    def step(before: States, x: Any) -> States:
        (h,) = before
        xz, xr, xg = jnp.split(kernel @ x + input_bias, 3)
        hz, hr, hg = jnp.split(recurrent @ h + state_bias, 3)
        z, r = jax.nn.sigmoid(xz + hz), jax.nn.sigmoid(xr + hr)
        return (z * h + (1 - z) * jnp.tanh(xg + r * hg),)

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
