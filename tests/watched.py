"""Played versions: environments made by name whose workers take as long as a test says, without pip or processes."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, tzinfo
from io import StringIO
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from fake_worker import check_in, fake_accuracy, fake_python, fake_speed

import bench.worker
from bench.measure.worker_process import R, WorkerProcess
from bench.plan.timing import Limits, Timing
from bench.records.failures import ended
from bench.records.schema import Worker
from bench.worker.__main__ import Server
from bench.worker.messages import Reply, Request

QUICK = Timing(processes=6, rounds=1, warmup_epochs=1, warmup_s=0, turn_epochs=1, turn_s=0, control="none")
LIMITS = Limits.all_phases(60.0)


class PlayedClock(datetime):
    """A clock by which every run begins a second after the one before, as real ones do."""

    passed = count()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "PlayedClock":
        return super().now(tz) + timedelta(seconds=next(cls.passed))


class PlayedWorker(WorkerProcess):
    """A worker that answers in the coordinator's process, for trials in which its own is not the point."""

    alive = True

    def __init__(self, python: str, **start: Any) -> None:
        self._behaviour, self._start, self.phase = Path(python).name.removeprefix("python-"), start, "import"
        self._server = Server(StringIO(), process_start_s=0.1, import_s=0.01)
        self._played = {"speed": fake_speed(self._behaviour), "accuracy": fake_accuracy(self._behaviour)}

    def ready(self) -> Worker:
        try:
            self._answer: Reply = check_in(self._behaviour, SimpleNamespace(**self._start))
        except SystemExit as end:
            raise ended(int(str(end.code)), [], phase=self.phase) from None
        return super().ready()

    def ask(self, request: Request, reply_type: type[R]) -> R:
        with patch.multiple(bench.worker, create=True, **self._played):
            self._answer = self._server.reply(request)
        return self._reply(reply_type)

    def _next_reply(self) -> Reply:
        return self._answer

    def end(self) -> None:
        pass

    close = end


def play_versions(monkeypatch: pytest.MonkeyPatch, folder: Path, behaviour: Callable[[str], str]) -> None:
    """Make each version of Keras behave as a function of the version says, and its base take 1.

    A second passes of a budget whenever the time is asked for: four for each process of two versions.
    """
    seconds = count()

    def python(_: str, packages: Mapping[str, str]) -> str:
        return fake_python(folder, behaviour(next(iter(packages.values()))))

    monkeypatch.setattr("bench.measure.pool.WorkerProcess", PlayedWorker)
    monkeypatch.setattr("bench.records.store.datetime", PlayedClock)
    monkeypatch.setattr("bench.measure.run.datetime", PlayedClock)
    monkeypatch.setattr("bench.measure.turns.monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr("bench.measure.environments.overlay_python", python)
    for backend in ("TORCH", "JAX"):
        monkeypatch.setenv(f"SEQSUM_PYTHON_{backend}", fake_python(folder, "takes 1"))
    monkeypatch.setattr("bench.watch.history.installed_versions", lambda *_: {"keras": "0"})
