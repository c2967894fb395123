"""Let each backend retrace runs of 2017 and compare what comes back with them. Imports no framework.

A replay is not timed, so the backends share the cores, one worker on each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.errors import UserError
from bench.measure.environments import find_available
from bench.measure.pool import WorkerPool
from bench.measure.progress import Progress
from bench.measure.worker_process import WorkerProcess
from bench.names import choose_name
from bench.plan.cells import Cell
from bench.plan.timing import Limits
from bench.records.failures import WorkerError
from bench.records.schema import Worker
from bench.worker import messages
from seqsum_core.article import reference
from seqsum_core.article.reference import CASES, FLOAT64_CASES, Dtype, Reference
from seqsum_core.article.verdict import Check, Replayed, needs_other_dtype, verdict

SILENT_LIMIT_S = 600.0
"""How long a worker may be silent; each epoch that begins is a sign of life."""


@dataclass(frozen=True)
class Attempt:
    """What an environment made of a run: losses and predictions with checks of them, or why there are none."""

    replayed: Replayed | None = None
    checks: tuple[Check, ...] = ()
    failure: str = ""

    @property
    def passed(self) -> bool:
        """Tell whether every check passed."""
        return self.replayed is not None and all(check.passed for check in self.checks)


@dataclass(frozen=True)
class Replays:
    """What `seqsum replay` measured.

    Args:
        dtype: precision of the replays.
        references: of 2017.
        attempts: by name of the run and environment.
        workers: the environments that ran, in the order they were asked for.
        missing: environments that were asked for and could not be started, with the reason.
    """

    dtype: Dtype
    references: tuple[Reference, ...]
    attempts: Mapping[tuple[str, str], Attempt]
    workers: Mapping[str, Worker]
    missing: Mapping[str, str]

    @property
    def passed(self) -> bool:
        """Tell whether every environment was there and every check passed."""
        return not self.missing and bool(self.attempts) and all(each.passed for each in self.attempts.values())

    def replayed(self, run: Reference) -> dict[str, Replayed]:
        """Return what the environments made of a run, without those that have nothing to show."""
        attempts = {environment: self.attempts[run.name, environment] for environment in self.workers}
        return {name: attempt.replayed for name, attempt in attempts.items() if attempt.replayed}


Job = tuple[str, messages.Replay]
"""An environment, and what it replays."""


def replay_runs(
    environments: Sequence[str],
    *,
    cases: Sequence[str] = (),
    file: Path | None = None,
    dtype: Dtype = "float32",
    pythons: Mapping[str, str],
    progress: Progress,
) -> Replays:
    """Replay runs in every environment.

    `environments` and `pythons` are those of `find_available`; `cases` are names of the package's runs, none: all that
    this precision has; `file` is a user's reference file instead.

    Raises:
        UserError: if a case is unknown, the file is not a reference file, both are given, no backend is here, or
            somebody else measures.
    """
    runs = _read_runs(cases, file, dtype)
    interpreters, missing = find_available(environments, device="cpu", pythons=pythons)
    for reason in missing.values():
        progress.say(reason)
    attempts: dict[tuple[str, str], Attempt] = {}
    workers: dict[str, Worker] = {}
    jobs = [(environment, request) for environment in interpreters for request in runs]

    def replay(worker: WorkerProcess, job: Job) -> Attempt:
        environment, request = job
        workers[environment] = worker.worker
        run, other = runs[request], None
        replayed = _ask(worker, request)
        if needs_other_dtype(run, replayed):
            other_dtype: Dtype = "float32" if dtype == "float64" else "float64"
            progress.say(f"{environment}, {run.name}: again in {other_dtype}, to see how far rounding moves it")
            other = _ask(worker, request.model_copy(update={"dtype": other_dtype}))
        return Attempt(replayed=replayed, checks=verdict(run, replayed, other))

    def keep(job: Job, result: Attempt | WorkerError) -> None:
        environment, request = job
        attempt = result if isinstance(result, Attempt) else Attempt(failure=str(result))
        attempts[runs[request].name, environment] = attempt
        progress.say(f"[{len(attempts)}/{len(jobs)}] {environment}, {runs[request].name}: {_summary(attempt)}")

    with WorkerPool(interpreters, limits=Limits.all_phases(SILENT_LIMIT_S)) as pool:
        pool.map(jobs, replay, cell_of=lambda job: any_cell(job[0]), on_done=keep)
    references = tuple(runs.values())
    for environment in interpreters:
        if environment not in workers:  # never came so far as to be asked
            failure = attempts[references[0].name, environment].failure
            missing[environment] = f"Backend {environment} does not start: {failure}"
    return Replays(
        dtype=dtype,
        references=references,
        attempts={key: attempt for key, attempt in attempts.items() if key[1] in workers},
        workers={environment: workers[environment] for environment in interpreters if environment in workers},
        missing=missing,
    )


def any_cell(environment: str) -> Cell:
    """Return a cell of an environment for a worker of which nothing is timed: on the CPU, with one thread."""
    return Cell(environment=environment, device="cpu", model="simple_rnn", length=4)


def _read_runs(cases: Sequence[str], file: Path | None, dtype: Dtype) -> dict[messages.Replay, Reference]:
    """Read the runs before any training; what is wrong with them is the user's error."""
    if file is not None and cases:
        raise UserError("`--case` and `--reference` exclude each other. Received: both. Give one of them.")
    try:
        if file is not None:
            return {messages.Replay(dtype=dtype, file=file.absolute()): reference.load(file)}
        names = [choose_name(name, CASES, "case") for name in cases]
        every = CASES if dtype == "float32" else FLOAT64_CASES
        return {messages.Replay(dtype=dtype, case=name): reference.case(name, dtype) for name in names or every}
    except ValueError as error:
        raise UserError(str(error)) from None


def _ask(worker: WorkerProcess, request: messages.Replay) -> Replayed:
    arrays = worker.ask(request, messages.Replayed).model_dump(exclude={"kind"})
    losses = {name: np.array(values) for name, values in arrays.items()}
    return Replayed(backend=worker.worker.backend, dtype=request.dtype, **losses)


def _summary(attempt: Attempt) -> str:
    if attempt.replayed is None:
        return f"FAILED: {attempt.failure}"
    failed = [check.name for check in attempt.checks if not check.passed]
    return f"{len(attempt.replayed.loss)} epochs, " + (f"FAILS: {'; '.join(failed)}" if failed else "every check holds")
