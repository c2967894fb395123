"""A `keras.Sequential` with less work around its training steps, where the backend allows it.

JAX: `steps_per_execution` steps are one compiled call, a scan over stacked batches; Keras calls each step from Python.
PyTorch: a step of fused layers and `Dense` goes without the checks that Keras repeats for each layer, loss and metric.
TensorFlow: Keras' own steps, which are one function of TensorFlow already, from a pipeline that is not tuned.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from seqsum_core.nn.fused.layers import LAYERS

FUSED: Any = tuple(LAYERS.values())
LOSSES = ("mse", "mean_squared_error")
STEPS_SCOPE = "seqsum_steps"
"""Names the loop over steps in JAX's programs, so that `execution_path` does not take it for a recurrence."""


def settings_for(backend: str) -> dict[str, Any]:
    """Return what `compile` should be given besides, for speed.

    Args:
        backend: "jax", "torch" or "tensorflow".

    Returns:
        Keyword arguments of `keras.Model.compile`. On PyTorch none: compiling takes minutes there, and Keras
        allows one step per execution only.

    Raises:
        ValueError: if the backend is unknown.
    """
    settings: dict[str, dict[str, Any]] = {
        "jax": {"steps_per_execution": 16},
        "torch": {},
        "tensorflow": {"jit_compile": True, "steps_per_execution": 16},
    }
    if backend not in settings:
        raise ValueError(f"`backend` must be one of {', '.join(settings)}. Received: {backend!r}. Use jax, say.")
    return settings[backend]


@keras.saving.register_keras_serializable(package="seqsum")
class Sequential(keras.Sequential):  # type: ignore[misc]
    """`keras.Sequential` with quicker training steps; `path` says whether the last fit had them."""

    train_function: Any
    _reason = "not trained yet"

    @property
    def path(self) -> str:
        """Return "fused", or why the last fit took Keras' own steps, such as "keras: metrics"."""
        return f"keras: {self._reason}" if self._reason else "fused"

    @property
    def distribute_strategy(self) -> Any:
        """Return TensorFlow's strategy, through which data sets go untuned. No other backend asks for one."""
        return Untuned(super().distribute_strategy)

    def make_train_function(self, force: bool = False) -> None:
        """Prepare the function that `fit` and `train_on_batch` call, and choose its path."""
        match keras.backend.backend():
            case "jax":
                self._reason = _unscannable(self)
                if not self._reason:
                    if self.train_function is None or force:
                        self.train_function = _scanned(self)
                    return
            case "torch":
                self._reason = _unshortened(self)
            case other:
                self._reason = f"backend {other}"
        super().make_train_function(force)

    def train_step(self, *arguments: Any) -> Any:
        """Train on a batch; what `arguments` are depends on the backend."""
        if keras.backend.backend() == "torch" and not self._reason:
            inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(*arguments)
            if weights is None and _as_declared(self, inputs, targets):
                return _short_step(self, inputs, targets)
        return super().train_step(*arguments)


class Untuned:
    """A distribution strategy of TensorFlow that turns off the thread that tunes each data set.

    Keras waits for that thread once an epoch: it wakes 10, 30, 70 and 150 ms after a pipeline was made, and the
    pipeline does not end before it does, so that an epoch of a few milliseconds takes 60 or 140 (docs/methodology.md).
    Every data set of `fit`, `evaluate` and `predict` passes through the strategy; the batches stay Keras' own.

    Args:
        strategy: does everything else.
    """

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)

    def experimental_distribute_dataset(self, dataset: Any) -> Any:
        """Return the data set as the strategy does, without tuning."""
        import tensorflow

        options = tensorflow.data.Options()
        options.autotune.enabled = False
        return self._strategy.experimental_distribute_dataset(dataset.with_options(options))


def _unscannable(model: Any) -> str:
    """Name what keeps JAX from scanning over steps, or nothing."""
    if model.steps_per_execution == 1:
        return "steps_per_execution 1"
    if model.run_eagerly or not model.jit_compile:
        return "not compiled"
    return "distribution" if keras.distribution.distribution() is not None else ""


