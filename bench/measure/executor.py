"""Where a run is measured: this machine, or equal nodes of a cluster."""

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from hashlib import sha256
from itertools import product
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Protocol

from pydantic import Field

from bench.errors import UserError
from bench.frozen import Frozen
from bench.host import (
    Machine,
    available_bytes,
    code_commit,
    describe_machine,
    load_average,
    other_gpu_users,
    usable_cores,
)
from bench.measure.accuracy import train_for_accuracy
from bench.measure.environments import check_keras_backend, find_interpreters, say_left_out
from bench.measure.overlays import check_versions
from bench.measure.pool import WorkerPool
from bench.measure.progress import Progress
from bench.measure.turns import fitting_blocks, time_cells
from bench.measure.worker_process import WorkerProcess
from bench.names import say_count
from bench.plan.cells import Cell, Trial
from bench.plan.sweep import Sweep
from bench.records.failures import WorkerError
from bench.records.missing import missing_trials
from bench.records.schema import Header, Node, Worker
from bench.records.store import RunWriter
from bench.worker.messages import Check, Checked
from seqsum_core import __version__
from seqsum_core.settings import VariantSettings
from seqsum_core.tasks.rows import SUM, Task

STARTS = "starts"
"""The folder of a run that holds the starting weights of the user's own models."""


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
        own: a hash of each model and task of the user's own.
        compiled: models of the user's own that compile themselves.
        task: what the user's own task has to be read and output, or what the task of the user's own model has.
    """

    workers: tuple[Worker, ...]
    machine: Machine
    commit: str
    seqsum_version: str = __version__
    load_average: float
    available_bytes: int
    nodes: tuple[Node, ...] = ()
    own: dict[str, str] = Field(default_factory=dict)
    compiled: tuple[str, ...] = ()
    task: Task = SUM


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
        keep_starts(pool, writer.folder)
        blocks = fitting_blocks(sweep.blocks(), available_bytes())
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
    """Start each environment once, check its device and the user's own models and task, and describe the machine.

    The first environment draws the starting weights of the user's own models, for all.

    One that was made by name and cannot be imported is not available; the others are measured. `say` is told that, and
    which variables of the shell do not reach the workers.

    Raises:
        UserError: if an environment does not start, lacks the device, or cannot use a model or the task.
    """
    load = round(load_average(), 2)  # before the workers add theirs
    cells: dict[str, Cell] = {}
    for cell in sweep.cells():
        cells.setdefault(cell.environment, cell)
    say_left_out(next(iter(cells.values())), sweep.runtime, say)
    if any(":" in model for model in sweep.models):
        pool.starts = Path(pool.enter_context(TemporaryDirectory(prefix="seqsum-")))
    first = next((name for name, cell in cells.items() if cell.is_default_installation), next(iter(cells)))
    workers: dict[str, Worker] = {}
    answers: dict[str, dict[str, Checked]] = {}

    def check(worker: WorkerProcess, environment: str) -> dict[str, Checked]:
        check_versions(environment, worker.worker.versions)
        workers[environment] = worker.worker
        starts = pool.starts if environment == first else None
        asked = own_checks(sweep, cells[environment], starts)
        return {name: worker.ask(request, Checked) for name, request in asked.items()}

    def keep(environment: str, result: dict[str, Checked] | WorkerError) -> None:
        if isinstance(result, dict):
            answers[environment] = result
        elif isinstance(result.__cause__, UserError):
            raise result.__cause__
        elif environment in workers:
            raise UserError(f"{environment} cannot try what was asked for: {result}. Ask for something smaller.")
        elif result.fault == "not available" and environment != first and len(cells) > len(pool.refused):
            say(f"Not available: {environment}: {result}")
        else:
            python = pool.pythons[environment]
            raise UserError(f"Environment {environment} does not start: {result}. Its interpreter is {python}.")

    pool.map(cells, check, cell_of=cells.__getitem__, on_done=keep, cores=pool.cores)
    return Prepared(
        workers=tuple(workers[environment] for environment in cells if environment in workers),
        machine=describe_machine(),
        commit=code_commit(),
        load_average=load,
        available_bytes=available_bytes(),
        own=_fingerprints(sweep, answers, first),
        compiled=tuple({place.rpartition(" ")[0] for place, told in answers[first].items() if told.compiled}),
        task=next((told.shape for told in answers[first].values()), SUM),
    )


def own_checks(sweep: Sweep, cell: Cell, starts: Path | None) -> dict[str, Check]:
    """Return what an environment is asked about each of the user's own models and tasks, at each length."""
    of_task = ":" in sweep.task.name
    variants = [variant for variant in sweep.variants if variant.implementation != "ceiling"]
    base = variants[0] if variants else VariantSettings()
    checks = {}
    for length, model in product(sorted(set(sweep.lengths)), dict.fromkeys(sweep.models)):
        if of_task or ":" in model:
            update = {"model": model, "length": length, "variant": base}
            trial = Trial(
                kind="accuracy", cell=cell.model_copy(update=update), index=0, settings=sweep.settings.of(base)
            )
            seeds = tuple(range(max(1, sweep.seeds)))
            own = tuple(variants) if ":" in model else ()
            checks[f"{model} {length}"] = Check(trial=trial, variants=own, seeds=seeds, starts=starts)
    return checks


def _fingerprints(sweep: Sweep, answers: Mapping[str, dict[str, Checked]], first: str) -> dict[str, str]:
    """Return a hash of each model and task of the user's own; a UserError if environments differ in their weights."""
    hashes: dict[str, list[str]] = {}
    for place, told in answers[first].items():
        model = place.rpartition(" ")[0]
        for environment, others in answers.items():
            if others[place].shapes != told.shapes:
                raise UserError(
                    f"{model} must have the same weights on every backend. Received: "
                    f"{_sizes(told)} on {first}, {_sizes(others[place])} on {environment}. "
                    "Let it build the same layers, or measure the backends in runs of their own."
                )
        if told.model:
            hashes.setdefault(model, []).append(told.model)
        if told.task:
            hashes.setdefault(sweep.task.name, []).append(told.task)
    return {name: sha256(" ".join(parts).encode()).hexdigest()[:12] for name, parts in hashes.items()}


def _sizes(told: Checked) -> str:
    return f"{say_count(len(told.shapes), 'array')} of {sum(map(prod, told.shapes)):,} numbers"


def keep_starts(pool: WorkerPool, folder: Path) -> None:
    """Keep the starting weights of the user's own models with their run; those that it has already are used again."""
    if pool.starts is not None:
        if not (folder / STARTS).exists():
            shutil.copytree(pool.starts, folder / STARTS)
            (folder / STARTS).chmod(0o755)  # the temporary folder is its owner's only
        pool.starts = (folder / STARTS).resolve()
