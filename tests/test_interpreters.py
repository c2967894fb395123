"""Interpreters: which Python is taken, what its environment holds, and what wrong options are told."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UserError
from bench.measure.environments import (
    available_backends,
    check_keras_backend,
    find_interpreter,
    parse_backend,
    parse_device,
    parse_pythons,
    rivals_of,
    worker_environment,
    worker_settings,
)
from bench.plan.cells import BACKENDS, BackendName
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
def bare_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_python: FakePython) -> None:
    """Work in an empty folder, with an interpreter that has no backend and no variable set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", fake_python("this/python", "bench", "seqsum_core"))
    for name in ("KERAS_BACKEND", *(f"SEQSUM_PYTHON_{backend.upper()}" for backend in BACKENDS)):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("name", "backend"), [("jax", "jax"), ("torch", "torch"), ("tensorflow", "tensorflow"), ("tf", "tensorflow")]
)
def test_backends_are_parsed(name: str, backend: str) -> None:
    assert parse_backend(name) == backend


def test_an_unknown_backend_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match=r"`backend` must be one of .* Received: 'tensorflo'\. Did you mean tensorflow"):
        parse_backend("tensorflo")


def test_devices_are_parsed_and_others_refused() -> None:
    assert (parse_device("cpu"), parse_device("gpu")) == ("cpu", "gpu")
    with pytest.raises(UserError, match=r"`device` must be cpu or gpu\. Received: 'tpu'\."):
        parse_device("tpu")


def test_pythons_are_parsed_by_backend() -> None:
    assert parse_pythons(["jax=/a/python", "tf=b=c"]) == {"jax": "/a/python", "tensorflow": "b=c"}
    assert parse_pythons([]) == {}


def test_a_second_python_of_a_backend_has_a_name() -> None:
    pythons = parse_pythons(["jax=/a/python", "tf@keras-3.13=/b/python"], rivals=True)
    assert pythons == {"jax": "/a/python", "tensorflow@keras-3.13": "/b/python"}
    assert rivals_of(pythons) == ("tensorflow@keras-3.13",)
    with pytest.raises(UserError, match=r"`--python` can name a second installation in seqsum run only\. Received: "):
        parse_pythons(["jax@old=/a/python"])


@pytest.mark.parametrize("option", ["jax", "jax=", "", "jax@=/a", "jax@a b=/a", "jax@../a=/a"])
def test_a_python_without_backend_or_path_is_refused(option: str) -> None:
    with pytest.raises(
        UserError, match=rf"`--python` must be BACKEND=PATH, or .* Received: '{re.escape(option)}'\. Write"
    ):
        parse_pythons([option])


def test_a_python_of_an_unknown_backend_is_refused() -> None:
    with pytest.raises(UserError, match="Received: 'theano'"):
        parse_pythons(["theano=/a/python"])


