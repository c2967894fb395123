"""Which Python runs which environment, and what variables its workers see.

Each environment can have an interpreter of its own: tox builds one for each backend. A worker inherits only the
variables of an allow-list, and those that the user names, so that nothing that changes the figures comes from the
caller's shell without a word.
"""

import json
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

from bench.errors import UserError
from bench.host import VISIBLE
from bench.measure.overlays import overlay_python
from bench.plan.cells import BACKENDS, BackendName, Cell, backend_of, check_environment, packages_of
from bench.plan.timing import DECISIVE, Runtime, Threads

TOX_ENVIRONMENT: Mapping[BackendName, str] = {"jax": "jax", "torch": "torch", "tensorflow": "tf"}

INHERITED = (
    *("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TEMP", "SYSTEMROOT", "LD_LIBRARY_PATH"),
    *("PYTHONPATH", "PYTHONUSERBASE", "PYTHONNOUSERSITE"),  # where this process finds its packages, too
)
ALWAYS_SET = {
    "PYTHONHASHSEED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
SAFE = {"PYTHONSAFEPATH": "1"}
NOT_MEANT = (
    *("TF_CLI_", "TF_VAR_", "TF_LOG", "TF_DATA_DIR", "TF_WORKSPACE"),  # Terraform's
    *("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"),  # scikit-learn sets them in this process
    *("TF_CPP_MIN_LOG_LEVEL", "PYTHONHASHSEED"),  # what TensorFlow prints; tox draws a seed
    *("KERAS_BACKEND", VISIBLE),  # refused or used where it matters
)
"""How the names of variables begin that look decisive, and that nobody set for a worker."""
NEEDED = ("bench", "seqsum_core", "keras")
"""Packages that an interpreter must have besides its backend."""

# Lists what an interpreter could import, without importing any of it.
_PROBE = """
import importlib.util, json
names = ("bench", "seqsum_core", "keras", "jax", "torch", "tensorflow")
print()  # a sitecustomize may have left a line without an end
print(json.dumps([name for name in names if importlib.util.find_spec(name) is not None]))
"""


def worker_settings(
    environment: str, device: str, threads: Threads, runtime: Runtime | None = None, devices: int = 1
) -> dict[str, str]:
    """Return the variables that decide how a backend computes; they are recorded with the run.

    Device "cpu" hides every GPU, "gpu" shows those that CUDA_VISIBLE_DEVICES leaves. Threads "default" sets nothing. On
    a CPU, JAX divides it into as many devices as a training uses.
    """
    runtime = runtime or Runtime()
    backend = backend_of(environment)
    settings = {"KERAS_BACKEND": backend, **ALWAYS_SET}
    flags = []
    if threads != "default":
        settings |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        settings |= {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": "1"}
        flags.append(f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}")
    if devices > 1 and (backend, device) == ("jax", "cpu"):
        flags.append(f"--xla_force_host_platform_device_count={devices}")
    if not runtime.tf32:
        settings["NVIDIA_TF32_OVERRIDE"] = "0"
    if runtime.deterministic:
        settings["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # PyTorch's deterministic mode needs it
        if device == "gpu":
            flags.append("--xla_gpu_deterministic_ops=true")
    flags += runtime.xla_flags.split()
    if flags:
        settings["XLA_FLAGS"] = " ".join(flags)
    if device == "cpu":
        return settings | {VISIBLE: "-1", "JAX_PLATFORMS": "cpu"}
    visible = os.environ.get(VISIBLE)
    gpu = {"JAX_PLATFORMS": "cuda", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return settings | gpu | ({VISIBLE: visible} if visible else {})


def worker_environment(
    environment: str, device: str, threads: Threads, runtime: Runtime | None = None, devices: int = 1
) -> dict[str, str]:
    """Return all variables of a worker: what is inherited, what the user names, and `worker_settings`.

    A folder `bench` or a file `statistics.py` in the current folder must not be taken for ours or for Python's:
    PYTHONSAFEPATH leaves the current folder out, and the worker puts it last.
    """
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    named = dict(runtime.variables) if runtime else {}
    return inherited | SAFE | worker_settings(environment, device, threads, runtime, devices) | named


def parse_variables(options: Iterable[str]) -> dict[str, str]:
    """Read options of the form NAME, for what it is here, or NAME=VALUE; raise `UserError` if NAME is not set here."""
    variables = {}
    for option in options:
        name, sign, value = option.partition("=")
        if not sign and name not in os.environ:
            raise UserError(
                f"`--env` must name a variable that is set. Received: {name}. Write {name}=VALUE, or set it."
            )
        variables[name] = value if sign else os.environ[name]
    return variables


def say_left_out(cell: Cell, runtime: Runtime, say: Callable[[str], None]) -> None:
    """Name the variables that are set here, decide how a backend computes, and are not so for the worker of a cell."""
    reach = worker_environment(cell.environment, cell.device, cell.threads, runtime, cell.variant.devices)
    names = (name for name in os.environ if name.startswith(DECISIVE) and not name.startswith(NOT_MEANT))
    if left_out := sorted(name for name in names if os.environ[name] != reach.get(name)):
        say(
            f"Set here, but not for the workers: {', '.join(left_out)}. To pass one on: --env NAME, or "
            "runtime.variables in a sweep file."
        )


def check_own_variables(models: Iterable[str], variables: Iterable[str]) -> None:
    """Raise `UserError` if the file of a user's own model names a variable that is set here and does not reach it."""
    reach = {*variables, *INHERITED}
    for model in models:
        module, colon, _ = model.partition(":")
        text = _source(module) if colon else ""
        names = sorted({name for name in re.findall(r"""["']([A-Za-z_]\w*)["']""", text) if name in os.environ} - reach)
        if names and re.search(r"environ|getenv", text):
            raise UserError(
                f"{model} reads variables that do not reach a worker. Received: {', '.join(names)}. "
                f"Add {' '.join(f'--env {name}' for name in names)}, or unset {'it' if len(names) == 1 else 'them'}."
            )


def _source(module: str) -> str:
    """Return the text of a module's file without importing it; empty if it is not found."""
    places: list[str] = [str(Path.cwd()), *sys.path]
    for part in module.split("."):
        spec = PathFinder.find_spec(part, places)
        if spec is None:
            return ""
        places = list(spec.submodule_search_locations or [])
    try:
        with tokenize.open(spec.origin if spec and spec.origin else os.devnull) as file:  # in the encoding it names
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError):
        return ""


def find_interpreter(environment: str, *, device: str, pythons: Mapping[str, str]) -> str:
    """Find a Python that has the backend of an environment.

    Looks, in this order, at the command line, at SEQSUM_PYTHON_<BACKEND>, at the tox environment below the current
    folder, and at this interpreter. The first two are used even where a later place would do; BACKEND@NAME is
    found on the command line only. BACKEND@PACKAGE==VERSION is made of the environment of its backend.

    Args:
        environment: a backend, BACKEND@NAME or BACKEND@PACKAGE==VERSION.
        device: "gpu" looks at the tox environment for GPUs.
        pythons: interpreters named on the command line, by environment.

    Raises:
        UserError: if no interpreter has the backend, or the named interpreter does not.
    """
    backend = backend_of(environment)
    if packages := packages_of(environment):
        return overlay_python(find_interpreter(backend, device=device, pythons=pythons), packages)
    if environment != backend and environment not in pythons:
        raise UserError(
            f"`backend` {environment} needs an interpreter. Received: none. Add --python {environment}=PATH, or "
            "exchange packages: BACKEND@PACKAGE==VERSION."
        )
    variable = _variable(backend)
    named = pythons.get(environment) or os.environ.get(variable)
    if named:
        if missing := _missing_packages(named, backend):
            options = f"--python {environment}" if "@" in environment else f"--python or {variable}"
            raise UserError(f"{named} cannot run {backend}: {missing}. Correct {options}.")
        return named
    for python in _usual_places(backend, device):
        if not _missing_packages(python, backend):
            return python
    tox = _tox_environment(backend, device)
    raise UserError(
        f"Backend {backend} is not installed in this interpreter, and the tox environment {tox} is not here. "
        f"Build it with: tox -e {tox} --notest"
    )


def find_interpreters(environments: Iterable[str], *, device: str, pythons: Mapping[str, str]) -> dict[str, str]:
    """Find a Python for every environment: see `find_interpreter`."""
    return {each: find_interpreter(each, device=device, pythons=pythons) for each in dict.fromkeys(environments)}


def find_available(
    environments: Sequence[str], *, device: str, pythons: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Find a Python for every environment that has any, so that a missing backend does not stop the others.

    None wanted: every backend that is here. A second installation named in `pythons` is wanted, too, if its backend is.

    Returns:
        The interpreters by environment, and the reasons by environment why there is none: for what was wanted
        or whose interpreter was named.

    Raises:
        UserError: if nothing was asked for and nothing is here, or KERAS_BACKEND contradicts what there is.
    """
    interpreters: dict[str, str] = {}
    missing: dict[str, str] = {}
    for environment in add_named(environments or BACKENDS, pythons):
        try:
            interpreters[environment] = find_interpreter(environment, device=device, pythons=pythons)
        except UserError as error:
            named = environment in pythons or os.environ.get(_variable(backend_of(environment)))
            if environments or named:
                missing[environment] = str(error)
    if not interpreters and not missing:
        raise UserError("No backend is installed here. Build them with: tox -e jax,torch,tf --notest")
    check_keras_backend([*interpreters, *missing])
    return interpreters, missing


def available_backends(*, device: str, pythons: Mapping[str, str]) -> list[str]:
    """List what `find_available` finds; raise `UserError` if that is nothing, or a named interpreter cannot run."""
    interpreters, missing = find_available((), device=device, pythons=pythons)
    if missing:
        raise UserError(next(iter(missing.values())))
    return list(interpreters)


def add_named(environments: Iterable[str], pythons: Mapping[str, str]) -> list[str]:
    """Return environments and the second installations of their backends that `pythons` names, each once."""
    wanted = list(dict.fromkeys(environments))
    backends = {backend_of(environment) for environment in wanted}
    named = [name for name in pythons if "@" in name and backend_of(name) in backends]
    return list(dict.fromkeys([*wanted, *named]))


def check_keras_backend(environments: Iterable[str]) -> None:
    """Raise `UserError` if KERAS_BACKEND is set and is the backend of none of the environments."""
    backends = list(dict.fromkeys(map(backend_of, environments)))
    wanted = os.environ.get("KERAS_BACKEND")
    if wanted and wanted not in backends:
        raise UserError(
            f"KERAS_BACKEND is set to {wanted!r}, but this runs {', '.join(backends)}. "
            "Unset it (each worker gets its own), or ask for that backend."
        )


def parse_pythons(options: Iterable[str]) -> dict[str, str]:
    """Read options of the form BACKEND=PATH or BACKEND@NAME=PATH; raise `UserError` where they have another."""
    pythons: dict[str, str] = {}
    for option in options:
        name, _, path = option.partition("=")
        try:
            pythons[check_environment(name)] = path
        except ValueError:
            path = ""
        if not path:
            raise UserError(
                f"`--python` must be BACKEND=PATH, or BACKEND@NAME=PATH for a second installation; a backend is "
                f"{', '.join(BACKENDS)} or tf. Received: {option!r}. Write jax=/path/to/python, say."
            )
    return pythons


def _variable(backend: BackendName) -> str:
    return f"SEQSUM_PYTHON_{backend.upper()}"


def _tox_environment(backend: BackendName, device: str) -> str:
    return TOX_ENVIRONMENT[backend] + ("-gpu" if device == "gpu" else "")


def _usual_places(backend: BackendName, device: str) -> Iterator[str]:
    for place in ("bin/python", "Scripts/python.exe"):
        python = Path(".tox") / _tox_environment(backend, device) / place
        if python.exists():
            yield str(python.absolute())
    yield sys.executable


@cache
def _missing_packages(python: str, backend: str) -> str:
    """Describe what an interpreter lacks to run a backend; empty if nothing."""
    try:
        command, variables = [python, "-c", _PROBE], os.environ | SAFE
        answer = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=True)
        packages = set(json.loads(answer.stdout.splitlines()[-1]))  # a sitecustomize may print before
    except OSError as error:
        return f"it cannot be started ({error.strerror})"
    except (subprocess.SubprocessError, ValueError, TypeError, IndexError):
        return "it does not answer like a Python"
    missing = [name for name in (*NEEDED, backend) if name not in packages]
    return f"{', '.join(missing)} not installed" if missing else ""
