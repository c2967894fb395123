"""This machine as the place of a run: its workers are proved, timed in turns, then train for accuracy.

Timing trials have the machine to themselves. Accuracy trials are not timed, so they share the cores, one worker on
each. Never imports a framework.
"""

import json
import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from filelock import FileLock, Timeout

from bench import gpus
from bench.errors import UserError
from bench.host import code_commit, describe_machine, load_average, usable_cores
from bench.measure.environments import check_keras_backend, find_sides
from bench.measure.executor import Proved
from bench.measure.progress import Progress
from bench.measure.turns import fitting_blocks, start_worker, time_cells
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import BackendName, Cell, Group, Trial
from bench.plan.sweep import Sweep
from bench.records.failures import WorkerLostError, failure
from bench.records.missing import missing_groups, missing_trials
from bench.records.schema import Baseline, Header, Record, Worker
from bench.records.store import RunWriter
from seqsum_core import task
from seqsum_core.baselines import baseline_errors


class ThisMachine:
    """Where `seqsum run` measures unless it is told otherwise; nobody else measures here until it is left.

    Args:
        pythons: interpreters named on the command line, by backend.
    """

    def __init__(self, pythons: Mapping[str, str]) -> None:
        self._pythons = pythons
        self._interpreters: dict[str, str] = {}
        self._locked = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._locked.close()

    def prove(self, sweep: Sweep, progress: Progress, *, like: Header | None = None) -> Proved:
        """Lock this machine and start each backend once: see `bench.measure.executor`."""
        check_keras_backend(list(sweep.backends))
        check_devices(sweep)
        self._interpreters = find_sides(sweep, self._pythons)
        self._locked.enter_context(machine_lock())
        progress.say(f"Starting {', '.join(self._interpreters)} ...")
        return prove_here(sweep, self._interpreters)

    def measure(self, sweep: Sweep, writer: RunWriter, progress: Progress, *, begun_s: float) -> None:
        """Measure what a run lacks: all of it if it is new."""
        blocks = fitting_blocks(sweep.blocks(), psutil.virtual_memory().available)
        if len(blocks) > len(sweep.blocks()):
            progress.say("Models take their turns apart: parked together, their workers would not fit into memory.")
        progress.begin(missing_trials(sweep, writer.records, blocks), slots=slots(sweep))
        time_cells(sweep, blocks, self._interpreters, writer, progress, begun_s=begun_s)
        train_for_accuracy(sweep, self._interpreters, writer, progress)
        progress.end(writer.folder)


def check_devices(sweep: Sweep) -> None:
    """Refuse a GPU that others use, and more devices made of the CPU than it has cores.

    Raises:
        UserError: saying who uses it, or how many there can be.
    """
    if sweep.device == "gpu" and (users := gpus.other_users()):
        raise UserError(
            f"`device` gpu must be free to be measured. Received: one that process {', '.join(map(str, users))} uses. "
            "Wait for them, or choose another GPU: CUDA_VISIBLE_DEVICES=1 seqsum run ..."
        )
    most, cores = max(variant.devices for variant in sweep.variants), len(usable_cores())
    if sweep.device == "cpu" and most > cores:
        raise UserError(f"`devices` must be at most {cores}, the cores of this machine. Received: {most}. Use fewer.")


@contextmanager
def machine_lock(*, wait: bool = False) -> Iterator[None]:
    """Let one run at a time measure on this machine.

    Args:
        wait: until the others have ended.

    Raises:
        UserError: naming the run that measures already, if it is not waited for.
    """
    place = Path(tempfile.gettempdir())
    holder = place / "seqsum-measuring.json"
    try:
        with FileLock(place / "seqsum-measuring.lock", timeout=-1 if wait else 0, mode=0o666):
            holder.write_text(json.dumps({"process": os.getpid(), "since": f"{datetime.now():%H:%M:%S}"}))
            yield
    except Timeout:
        who = json.loads(holder.read_text()) if holder.exists() else {"process": "unknown", "since": "unknown"}
        raise UserError(
            f"Another run measures on this machine (process {who['process']}, since {who['since']}). "
            "Two at once would spoil both: wait for it."
        ) from None


def prove_here(sweep: Sweep, interpreters: Mapping[str, str]) -> Proved:
    """Start each backend once, prove its device, and say what machine this is.

    Raises:
        UserError: if a backend does not start, lacks the device, or cannot use a model.
    """
    load = round(load_average(), 2)  # before the workers add theirs
    workers = _prove_workers(sweep, interpreters)
    return Proved(workers, describe_machine(), code_commit(), load)