def test_a_variable_of_the_caller_does_not_reach_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEQSUM_TEST_VARIABLE", "XLA_FLAGS_OF_MINE", "MALLOC_ARENA_MAX", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "inherited")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    environment = worker_environment("jax", "cpu", 1)
    assert "inherited" not in environment.values()
    assert environment["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in worker_environment("jax", "cpu", "default")


@pytest.mark.parametrize(("threads", "eigen"), [(1, "false"), (2, "true"), (16, "true")])
def test_every_library_gets_as_many_threads_as_asked_for(threads: int, eigen: str) -> None:
    settings = worker_settings("jax", "cpu", threads)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        assert settings[name] == str(threads)
    assert settings["TF_NUM_INTEROP_THREADS"] == "1"
    assert settings["XLA_FLAGS"] == f"--xla_cpu_multi_thread_eigen={eigen}"


def test_default_threads_set_nothing() -> None:
    settings = worker_settings("jax", "cpu", "default")
    assert not [name for name in settings if "THREADS" in name or name == "XLA_FLAGS"]


def test_flags_for_xla_are_added_to_those_of_the_threads() -> None:
    runtime = Runtime(xla_flags="--xla_a=1 --xla_b=2")
    pinned, free = (worker_settings("jax", "cpu", threads, runtime)["XLA_FLAGS"] for threads in (1, "default"))
    assert pinned == "--xla_cpu_multi_thread_eigen=false --xla_a=1 --xla_b=2"
    assert free == "--xla_a=1 --xla_b=2"


def test_only_jax_makes_devices_of_a_cpu() -> None:
    flag = "--xla_force_host_platform_device_count=2"
    asked = [("jax", "cpu", 2), ("jax", "cpu", 1), ("torch", "cpu", 2), ("jax", "gpu", 2)]
    found = [
        flag in worker_settings(backend, device, 1, devices=count)["XLA_FLAGS"] for backend, device, count in asked
    ]
    assert found == [True, False, False, False]


def test_tf32_is_let_only_where_it_was_asked_for() -> None:
    assert worker_settings("torch", "gpu", 1)["NVIDIA_TF32_OVERRIDE"] == "0"
    assert "NVIDIA_TF32_OVERRIDE" not in worker_settings("torch", "gpu", 1, Runtime(tf32=True))


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_determinism_is_set_where_it_was_asked_for(device: str) -> None:
    usual, asked = (worker_settings("jax", device, 1, Runtime(deterministic=wanted)) for wanted in (False, True))
    assert "CUBLAS_WORKSPACE_CONFIG" not in usual and asked["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert "--xla_gpu_deterministic_ops=true" not in usual["XLA_FLAGS"]
    assert ("--xla_gpu_deterministic_ops=true" in asked["XLA_FLAGS"]) is (device == "gpu")


def test_what_a_process_needs_to_start_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "some/libraries")
    monkeypatch.setenv("PATH", "some/programs")
    environment = worker_environment("jax", "cpu", 1)
    assert (environment["LD_LIBRARY_PATH"], environment["PATH"]) == ("some/libraries", "some/programs")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_worker_gets_its_own_keras_backend(backend: BackendName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    assert worker_environment(backend, "cpu", 1)["KERAS_BACKEND"] == backend


@pytest.mark.parametrize("threads", [1, 2, "default"])
def test_cpu_hides_every_gpu(threads: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    environment = worker_environment("jax", "cpu", threads)
    assert (environment["CUDA_VISIBLE_DEVICES"], environment["JAX_PLATFORMS"]) == ("-1", "cpu")


def test_gpu_shows_those_that_the_caller_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert worker_environment("jax", "gpu", 1)["CUDA_VISIBLE_DEVICES"] == "1"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert "CUDA_VISIBLE_DEVICES" not in worker_environment("jax", "gpu", 1)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_precision_and_hashing_are_fixed_on_every_device(device: str) -> None:
    settings = worker_settings("torch", device, "default")
    assert (settings["PYTHONHASHSEED"], settings["NVIDIA_TF32_OVERRIDE"]) == ("0", "0")


def test_keras_backend_that_contradicts_the_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(UserError, match=r"KERAS_BACKEND is set to 'torch', but this runs jax, tensorflow\. Unset it"):
        check_keras_backend(["jax", "tensorflow"])


@pytest.mark.parametrize("value", [None, "", "jax"])
def test_keras_backend_that_does_not_contradict_is_let_pass(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is not None:
        monkeypatch.setenv("KERAS_BACKEND", value)
    check_keras_backend(["torch", "jax"])


def test_interpreters_are_taken_in_the_documented_order(
    fake_python: FakePython, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Option, variable, tox environment, this interpreter: taking each one away leads to the next."""
    option, variable = fake_python("option/python", *EVERYTHING), fake_python("variable/python", *EVERYTHING)
    tox, this = fake_python(".tox/jax/bin/python", *EVERYTHING), fake_python("here/python", *EVERYTHING)
    monkeypatch.setattr(sys, "executable", this)
    monkeypatch.setenv("SEQSUM_PYTHON_JAX", variable)
    assert find_interpreter("jax", device="cpu", pythons={"jax": option}) == option
    assert find_interpreter("jax", device="cpu", pythons={"torch": option}) == variable
    monkeypatch.delenv("SEQSUM_PYTHON_JAX")
    assert find_interpreter("jax", device="cpu", pythons={}) == tox
    Path(tox).unlink()
    assert find_interpreter("jax", device="cpu", pythons={}) == this


def test_a_tox_environment_without_the_backend_is_passed_by(
    fake_python: FakePython, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_python(".tox/jax/bin/python", "bench", "seqsum_core")
    this = fake_python("here/python", *EVERYTHING)
    monkeypatch.setattr(sys, "executable", this)
    assert find_interpreter("jax", device="cpu", pythons={}) == this


def test_tensorflows_tox_environment_is_called_tf(fake_python: FakePython) -> None:
    tox = fake_python(".tox/tf/bin/python", *EVERYTHING)
    assert find_interpreter("tensorflow", device="cpu", pythons={}) == tox


def test_gpu_takes_the_gpus_tox_environment(fake_python: FakePython) -> None:
    cpu, gpu = (fake_python(f".tox/{name}/bin/python", *EVERYTHING) for name in ("jax", "jax-gpu"))
    assert find_interpreter("jax", device="gpu", pythons={}) == gpu
    assert find_interpreter("jax", device="cpu", pythons={}) == cpu


@pytest.mark.parametrize(
    ("backend", "device", "environment"),
    [
        ("jax", "cpu", "jax"),
        ("torch", "cpu", "torch"),
        ("tensorflow", "cpu", "tf"),
        ("jax", "gpu", "jax-gpu"),
        ("tensorflow", "gpu", "tf-gpu"),
    ],
)
def test_a_missing_backend_names_its_tox_environment(backend: BackendName, device: str, environment: str) -> None:
    with pytest.raises(UserError, match=rf"Backend {backend} is not installed .*tox -e {environment} --notest$"):
        find_interpreter(backend, device=device, pythons={})


def test_a_named_interpreter_is_taken_at_its_word(fake_python: FakePython) -> None:
    """What was named and cannot run the backend is an error: nothing else is taken instead."""
    fake_python(".tox/jax/bin/python", *EVERYTHING)
    named = fake_python("named/python", "bench", "seqsum_core", "keras")
    with pytest.raises(UserError, match=r"named/python cannot run jax: jax not installed\. Correct --python or SEQSUM"):
        find_interpreter("jax", device="cpu", pythons={"jax": named})


def test_a_named_interpreter_that_does_not_exist_is_told() -> None:
    with pytest.raises(UserError, match="nowhere/python cannot run jax: it cannot be started"):
        find_interpreter("jax", device="cpu", pythons={"jax": "nowhere/python"})


@pytest.mark.parametrize("script", ["exit 3", "echo hello", "echo 1", "true"])
def test_a_named_program_that_is_no_python_is_told(script: str, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    program.chmod(0o755)
    with pytest.raises(UserError, match="does not answer like a Python"):
        find_interpreter("jax", device="cpu", pythons={"jax": str(program)})


def test_backends_that_are_here_are_listed(fake_python: FakePython) -> None:
    fake_python(".tox/tf/bin/python", *EVERYTHING)
    fake_python(".tox/jax/bin/python", *EVERYTHING)
    assert available_backends(device="cpu", pythons={}) == ["jax", "tensorflow"]


def test_no_backend_at_all_says_how_to_build_them() -> None:
    with pytest.raises(UserError, match=r"No backend is installed here\. .*tox -e jax,torch,tf --notest"):
        available_backends(device="cpu", pythons={})


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_named_interpreter_that_fails_is_not_skipped(
    by_variable: bool, fake_python: FakePython, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name given by option or variable is a wish: measuring without that backend would hide its mistake."""
    fake_python(".tox/tf/bin/python", *EVERYTHING)
    named = fake_python("named/python", "bench")
    if by_variable:
        monkeypatch.setenv("SEQSUM_PYTHON_JAX", named)
    with pytest.raises(UserError, match="cannot run jax"):
        available_backends(device="cpu", pythons={} if by_variable else {"jax": named})


def test_a_variable_that_is_empty_names_nothing(fake_python: FakePython, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_python(".tox/tf/bin/python", *EVERYTHING)
    monkeypatch.setenv("SEQSUM_PYTHON_JAX", "")
    assert available_backends(device="cpu", pythons={}) == ["tensorflow"]
