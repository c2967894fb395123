"""The workers of a command: one place that locks the machine, pins, starts workers, shares jobs and ends them all.

Workers that are timed have the machine to themselves: `WorkerPool.start`. What is not timed shares the cores:
`WorkerPool.map`.
"""

import os
import tempfile
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from filelock import FileLock, Timeout

from bench.errors import UserError
from bench.host import pin, pinned, usable_cores
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import Cell, Device, packages_of
from bench.plan.timing import Limits, Runtime
from bench.records.failures import WorkerError

Job = TypeVar("Job")
Result = TypeVar("Result")


@contextmanager
def machine_lock(*, wait: bool = False) -> Iterator[None]:
    """Let one command at a time measure on this machine; `wait` until the others have ended.

    Raises:
        UserError: naming the process that measures already, if it is not waited for.
    """
    try:
        folder = Path(tempfile.gettempdir()) / "seqsum-lock"
        holder, lock = folder / "holder", FileLock(folder / "measuring.lock", mode=0o666)
        _make_common(folder)
        lock.acquire(timeout=-1 if wait else 0)
        holder.unlink(missing_ok=True)  # of another user: the folder is everybody's, the file is not
        holder.write_text(f"process {os.getpid()}, since {datetime.now():%H:%M:%S}")
        holder.chmod(0o644)  # for everybody, whatever the umask
    except Timeout:
        who = "process unknown"
        with suppress(OSError, UnicodeDecodeError):
            if (text := holder.read_text("utf-8")).isprintable():
                who = text or who
        raise UserError(
            f"Another run measures on this machine ({who}). Two at once would spoil both: wait for it."
        ) from None
    except PermissionError as error:
        raise UserError(
            f"The lock of this machine must be everybody's. Received: {error.filename}, which is not. "
            "Let its owner remove the folder, or set TMPDIR to one of yours."
        ) from None
    except OSError as error:
        raise UserError(
            f"The lock of this machine cannot be written ({error.strerror}). Set TMPDIR to a folder."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _make_common(folder: Path) -> None:
    """Make a folder that every user may write to. Linux refuses foreign files in the sticky /tmp itself."""
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o777)


def worker_cores(cell: Cell, cores: Sequence[int]) -> list[int]:
    """Return the cores of a worker that is timed: the last ones, as many as its threads on each of its devices."""
    if cell.threads == "default":
        return list(cores)
    return list(cores[-cell.threads * cell.variant.devices :])


