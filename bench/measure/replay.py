"""Let each backend retrace runs of 2017 in a worker of its own, and judge what comes back.

A replay is not timed, so the backends share the cores, one worker on each. Never imports a framework.
"""

import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.errors import UserError
from bench.host import usable_cores
from bench.measure.progress import Progress
from bench.measure.worker_process import WorkerProcess
from bench.names import check_choice
from bench.plan.cells import BackendName, Cell
from bench.plan.timing import Limits
from bench.records.failures import WorkerLostError
from bench.records.schema import Worker
from bench.worker.messages import Failed, ReplayDone, ReplayRequest
from seqsum_core.article import reference
from seqsum_core.article.reference import CASES, FLOAT64_CASES, Dtype, Reference
from seqsum_core.article.verdict import Bar, Replayed, verdict, wants_other_dtype

LIMIT_S = 600.0
"""How long a worker may be silent; each epoch that begins is a sign of life."""


@dataclass(frozen=True)
class Attempt:
    """What one backend made of one run.

    Args:
        replayed: its losses and predictions; None if it has none to show.
        bars: what was measured of them, with limits.
        failure: why there is nothing to show.
    """

    replayed: Replayed | None = None
    bars: tuple[Bar, ...] = ()
    failure: str = ""

    @property
    def passed(self) -> bool:
        """Say whether every bar holds."""
        return self.replayed is not None and all(bar.passed for bar in self.bars)


@dataclass(frozen=True)
class Retraced:
    """One run and what each backend made of it, backends in the order they were asked for."""

    reference: Reference
    attempts: Mapping[BackendName, Attempt]


@dataclass(frozen=True)
class Replays:
    """All that a `seqsum replay` found.

    Args:
        dtype: precision of the replays.
        runs: what was replayed.
        workers: the backends that ran, proved.
        missing: backends that were asked for and could not be started, with the reason.
    """

    dtype: Dtype
    runs: tuple[Retraced, ...]
    workers: Mapping[BackendName, Worker]
    missing: Mapping[BackendName, str]

    @property
    def passed(self) -> bool:
        """Say whether every backend was there and every bar holds."""
        attempts = [attempt for run in self.runs for attempt in run.attempts.values()]
        return not self.missing and bool(attempts) and all(attempt.passed for attempt in attempts)


def parse_dtype(name: str) -> Dtype:
    """Read the name of a precision.

    Raises:
        UserError: if there is no such precision.
    """
    try:
        check_choice(name, ("float32", "float64"), "dtype")
    except ValueError as error:
        raise UserError(str(error)) from None
    return "float64" if name == "float64" else "float32"


def choose(cases: Sequence[str], file: Path | None, dtype: Dtype) -> dict[ReplayRequest, Reference]:
    """Read the runs that shall be replayed, so that what is wrong with them is said before any training.

    Args:
        cases: names of the package's runs; none means all that this precision has.
        file: a user's reference file instead.
        dtype: precision of the replay.

    Returns:
        What to ask a worker, and what to hold its answer to.

    Raises:
        UserError: if a case is unknown, the file is not one, or both are given.
    """
    if file is not None and cases:
        raise UserError("`--case` and `--reference` exclude each other. Received: both. Give one of them.")
    try:
        if file is not None:
            return {ReplayRequest(dtype=dtype, file=file.absolute()): reference.load(file)}
        names = [check_choice(name, CASES, "case") for name in cases]
        every = CASES if dtype == "float32" else FLOAT64_CASES
        return {ReplayRequest(dtype=dtype, case=name): reference.case(name, dtype) for name in names or every}
    except ValueError as error:
        raise UserError(str(error)) from None


def replay_all(
    chosen: Mapping[ReplayRequest, Reference],
    interpreters: Mapping[BackendName, str],
    missing: Mapping[BackendName, str],
    progress: Progress,
) -> Replays:
    """Replay every run on every backend.

    Args:
        chosen: from `choose`.
        interpreters: the Python of each backend.
        missing: backends without one, with the reason.
        progress: told what happens.

    Returns:
        Verdicts, in the order of `chosen` and `interpreters`.
    """
    crew = _Crew(chosen, progress)
    crew.work(interpreters)
    lost = {backend: reason for backend, reason in crew.missing.items() if backend not in crew.workers}
    ran = [backend for backend in interpreters if backend not in lost]
    return Replays(
        dtype=next(iter(chosen)).dtype,
        runs=tuple(
            Retraced(run, {backend: crew.attempts[backend, request] for backend in ran})
            for request, run in chosen.items()
        ),
        workers={backend: crew.workers[backend] for backend in ran},
        missing={**missing, **lost},
    )


