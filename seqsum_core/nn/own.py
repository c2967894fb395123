"""Models of a user's own: build them, try them on a real batch, and keep their starts.

Whatever is wrong is one line that names the model and the end that is to be changed.
"""

import hashlib
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from seqsum_core.nn import fused
from seqsum_core.own import call_own
from seqsum_core.settings import TrainingSettings, VariantSettings, require
from seqsum_core.tasks import FRESH_ROWS, Sequences, Split, Task
from seqsum_core.tasks.rows import JUDGES

Weights = list[NDArray[Any]]


def build_own(name: str, length: int, *, is_fused: bool = False) -> keras.Model:
    """Return the model that `package.module:function` returns, with fused layers if they are asked for.

    Raises:
        ValueError: if the function cannot be imported or fails, or what it returns is no Keras model; or none of its
            layers can be fused.
    """
    if is_fused:
        with fused.replacing():
            model = call_own("model", name, length)
    else:
        model = call_own("model", name, length)
    rule = f"Model function `{name}` must return a keras.Model."
    require(isinstance(model, keras.Model), rule, type(model).__name__, "Return the model itself.")
    if is_fused and not any(isinstance(layer, fused.FUSED) for layer in layers_of(model)):
        remedy = "Write keras.layers.LSTM, say, inside the function, or leave `fused` out."
        require(False, f"Model `{name}` has no layer that can be fused.", "implementation fused", remedy)
    return model


def layers_of(model: keras.Model) -> list[Any]:
    """Return all layers of a model, those inside others too."""
    return list(model._flatten_layers(include_self=False))