class WorkerPool(ExitStack):
    """All workers of a command, on a machine that it has to itself.

        with WorkerPool({"jax": python}) as pool:
            with pool.start(cell) as worker:
                worker.ask(OpenTrial(trial=trial), Opened)
            pool.map(groups, train, cell_of=lambda group: group.cell, on_done=keep)

    Args:
        pythons: the interpreter of each environment.
        limits: how long a worker may be silent, and what memory it may take.
        runtime: precision, determinism and flags.
        wait: until nobody else measures.

    `starts` is the folder of the starting weights of models of the user's own, once there are any.

    Raises:
        UserError: on entering, if somebody else measures here.
    """

    def __init__(
        self,
        pythons: Mapping[str, str],
        *,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        runtime: Runtime = Runtime(),  # noqa: B008
        wait: bool = False,
    ) -> None:
        super().__init__()
        self.pythons = pythons
        self.cores = usable_cores()
        self._limits, self._runtime, self._wait = limits, runtime, wait
        self.starts: Path | None = None
        self.refused: dict[str, WorkerError] = {}
        """Why environments that were made by name are not available: they cannot be imported."""
        self._workers: set[WorkerProcess] = set()
        self._ended = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.enter_context(machine_lock(wait=self._wait))
        self.cores = usable_cores()
        self.enter_context(pinned(self.cores))
        self.callback(self._end_workers, close=True)
        return self

    def slots(self, device: Device) -> int:
        """Return how many workers run at once where nothing is timed: one a core, but only one on a GPU."""
        return 1 if device == "gpu" else len(self.cores)

    def start(self, cell: Cell, *, cores: Sequence[int] | None = None) -> WorkerProcess:
        """Start a worker for cells of this environment, device and threads.

        Args:
            cell: any of them.
            cores: those it stays on; None: those of a worker that is timed, which this process then keeps off.

        Returns:
            The worker, ready. Use it in a `with` statement.

        Raises:
            WorkerError: if it does not get so far; caused by a `UserError` if the backend or device is not there.
        """
        if refused := self.refused.get(cell.environment):
            raise refused
        if cores is None:
            cores = worker_cores(cell, self.cores)
            pin([core for core in self.cores if core not in cores] or self.cores)
        worker = WorkerProcess(
            self.pythons[cell.environment],
            environment=cell.environment,
            device=cell.device,
            threads=cell.threads,
            cores=cores,
            limits=self._limits,
            runtime=self._runtime,
            devices=cell.variant.devices,
        )
        with self._lock:
            self._workers = {process for process in self._workers if process.alive} | {worker}
            if self._ended:
                worker.end()
        try:
            worker.ready()
        except UserError as error:
            worker.close()
            raise WorkerError(str(error), "raised", phase="import") from error
        except WorkerError as error:
            worker.close()
            if not packages_of(cell.environment) or (error.exit_code or 0) <= 0:  # it did not end by itself
                raise
            refused = WorkerError(str(error), "not available", phase=error.phase, printed=error.printed)
            self.refused[cell.environment] = refused
            raise refused from error
        except BaseException:
            worker.close()
            raise
        return worker

    def map(
        self,
        jobs: Iterable[Job],
        do: Callable[[WorkerProcess, Job], Result],
        *,
        cell_of: Callable[[Job], Cell],
        on_done: Callable[[Job, Result | WorkerError], None],
        cores: Sequence[int] | None = None,
    ) -> None:
        """Let workers do jobs, as many at once as there are cores, and return when all are done.

        A worker is used again for jobs of the same environment, device, threads and devices. One that is lost fails its
        job and is replaced. If anything else is raised, Ctrl-C included, all workers are ended, and what they were
        doing is dropped.

        Args:
            jobs: in the order of doing, for each kind of worker.
            do: asks a worker; may raise `WorkerError`, which fails the job.
            cell_of: names the worker that a job needs: see `start`.
            on_done: told each job with what came out, one at a time.
            cores: those of every worker; None: each has one core.
        """
        waiting: dict[Any, deque[Job]] = defaultdict(deque)
        slots = len(self.cores)
        for job in jobs:
            cell = cell_of(job)
            waiting[cell.environment, cell.device, cell.threads, cell.variant.devices].append(job)
            slots = min(slots, self.slots(cell.device))
        queues = list(waiting.values())
        lock = threading.Lock()

        def take(queue: deque[Job]) -> Job | None:
            with lock:
                return queue.popleft() if queue and not self._ended else None

        def finish(job: Job, result: Result | WorkerError) -> None:
            with lock:
                if not self._ended:
                    on_done(job, result)

        def serve(queue: deque[Job], slot: int) -> None:
            """Do the jobs of a queue with one worker after another, each until it is lost."""
            worker: WorkerProcess | None = None
            with ExitStack() as workers:
                while (job := take(queue)) is not None:
                    result: Result | WorkerError
                    try:
                        if worker is None or not worker.alive:
                            started = self.start(cell_of(job), cores=cores or [self.cores[slot]])
                            worker = workers.enter_context(started)
                        result = do(worker, job)
                    except WorkerError as error:
                        result = error
                    finish(job, result)

        def fill(slot: int) -> None:
            """Keep a slot busy; each begins with another queue."""
            first = slot % max(1, len(queues))
            for queue in [*queues[first:], *queues[:first]]:
                serve(queue, slot)

        with ThreadPoolExecutor(slots) as threads:
            try:  # around `submit`, too: an interrupted one leaves a thread that runs and that nobody waits for
                futures = [threads.submit(fill, slot) for slot in range(slots)]
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()
            except BaseException:
                self._end_workers()
                raise

    def _end_workers(self, *, close: bool = False) -> None:
        with self._lock:
            self._ended = True
            for worker in self._workers:
                worker.end()
        for worker in self._workers if close else ():
            worker.close()
