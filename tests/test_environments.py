"""Environments: which Python is taken, what a worker inherits, and what wrong options are answered."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import UserError
from bench.measure.environments import (
    available_backends,
    check_keras_backend,
    find_available,
    find_interpreter,
    find_interpreters,
    parse_pythons,
    worker_environment,
    worker_settings,
)
from bench.plan.cells import BACKENDS
from bench.plan.timing import Runtime

EVERYTHING = ("bench", "seqsum_core", "keras", *BACKENDS)
FakePython = Callable[..., str]


@pytest.fixture
def fake_python(tmp_path: Path) -> FakePython:
    """Return what writes an executable that answers like a Python with the given packages."""

    def write(place: str, *packages: str) -> str:
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho '{json.dumps(packages)}'\n", "utf-8")
        path.chmod(0o755)
        return str(path)

    return write


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_python: FakePython) -> None:
    """Work in an empty folder, with an interpreter that has no backend and no variable set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", fake_python("this/python", "bench", "seqsum_core"))
    for name in ("KERAS_BACKEND", *(f"SEQSUM_PYTHON_{backend.upper()}" for backend in BACKENDS)):
        monkeypatch.delenv(name, raising=False)


def test_pythons_are_read_by_environment() -> None:
    options = ["jax=/a/python", "tf=b=c", "tf@keras-3.13=/b/python"]
    pythons = {"jax": "/a/python", "tensorflow": "b=c", "tensorflow@keras-3.13": "/b/python"}
    assert parse_pythons(options) == pythons


@pytest.mark.parametrize("option", ["jax", "jax=", "", "=/a", "jax@=/a", "jax@a b=/a", "jax@../a=/a", "theano=/a"])
def test_wrong_pythons_are_refused(option: str) -> None:
    with pytest.raises(UserError, match=r"`--python` must be BACKEND=PATH, or .* Received: .* Write") as raised:
        parse_pythons([option])
    assert repr(option) in str(raised.value)


