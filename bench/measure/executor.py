"""Where a run is measured: this machine, or equal nodes of a cluster."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol

import psutil

from bench.errors import UserError
from bench.frozen import Frozen
from bench.host import Machine, code_commit, describe_machine, load_average, other_gpu_users, usable_cores
from bench.measure.accuracy import train_for_accuracy
from bench.measure.environments import check_keras_backend, find_interpreters
from bench.measure.overlays import check_versions
from bench.measure.pool import WorkerPool
from bench.measure.progress import Progress
from bench.measure.turns import fitting_blocks, time_cells
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import Cell, Trial
from bench.plan.sweep import Sweep
from bench.records.failures import WorkerError
from bench.records.missing import missing_trials
from bench.records.schema import Header, Node, Worker
from bench.records.store import RunWriter
from bench.worker.messages import Check, Checked
from seqsum_core import __version__


class Prepared(Frozen):
    """What is known of a place before anything is measured there.

    Args:
        workers: what each environment's process reported.
        machine: what it runs on; each machine, if there are several.
        commit: of the code there.
        seqsum_version: the same.
        load_average: of the minute before; the highest, if there are several machines.
        available_bytes: memory that is free.
        nodes: the machines, if they are not this one.
    """

    workers: tuple[Worker, ...]
    machine: Machine
    commit: str
    seqsum_version: str = __version__
    load_average: float
    available_bytes: int
    nodes: tuple[Node, ...] = ()


class Executor(AbstractContextManager["Executor"], Protocol):
    """A place to measure in. Use it in a `with` statement: when that is left, nothing runs there any more."""

    def prepare(self, sweep: Sweep, progress: Progress, *, like: Header | None = None) -> Prepared:
        """Check that a sweep can be measured here, and keep others from measuring.

        Args:
            sweep: what is to be measured.
            progress: told what happens.
            like: header of the run that is to go on, if it is one; prefer machines like its own.

        Raises:
            UserError: if a backend, a device or a model is not there or not usable, or somebody else measures.
        """

    def measure(self, header: Header, writer: RunWriter, progress: Progress) -> None:
        """Measure what a run lacks, whose sweep was prepared: all of it if it is new."""


class ThisMachine(ExitStack):
    """Where `seqsum run` measures unless it is told otherwise.

    Args:
        pythons: interpreters named on the command line, by environment.
    """

    def __init__(self, pythons: Mapping[str, str]) -> None:
        super().__init__()
        self._pythons = pythons

    def prepare(self, sweep: Sweep, progress: Progress, *, like: Header | None = None) -> Prepared:
        """Lock this machine and start each environment once: see `Executor`."""
        check_keras_backend(sweep.backends)
        check_devices(sweep)
        interpreters = find_interpreters(sweep.backends, device=sweep.device, pythons=self._pythons)
        self._pool = self.enter_context(WorkerPool(interpreters, limits=sweep.limits, runtime=sweep.runtime))
        progress.say(f"Starting {', '.join(interpreters)} ...")
        return prepare_pool(self._pool, sweep, progress.say)

    def measure(self, header: Header, writer: RunWriter, progress: Progress) -> None:
        """Measure what a run lacks: see `Executor`."""
        sweep, pool = header.sweep, self._pool
        blocks = fitting_blocks(sweep.blocks(), psutil.virtual_memory().available)
        if len(blocks) > len(sweep.blocks()):
            progress.say("Each model takes turns on its own: the workers of all would not fit into memory.")
        progress.begin(missing_trials(sweep, writer.records, blocks), slots=pool.slots(sweep.device))
        time_cells(header, blocks, pool, writer, progress, begun_s=begun_s(header))
        train_for_accuracy(sweep, pool, writer, progress)
        progress.end(writer.folder)


def begun_s(header: Header) -> float:
    """Return when a run began, by this machine's monotonic clock."""
    return monotonic() - (datetime.now(UTC) - datetime.fromisoformat(header.started_at)).total_seconds()


def check_devices(sweep: Sweep) -> None:
    """Raise `UserError` where others use the GPU, or more devices are made of the CPU than it has cores."""
    if sweep.device == "gpu" and (users := other_gpu_users()):
        raise UserError(
            f"`device` gpu must be free to be measured. Received: one that process {', '.join(map(str, users))} uses. "
            "Wait for them, or choose another GPU: CUDA_VISIBLE_DEVICES=1 seqsum run ..."
        )
    most, cores = max(variant.devices for variant in sweep.variants), len(usable_cores())
    if sweep.device == "cpu" and most > cores:
        raise UserError(f"`devices` must be at most {cores}, the cores of this machine. Received: {most}. Use fewer.")


def prepare_pool(pool: WorkerPool, sweep: Sweep, say: Callable[[str], None] = lambda _: None) -> Prepared:
    """Start each environment once, check its device and the models that are the user's own, and describe the machine.

    One that was made by name and cannot be imported is not available, which `say` is told; the others are measured.

    Raises:
        UserError: if an environment does not start, lacks the device, or cannot use a model.
    """
    load = round(load_average(), 2)  # before the workers add theirs
    trials: dict[str, list[Trial]] = {}
    cells: dict[str, Cell] = {}
    for cell in sweep.cells():
        cells.setdefault(cell.environment, cell)
        own = trials.setdefault(cell.environment, [])
        if ":" in cell.model:
            own.append(Trial(kind="accuracy", cell=cell, index=0, settings=sweep.settings))
    workers: dict[str, Worker] = {}

    def check(worker: WorkerProcess, environment: str) -> Worker:
        check_versions(environment, worker.worker.versions)
        for trial in trials[environment]:
            worker.ask(Check(trial=trial), Checked)
        return worker.worker

    def keep(environment: str, result: Worker | WorkerError) -> None:
        if isinstance(result, Worker):
            workers[environment] = result
        elif isinstance(result.__cause__, UserError):
            raise result.__cause__
        elif result.fault == "not available" and len(trials) > len(pool.refused):
            say(f"Not available: {environment}: {result}")
        else:
            python = pool.pythons[environment]
            raise UserError(f"Environment {environment} does not start: {result}. Its interpreter is {python}.")

    pool.map(trials, check, cell_of=cells.__getitem__, on_done=keep, cores=pool.cores)
    return Prepared(
        workers=tuple(workers[environment] for environment in trials if environment in workers),
        machine=describe_machine(),
        commit=code_commit(),
        load_average=load,
        available_bytes=psutil.virtual_memory().available,
    )
