"""Keras' recurrent layers, computed by the framework's fastest kernels on a CPU, or by Keras where these do not apply.

Constructor, weights, outputs and saved files are those of `keras.layers`: either can replace the other at any time.
"""

from typing import Any

import keras


class Fused:
    """What the three layers share: which way a call takes, and why.

    A mixin before a recurrent layer of Keras; `kernel_name` names the function of `torch_kernels` and `jax_kernels`.
    """

    kernel_name = ""
    _masked = False

    @property
    def path(self: Any) -> str:
        """Return "fused", or why calls go to Keras' own layer, such as "keras: activation relu"."""
        reason = "mask" if self._masked else self._unsupported()
        return f"keras: {reason}" if reason else "fused"

    def _unsupported(self: Any) -> str:
        """Name the first argument or device that the kernels do not support, or nothing."""
        activations = {"activation": keras.activations.tanh, "recurrent_activation": keras.activations.sigmoid}
        for name, known in activations.items():
            if (other := getattr(self, name, known)) is not known:
                return f"{name} {getattr(other, '__name__', type(other).__name__)}"
        for name in ("dropout", "recurrent_dropout", "unroll", "stateful"):
            if getattr(self, name):
                return name
        if not getattr(self, "reset_after", True):
            return "reset_after"
        if self.cell.compute_dtype not in ("float32", "float64") or self.cell.compute_dtype != self.cell.variable_dtype:
            return f"dtype {self.cell.compute_dtype}"
        return _unsupported_device()

    def inner_loop(self: Any, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        """Compute all timesteps: the hook through which Keras' layers call a backend's loop.

        Args:
            sequences: shape (batch, timesteps, features).
            initial_state: the states before the first timestep.
            mask: which timesteps count, or None.
            training: whether the layer is being trained.

        Returns:
            The last output, the outputs of all timesteps and the last states.
        """
        masked = any(part is not None for part in keras.tree.flatten(mask))
        if masked != self._masked:
            self._masked = masked
        if self.path != "fused":
            return super().inner_loop(sequences, initial_state, mask, training=training)  # type: ignore[misc]
        outputs, states = self.compute(sequences, initial_state)
        return outputs[:, -1], outputs, states

    def compute(self: Any, sequences: Any, initial_state: Any = None) -> Any:
        """Run the kernel, whatever `path` says.

        Args:
            sequences: shape (batch, timesteps, features).
            initial_state: the states before the first timestep, zeros by default.

        Returns:
            The outputs of all timesteps, and the last states.
        """
        if initial_state is None:
            initial_state = self.get_initial_state(sequences.shape[0])
        cell = self.cell
        bias = None if cell.bias is None else keras.ops.convert_to_tensor(cell.bias)
        weights = (
            keras.ops.convert_to_tensor(cell.kernel),
            keras.ops.convert_to_tensor(cell.recurrent_kernel),
            bias,
        )
        sequences = keras.ops.cast(sequences, cell.compute_dtype)
        if self.go_backwards:
            sequences = keras.ops.flip(sequences, axis=1)
        return _kernel(self.kernel_name)(sequences, keras.tree.flatten(initial_state), weights)

    def call_directly(self: Any, sequences: Any) -> Any:
        """Return what calling the layer returns, without Keras' checks of inputs, masks, dtypes and losses."""
        outputs, _ = self.compute(sequences)
        return outputs if self.return_sequences else outputs[:, -1]


@keras.saving.register_keras_serializable(package="seqsum")
class SimpleRNN(Fused, keras.layers.SimpleRNN):  # type: ignore[misc]
    """`keras.layers.SimpleRNN`, faster on a CPU where `path` is "fused"."""

    kernel_name = "simple_rnn"


@keras.saving.register_keras_serializable(package="seqsum")
class LSTM(Fused, keras.layers.LSTM):  # type: ignore[misc]
    """`keras.layers.LSTM`, faster on a CPU where `path` is "fused"."""

    kernel_name = "lstm"


@keras.saving.register_keras_serializable(package="seqsum")
class GRU(Fused, keras.layers.GRU):  # type: ignore[misc]
    """`keras.layers.GRU`, faster on a CPU where `path` is "fused"."""

    kernel_name = "gru"


LAYERS: dict[str, Any] = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}


def _unsupported_device() -> str:
    """Name TensorFlow, or a GPU, where Keras has NVIDIA's kernels, or nothing."""
    match keras.backend.backend():
        case "jax":
            import jax

            return "" if jax.default_backend() == "cpu" else f"device {jax.default_backend()}"
        case "torch":
            import torch

            return "device cuda" if torch.cuda.is_available() else ""
    return f"backend {keras.backend.backend()}"


def _kernel(name: str) -> Any:
    if keras.backend.backend() == "jax":
        from seqsum_core.nn.fused import jax_kernels as kernels
    else:
        from seqsum_core.nn.fused import torch_kernels as kernels  # type: ignore[no-redef]
    return getattr(kernels, name)
