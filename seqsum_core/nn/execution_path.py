"""Find out which recurrent path really ran: from the compiled program, or a profile of one step.

Asked after the timed fit, never inside it. Imports Keras, and inside functions the one framework that is the backend.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import keras

from seqsum_core.nn.fused.steps import FUSED, STEPS_SCOPE
from seqsum_core.task import Sequences


@dataclass(frozen=True)
class ExecutionPath:
    """Which program trained the model.

    Args:
        recurrence: "scan" (a loop with a known number of turns), "while_loop", "python_loop",
            "unrolled" (no loop is left), "fused" (the framework's kernel for all timesteps), "cudnn",
            or "none": the model has no recurrent layer.
        xla: whether XLA compiled the training step.
        compilations: how many training steps were compiled or traced; 0 where each runs eagerly.
        evidence: what was seen, in a few words; of a layer of `seqsum_core.nn.fused`, its path too.
    """

    recurrence: str
    xla: bool
    compilations: int
    evidence: str


def detect_path(model: keras.Model, rows: Sequences, *, batch_size: int) -> ExecutionPath:
    """Say on which path a model was trained.

    Args:
        model: has been fitted in this process; on PyTorch it is trained for one step more.
        rows: what that step trains on.
        batch_size: rows of that step.

    Returns:
        What was found. With several models trained in this process, of the last one.
    """
    match keras.backend.backend():
        case "jax":
            found = _of_jax(model)
        case "torch":
            found = _of_torch(model, rows, batch_size)
        case _:
            found = _of_tensorflow(model)
    paths = [f"{layer.name}: {layer.path}" for layer in _layers(model) if isinstance(layer, FUSED)]
    return replace(found, evidence="; ".join([found.evidence, *paths]))


def _layers(model: keras.Model) -> list[Any]:
    return list(getattr(model, "_flatten_layers", lambda: model.layers)())


def _without_loop(model: keras.Model) -> str:
    return "unrolled" if any(isinstance(layer, keras.layers.RNN) for layer in _layers(model)) else "none"


def _of_jax(model: keras.Model) -> ExecutionPath:
    """Read the programs that XLA has compiled; the newest of equal names are this model's."""
    import jax

    programs = [
        (module.name, module.to_string())
        for executable in jax.devices()[0].client.live_executables()
        for module in executable.hlo_modules()
    ]
    steps = [text for name, text in programs if name == "jit_train_step"]
    line_of_steps = re.compile(rf'op_name="[^"]*{STEPS_SCOPE}/while"')  # a loop over steps is no recurrence
    text = "\n".join(steps or [text for _, text in programs])  # an eager step still runs its scan compiled
    text = "\n".join(line for line in text.splitlines() if not line_of_steps.search(line))
    targets = set(re.findall(r'custom_call_target="([^"]*)"', text))
    counts = sorted(set(re.findall(r'"known_trip_count":\{"n":"(\d+)"', text)), key=int)
    if kernels := sorted(target for target in targets if "cudnn" in target.lower() and "rnn" in target.lower()):
        found, seen = "cudnn", ", ".join(kernels)
    elif counts:
        found, seen = "scan", f"while loops of {', '.join(counts)} turns"
    elif re.search(r"\bwhile\(", text):
        found, seen = "while_loop", "while loops"
    else:
        found, seen = _without_loop(model), "no loop"
    return ExecutionPath(found, bool(steps), len(steps), seen if steps else f"{seen}, step not compiled")


def _of_torch(model: keras.Model, rows: Sequences, batch_size: int) -> ExecutionPath:
    """Profile one step, and ask how often it was compiled."""
    import torch
    import torch._dynamo

    inputs, targets = rows.inputs()[:batch_size], rows.targets()[:batch_size]
    compilations = int(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiled:
        model.train_on_batch(inputs, targets)
    calls = Counter({event.key: event.count for event in profiled.key_averages()})
    products = sum(calls[name] for name in ("aten::mm", "aten::addmm", "aten::bmm"))
    path, kernels = fused_kernels(calls)
    if path:
        found, seen = path, ", ".join(kernels)
    elif _without_loop(model) == "none":
        found, seen = "none", "no recurrent layer"
    else:
        found, seen = "python_loop", f"{products} matrix products in a step"
    return ExecutionPath(found, False, compilations, seen)


def fused_kernels(calls: Iterable[str]) -> tuple[str, list[str]]:
    """Look through PyTorch's operations for kernels that run all timesteps.

    Args:
        calls: names of operations, as PyTorch's profiler has them.

    Returns:
        "cudnn", "fused" or "" without any, and the names of these kernels.
    """
    cudnn = _named(calls, "cudnn_rnn")
    fused = _named(calls, "aten::lstm", "aten::gru", "aten::rnn_", "mkldnn_rnn", "_SimpleRNN")
    return ("cudnn" if cudnn else "fused" if fused else ""), cudnn or fused


def _named(calls: Iterable[str], *parts: str) -> list[str]:
    return sorted(name for name in calls if any(part in name for part in parts) and "backward" not in name)


def _of_tensorflow(model: keras.Model) -> ExecutionPath:
    """Read the traced training steps out of TensorFlow's registry of functions."""
    from tensorflow.python.eager import context

    registry = context.context()
    functions = {name: registry.get_function_def(name) for name in registry.list_function_names()}
    steps = [name for name in functions if "one_step_on_data" in name]
    operations = Counter[str]()
    for name in steps:
        operations += _operations(name, functions)
    loops = [name for name in operations if name.endswith("While")]
    if kernels := sorted(name for name in operations if "Cudnn" in name):
        found, seen = "cudnn", ", ".join(kernels)
    elif loops:
        found, seen = "while_loop", ", ".join(sorted(loops))
    elif steps:
        found, seen = _without_loop(model), f"no loop, {operations['MatMul']} matrix products"
    else:
        found, seen = ("python_loop" if _without_loop(model) == "unrolled" else "none"), "no traced training step"
    xla = any(functions[name].attr["_XlaMustCompile"].b for name in steps)
    return ExecutionPath(found, xla, len(steps), seen)


def _operations(name: str, functions: dict[str, Any]) -> Counter[str]:
    """Count the operations of a function and of all that it calls."""
    counted, seen, waiting = Counter[str](), set[str](), [name]
    while waiting:
        called = waiting.pop()
        if called in seen or called not in functions:
            continue
        seen.add(called)
        for node in functions[called].node_def:
            counted[node.op] += 1
            waiting += [attribute.func.name for attribute in node.attr.values() if attribute.func.name]
    return counted
