"""Train in plain PyTorch: its fused recurrent kernels, autograd, and RMSprop over all weights at once.

The kernels are those of torch.nn's RNN, LSTM and GRU, called without the modules. They want two biases; where Keras has
one, the second stays at zero and is not trained, so that the training is Keras'. Batches are laid out timesteps first.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from bench.worker import plain
from bench.worker.plain import Array, PlainNetwork
from seqsum_core.nn.execution_path import ExecutionPath, fused_kernels
from seqsum_core.tasks import Sequences

KERNELS = {"simple_rnn": torch._VF.rnn_tanh, "lstm": torch._VF.lstm, "gru": torch._VF.gru}


class Network(PlainNetwork):
    """See `PlainNetwork`."""

    def _start(self, weights: Sequence[Array], fitted: Sequences) -> None:
        self._place = torch.device("cuda" if self._device == "gpu" else "cpu")
        self._digits, self._sums = self._tensors(fitted)
        self._weights = [self._put(array).requires_grad_() for array in _from_keras(self._model, weights)]
        self._velocities = [torch.zeros_like(tensor) for tensor in self._weights]
        self._no_bias = torch.zeros_like(self._weights[2])

    def epoch(self, order: NDArray[np.intp]) -> float:
        """Train once on the rows in this order."""
        total = torch.zeros((), device=self._place)
        for rows in torch.from_numpy(order).to(self._place).split(self._training.batch_size):
            loss = self._loss(self._digits.index_select(1, rows), self._sums.index_select(0, rows))
            self._descend(torch.autograd.grad(loss, self._weights))
            total += len(rows) * loss.detach()
        return float(total) / len(order)

    def evaluate(self, rows: Sequences) -> float:
        """Return the mean squared error, of all rows at once."""
        with torch.inference_mode():
            return float(self._loss(*self._tensors(rows)))

    def weights(self) -> list[Array]:
        """Fetch the weights."""
        return _to_keras(self._model, [tensor.detach().cpu().numpy() for tensor in self._weights])

    def detect_path(self) -> ExecutionPath:
        """Profile one batch, forward only, so that the weights stay."""
        batch = self._training.batch_size
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            self._loss(self._digits[:, :batch], self._sums[:batch])
        path, kernels = fused_kernels(Counter({event.key: event.count for event in profile.key_averages()}))
        return ExecutionPath(path or "python_loop", False, 0, ", ".join(kernels) or "no fused kernel")

    def _loss(self, digits: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
        inputs, recurrent, bias, *others, dense, dense_bias = self._weights
        second = others[0] if others else self._no_bias
        start = digits.new_zeros(1, digits.shape[1], self._units)
        states = (start, start) if self._model == "lstm" else start
        options = (True, 1, 0.0, True, False, False)  # biases, layers, dropout, training, both directions, rows first
        outputs = KERNELS[self._model](digits, states, (inputs, recurrent, bias, second), *options)[0]
        results = torch.nn.functional.linear(outputs[-1], dense, dense_bias)
        return torch.nn.functional.mse_loss(results, sums)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _descend(self, gradients: Sequence[torch.Tensor]) -> None:
        """Apply Keras' RMSprop: PyTorch's own adds epsilon outside of the root."""
        torch._foreach_mul_(self._velocities, plain.RHO)
        torch._foreach_addcmul_(self._velocities, gradients, gradients, value=1 - plain.RHO)
        roots = torch._foreach_add(self._velocities, plain.EPSILON)
        torch._foreach_sqrt_(roots)
        torch._foreach_addcdiv_(self._weights, gradients, roots, value=-self._training.learning_rate)

    def _tensors(self, rows: Sequences) -> tuple[torch.Tensor, torch.Tensor]:
        """Lay digits out as (timesteps, rows, 1)."""
        return self._put(rows.inputs()).transpose(0, 1).contiguous(), self._put(rows.targets())

    def _put(self, array: Array) -> torch.Tensor:
        return torch.tensor(array, device=self._place)


def _from_keras(model: str, weights: Sequence[Array]) -> list[Array]:
    """Transpose the kernels, part the GRU's two biases and put its gates in PyTorch's order."""
    kernel, recurrent, bias, dense, dense_bias = weights
    biases = list(bias) if model == "gru" else [bias]
    gated = [_swap_gates(model, array) for array in (kernel.T, recurrent.T, *biases)]
    return [*map(np.ascontiguousarray, gated), np.ascontiguousarray(dense.T), dense_bias]


def _to_keras(model: str, weights: Sequence[Array]) -> list[Array]:
    *gated, dense, dense_bias = weights
    kernel, recurrent, *biases = (_swap_gates(model, array) for array in gated)
    bias = np.stack(biases) if model == "gru" else biases[0].copy()
    return [kernel.T.copy(), recurrent.T.copy(), bias, dense.T.copy(), dense_bias.copy()]


def _swap_gates(model: str, array: Array) -> Array:
    """Swap update and reset gate of a GRU, the first two thirds: Keras and PyTorch order them differently."""
    if model != "gru":
        return array
    first, second, new = np.split(array, 3)
    return np.concatenate([second, first, new])
