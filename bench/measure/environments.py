"""Which Python runs which backend, and with what environment.

Three processes can have three interpreters: tox builds one environment for each backend. The
environment of a worker is an allow-list, so that nothing that changes the numbers is inherited.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from bench.errors import UserError
from bench.names import choose_name
from bench.plan.cells import BACKENDS, BackendName, Device
from bench.plan.sweep import Sweep
from bench.plan.timing import Runtime, Threads
from seqsum_core.settings import MODELS

TOX_ENVIRONMENT: Mapping[BackendName, str] = {"jax": "jax", "torch": "torch", "tensorflow": "tf"}

_INHERITED = (
    "HOME",
    "LANG",
    "LC_ALL",
    "PATH",
    "PYTHONPATH",
    "TMPDIR",
    "TEMP",
    "SYSTEMROOT",
    "LD_LIBRARY_PATH",
)
_SET_ALWAYS = {
    "PYTHONHASHSEED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
_NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
_GPU = {"JAX_PLATFORMS": "cuda", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
_NONE_HERE = "No backend is installed here. Build them with: tox -e jax,torch,tf --notest"

# Asks an interpreter what it has without importing any of it.
_PROBE = """
import importlib.util, json
has = lambda name: importlib.util.find_spec(name) is not None
print(json.dumps([name for name in ("bench", "seqsum_core", "keras", "jax", "torch", "tensorflow") if has(name)]))
"""


def worker_settings(
    backend: str, device: str, threads: Threads, runtime: Runtime | None = None, devices: int = 1
) -> dict[str, str]:
    """Return the variables that decide how a backend runs; they are recorded with the run.

    Args:
        backend: Keras' backend.
        device: "cpu" hides every GPU; "gpu" shows those that CUDA_VISIBLE_DEVICES leaves.
        threads: so many for every library; "default" sets nothing.
        runtime: precision, determinism and flags; None: the defaults.
        devices: how many a training uses; without a GPU, JAX makes so many of the CPU.
    """
    runtime = runtime or Runtime()
    settings = {"KERAS_BACKEND": backend, **_SET_ALWAYS}
    flags = []
    if threads != "default":
        settings |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), f"{threads}")
        settings |= {"TF_NUM_INTRAOP_THREADS": f"{threads}", "TF_NUM_INTEROP_THREADS": "1"}
        flags += [f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}"]
    if devices > 1 and (backend, device) == ("jax", "cpu"):
        flags += [f"--xla_force_host_platform_device_count={devices}"]
    if not runtime.tf32:
        settings["NVIDIA_TF32_OVERRIDE"] = "0"
    if runtime.deterministic:
        settings["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # what PyTorch's deterministic mode needs
        flags += ["--xla_gpu_deterministic_ops=true"] if device == "gpu" else []
    if flags := [*flags, *runtime.xla_flags.split()]:
        settings["XLA_FLAGS"] = " ".join(flags)
    if device == "cpu":
        return settings | _NO_GPU
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return settings | _GPU | ({"CUDA_VISIBLE_DEVICES": chosen} if chosen else {})


def worker_environment(
    backend: str, device: str, threads: Threads, runtime: Runtime | None = None, devices: int = 1
) -> dict[str, str]:
    """Return the whole environment of a worker: see `worker_settings`."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | worker_settings(backend, device, threads, runtime, devices)


def find_interpreter(backend: BackendName, *, device: str, pythons: Mapping[str, str]) -> str:
    """Find a Python that has the backend.

    Looks, in this order, at the command line, at SEQSUM_PYTHON_<BACKEND>, at the tox environment
    below the current folder, and at this interpreter. The first two are taken at their word.

    Args:
        backend: which one is needed.
        device: "gpu" prefers the tox environment of that name.
        pythons: paths given on the command line, by backend.

    Returns:
        The path of the interpreter.

    Raises:
        UserError: if no interpreter has the backend, or the one named does not.
    """
    if named := pythons.get(backend) or os.environ.get(_variable(backend)):
        if missing := _lacks(named, backend):
            raise UserError(f"{named} cannot run {backend}: {missing}. Correct --python or {_variable(backend)}.")
        return named
    for python in _candidates(backend, device):
        if not _lacks(python, backend):
            return python
    environment = TOX_ENVIRONMENT[backend] + ("-gpu" if device == "gpu" else "")
    raise UserError(
        f"Backend {backend} is not installed in this interpreter, and the tox environment {environment} "
        f"is not here. Build it with: tox -e {environment} --notest"
    )


def find_sides(sweep: Sweep, pythons: Mapping[str, str]) -> dict[str, str]:
    """Find a Python for every side of a sweep: each backend, and other installations of it.

    Args:
        sweep: what shall be measured.
        pythons: paths given on the command line, by backend or BACKEND@NAME.

    Raises:
        UserError: if one is missing, or is not what it was named.
    """
    found: dict[str, str] = {}
    for backend in sweep.backends:
        found[backend] = find_interpreter(backend, device=sweep.device, pythons=pythons)
        for rival in (f"{backend}@{name}" for name in sweep.installations(backend)[1:]):
            if rival not in pythons:
                raise UserError(f"`rivals` holds {rival}, whose interpreter is not named. Add --python {rival}=PATH.")
            if missing := _lacks(pythons[rival], backend):
                raise UserError(f"{pythons[rival]} cannot run {backend}: {missing}. Correct --python {rival}.")
            found[rival] = pythons[rival]
    return found