def _prove_workers(sweep: Sweep, interpreters: Mapping[str, str]) -> tuple[Worker, ...]:
    """Start each backend once, prove its device, and build the models that are the user's own.

    Raises:
        UserError: if a backend does not start, lacks the device, or cannot use a model.
    """
    first_cells = {cell.side: cell for cell in reversed(sweep.cells())}

    def prove_one(side: str) -> Worker:
        cores = usable_cores()
        cell = first_cells[side]
        try:
            with start_worker(interpreters, cell, sweep, cores) as worker:
                proved = worker.ready()
                for trial in _own_models(sweep, side):
                    worker.check(trial)
                return proved.model_copy(update={"installation": cell.installation})
        except WorkerLostError as lost:
            raise UserError(
                f"Backend {side} does not start: {lost}. Its interpreter is {interpreters[side]}."
            ) from None

    with ThreadPoolExecutor(slots(sweep)) as pool:
        return tuple(pool.map(prove_one, reversed(first_cells)))


def _own_models(sweep: Sweep, side: str) -> list[Trial]:
    cells = [cell for cell in sweep.cells() if cell.side == side and ":" in cell.model]
    return [Trial(kind="accuracy", cell=cell, index=0, settings=sweep.settings) for cell in cells]


def train_for_accuracy(sweep: Sweep, interpreters: Mapping[str, str], writer: RunWriter, progress: Progress) -> None:
    """Run the accuracy trials, one worker on each core, and what a baseline gets beside them; none if no seeds are."""
    waiting = {backend: deque[Group]() for backend in dict.fromkeys(sweep.backends)}
    for group in missing_groups(sweep, writer.records):
        waiting[group.cell.backend].append(group)
    append_baselines(sweep, writer)
    _Crew(sweep, interpreters, waiting, writer, progress).work()


def append_baselines(sweep: Sweep, writer: RunWriter) -> None:
    """Put down what models without recurrence get on the same rows, if anything is trained and it is not there yet."""
    there = {(record.name, record.length) for record in writer.records if isinstance(record, Baseline)}
    for length in sorted(set(sweep.lengths)) if sweep.seeds else []:
        data = task.split(task.draw(sweep.task, length=length), sweep.task)
        for name, errors in baseline_errors(data).items():
            if (name, length) not in there:
                writer.append(Baseline(name=name, length=length, test=errors))


def train_groups(
    groups: Iterator[Group],
    start: Callable[[Cell], WorkerProcess],
    *,
    begins: Callable[[Group], None],
    ends: Callable[[Group, Sequence[Record]], None],
) -> None:
    """Let one worker train groups of one backend, until there are none or it is lost.

    Args:
        groups: what waits; what a lost worker leaves stays there.
        start: starts the worker.
        begins: told which group begins.
        ends: told its records.
    """
    group = next(groups, None)
    if group is None:
        return
    try:
        started = start(group.cell)
    except WorkerLostError as lost:
        return ends(group, [failure(trial, "start", lost) for trial in group.trials])
    with started as worker:
        try:
            worker.ready()
        except (WorkerLostError, UserError) as lost:
            return ends(group, [failure(trial, worker.phase, lost) for trial in group.trials])
        while group:
            begins(group)
            ends(group, worker.train(group))
            group = next(groups, None) if worker.alive else None


class _Crew:
    """Slots that take accuracy trials from the same queues, each with one worker at a time."""

    def __init__(
        self,
        sweep: Sweep,
        interpreters: Mapping[str, str],
        waiting: dict[BackendName, deque[Group]],
        writer: RunWriter,
        progress: Progress,
    ) -> None:
        self._sweep, self._interpreters, self._waiting = sweep, interpreters, waiting
        self._writer, self._progress = writer, progress
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._workers: set[WorkerProcess] = set()

    def work(self) -> None:
        """Empty the queues. Ctrl-C ends the workers and drops what they were at."""
        count = slots(self._sweep)
        with ThreadPoolExecutor(count) as pool:
            futures = [pool.submit(self._fill_slot, slot) for slot in range(count)]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self._stop.set()
                for worker in list(self._workers):
                    worker.end()
                raise

    def _fill_slot(self, slot: int) -> None:
        """Serve the backends one after another; each slot begins with another one."""
        backends = list(self._waiting)
        turn = slot % len(backends)
        start = partial(self._start, core=usable_cores()[slot])
        for backend in backends[turn:] + backends[:turn]:
            waiting = iter(partial(self._next, backend), None)
            while self._waiting[backend] and not self._stop.is_set():
                train_groups(waiting, start, begins=self._progress.trial_begins, ends=self._keep)

    def _start(self, cell: Cell, *, core: int) -> WorkerProcess:
        worker = start_worker(self._interpreters, cell, self._sweep, [core])
        self._workers.add(worker)
        return worker

    def _next(self, backend: BackendName) -> Group | None:
        with self._lock:
            return self._waiting[backend].popleft() if self._waiting[backend] and not self._stop.is_set() else None

    def _keep(self, group: Group, records: Sequence[Record]) -> None:
        if self._stop.is_set():
            return
        with self._lock:
            for record in records:
                self._writer.append(record)
        self._progress.trial_ends(group, *records)


def slots(sweep: Sweep) -> int:
    """Count the accuracy workers that fit: one a core, but one only on a GPU."""
    return 1 if sweep.device == "gpu" else len(usable_cores())