def test_inheritance(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker inherits what it needs to start, and nothing else of the caller's."""
    monkeypatch.setenv("LD_LIBRARY_PATH", "some/libraries")
    for name in ("SEQSUM_TEST_VARIABLE", "XLA_FLAGS", "MALLOC_ARENA_MAX", "PYTHONSTARTUP", "KERAS_BACKEND"):
        monkeypatch.setenv(name, "inherited")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    environment = worker_environment("torch@old", "cpu", 1)
    assert "inherited" not in environment.values()
    assert environment["LD_LIBRARY_PATH"] == "some/libraries"
    assert (environment["OMP_NUM_THREADS"], environment["KERAS_BACKEND"]) == ("1", "torch")


@pytest.mark.parametrize(("threads", "eigen"), [(1, "false"), (2, "true"), (16, "true")])
def test_threads(threads: int, eigen: str) -> None:
    """Every library gets as many threads as asked for."""
    settings = worker_settings("jax", "cpu", threads)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        assert settings[name] == str(threads)
    assert settings["TF_NUM_INTEROP_THREADS"] == "1"
    assert settings["XLA_FLAGS"] == f"--xla_cpu_multi_thread_eigen={eigen}"
    default = worker_settings("jax", "cpu", "default")
    assert not [name for name in default if "THREADS" in name or name == "XLA_FLAGS"]


def test_xla_flags() -> None:
    runtime = Runtime(xla_flags="--xla_a=1 --xla_b=2")
    flags = [worker_settings("jax", "cpu", threads, runtime)["XLA_FLAGS"] for threads in (1, "default")]
    assert flags == ["--xla_cpu_multi_thread_eigen=false --xla_a=1 --xla_b=2", "--xla_a=1 --xla_b=2"]


@pytest.mark.parametrize(
    ("backend", "device", "devices", "divided"),
    [("jax", "cpu", 2, True), ("jax", "cpu", 1, False), ("torch", "cpu", 2, False), ("jax", "gpu", 2, False)],
)
def test_only_jax_divides_a_cpu(backend: str, device: str, devices: int, divided: bool) -> None:
    flags = worker_settings(backend, device, 1, devices=devices)["XLA_FLAGS"]
    assert ("--xla_force_host_platform_device_count=2" in flags) == divided


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_precision_and_determinism(device: str) -> None:
    """TF32 and deterministic operations are set only where a run asks for them."""
    default = worker_settings("jax", device, 1)
    changed = worker_settings("jax", device, 1, Runtime(tf32=True, deterministic=True))
    assert default["NVIDIA_TF32_OVERRIDE"] == "0" and "NVIDIA_TF32_OVERRIDE" not in changed
    assert "CUBLAS_WORKSPACE_CONFIG" not in default and changed["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert ("--xla_gpu_deterministic_ops=true" in changed["XLA_FLAGS"]) == (device == "gpu")


def test_visible_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU worker sees no GPU, a GPU worker those that the caller leaves."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    cpu, gpu = (worker_environment("jax", device, 1) for device in ("cpu", "gpu"))
    assert (cpu["CUDA_VISIBLE_DEVICES"], cpu["JAX_PLATFORMS"]) == ("-1", "cpu")
    assert (gpu["CUDA_VISIBLE_DEVICES"], gpu["JAX_PLATFORMS"]) == ("1", "cuda")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert "CUDA_VISIBLE_DEVICES" not in worker_environment("jax", "gpu", 1)


def test_contradicting_keras_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    check_keras_backend(["jax", "torch@old"])
    with pytest.raises(UserError, match=r"KERAS_BACKEND is set to 'torch', but this runs jax, tensorflow\. Unset it"):
        check_keras_backend(["jax", "tensorflow"])
    monkeypatch.setenv("KERAS_BACKEND", "")
    check_keras_backend(["jax"])


def test_search_order(fake_python: FakePython, monkeypatch: pytest.MonkeyPatch) -> None:
    """Option, variable, tox environment if it has the backend, this interpreter."""
    option, variable = fake_python("option/python", *EVERYTHING), fake_python("variable/python", *EVERYTHING)
    tox, this = fake_python(".tox/tf/bin/python", *EVERYTHING), fake_python("here/python", *EVERYTHING)
    monkeypatch.setattr(sys, "executable", this)
    monkeypatch.setenv("SEQSUM_PYTHON_TENSORFLOW", variable)
    assert find_interpreter("tensorflow", device="cpu", pythons={"tensorflow": option}) == option
    assert find_interpreter("tensorflow", device="cpu", pythons={"torch": option}) == variable
    monkeypatch.setenv("SEQSUM_PYTHON_TENSORFLOW", "")
    assert find_interpreter("tensorflow", device="cpu", pythons={}) == tox
    fake_python(".tox/jax/bin/python", "bench", "seqsum_core")
    assert [find_interpreter(name, device="cpu", pythons={}) for name in ("jax", "torch")] == [this, this]


def test_tox_environment_for_gpus(fake_python: FakePython) -> None:
    cpu, gpu = (fake_python(f".tox/{name}/bin/python", *EVERYTHING) for name in ("jax", "jax-gpu"))
    assert find_interpreter("jax", device="gpu", pythons={}) == gpu
    assert find_interpreter("jax", device="cpu", pythons={}) == cpu


@pytest.mark.parametrize(("backend", "device", "tox"), [("tensorflow", "cpu", "tf"), ("jax", "gpu", "jax-gpu")])
def test_missing_backend(backend: str, device: str, tox: str) -> None:
    with pytest.raises(UserError, match=rf"Backend {backend} is not installed .*tox -e {tox} --notest$"):
        find_interpreter(backend, device=device, pythons={})


def test_named_interpreter_is_never_replaced(fake_python: FakePython) -> None:
    """If a named interpreter cannot run the backend, that is an error: no other is used instead."""
    fake_python(".tox/jax/bin/python", *EVERYTHING)
    named = fake_python("named/python", "bench", "seqsum_core", "keras")
    with pytest.raises(UserError, match=r"named/python cannot run jax: jax not installed\. Correct --python or SEQSUM"):
        find_interpreter("jax", device="cpu", pythons={"jax": named})
    with pytest.raises(UserError, match="nowhere/python cannot run jax: it cannot be started"):
        find_interpreter("jax", device="cpu", pythons={"jax": "nowhere/python"})


@pytest.mark.parametrize("script", ["exit 3", "echo hello", "echo 1", "true"])
def test_program_that_is_no_python(script: str, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    program.chmod(0o755)
    with pytest.raises(UserError, match="does not answer like a Python"):
        find_interpreter("jax", device="cpu", pythons={"jax": str(program)})


def test_second_installation(fake_python: FakePython) -> None:
    fake_python(".tox/torch/bin/python", *EVERYTHING)
    old = fake_python("old/python", *EVERYTHING)
    assert find_interpreters(["torch@old"], device="cpu", pythons={"torch@old": old}) == {"torch@old": old}
    with pytest.raises(UserError, match=r"`backend` torch@old needs an interpreter\..* Add --python torch@old=PATH"):
        find_interpreters(["torch", "torch@old"], device="cpu", pythons={})


def test_available_backends(fake_python: FakePython) -> None:
    """Second installations that are named join; a backend that is not here is left out."""
    tf = fake_python(".tox/tf/bin/python", *EVERYTHING)
    jax = fake_python(".tox/jax/bin/python", *EVERYTHING)
    assert available_backends(device="cpu", pythons={"jax@old": tf}) == ["jax", "tensorflow", "jax@old"]
    assert find_available([], device="cpu", pythons={}) == ({"jax": jax, "tensorflow": tf}, {})
    interpreters, missing = find_available(["torch", "jax"], device="cpu", pythons={})
    assert list(interpreters) == ["jax"] and "tox -e torch" in missing["torch"]


def test_no_backend_at_all() -> None:
    with pytest.raises(UserError, match=r"No backend is installed here\. .*tox -e jax,torch,tf --notest"):
        available_backends(device="cpu", pythons={})


@pytest.mark.parametrize("by_variable", [False, True])
def test_broken_named_interpreter(by_variable: bool, fake_python: FakePython, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring without a backend whose interpreter was named would hide the mistake."""
    fake_python(".tox/tf/bin/python", *EVERYTHING)
    named = fake_python("named/python", "bench")
    if by_variable:
        monkeypatch.setenv("SEQSUM_PYTHON_JAX", named)
    with pytest.raises(UserError, match="cannot run jax"):
        available_backends(device="cpu", pythons={} if by_variable else {"jax": named})
