"""Which tests need a backend, and a core test run in which no framework can be imported."""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

BACKENDS = ("jax", "torch", "tensorflow")


class WithoutBackends(PathFinder):
    """Finds modules as Python does, as if no backend were installed."""

    @classmethod
    def find_spec(cls, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """Find no framework, so that its import fails."""
        if fullname.partition(".")[0] in ("keras", *BACKENDS):
            return None
        return super().find_spec(fullname, path, target)


if os.environ.get("SEQSUM_TESTS_WITHOUT_BACKENDS"):
    sys.meta_path = [WithoutBackends if finder is PathFinder else finder for finder in sys.meta_path]

if find_spec("hypothesis"):  # benchmark cases load this file, too, where nothing but a backend is installed
    from hypothesis import settings

    settings.register_profile("thousands", max_examples=2500)


def installed_backends() -> list[str]:
    """Return the backends that can be run here."""
    return [backend for backend in BACKENDS if find_spec(backend) and find_spec("keras")]


WARNINGS = (
    "error",
    # Keras 3.15.1's variables answer NumPy 2 the old way; can go when Variable.__array__ takes `copy`.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
)
"""Filters of the tests; benchmark cases have none, since what a plugin warns of must not end them."""


def pytest_configure(config: pytest.Config) -> None:
    """Let backend tests compile quickly: programs of JAX are kept between runs, and XLA does not optimize them."""
    measures = config.getoption("benchmark_only", default=False)
    for line in () if measures else WARNINGS:
        config.addinivalue_line("filterwarnings", line)
    if os.environ.get("KERAS_BACKEND") and not measures and getattr(config, "cache", None) is not None:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.cache.mkdir("jax")))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


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
