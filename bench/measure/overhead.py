"""Measure what seqsum's timing adds to a bare `model.fit`: pairs of whole fits in fresh processes.

In each process, fits without a callback and fits that are timed as `seqsum run` times them take turns; the ratio of a
pair is free of what the process is like. Imports no framework.
"""

from collections.abc import Callable, Mapping, Sequence
from math import nan
from statistics import median

import numpy as np
import pandas as pd

from bench.analysis.intervals import LEAST_SEEDS
from bench.analysis.selection import Row, Table, sort_rows
from bench.analysis.statistics import Ratio, median_ratio
from bench.errors import UserError
from bench.frozen import Frozen
from bench.host import code_commit, describe_machine, pinned, usable_cores
from bench.measure.environments import check_keras_backend, find_interpreters
from bench.measure.local import machine_lock
from bench.measure.turns import timing_cores
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import BackendName, Cell, Settings, Trial
from bench.plan.timing import Limits
from bench.records.failures import WorkerLostError
from bench.records.schema import Machine
from bench.worker.messages import OverheadRequest
from seqsum_core.settings import TaskSettings
from seqsum_core.task import check_length

SILENT_LIMIT_S = 600.0
FIT_S = 0.3
"""Short, so that both fits of a pair meet the same host, but long enough for a turn."""


class Weighed(Frozen):
    """What the fresh processes of one cell found.

    Args:
        cell: which.
        bare_s: seconds of an epoch without a callback, one tuple for each process, one value for each pair.
        timed_s: the same with seqsum's timing.
        inside_s: of those, what was spent in seqsum's callback.
        failed: why a process found nothing, or None.
    """

    cell: Cell
    bare_s: tuple[tuple[float, ...], ...] = ()
    timed_s: tuple[tuple[float, ...], ...] = ()
    inside_s: tuple[tuple[float, ...], ...] = ()
    failed: str | None = None


class Overhead(Frozen):
    """What was measured, and on what."""

    commit: str
    command: str
    machine: Machine
    weighed: tuple[Weighed, ...]


def measure_overhead(
    asked: Sequence[BackendName],
    *,
    models: Sequence[str],
    lengths: Sequence[int],
    processes: int,
    pairs: int,
    pythons: Mapping[str, str],
    command: str,
    say: Callable[[str], None],
) -> Overhead:
    """Weigh cells of every backend, one fresh process after another, while nothing else is measured.

    Args:
        asked: backends; empty: all that are here.
        models: their names.
        lengths: of the longest sequence, in timesteps.
        processes: fresh ones for each cell.
        pairs: of fits in each process; even, so that either way of fitting comes first equally often.
        pythons: interpreters by backend, where they are not the usual ones.
        command: as it was typed.
        say: told of each cell.

    Raises:
        UserError: if a number makes no sense, or a backend that was asked for is not here.
    """
    if processes < 1:
        raise UserError(f"`--processes` must be at least 1. Received: {processes}. Use 8, say.")
    if pairs < 2 or pairs % 2:
        raise UserError(
            f"`--pairs` must be even, so that bare and timed fits come first equally often. Received: {pairs}. Use 8."
        )
    try:
        for length in lengths:
            check_length(TaskSettings(), length)
    except ValueError as error:
        raise UserError(str(error)) from None
    interpreters, missing = find_interpreters(list(asked), device="cpu", pythons=dict(pythons))
    if missing:
        raise UserError(next(iter(missing.values())))
    check_keras_backend(list(interpreters))
    worker_cores, own_cores = timing_cores(1, usable_cores())
    machine, weighed = describe_machine(), []
    with machine_lock(), pinned(own_cores):
        for backend, python in interpreters.items():
            for model in models:
                for length in lengths:
                    cell = Cell(backend=backend, device="cpu", model=model, length=length)
                    one = Weighed(cell=cell)
                    for process in range(processes):
                        one = _weigh(one, python, worker_cores, process, pairs)
                    weighed.append(one)
                    say(f"{cell}: {one.failed or _said(one)}")
    return Overhead(commit=code_commit(), command=command, machine=machine, weighed=tuple(weighed))


def _weigh(one: Weighed, python: str, cores: list[int], process: int, pairs: int) -> Weighed:
    trial = Trial(kind="speed", cell=one.cell, index=process, settings=Settings())
    with WorkerProcess(python, one.cell, cores=cores, limits=Limits.all_phases(SILENT_LIMIT_S)) as worker:
        try:
            worker.ready()
            found = worker.weigh(OverheadRequest(trial=trial, fit_s=FIT_S, repeats=pairs))
        except WorkerLostError as lost:
            return one.model_copy(update={"failed": str(lost)})
    return one.model_copy(
        update={
            "bare_s": (*one.bare_s, found.bare_s),
            "timed_s": (*one.timed_s, found.timed_s),
            "inside_s": (*one.inside_s, found.inside_s),
        }
    )


def _said(one: Weighed) -> str:
    whole, epochs = (100 * (_added(one, callback=callback).value - 1) for callback in (True, False))
    return f"timing adds {whole:+.2f} % to a fit, {epochs:+.2f} % to its epochs"


def _added(one: Weighed, *, callback: bool) -> Ratio:
    """Return the ratio timed / bare, with or without what was spent in the callback: of each process its median."""
    ratios = []
    for bare_s, timed_s, inside_s in zip(one.bare_s, one.timed_s, one.inside_s, strict=True):
        counted_s = timed_s if callback else np.subtract(timed_s, inside_s)
        ratios.append(float(np.median(np.divide(counted_s, bare_s))))
    return median_ratio(ratios)


def _inside(one: Weighed) -> float:
    """Return the median share of a timed fit that was spent in seqsum's callback."""
    pairs = zip(one.inside_s, one.timed_s, strict=True)
    shares = [float(np.median(np.divide(inside, timed))) for inside, timed in pairs]
    return median(shares) if shares else nan


def overhead_table(overhead: Overhead) -> Table:
    """Tabulate what timing adds to a bare epoch, with intervals over processes."""
    rows: list[Row] = []
    for one in overhead.weighed:
        whole, epochs = _added(one, callback=True), _added(one, callback=False)
        rows.append(
            {
                "model": one.cell.model,
                "length": one.cell.length,
                "backend": one.cell.backend,
                "processes": len(one.bare_s),
                "bare epoch ms": 1e3 * median(map(median, one.bare_s)) if one.bare_s else nan,
                "in the callback %": 100 * _inside(one),
                "timing adds %": 100 * (whole.value - 1),
                "low %": 100 * (whole.interval.low - 1),
                "high %": 100 * (whole.interval.high - 1),
                "to epochs %": 100 * (epochs.value - 1),
                "epochs low %": 100 * (epochs.interval.low - 1),
                "epochs high %": 100 * (epochs.interval.high - 1),
            }
        )
    pairs = " or ".join(map(str, sorted({len(bare_s) for one in overhead.weighed for bare_s in one.bare_s}))) or "no"
    failed = (f"{one.cell}: a process failed: {one.failed}." for one in overhead.weighed if one.failed)
    notes = (
        f"Whole calls of fit of about {FIT_S:g} s, bare and timed in turns, {pairs} pairs in each fresh process: the "
        f"median of their ratios; over processes, the median with its 95 % interval (from {LEAST_SEEDS} on).",
        "In the callback: what seqsum's own lines took of a timed fit, between the epochs' clocks: most of it is "
        "probes. To epochs: what is left without them, which is what would lengthen the figures of other tables.",
        *failed,
    )
    return Table("What timing adds", sort_rows(pd.DataFrame(rows), ["length", "model", "backend"]), notes)
