"""The doctor: what starts here, what would spoil a measurement, and what to do about it."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fake_worker import fake_python
from rich.console import Console

from bench.host import Machine
from bench.measure.doctor import Diagnosis, examine
from bench.measure.pool import machine_lock
from bench.output.doctor import document, obstacles, print_diagnosis

GIB = 2**30
MACHINE = Machine(cpu="Test CPU", cores=2, memory_bytes=8 * GIB, system="Linux 6 x86_64", governor="performance")


def make_diagnosis(**changes: Any) -> Diagnosis:
    """Return the diagnosis of a machine that nothing is wrong with."""
    fields: dict[str, Any] = {
        "machine": MACHINE,
        "available_bytes": 7 * GIB,
        "load_average": 0.1,
        "others_cores": 0.02,
        "steal_cores": 0.0,
        "busiest": (),
        "gpu_processes": (),
        "workers": (),
        "interpreters": {},
        "missing": {},
        "can_pin": True,
        "refusals": (),
    }
    return Diagnosis(**(fields | changes))


def test_nothing_in_the_way() -> None:
    assert obstacles(make_diagnosis()) == []


@pytest.mark.parametrize(
    ("changes", "obstacle"),
    [
        ({"steal_cores": 0.3}, "The hypervisor takes 0.300 cores: measure when"),
        ({"others_cores": 1.25, "busiest": ("cc1plus (17)",)}, "use 1.25 cores (cc1plus (17)): end them"),
        ({"load_average": 2.0}, "The load of the last minute was 2.00: wait until it is below 0.5"),
        ({"gpu_processes": (7, 8)}, "compute on the GPU (7, 8): end them"),
        ({"available_bytes": GIB}, "Only 1.00 GiB of memory are free"),
        ({"machine": MACHINE.model_copy(update={"cores": 1})}, "There is one core only"),
        ({"machine": MACHINE.model_copy(update={"governor": "powersave"})}, "is powersave: set it to performance"),
        ({"can_pin": False}, "Linux cannot keep a process on a core"),
        ({"refusals": ("KERAS_BACKEND is set",)}, "KERAS_BACKEND is set"),
    ],
)
def test_obstacles(changes: dict[str, Any], obstacle: str) -> None:
    (line,) = obstacles(make_diagnosis(**changes))
    assert obstacle in line


def test_what_a_run_would_say(own_lock: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that stay behind and another run are named before anything is measured."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=here")
    pythons = dict.fromkeys(("jax", "torch", "tensorflow"), fake_python(tmp_path))
    with machine_lock():
        left_out, locked = examine(device="cpu", pythons=pythons).refusals
    assert "XLA_FLAGS" in left_out and "--env NAME" in left_out
    assert "Another run measures on this machine (process " in locked


def test_environments_that_start_and_that_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every backend is tried, and second installations that are named; one that fails does not stop the others."""
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    good = fake_python(tmp_path)
    pythons = {
        "jax": good,
        "torch": fake_python(tmp_path, "dies at import"),
        "tensorflow": "/no/such/python",
        "jax@old": good,
    }
    diagnosis = examine(device="cpu", pythons=pythons)
    assert [worker.environment for worker in diagnosis.workers] == ["jax", "jax@old"]
    assert diagnosis.interpreters == {"jax": good, "jax@old": good}
    assert "exit code 3" in diagnosis.missing["torch"] and "cannot be started" in diagnosis.missing["tensorflow"]
    assert any("KERAS_BACKEND is set to 'theano'" in each for each in obstacles(diagnosis))
    assert json.loads(json.dumps(document(diagnosis)))["obstacles"] == obstacles(diagnosis)
    text = StringIO()
    print_diagnosis(diagnosis, Console(file=text, width=80))
    words = [line.split()[:1] for line in text.getvalue().splitlines()]
    assert words.count(["missing:"]) == 2 and ["jax@old"] in words
    assert max(map(len, text.getvalue().splitlines())) <= 80
