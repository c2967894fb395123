"""Which tests need a backend, and a core test run in which no framework can be imported."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

BACKENDS = ("jax", "torch", "tensorflow")

if os.environ.get("SEQSUM_TESTS_WITHOUT_BACKENDS"):  # as where none is installed: an import of them fails
    sys.modules.update(dict.fromkeys(("keras", *BACKENDS)))  # type: ignore[arg-type]

if find_spec("hypothesis"):  # benchmark cases load this file, too, where nothing but a backend is installed
    from hypothesis import settings

    settings.register_profile("thousands", max_examples=2500)


def installed_backends() -> list[str]:
    """Return the backends that can be run here."""
    return [backend for backend in BACKENDS if find_spec(backend) and find_spec("keras")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a backend where there is none."""
    if installed_backends():
        return
    skip = pytest.mark.skip(reason="no backend is installed here; tox -e backends has all three")
    for item in items:
        if item.get_closest_marker("backend") or item.get_closest_marker("end_to_end"):
            item.add_marker(skip)


@pytest.fixture
def own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test lock a folder of its own, not the machine."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