@dataclass
class _Crew:
    """One worker for each backend, as many at once as there are cores."""

    chosen: Mapping[ReplayRequest, Reference]
    progress: Progress
    attempts: dict[tuple[BackendName, ReplayRequest], Attempt] = field(default_factory=dict)
    workers: dict[BackendName, Worker] = field(default_factory=dict)
    missing: dict[BackendName, str] = field(default_factory=dict)
    _total: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _running: set[WorkerProcess] = field(default_factory=set)
    _free_cores: "queue.SimpleQueue[int]" = field(default_factory=queue.SimpleQueue)

    def work(self, interpreters: Mapping[BackendName, str]) -> None:
        """Serve all backends. Ctrl-C ends their workers."""
        if not interpreters:
            return
        self._total = len(self.chosen) * len(interpreters)
        for core in usable_cores():
            self._free_cores.put(core)
        with ThreadPoolExecutor(len(usable_cores())) as pool:
            futures = [pool.submit(self._serve_backend, *item) for item in interpreters.items()]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self._stop.set()
                for worker in list(self._running):
                    worker.end()
                raise

    def _serve_backend(self, backend: BackendName, python: str) -> None:
        """Replay every run with one worker; only a lost worker is followed by another."""
        core = self._free_cores.get()
        waiting = list(self.chosen)
        try:
            while waiting and not self._stop.is_set():
                self._serve(backend, python, core, waiting)
        finally:
            self._free_cores.put(core)

    def _serve(self, backend: BackendName, python: str, core: int, waiting: list[ReplayRequest]) -> None:
        any_cell = Cell(backend=backend, device="cpu", model="simple_rnn", length=4)
        with WorkerProcess(python, any_cell, cores=[core], limits=Limits.all_phases(LIMIT_S)) as worker:
            self._running.add(worker)
            try:
                self.workers[backend] = worker.ready()
                while waiting and worker.alive and not self._stop.is_set():
                    self._keep(backend, waiting[0], self._attempt(backend, worker, waiting[0]))
                    waiting.pop(0)
            except (WorkerLostError, UserError) as lost:
                self._give_up(backend, f"Backend {backend} does not start: {lost}", waiting)
            finally:
                self._running.discard(worker)

    def _give_up(self, backend: BackendName, reason: str, waiting: list[ReplayRequest]) -> None:
        self.missing[backend] = reason
        for request in waiting:
            self._keep(backend, request, Attempt(failure=reason))
        waiting.clear()

    def _attempt(self, backend: BackendName, worker: WorkerProcess, request: ReplayRequest) -> Attempt:
        run = self.chosen[request]
        answer = worker.replay(request)
        if isinstance(answer, Failed):
            return Attempt(failure=answer.reason)
        replayed, other = _arrays(backend, request.dtype, answer), None
        if wants_other_dtype(run, replayed):
            other_dtype: Dtype = "float32" if request.dtype == "float64" else "float64"
            self.progress.say(f"{backend}, {run.name}: again in {other_dtype}, to see how far rounding moves it")
            answer = worker.replay(request.model_copy(update={"dtype": other_dtype}))
            if isinstance(answer, Failed):
                return Attempt(failure=f"in {other_dtype}, which tells how far rounding moves it: {answer.reason}")
            other = _arrays(backend, other_dtype, answer)
        return Attempt(replayed=replayed, bars=verdict(run, replayed, other))

    def _keep(self, backend: BackendName, request: ReplayRequest, attempt: Attempt) -> None:
        self.attempts[backend, request] = attempt
        if not self._stop.is_set():
            done = f"[{len(self.attempts)}/{self._total}]"
            self.progress.say(f"{done} {backend}, {self.chosen[request].name}: {_summary(attempt)}")


def _arrays(backend: BackendName, dtype: Dtype, answer: ReplayDone) -> Replayed:
    return Replayed(
        backend=backend,
        dtype=dtype,
        loss=np.array(answer.loss),
        val_loss=np.array(answer.val_loss),
        test_predictions=np.array(answer.test_predictions),
        stop_predictions=np.array(answer.stop_predictions),
    )


def _summary(attempt: Attempt) -> str:
    if attempt.replayed is None:
        return f"FAILED: {attempt.failure}"
    failed = [bar.name for bar in attempt.bars if not bar.passed]
    return f"{len(attempt.replayed.loss)} epochs, " + (f"FAILS: {'; '.join(failed)}" if failed else "every bar holds")
