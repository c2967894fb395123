"""Check which backend and device run, and ask the framework what Keras does not know.

Imports Keras, and inside functions the framework that is the backend.
"""

import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import keras

from seqsum_core.settings import require

PACKAGES = ("keras", "jax", "jaxlib", "torch", "tensorflow", "numpy", "scikit-learn", "scipy")


@dataclass(frozen=True)
class BackendInfo:
    """What runs in this process, read from the framework itself.

    Args:
        device: "cpu" or "gpu": where a new tensor is put; `device_name`: the framework's name of it.
        threads: threads that the framework uses inside an operation; 0 where it does not tell.
        float32_precision: how float32 products are computed: "float32" or "tf32".
        deterministic: whether deterministic operations were asked for.
        versions: of Keras, the framework and the packages below them.
    """

    backend: str
    device: str
    device_name: str
    threads: int
    float32_precision: str
    deterministic: bool
    versions: dict[str, str]


def check_backend(*, backend: str, device: str, tf32: bool = False, deterministic: bool = False) -> BackendInfo:
    """Check that Keras runs on this backend and device, and set precision and determinism.

    Args:
        backend: "jax", "torch" or "tensorflow".
        device: "cpu" or "gpu".
        tf32: let a GPU multiply float32 in TF32.
        deterministic: use deterministic operations only.

    Raises:
        ValueError: if Keras has another backend, or tensors are put on another device.
    """
    running = keras.backend.backend()
    if running != backend:
        raise ValueError(f"Keras runs on {running}, not on {backend}. Unset KERAS_BACKEND.")
    _forget_settings_file()
    kind, name = _device_of(keras.ops.ones(()))
    if kind != device:
        tox_name = "tf" if backend == "tensorflow" else backend
        raise ValueError(
            f"`device` {device} was asked for, but {backend} puts its tensors on {kind} ({name}). "
            f"Use --device {kind}" + (f", or the tox environment {tox_name}-gpu." if device == "gpu" else ".")
        )
    if deterministic:
        _use_deterministic_operations()
    _set_precision(tf32, device=kind)
    precision = "tf32" if tf32 and kind == "gpu" else "float32"
    return BackendInfo(backend, kind, name, _threads(), precision, deterministic, _versions())


def _forget_settings_file() -> None:
    """Set what a file ~/.keras/keras.json may have changed back to Keras' defaults."""
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    uses_nnx = getattr(keras.config, "is_nnx_enabled", lambda: False)()
    require(not uses_nnx, "`nnx_enabled` of keras.json must be false.", uses_nnx, "Correct that file.")


def _device_of(tensor: Any) -> tuple[str, str]:
    match keras.backend.backend():
        case "jax":
            (device,) = tensor.devices()
            kind, name = device.platform, device.device_kind
        case "torch":
            import torch

            kind = tensor.device.type
            name = torch.cuda.get_device_name(tensor.device) if kind == "cuda" else kind
        case _:
            name = tensor.device
            kind = "gpu" if "GPU" in name else "cpu"
    return ("cpu" if kind == "cpu" else "gpu"), name


def _threads() -> int:
    match keras.backend.backend():
        case "torch":
            import torch

            return int(torch.get_num_threads())
        case "tensorflow":
            import tensorflow

            return int(tensorflow.config.threading.get_intra_op_parallelism_threads())
    return 0


def _set_precision(tf32: bool, *, device: str) -> None:
    """Switch TF32 on or off, since the frameworks' own choices differ."""
    match keras.backend.backend():
        case "jax":
            import jax

            jax.config.update("jax_default_matmul_precision", "tensorfloat32" if tf32 else "float32")
        case "torch":
            import torch

            for place in (torch.backends.cuda.matmul, torch.backends.cudnn):
                if hasattr(place, "fp32_precision"):
                    place.fp32_precision = "tf32" if tf32 else "ieee"
                else:  # before PyTorch 2.9
                    place.allow_tf32 = tf32
        case _ if device == "gpu":
            import tensorflow

            tensorflow.config.experimental.enable_tensor_float_32_execution(tf32)


def _use_deterministic_operations() -> None:
    """Ask for operations that repeat to the bit; XLA on JAX reads its flags before it starts instead."""
    match keras.backend.backend():
        case "torch":
            import torch

            torch.use_deterministic_algorithms(True)
        case "tensorflow":
            import tensorflow

            tensorflow.config.experimental.enable_op_determinism()
            tensorflow.random.set_seed(0)  # without one it refuses every random operation


def _versions() -> dict[str, str]:
    """Return versions: of what was imported, where it says so; then of what is installed."""
    versions = {}
    for package in PACKAGES:
        try:
            installed = metadata.version(package)
        except metadata.PackageNotFoundError:
            installed = ""
        imported = str(getattr(sys.modules.get(package), "__version__", installed))
        if imported and installed and imported.partition("+")[0] != installed.partition("+")[0]:
            imported += f" (imported; {installed} is installed)"
        if imported or installed:
            versions[package] = imported or installed
    return versions


def share_rows(device: str, *, count: int, batches: tuple[int, ...]) -> None:
    """Let what is built from now on train data-parallel: each device has the weights and a share of every step's rows.

    Args:
        device: "cpu" or "gpu".
        count: number of devices; 1 changes nothing.
        batches: the numbers of rows that steps have.

    Raises:
        ValueError: if Keras cannot share rows on this backend, there are fewer devices, or rows would be left over.
    """
    if count == 1:
        return
    backend = keras.backend.backend()
    rule = f"`devices` above 1 needs keras.distribution, which Keras {keras.__version__} has on jax only."
    require(backend == "jax", rule, backend, "Use jax.")
    devices = keras.distribution.list_devices(device)
    rule = f"`devices` must be at most those that are here, {len(devices)}."
    require(len(devices) >= count, rule, count, "Use fewer.")
    for rows in batches:
        rule = f"`devices` must share every batch equally, also that of {rows} rows."
        require(rows % count == 0, rule, count, "Use another number, or batch size.")
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices[:count]))


def synchronize(device: str) -> None:
    """Wait until a device has done everything that it was given."""
    match keras.backend.backend():
        case "jax":
            import jax

            jax.block_until_ready(jax.live_arrays())
        case "torch" if device == "gpu":
            import torch

            torch.cuda.synchronize()
        case "tensorflow":
            import tensorflow

            tensorflow.test.experimental.sync_devices()


def peak_device_bytes(device: str) -> int | None:
    """Read the most memory the framework held on a GPU, or None on a CPU or where it keeps no count."""
    if device == "cpu":
        return None
    match keras.backend.backend():
        case "jax":
            import jax

            return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
        case "torch":
            import torch

            return int(torch.cuda.max_memory_allocated())
    import tensorflow

    return int(tensorflow.config.experimental.get_memory_info("GPU:0")["peak"])