def refuse_unreceived(model: keras.Model, name: str, training: TrainingSettings, variant: VariantSettings) -> None:
    """Raise a ValueError for a setting that is asked for and does not reach the model."""
    if model.compiled:
        for settings, names in (
            (training, ("optimizer", "learning_rate")),
            (variant, ("jit_compile", "steps_per_execution")),
        ):
            for setting in names:
                value = getattr(settings, setting)
                rule = f"`{setting}` does not reach `{name}`, which compiles itself."
                remedy = "Leave it out, or let the function return the model uncompiled."
                require(value == getattr(type(settings)(), setting), rule, value, remedy)
    if variant.dtype != "float32":
        computed = {layer.compute_dtype for layer in layers_of(model)}
        reached = variant.dtype.removeprefix("mixed_") in computed
        rule = f"`dtype` does not reach `{name}`, which sets its own."
        require(reached, rule, variant.dtype, "Leave it out, or let the layers have Keras' policy.")


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a user's own model once it was built and tried.

    Args:
        fingerprint: of the function's file, the layers, their weights' shapes and how it is compiled.
        shapes: of the weights, as `model.get_weights()` orders them.
        compiled: whether the function compiles it.
        loss: its name, "+ penalties" if regularizers add to it; "own step" where the model's own step decides it.
    """

    fingerprint: str
    shapes: tuple[tuple[int, ...], ...]
    compiled: bool
    loss: str


def facts_of(model: keras.Model, name: str, *, compiled: bool) -> ModelFacts:
    """Describe a model that has been fitted."""
    shapes = tuple(tuple(map(int, weight.shape)) for weight in model.weights)
    parts = [_source(name), [type(layer).__name__ for layer in layers_of(model)], shapes, loss_name(model)]
    if compiled:
        parts += [sorted(map(str, model.optimizer.get_config().items())), str(model.jit_compile)]
    fingerprint = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    return ModelFacts(fingerprint, shapes, compiled, loss_name(model))


def compute_dtypes(model: keras.Model) -> str:
    """Return what the layers of a model that have weights compute in: "float32", or several joined by commas."""
    return ", ".join(sorted({layer.compute_dtype for layer in layers_of(model) if layer.weights}))


def _source(name: str) -> str:
    """Return the text of the file that a function is from."""
    try:
        return inspect.getsource(sys.modules[name.partition(":")[0]])
    except (OSError, TypeError, KeyError):
        return ""


def loss_name(model: keras.Model) -> str:
    """Return the name of the loss that a compiled model logs."""
    own = any(getattr(type(model), step) is not getattr(keras.Model, step) for step in ("test_step", "compute_loss"))
    if own and not isinstance(model, fused.Sequential):
        return "own step"
    loss = keras.losses.get(model.loss) if isinstance(model.loss, str) else model.loss
    name = str(getattr(loss, "name", None) or getattr(loss, "__name__", type(loss).__name__))
    weighted = " weighted" if getattr(model._compile_loss, "_user_loss_weights", None) is not None else ""
    return ("own loss" if name == "<lambda>" else name) + weighted + (" + penalties" if model.losses else "")


def build_weights(model: keras.Model, data: Split) -> None:
    """Let a model that waits for its first batch make its weights."""
    if not model.built or not model.weights:
        model.predict_on_batch(data.fitted.first(1).inputs())


def set_start(model: keras.Model, weights: Weights, data: Split) -> None:
    """Give a model its starting weights."""
    build_weights(model, data)
    model.set_weights(weights)


def try_model(model: keras.Model, name: str, data: Split, *, batch_size: int) -> None:
    """Predict, fit and validate one real batch; the model is not fit to be measured any more.

    Raises:
        ValueError: naming the end that does not fit: the input, the output, the loss or the logs.
    """
    batch = data.fitted.first(batch_size)
    _check_fixed_batch(model, name, data, batch_size)
    x, y = batch.inputs(), batch.targets()
    shapes = {key: array.shape[1:] for key, array in x.items()} if isinstance(x, Mapping) else x.shape[1:]
    try:
        outputs = model.predict_on_batch(x)
    except Exception as error:
        rule = f"Model `{name}` must read the task's inputs: {_shape_text(shapes)}."
        require(False, rule, _line(error), "Change its Input.")
    several = isinstance(outputs, (list, tuple, dict))
    rule = f"Model `{name}` must have one output."
    require(
        not several, rule, f"{len(outputs)} in a {type(outputs).__name__}", "Return the array that is to be judged."
    )
    _check_output(name, tuple(outputs.shape), data.task)
    half = data.validation.first(batch_size)
    try:
        logs = model.fit(
            x,
            y,
            batch_size=batch_size,
            validation_data=(half.inputs(), half.targets()),
            verbose=0,
            validation_batch_size=batch_size,
        ).history
    except Exception as error:
        rule = f"Model `{name}` must train on a batch, with targets of {_shape_text(y.shape[1:])}."
        require(False, rule, _line(error), f"Look at its loss, {loss_name(model)}, and its output.")
    for log in ("loss", "val_loss"):
        step = "train_step" if log == "loss" else "test_step"
        rule = f'Model `{name}` must log "loss": its {step} is its own.'
        require(log in logs, rule, ", ".join(sorted(logs)) or "no logs", f"Return it under that name from {step}.")
    finite = bool(np.isfinite([logs["loss"], logs["val_loss"]]).all())
    rule = f"Model `{name}` must have a finite loss on its first batch."
    require(finite, rule, logs["loss"][0], "Look at its loss, its start and the scale of the data.")


def _check_fixed_batch(model: keras.Model, name: str, data: Split, batch_size: int) -> None:
    """Refuse a model of a fixed batch size where some rows would make a smaller batch."""
    shape = getattr(model, "input_shape", None)
    fixed = shape[0] if isinstance(shape, tuple) and shape and isinstance(shape[0], int) else None
    if fixed is None:
        return
    rule = f"Model `{name}` has a fixed batch size, so `batch_size` must be {fixed}."
    require(batch_size == fixed, rule, batch_size, f"Add --axis batch_size={fixed}.")
    counts = {"fitted": len(data.fitted), "validation": len(data.validation), "test": len(data.test)}
    if data.task.judge in JUDGES.values():  # a task with a law: fresh rows are drawn
        counts["fresh"] = FRESH_ROWS
    odd = {part: count for part, count in counts.items() if count % fixed}
    rule = f"Model `{name}` has a fixed batch size of {fixed}, and all rows must make whole batches."
    require(not odd, rule, odd, "Take another size, or other shares of the task's rows.")


def _check_output(name: str, shape: tuple[int, ...], task: Task) -> None:
    if task.judge == "class":
        rule = (
            f"Model `{name}` must output shape (batch, {task.outputs}) or wider, a probability or logit for each class."
        )
        fits, remedy = len(shape) == 2 and shape[1] >= task.outputs, f'End it with Dense({task.outputs}, "softmax").'
    else:
        rule = f"Model `{name}` must output shape (batch, {task.outputs})."
        fits, remedy = (
            shape[1:] in ((task.outputs,), () if task.outputs == 1 else None),
            f"End it with Dense({task.outputs}).",
        )
    require(fits, rule, ("batch", *shape[1:]), remedy)


def _shape_text(shapes: Any) -> str:
    named = shapes if isinstance(shapes, Mapping) else {"shape": shapes}
    return ", ".join(f"{key} {('batch', *shape)}" for key, shape in named.items()).replace("'", "")


def _line(error: Exception) -> str:
    """Return the first line of an error that says something."""
    plain = re.sub(r"\x1b\[\d*m", "", str(error))
    lines = [line.strip() for line in plain.splitlines() if line.strip() and "Exception encountered" not in line]
    return f"{type(error).__name__}: {lines[0] if lines else 'without a message'}"[:300]


def draw_starts(name: str, length: int, data: Split, *, seeds: Sequence[int]) -> dict[int, Weights]:
    """Build a model once for each seed, with Keras' own random numbers, and return its starting weights.

    Raises:
        ValueError: if seeds are not independent: equal starts, or a model or optimizer that is shared by several calls.
    """
    starts: dict[int, Weights] = {}
    kept: list[keras.Model] = []
    for seed in (*seeds, *([seeds[-1] + 1] if len(seeds) == 1 else [])):
        keras.utils.set_random_seed(seed)
        model = build_own(name, length)
        build_weights(model, data)
        starts[seed] = model.get_weights()
        if kept:
            _check_unshared(name, kept[-1], model)
        kept.append(model)
    first, *others = (starts[seed] for seed in seeds)
    random = any(any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True)) for other in others)
    rule = f"Model `{name}` must start elsewhere for each seed."
    remedy = "Use --seeds 1 (or 0), or let its initializers draw."
    require(random or not others, rule, f"equal weights for seeds {seeds[0]} to {seeds[-1]}", remedy)
    return {seed: starts[seed] for seed in seeds}


def _check_unshared(name: str, first: keras.Model, last: keras.Model) -> None:
    """Refuse what carries state from one training into the next."""
    shared = "weights" if {id(weight) for weight in first.weights} & {id(weight) for weight in last.weights} else ""
    if first.compiled and first.optimizer is last.optimizer:
        shared = "its optimizer"
    rule = f"Model function `{name}` must return a new model with each call."
    require(not shared, rule, f"{shared} shared by two calls", "Make model, optimizer and metrics inside the function.")


def save_starts(path: Path, starts: Mapping[int, Weights]) -> None:
    """Keep starting weights in a file."""
    arrays: dict[str, Any] = {f"{seed}/{i}": weight for seed, start in starts.items() for i, weight in enumerate(start)}
    np.savez(path, **arrays)


def load_start(path: Path, seed: int) -> Weights:
    """Read the starting weights of a seed; a ValueError if they are not there."""
    try:
        with np.load(path) as arrays:
            names = [f"{seed}/{index}" for index in range(len(arrays.files))]
            return [arrays[name] for name in names if name in arrays.files]
    except OSError as error:
        rule = "The starting weights of a model of your own must be readable wherever it is trained."
        require(False, rule, f"{path} ({error.strerror})", "Keep the results folder where every node reads it.")
        raise


def fingerprint(arrays: Sequence[NDArray[Any]]) -> str:
    """Return a short hash of some arrays."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()[:12]


def row_arrays(rows: Sequences) -> list[NDArray[Any]]:
    """Return all arrays of some rows."""
    return [*(rows.x.values() if isinstance(rows.x, Mapping) else [rows.x]), rows.y]
