"""Markers for what needs a backend or runs whole commands, and figures kept small enough to be quick."""

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("hypothesis"):  # benchmark cases load this file, too, where nothing but a backend is installed
    from hypothesis import settings

    settings.register_profile("thousands", max_examples=2500)

BACKENDS = ("jax", "torch", "tensorflow")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "backend: runs Keras in this process, on the backend of KERAS_BACKEND")
    config.addinivalue_line("markers", "parsers: gives what reads files any input; tox -e faults gives it thousands")
    config.addinivalue_line("markers", "end_to_end: calls the real commands, on every backend that is installed")
    if "PYTEST_XDIST_WORKER" in os.environ:  # tests that run side by side must not take each other for another run
        folder = tempfile.TemporaryDirectory(prefix="seqsum-tests-")
        config.add_cleanup(folder.cleanup)
        os.environ["TMPDIR"] = tempfile.tempdir = folder.name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests are skipped for want of a backend."""
    if any(find_spec(backend) for backend in BACKENDS) and find_spec("keras"):
        return
    skip = pytest.mark.skip(reason="no backend is installed here; tox -e backends has all three")
    for item in items:
        if item.get_closest_marker("backend") or item.get_closest_marker("end_to_end"):
            item.add_marker(skip)


def installed_backends() -> list[str]:
    """Return the backends that can be run here."""
    return [backend for backend in BACKENDS if find_spec(backend)]


@pytest.fixture
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test lock a folder of its own, not the machine."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
