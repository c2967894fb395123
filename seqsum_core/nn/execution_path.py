"""Detect which recurrent path ran: read from the compiled program, or from a profile of one step.

To be called after the timed fit, never inside it. Imports Keras, and inside functions the backend's framework.
"""

import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import keras

from seqsum_core.nn.fused.steps import FUSED, STEPS_SCOPE
from seqsum_core.tasks import Sequences

NO_RECURRENCE = re.compile(
    rf'op_name="[^"]*({STEPS_SCOPE}|jit\(_(uniform|normal|bernoulli|randint|truncated_normal|gumbel|shuffle)\)'
    r'|threefry\w*)[^"]*/while"'
)
"""Loops of JAX over steps, and those that draw random numbers on a CPU, as for dropout."""


@dataclass(frozen=True)
class ExecutionPath:
    """Which program trained a model.

    Args:
        recurrence: "scan" (a loop of a known number of iterations), "while_loop", "python_loop", "unrolled" (no loop
            is left), "fused" (the framework's kernel for all timesteps), "cudnn", or "none": the model has no
            recurrent layer.
        xla: whether XLA compiled the training step.
        compilations: how many training steps were compiled or traced; 0 where each runs eagerly.
        evidence: what the above follows from, in a few words; for a layer of `seqsum_core.nn.fused` its path too.
    """

    recurrence: str
    xla: bool
    compilations: int
    evidence: str


def detect_path(model: keras.Model, rows: Sequences, *, batch_size: int) -> ExecutionPath:
    """Detect on which path the last model that was fitted in this process was trained.

    On PyTorch it is trained for one step more, on the first `batch_size` rows.
    """
    match keras.backend.backend():
        case "jax":
            path = _jax_path(model)
        case "torch":
            path = _torch_path(model, rows, batch_size)
        case _:
            path = _tensorflow_path(model)
    fused = [f"{layer.name}: {layer.path}" for layer in _layers(model) if isinstance(layer, FUSED)]
    return replace(path, evidence="; ".join([path.evidence, *fused]))


def _layers(model: keras.Model) -> list[Any]:
    return list(getattr(model, "_flatten_layers", lambda: model.layers)())


def _without_loop(model: keras.Model) -> str:
    return "unrolled" if any(isinstance(layer, keras.layers.RNN) for layer in _layers(model)) else "none"


def _jax_path(model: keras.Model) -> ExecutionPath:
    """Read the programs that XLA has compiled; the newest of equal names are this model's."""
    import jax

    programs = [
        (module.name, module.to_string())
        for executable in jax.devices()[0].client.live_executables()
        for module in executable.hlo_modules()
    ]
    steps = [text for name, text in programs if name == "jit_train_step"]
    text = "\n".join(steps or [text for _, text in programs])  # an eager step still runs its scan compiled
    text = "\n".join(line for line in text.splitlines() if not NO_RECURRENCE.search(line))
    targets = set(re.findall(r'custom_call_target="([^"]*)"', text))
    iterations = sorted(set(re.findall(r'"known_trip_count":\{"n":"(\d+)"', text)), key=int)
    if kernels := sorted(target for target in targets if "cudnn" in target.lower() and "rnn" in target.lower()):
        recurrence, evidence = "cudnn", ", ".join(kernels)
    elif iterations:
        recurrence, evidence = "scan", f"while loops of {', '.join(iterations)} iterations"
    elif re.search(r"\bwhile\(", text):
        recurrence, evidence = "while_loop", "while loops"
    else:
        recurrence, evidence = _without_loop(model), "no loop"
    return ExecutionPath(recurrence, bool(steps), len(steps), evidence + ("" if steps else ", step not compiled"))


def _torch_path(model: keras.Model, rows: Sequences, batch_size: int) -> ExecutionPath:
    """Profile one step, and ask how often it was compiled."""
    import torch
    import torch._dynamo

    inputs, targets = rows.inputs()[:batch_size], rows.targets()[:batch_size]
    compilations = int(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        model.train_on_batch(inputs, targets)
    calls = Counter({event.key: event.count for event in profile.key_averages()})
    products = sum(calls[name] for name in ("aten::mm", "aten::addmm", "aten::bmm"))
    kind, kernels = fused_kernels(calls)
    if kind:
        recurrence, evidence = kind, ", ".join(kernels)
    elif _without_loop(model) == "none":
        recurrence, evidence = "none", "no recurrent layer"
    else:
        recurrence, evidence = "python_loop", f"{products} matrix products in a step"
    return ExecutionPath(recurrence, False, compilations, evidence)


def fused_kernels(calls: Iterable[str]) -> tuple[str, list[str]]:
    """Return "cudnn", "fused" or "", and which of PyTorch's profiled operations are kernels that run all timesteps."""
    forward = sorted(name for name in calls if "backward" not in name)
    cudnn = [name for name in forward if "cudnn_rnn" in name]
    kinds = ("aten::lstm", "aten::gru", "aten::rnn_", "mkldnn_rnn", "_SimpleRNN")
    fused = [name for name in forward if any(kind in name for kind in kinds)]
    return ("cudnn" if cudnn else "fused" if fused else ""), cudnn or fused


def _tensorflow_path(model: keras.Model) -> ExecutionPath:
    """Read the traced training steps out of TensorFlow's registry of functions."""
    functions = _traced_functions()
    steps = [name for name in functions if "one_step_on_data" in name]
    operations = Counter[str]()
    for name in steps:
        operations += _operations(name, functions)
    loops = sorted(name for name in operations if name.endswith("While"))
    if kernels := sorted(name for name in operations if "Cudnn" in name):
        recurrence, evidence = "cudnn", ", ".join(kernels)
    elif loops:
        recurrence, evidence = "while_loop", ", ".join(loops)
    elif steps:
        recurrence, evidence = _without_loop(model), f"no loop, {operations['MatMul']} matrix products"
    else:
        recurrence = "python_loop" if _without_loop(model) == "unrolled" else "none"
        evidence = "no traced training step"
    xla = any(functions[name].attr["_XlaMustCompile"].b for name in steps)
    return ExecutionPath(recurrence, xla, len(steps), evidence)


def _traced_functions() -> dict[str, Any]:
    """Return the definitions of TensorFlow's functions by name, without those that end while they are being read."""
    import tensorflow as tf
    from tensorflow.python.eager import context

    registry, functions = context.context(), {}
    for name in registry.list_function_names():
        # A data set that nobody holds any more takes its functions along, from a thread of its own.
        with suppress(tf.errors.NotFoundError):
            functions[name] = registry.get_function_def(name)
    return functions


def _operations(name: str, functions: dict[str, Any]) -> Counter[str]:
    """Count the operations of a function and of all that it calls."""
    counts, visited, waiting = Counter[str](), set[str](), [name]
    while waiting:
        called = waiting.pop()
        if called in visited or called not in functions:
            continue
        visited.add(called)
        for node in functions[called].node_def:
            counts[node.op] += 1
            waiting += [attribute.func.name for attribute in node.attr.values() if attribute.func.name]
    return counts
