"""Played versions: environments made by name whose workers take as long as a test says, without pip."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from fake_worker import fake_python

from bench.plan.timing import Limits, Timing

QUICK = Timing(processes=6, rounds=1, warmup_epochs=1, warmup_s=0, turn_epochs=1, turn_s=0, control="none")
LIMITS = Limits.all_phases(60.0)


def play_versions(monkeypatch: pytest.MonkeyPatch, folder: Path, behaviour: Callable[[str], str]) -> None:
    """Make each version of Keras behave as a function of the version says, and its base take 1."""

    def python(_: str, packages: Mapping[str, str]) -> str:
        return fake_python(folder, behaviour(next(iter(packages.values()))))

    monkeypatch.setattr("bench.measure.environments.overlay_python", python)
    for backend in ("TORCH", "JAX"):
        monkeypatch.setenv(f"SEQSUM_PYTHON_{backend}", fake_python(folder, "takes 1"))
    monkeypatch.setattr("bench.watch.history.installed_versions", lambda *_: {"keras": "0"})
