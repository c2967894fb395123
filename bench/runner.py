"""Measure a sweep on this machine: prove the workers, time the cells in turns, then train for accuracy.

Timing trials have the machine to themselves. Accuracy trials are not timed, so they share the cores, one worker on
each. Never imports a framework.
"""

import json
import os
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import psutil
from filelock import FileLock, Timeout

from bench import gpus
from bench.cells import BackendName, Group, Trial
from bench.differences import differences
from bench.errors import UserError
from bench.faults import WorkerLostError, failure
from bench.interpreters import check_keras_backend, find_sides
from bench.machine import code_commit, describe_machine, load_average, usable_cores
from bench.plan import Sweep
from bench.processes import WorkerProcess
from bench.progress import Progress
from bench.records import Baseline, Harness, Header, Record, Resumed, Worker
from bench.resuming import missing_groups, missing_trials, stale_lines
from bench.store import RunWriter, check_writable, load_resumable, new_run_name, reopen_run, start_run
from bench.turns import fitting_blocks, start_worker, time_cells
from seqsum_core import __version__, task
from seqsum_core.baselines import baseline_errors
from seqsum_core.settings import MODELS


def run_sweep(
    sweep: Sweep, *, profile: str, command: str, results: Path, pythons: Mapping[str, str], progress: Progress
) -> RunWriter:
    """Measure all cells of a sweep and write a run.

    Args:
        sweep: what to measure.
        profile: its name, which becomes part of the run's name.
        command: what the user typed, for the record.
        results: folder of all runs.
        pythons: interpreters named on the command line, by backend.
        progress: told what happens.

    Returns:
        The finished run.

    Raises:
        UserError: if anything the user gave is wrong; nothing was measured then.
    """
    check_keras_backend(list(sweep.backends))
    check_devices(sweep)
    interpreters = find_sides(sweep, pythons)
    check_writable(results)
    with machine_lock():
        progress.say(f"Starting {', '.join(interpreters)} ...")
        workers = prove_workers(sweep, interpreters)
        if sweep.seeds > 1 and (own := [model for model in sweep.models if model not in MODELS]):
            progress.say(
                f"{', '.join(own)}: trained one seed after another; only this project's models can be replicas."
            )
        header = new_header(sweep, workers, profile=profile, command=command, harness="seqsum run")
        writer = start_run(results, header)
        with closing(writer):
            _measure(sweep, interpreters, writer, progress, begun_s=monotonic())
    return writer


def resume_run(
    folder: Path, *, command: str, pythons: Mapping[str, str], progress: Progress, retry: bool = False
) -> RunWriter:
    """Measure what a run that was interrupted still lacks.

    Args:
        folder: of the run.
        command: what the user typed, for the record.
        pythons: interpreters named on the command line, by backend.
        progress: told what happens.
        retry: measure again what failed.

    Returns:
        The run, finished.

    Raises:
        UserError: if the run cannot be read or written, or machine, versions or code are not those it began with.
    """
    begun = load_resumable(folder)
    sweep, header = begun.header.sweep, begun.header
    if header.harness != "seqsum run":
        raise UserError(f"{folder}: was made by {header.harness}; only those of seqsum run can go on. Begin a new one.")
    check_keras_backend(list(sweep.backends))
    check_devices(sweep)
    interpreters = find_sides(sweep, pythons)
    with machine_lock():
        progress.say(f"Starting {', '.join(interpreters)} ...")
        workers = prove_workers(sweep, interpreters)
        now = new_header(sweep, workers, profile=header.profile, command=command, harness="seqsum run")
        if changed := differences(header, now):
            raise UserError(
                f"{folder}: cannot go on, since its figures would not be comparable: {'; '.join(map(str, changed))}. "
                "Restore that, or begin a new run."
            )
        writer, run = reopen_run(folder)
        with closing(writer):
            dropped = stale_lines(run, retry=retry)
            writer.records = [
                record for line, record in zip(run.lines, run.records, strict=True) if line not in dropped
            ]
            if not missing_trials(sweep, writer.records) and sweep.timing.precision is None:
                progress.say(f"Nothing is missing in {folder}.")
                return writer
            writer.note(Resumed(at=now.started_at, command=command, load_average=now.load_average, dropped=dropped))
            begun_s = monotonic() - (datetime.now(UTC) - datetime.fromisoformat(header.started_at)).total_seconds()
            _measure(sweep, interpreters, writer, progress, begun_s=begun_s)
    return writer


