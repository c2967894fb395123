"""All timesteps of a recurrent layer in one call on PyTorch, with parameters laid out as Keras has them.

LSTM and GRU are PyTorch's own kernels; transposing and permuting Keras' variables is part of the graph, so gradients
reach them. SimpleRNN is written here: PyTorch's kernel for it is a loop in C++ whose every timestep leaves several
nodes for autograd; this kernel leaves a single node, works in place, and takes each weight's gradient as one product
over all timesteps.

Shapes: B rows, T timesteps, F features, U units; inputs (B, T, F), outputs (B, T, U), states (B, U).
"""

from collections.abc import Sequence
from typing import Any

import torch

Result = tuple[torch.Tensor, list[torch.Tensor]]
Weights = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]


def simple_rnn(inputs: torch.Tensor, states: Sequence[torch.Tensor], weights: Weights) -> Result:
    """Run tanh(x K + h R + b) over all timesteps.

    Args:
        inputs: shape (B, T, F).
        states: the state before the first timestep.
        weights: kernel, recurrent kernel and bias, None without one.

    Returns:
        Outputs of all timesteps, and the last state.
    """
    kernel, recurrent, bias = weights
    bias = recurrent.new_zeros(recurrent.shape[1]) if bias is None else bias
    outputs = _SimpleRNN.apply(inputs, kernel, recurrent, bias, states[0])
    return outputs.transpose(0, 1), [outputs[-1]]


def lstm(inputs: torch.Tensor, states: Sequence[torch.Tensor], weights: Weights) -> Result:
    """Run PyTorch's LSTM; its gates are in Keras' order, and its second bias is zero.

    Args:
        inputs: shape (B, T, F).
        states: h and c before the first timestep.
        weights: kernel, recurrent kernel and bias, None without one.

    Returns:
        Outputs of all timesteps, and the last h and c.
    """
    kernel, recurrent, bias = weights
    parameters = [kernel.T, recurrent.T] + ([] if bias is None else [bias, torch.zeros_like(bias)])
    before = tuple(state.unsqueeze(0) for state in states)
    outputs, h, c = torch._VF.lstm(inputs, before, parameters, bias is not None, *_one_layer())
    return outputs, [h[0], c[0]]


def gru(inputs: torch.Tensor, states: Sequence[torch.Tensor], weights: Weights) -> Result:
    """Run PyTorch's GRU, whose gates are ordered r, z, g where Keras has z, r, g.

    Args:
        inputs: shape (B, T, F).
        states: the state before the first timestep.
        weights: kernel, recurrent kernel and the two biases, shape (2, 3 U), None without them.

    Returns:
        Outputs of all timesteps, and the last state.
    """
    kernel, recurrent, bias = weights
    parameters = [_reset_first(kernel).T, _reset_first(recurrent).T]
    if bias is not None:
        parameters += _reset_first(bias).unbind()
    outputs, h = torch._VF.gru(inputs, states[0].unsqueeze(0), parameters, bias is not None, *_one_layer())
    return outputs, [h[0]]


def _one_layer() -> tuple[int, float, bool, bool, bool]:
    """Return PyTorch's arguments for one layer, no dropout, whether gradients follow, one direction, rows first."""
    return 1, 0.0, torch.is_grad_enabled(), False, True


def _reset_first(gates: torch.Tensor) -> torch.Tensor:
    z, r, g = gates.chunk(3, dim=1)
    return torch.cat([r, z, g], dim=1)


class _SimpleRNN(torch.autograd.Function):  # type: ignore[misc]
    """SimpleRNN with its derivative worked out by hand; outputs are (T, B, U)."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        kernel: torch.Tensor,
        recurrent: torch.Tensor,
        bias: torch.Tensor,
        state: torch.Tensor,
    ) -> torch.Tensor:
        by_time = inputs.transpose(0, 1)
        outputs = torch.addmm(bias, by_time.flatten(0, 1), kernel).unflatten(0, by_time.shape[:2])
        before = state
        for now in outputs.unbind():
            before = now.addmm_(before, recurrent).tanh_()
        ctx.save_for_backward(inputs, kernel, recurrent, state, outputs)
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs, kernel, recurrent, state, outputs = ctx.saved_tensors
        back = recurrent.T.contiguous()
        slopes = torch.addcmul(outputs.new_ones(()), outputs, outputs, value=-1)
        later = torch.zeros_like(state)
        for slope, arriving in zip(reversed(slopes.unbind()), reversed(gradient.unbind()), strict=True):
            later = slope.mul_(torch.addmm(arriving, later, back))
        at_sums = slopes.flatten(0, 1)  # the loss' derivative by what tanh is taken of, for each timestep and row
        before = torch.cat([state.unsqueeze(0), outputs[:-1]]).flatten(0, 1)
        for_inputs = None
        if ctx.needs_input_grad[0]:
            for_inputs = (at_sums @ kernel.T).unflatten(0, slopes.shape[:2]).transpose(0, 1)
        return (
            for_inputs,
            inputs.transpose(0, 1).flatten(0, 1).T @ at_sums,
            before.T @ at_sums,
            at_sums.sum(0),
            later @ back if ctx.needs_input_grad[4] else None,
        )