def available_backends(*, device: str, pythons: Mapping[str, str]) -> list[BackendName]:
    """List the backends that some interpreter has.

    Raises:
        UserError: if there is none.
    """
    found = []
    for backend in BACKENDS:
        try:
            find_interpreter(backend, device=device, pythons=pythons)
        except UserError:
            if backend in pythons or os.environ.get(_variable(backend)):
                raise
            continue
        found.append(backend)
    if not found:
        raise UserError(_NONE_HERE)
    return found


def find_interpreters(
    asked: list[BackendName], *, device: str, pythons: Mapping[str, str]
) -> tuple[dict[BackendName, str], dict[BackendName, str]]:
    """Find a Python for every backend, where one that is missing shall not stop the others.

    Args:
        asked: backends that are wanted; none means all that are here.
        device: see `find_interpreter`.
        pythons: see `find_interpreter`.

    Returns:
        The interpreters, and why there is none for the others that were asked for, or whose
        interpreter was named.

    Raises:
        UserError: if nothing was asked for and nothing is here.
    """
    found: dict[BackendName, str] = {}
    missing: dict[BackendName, str] = {}
    for backend in dict.fromkeys(asked or BACKENDS):
        try:
            found[backend] = find_interpreter(backend, device=device, pythons=pythons)
        except UserError as error:
            if asked or backend in pythons or os.environ.get(_variable(backend)):
                missing[backend] = str(error)
    if not found and not missing:
        raise UserError(_NONE_HERE)
    return found, missing


def check_keras_backend(backends: list[BackendName]) -> None:
    """Refuse a KERAS_BACKEND that contradicts what shall run.

    Raises:
        UserError: if the variable is set and names none of the backends.
    """
    wanted = os.environ.get("KERAS_BACKEND")
    if wanted and wanted not in backends:
        raise UserError(
            f"KERAS_BACKEND is set to {wanted!r}, but this runs {', '.join(backends)}. "
            "Unset it (each worker gets its own), or ask for that backend."
        )


def parse_pythons(options: list[str], *, rivals: bool = False) -> dict[str, str]:
    """Read options of the form BACKEND=PATH.

    Args:
        options: as typed.
        rivals: whether a second installation, BACKEND@NAME=PATH, can be used.

    Raises:
        UserError: if one has another form or names no backend.
    """
    pythons: dict[str, str] = {}
    for option in options:
        name, sign, path = option.partition("=")
        backend, at, installation = name.partition("@")
        if not sign or not path or (at and not re.fullmatch(r"[\w.+-]+", installation)):
            raise UserError(
                f"`--python` must be BACKEND=PATH, or BACKEND@NAME=PATH for a second one. Received: {option!r}. "
                "Write jax=/path/to/python, say."
            )
        if at and not rivals:
            raise UserError(
                f"`--python` can name a second installation in seqsum run only. Received: {option!r}. Leave {at}"
                f"{installation} out."
            )
        pythons[parse_backend(backend) + at + installation] = path
    return pythons


def rivals_of(pythons: Mapping[str, str]) -> tuple[str, ...]:
    """Return those sides that are second installations."""
    return tuple(side for side in pythons if "@" in side)


def parse_backend(name: str) -> BackendName:
    """Read a backend's name; tf is short for tensorflow.

    Raises:
        UserError: if there is no such backend.
    """
    choose_name(name, (*BACKENDS, "tf"), "backend")
    return next(backend for backend in BACKENDS if backend == ("tensorflow" if name == "tf" else name))


def _variable(backend: BackendName) -> str:
    return f"SEQSUM_PYTHON_{backend.upper()}"


def parse_device(name: str) -> Device:
    """Read a device's name.

    Raises:
        UserError: if there is no such device.
    """
    if name not in ("cpu", "gpu"):
        raise UserError(f"`device` must be cpu or gpu. Received: {name!r}. Choose one of them.")
    return "gpu" if name == "gpu" else "cpu"


def parse_model(name: str) -> str:
    """Read the name of a model of this project.

    Raises:
        UserError: if there is no such model.
    """
    return choose_name(name, MODELS, "model")


def _candidates(backend: BackendName, device: str) -> Iterator[str]:
    suffix = "-gpu" if device == "gpu" else ""
    for place in ("bin/python", "Scripts/python.exe"):
        python = Path(".tox") / f"{TOX_ENVIRONMENT[backend]}{suffix}" / place
        if python.exists():
            yield str(python.absolute())
    yield sys.executable


@cache
def _lacks(python: str, backend: str) -> str:
    """Say what an interpreter lacks to run a backend, or nothing."""
    try:
        answer = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True, timeout=60, check=True)
        found = set(json.loads(answer.stdout))
    except OSError as error:
        return f"it cannot be started ({error.strerror})"
    except (subprocess.SubprocessError, ValueError, TypeError):
        return "it does not answer like a Python"
    missing = [name for name in ("bench", "seqsum_core", "keras", backend) if name not in found]
    return f"{', '.join(missing)} not installed" if missing else ""