def _scanned(model: Any) -> Callable[[Any, Iterator[Any]], tuple[Any, Any]]:
    """Return a train function of JAX: it takes the next batches, and runs those of equal shapes in one call."""
    import jax

    def train_steps(state: Any, batches: Any) -> tuple[Any, Any]:
        def step(state: Any, batch: Any) -> tuple[Any, Any]:
            logs, state = model.train_step(state, batch)
            return state, logs

        with jax.named_scope(STEPS_SCOPE):
            state, logs = jax.lax.scan(step, state, batches)
        return jax.tree.map(lambda log: log[-1], logs), state

    train_steps.__name__ = "train_step"  # the name of Keras' program, by which profilers and `execution_path` know it
    run_step, run_steps = (jax.jit(function, donate_argnums=0) for function in (model.train_step, train_steps))

    def run(state: Any, batches: list[Any]) -> tuple[Any, Any]:
        if len(batches) == 1:
            return run_step(state, batches[0])  # type: ignore[no-any-return]
        return run_steps(state, jax.tree.map(lambda *parts: np.stack(parts), *batches))  # type: ignore[no-any-return]

    def train_function(state: Any, iterator: Iterator[Any]) -> tuple[Any, Any]:
        batches, logs = [next(iterator)], None
        for _ in range(model.steps_per_execution - 1):
            if (batch := next(iterator, None)) is None:
                break
            if _shapes(batch) != _shapes(batches[0]):
                logs, state = run(state, batches)
                batches = []
            batches.append(batch)
        logs, state = run(state, batches)
        return logs, state

    return train_function


def _shapes(batch: Any) -> list[Any]:
    return [None if part is None else (part.shape, part.dtype) for part in keras.tree.flatten(batch)]


def _unshortened(model: Any) -> str:
    """Name the first thing that the short step of PyTorch does not know, or nothing."""
    if type(model) is not Sequential:
        return "subclass"
    if model.jit_compile or model.run_eagerly:
        return "jit_compile" if model.jit_compile else "run_eagerly"
    if model.loss not in LOSSES or model._compile_loss._user_loss_weights is not None:
        return "loss"
    if model._compile_metrics is not None:
        return "metrics"
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) or model.optimizer.loss_scale_factor:
        return "optimizer"
    for layer in model.layers:
        if not _is_plain(layer):
            return f"layer {layer.name}"
    return ""


def _is_plain(layer: Any) -> bool:
    """Tell whether a layer's output is its kernel's and nothing is added to the loss."""
    if isinstance(layer, FUSED):
        known = layer.path == "fused" and not layer.return_state
    else:
        known = type(layer) is keras.layers.Dense and not (layer.quantization_mode or layer.lora_enabled)
    regular = layer.activity_regularizer is None and all(weight.regularizer is None for weight in layer.weights)
    return known and regular and layer.compute_dtype == "float32" and bool(layer.trainable_weights)


def _as_declared(model: Any, inputs: Any, targets: Any) -> bool:
    """Tell whether Keras would leave inputs and targets as they are."""
    import torch

    return (
        isinstance(inputs, torch.Tensor)
        and isinstance(targets, torch.Tensor)
        and inputs.dtype == targets.dtype == torch.float32
        and tuple(inputs.shape[1:]) == tuple(model.input_shape[1:])
        and tuple(targets.shape[1:]) == tuple(model.output_shape[1:])
    )


def _short_step(model: Any, inputs: Any, targets: Any) -> dict[str, Any]:
    """Train as Keras' step on PyTorch does: the same loss, optimizer and running mean, called directly."""
    import torch

    outputs = inputs
    for layer in model.layers:
        outputs = layer.call_directly(outputs) if isinstance(layer, FUSED) else layer.call(outputs)
    loss = torch.nn.functional.mse_loss(outputs, targets)
    variables = model.trainable_weights
    gradients = torch.autograd.grad(loss, [variable.value for variable in variables])
    tracker, rows = model._loss_tracker, inputs.shape[0]
    with torch.no_grad():
        model.optimizer.apply(list(gradients), variables)
        total, count = tracker.total.value, tracker.count.value
        total.add_(loss, alpha=rows)
        count.add_(rows)
        return {"loss": total / count}
