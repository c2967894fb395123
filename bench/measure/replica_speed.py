"""How long many seeds take: trained as replicas of one Keras model, or one after another. Imports no framework.

Each way is timed in a fresh process of its own, one after another, on the last core with one thread; the
seconds contain building and compiling, but neither the start of the process nor the import.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import pandas as pd

from bench.analysis.selection import Row, Table
from bench.analysis.statistics import median
from bench.errors import UserError
from bench.frozen import Frozen
from bench.host import code_commit, describe_machine, pinned, usable_cores
from bench.measure.environments import check_keras_backend, find_interpreters
from bench.measure.local import machine_lock
from bench.measure.turns import timing_cores
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import REPLICAS, BackendName, Cell, Device, Group, Settings
from bench.plan.timing import Limits
from bench.records.failures import WorkerLostError
from bench.records.schema import Machine, Way, Worker
from seqsum_core.settings import TaskSettings, TrainingSettings
from seqsum_core.task import check_length

SILENT_LIMIT_S = 600.0
WAYS = {"replica": "replicas", "alone": "loop of fit", "plain": "plain PyTorch"}


class Timed(Frozen):
    """All seeds of a model trained in one way, once.

    Args:
        backend: where; "torch" for plain PyTorch.
        model: what.
        way: how.
        replicas: how many seeds at once.
        seeds: how many in all.
        train_s: seconds for all seeds; None if it failed.
        val_loss: the last one of each seed.
        peak_rss_bytes: most memory the process held meanwhile, libraries included.
        failed: why there are no seconds.
    """

    backend: BackendName
    model: str
    way: Way
    replicas: int
    seeds: int
    train_s: float | None = None
    val_loss: tuple[float, ...] = ()
    peak_rss_bytes: int | None = None
    failed: str | None = None


class ReplicaTimes(Frozen):
    """All that one `seqsum replicas` measured, and where."""

    started_at: str
    commit: str
    command: str
    device: Device
    length: int
    epochs: int
    machine: Machine
    workers: tuple[Worker, ...]
    timed: tuple[Timed, ...]


class Plan(Frozen):
    """What `seqsum replicas` times.

    Args:
        models: which.
        device: where.
        length: longest sequence, in timesteps.
        seeds: how many are trained.
        epochs: of each training; it never stops early.
        replicas: how many seeds at once; each is timed.
        loop: whether the loop of fit, and plain PyTorch, are timed too.
    """

    models: tuple[str, ...] = ("simple_rnn", "lstm")
    device: Device = "cpu"
    length: int = 12
    seeds: int = 20
    epochs: int = 30
    replicas: tuple[int, ...] = ()
    loop: bool = True

    def check(self) -> None:
        """Refuse numbers that make no measurement.

        Raises:
            UserError: naming the first one.
        """
        for name in ("seeds", "epochs", "length"):
            if (value := getattr(self, name)) < 1:
                raise UserError(f"`--{name}` must be at least 1. Received: {value}. Use 20, say.")
        for count in self.replicas:
            if count < 1:
                raise UserError(f"`--replicas` must be at least 1. Received: {count}. Use 20, say.")
        try:
            check_length(TaskSettings(), self.length)
        except ValueError as error:
            raise UserError(str(error)) from None

    def ways(self, backend: BackendName) -> list[tuple[Way, int]]:
        """Return the ways a backend is timed in, each with how many seeds at once."""
        counts = dict.fromkeys(self.replicas or (min(self.seeds, REPLICAS[self.device]),))
        ways: list[tuple[Way, int]] = [("replica", count) for count in counts]
        if self.loop:
            ways.append(("alone", 1))
            if backend == "torch":
                ways.append(("plain", 1))
        return ways


def time_replicas(
    plan: Plan, asked: Sequence[BackendName], *, pythons: Mapping[str, str], command: str, say: Callable[[str], None]
) -> ReplicaTimes:
    """Time every way on every backend.

    Args:
        plan: what to time.
        asked: the backends; none means all that are here.
        pythons: interpreters named on the command line, by backend.
        command: what the user typed, for the record.
        say: told in a line what came out.

    Returns:
        The times; a way that fails has none, but a reason.

    Raises:
        UserError: if a number makes no sense, or a backend that was asked for is not here.
    """
    plan.check()
    interpreters, missing = find_interpreters(list(asked), device=plan.device, pythons=pythons)
    if missing:
        raise UserError(next(iter(missing.values())))
    check_keras_backend(list(interpreters))
    started_at, commit = datetime.now(UTC).isoformat(timespec="seconds"), code_commit()
    timed: list[Timed] = []
    workers: dict[str, Worker] = {}
    worker_cores, own_cores = timing_cores(1, usable_cores())
    with machine_lock(), pinned(own_cores):
        for model in plan.models:
            for backend, python in interpreters.items():
                for way, replicas in plan.ways(backend):
                    one = Timed(backend=backend, model=model, way=way, replicas=replicas, seeds=plan.seeds)
                    one = _time(plan, one, python, worker_cores, workers)
                    timed.append(one)
                    taken = one.failed or f"{one.train_s:.1f} s"
                    say(f"{model} on {backend}, {WAYS[way]}{f' ({replicas})' if way == 'replica' else ''}: {taken}")
    return ReplicaTimes(
        started_at=started_at,
        commit=commit,
        command=command,
        device=plan.device,
        length=plan.length,
        epochs=plan.epochs,
        machine=describe_machine(),
        workers=tuple(workers.values()),
        timed=tuple(timed),
    )


def _time(plan: Plan, one: Timed, python: str, cores: list[int], workers: dict[str, Worker]) -> Timed:
    training = TrainingSettings(epochs=plan.epochs, patience=-1, replicas=one.replicas)
    cell = Cell(backend=one.backend, device=plan.device, model=one.model, length=plan.length)
    group = Group(cell=cell, seeds=tuple(range(one.seeds)), settings=Settings(training=training))
    with WorkerProcess(python, cell, cores=cores, limits=Limits.all_phases(SILENT_LIMIT_S)) as worker:
        try:
            workers[one.backend] = worker.ready()
            found = worker.time(group, one.way)
        except WorkerLostError as lost:
            return one.model_copy(update={"failed": str(lost)})
    return one.model_copy(update=found.model_dump(exclude={"answer"}))


def replicas_table(times: ReplicaTimes) -> Table:
    """Tabulate seconds and how many times faster than each loop."""
    rows: list[Row] = []
    for one in times.timed:
        row: Row = {
            "model": one.model,
            "backend": one.backend,
            "way": WAYS[one.way],
            "at once": one.replicas,
            "seconds": one.train_s,
            "seeds per s": one.train_s and one.seeds / one.train_s,
        }
        for way, heading in (("alone", "times loop"), ("plain", "times plain")):
            base = _base(times, one, way)
            row[heading] = base / one.train_s if base and one.train_s and one.way == "replica" else None
        row["val mse"] = median(one.val_loss)
        row["MiB"] = one.peak_rss_bytes and one.peak_rss_bytes / 2**20
        rows.append(row)
    seeds = times.timed[0].seeds if times.timed else 0
    frame = pd.DataFrame(rows).dropna(axis=1, how="all")
    ratios = "times loop: how many times faster than the loop of model.fit on the same backend; times plain: than "
    ratios += "plain PyTorch, one seed after another. "
    notes = [
        f"{seeds} seeds of {times.epochs} epochs at length {times.length}: seconds with building and compiling, one "
        "fresh process for each row, one core and one thread.",
        (ratios if "times loop" in frame else "")
        + "val mse: median of the last ones, to show that all of them learned.",
        *(f"{one.model} on {one.backend}, {WAYS[one.way]}: failed, {one.failed}" for one in times.timed if one.failed),
    ]
    return Table("Replicas", frame, tuple(notes))


def _base(times: ReplicaTimes, one: Timed, way: str) -> float | None:
    """Return the seconds of another way for the same seeds: plain PyTorch is every backend's."""
    for other in times.timed:
        same = other.model == one.model and (way == "plain" or other.backend == one.backend)
        if same and other.way == way and other.seeds == one.seeds:
            return other.train_s
    return None