def _measure(
    sweep: Sweep,
    interpreters: Mapping[str, str],
    writer: RunWriter,
    progress: Progress,
    *,
    begun_s: float,
) -> None:
    """Measure what a run lacks: all of it if it is new."""
    blocks = fitting_blocks(sweep.blocks(), psutil.virtual_memory().available)
    if len(blocks) > len(sweep.blocks()):
        progress.say("Models take their turns apart: parked together, their workers would not fit into memory.")
    progress.begin(missing_trials(sweep, writer.records, blocks), slots=slots(sweep))
    time_cells(sweep, blocks, interpreters, writer, progress, begun_s=begun_s)
    train_for_accuracy(sweep, interpreters, writer, progress)
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


def new_header(sweep: Sweep, workers: tuple[Worker, ...], *, profile: str, command: str, harness: Harness) -> Header:
    """Write down what is true of the whole run, before it begins."""
    return Header(
        run=new_run_name(profile if harness == "seqsum run" else f"{profile}-{sweep.backends[0]}"),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seqsum_version=__version__,
        commit=code_commit(),
        harness=harness,
        profile=profile,
        command=command,
        load_average=round(load_average(), 2),
        machine=describe_machine(),
        sweep=sweep,
        workers=workers,
    )


@contextmanager
def machine_lock() -> Iterator[None]:
    """Let one run at a time measure on this machine.

    Raises:
        UserError: naming the run that measures already.
    """
    place = Path(tempfile.gettempdir())
    holder = place / "seqsum-measuring.json"
    try:
        with FileLock(place / "seqsum-measuring.lock", timeout=0, mode=0o666):
            holder.write_text(json.dumps({"process": os.getpid(), "since": f"{datetime.now():%H:%M:%S}"}))
            yield
    except Timeout:
        who = json.loads(holder.read_text()) if holder.exists() else {"process": "unknown", "since": "unknown"}
        raise UserError(
            f"Another run measures on this machine (process {who['process']}, since {who['since']}). "
            "Two at once would spoil both: wait for it."
        ) from None


def prove_workers(sweep: Sweep, interpreters: Mapping[str, str]) -> tuple[Worker, ...]:
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
    if not sweep.seeds:
        return
    waiting = {backend: deque[Group]() for backend in dict.fromkeys(sweep.backends)}
    for group in missing_groups(sweep, writer.records):
        waiting[group.cell.backend].append(group)
    crew = _Crew(sweep, interpreters, waiting, writer, progress)
    there = {(record.name, record.length) for record in writer.records if isinstance(record, Baseline)}
    for length in sorted(set(sweep.lengths)):
        data = task.split(task.draw(sweep.task, length=length), sweep.task)
        for name, errors in baseline_errors(data).items():
            if (name, length) not in there:
                writer.append(Baseline(name=name, length=length, test=errors))
    crew.work()


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
        for backend in backends[turn:] + backends[:turn]:
            while self._waiting[backend] and not self._stop.is_set():
                self._serve(backend, usable_cores()[slot])

    def _serve(self, backend: BackendName, core: int) -> None:
        """Give one worker all waiting trials of its backend, until there are none or it is lost."""
        first = self._next(backend)
        if first is None:
            return
        try:
            started = start_worker(self._interpreters, first.cell, self._sweep, [core])
        except WorkerLostError as lost:
            return self._keep(first, [failure(trial, "start", lost) for trial in first.trials])
        with started as worker:
            self._workers.add(worker)
            group: Group | None = first
            try:
                worker.ready()
            except (WorkerLostError, UserError) as lost:
                self._keep(first, [failure(trial, worker.phase, lost) for trial in first.trials])
                group = None
            while group and not self._stop.is_set():
                self._progress.trial_begins(group)
                self._keep(group, worker.train(group))
                group = self._next(backend) if worker.alive else None
            self._workers.discard(worker)

    def _next(self, backend: BackendName) -> Group | None:
        with self._lock:
            return self._waiting[backend].popleft() if self._waiting[backend] else None

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
