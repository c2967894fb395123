"""Tables of what was measured, as pandas frames.

Every figure is derived here from raw records; units stand in the headings. `printing` prints them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.plan import Cell
from bench.records import Accuracy, Baseline, Failure, Record, Speed, Worker
from bench.statistics import epoch_time, median, undisturbed
from bench.store import Run

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A frame with what a reader must know beside it."""

    title: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """The records that may stand in one table, because they were made alike.

    Args:
        runs: where they are from, oldest first.
        records: of each kind and cell those of the newest run that has any.
        left_out: runs of another machine or other settings.
    """

    runs: tuple[Run, ...]
    records: tuple[Record, ...]
    left_out: tuple[Run, ...]

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the records of one class."""
        return [record for record in self.records if isinstance(record, kind)]


def select(runs: Sequence[Run]) -> Selection:
    """Put together what is comparable with the newest run: same machine, settings and versions.

    Args:
        runs: oldest first; at least one.
    """
    alike: list[Run] = []
    workers: dict[str, Worker] = {}
    for run in reversed(runs):
        known = all(workers.get(worker.backend, worker) == worker for worker in run.header.workers)
        if known and _conditions(run) == _conditions(runs[-1]):
            alike.insert(0, run)
            workers |= {worker.backend: worker for worker in run.header.workers}
    chosen: dict[tuple[str, str], list[Record]] = {}
    for run in alike:
        of_run = defaultdict(list)
        for record in run.records:
            of_run[_place(record)].append(record)
        chosen |= of_run
    records = tuple(record for group in chosen.values() for record in group)
    return Selection(tuple(alike), records, tuple(run for run in runs if run not in alike))


def _conditions(run: Run) -> tuple[Any, ...]:
    header = run.header
    return header.machine, header.sweep.settings, header.sweep.device, header.sweep.variant


def _place(record: Record) -> tuple[str, str]:
    """Name what a record is about; a newer run's replaces an older one's."""
    match record:
        case Baseline():
            return "baseline", f"{record.name} {record.length}"
        case Failure():
            return record.trial, record.cell.model_dump_json()
    return record.kind, record.cell.model_dump_json()


def overview_table(chosen: Selection) -> Table:
    """Tabulate how fast each backend is beside what was learned."""
    speeds, trained = _by_cell(chosen.of(Speed)), chosen.of(Accuracy)
    rows: dict[tuple[str, int], Row] = {}
    for cell, trials in sorted(speeds, key=lambda pair: (pair[0].length, pair[0].model, pair[0].backend)):
        row = rows.setdefault((cell.model, cell.length), {"model": cell.model, "length": cell.length})
        row[f"{cell.backend} ms"] = 1e3 * epoch_time(undisturbed(trials)).median_s
    for (model, length), row in rows.items():
        alike = [trial for trial in trained if (trial.cell.model, trial.cell.length) == (model, length)]
        if alike:
            row["test mse"] = float(np.mean([trial.test.mse for trial in alike]))
            row["exact sums %"] = 100 * float(np.mean([trial.test.exact_sum_rate for trial in alike]))
    sizes = {f"{trial.rows_per_epoch:,} sequences in {trial.steps_per_epoch} steps" for trial in chosen.of(Speed)}
    notes = (
        f"Milliseconds of a steady epoch, {' or '.join(sorted(sizes))}: medians. "
        f"Errors on the test rows: means over all backends and {_seeds(chosen)} each.",
    )
    return Table("Overview", pd.DataFrame(list(rows.values())), notes)


def speed_table(chosen: Selection) -> Table:
    """Tabulate steady epochs."""

    def row(trials: list[Speed]) -> Row:
        kept = undisturbed(trials)
        time = epoch_time(kept)
        steps, rows = kept[0].steps_per_epoch, kept[0].rows_per_epoch
        return {
            "epoch ms": 1e3 * time.median_s,
            "25 % ms": 1e3 * time.quarter_s,
            "75 % ms": 1e3 * time.three_quarters_s,
            "steps per s": steps / time.median_s,
            "sequences per s": rows / time.median_s,
            "timesteps per s": rows * kept[0].cell.length / time.median_s,
        }

    trials = chosen.of(Speed)
    threads = chosen.runs[-1].header.sweep.timing.threads
    notes = [
        "Steady epochs inside one fit, without validation: median of the processes' medians, and quartiles of "
        "all epochs.",
        "Each worker has one core and one thread."
        if threads == "one"
        else "Threads and cores as the frameworks choose.",
        f"{len(trials)} trials, {sum(trial.disturbed for trial in trials)} disturbed by other processes. Fresh "
        "processes of one cell differ by more than its quartiles show.",
    ]
    return Table("Speed", _frame(chosen, "speed", trials, row), (*notes, *_without_figures(chosen, "speed")))


def start_table(chosen: Selection) -> Table:
    """Tabulate what starting costs, validation and memory."""

    def row(trials: list[Speed]) -> Row:
        kept = undisturbed(trials)
        figures: Row = {
            "process start s": median(trial.process_start_s for trial in kept),
            "import s": median(trial.import_s for trial in kept),
            "build s": median(trial.build_s for trial in kept),
            "first epoch s": median(trial.epochs_s[0] for trial in kept),
            "validation ms": median(1e3 * np.median(trial.validation_s[1:]) for trial in kept),
            "memory MiB": median(trial.peak_rss_bytes / 2**20 for trial in kept),
        }
        if any(trial.peak_device_bytes for trial in kept):
            figures["GPU memory MiB"] = median((trial.peak_device_bytes or 0) / 2**20 for trial in kept)
        return figures

    notes = (
        "Medians of fresh processes. The first epoch contains tracing and compilation. Validation: one call of "
        "evaluate, the compiling one left out.",
        *_without_figures(chosen, "speed"),
    )
    return Table("Start, validation and memory", _frame(chosen, "speed", chosen.of(Speed), row), notes)


def accuracy_table(chosen: Selection) -> Table:
    """Tabulate accuracy over seeds, with what models without recurrence get."""

    def row(trials: list[Accuracy]) -> Row:
        val_mse = [trial.val_loss[-1] for trial in trials]
        return {
            "val mse": float(np.mean(val_mse)),
            "best": min(val_mse),
            "worst": max(val_mse),
            "test mse": float(np.mean([trial.test.mse for trial in trials])),
            "mean abs. error": float(np.mean([trial.test.mae for trial in trials])),
            "exact sums %": 100 * float(np.mean([trial.test.exact_sum_rate for trial in trials])),
            "stop epoch": float(np.mean([trial.epochs for trial in trials])),
        }

    frame = _frame(chosen, "accuracy", chosen.of(Accuracy), row)
    baselines = [
        {
            "model": "linear fit" if baseline.name == "linear_regression" else baseline.name,
            "length": baseline.length,
            "backend": "none",
            "test mse": baseline.test.mse,
            "mean abs. error": baseline.test.mae,
            "exact sums %": 100 * baseline.test.exact_sum_rate,
        }
        for baseline in chosen.of(Baseline)
    ]
    if baselines and not frame.empty:
        rows = pd.concat([frame, pd.DataFrame(baselines)], ignore_index=True)
        frame = rows.sort_values("length", kind="stable", ignore_index=True)
    patience = chosen.runs[-1].header.sweep.training.patience
    stop = (
        "Training never stops early"
        if patience < 0
        else f"Training stops {'at the first epoch' if patience < 2 else f'after {patience} epochs'} without a better"
        " val mse"
    )
    notes = (
        f"Means over {_seeds(chosen)}; of val mse also the best and the worst one. A seed is the same start and the "
        "same batches on every backend.",
        f"{stop}; the weights are those of the last epoch.",
        "The linear fit (linear regression on the padded digits) solves the task: a sum is linear in the digits. "
        "What is measured is what a recurrent model keeps of its past.",
        *_without_figures(chosen, "accuracy"),
    )
    return Table("Accuracy", frame, notes)


def _seeds(chosen: Selection) -> str:
    """Count the seeds of a cell, from the fewest to the most."""
    counts = {len(trials) for _, trials in _by_cell(chosen.of(Accuracy))} or {0}
    few, many = min(counts), max(counts)
    return f"{few} seed{'' if few == 1 else 's'}" if few == many else f"{few} to {many} seeds"


def lengths_table(chosen: Selection) -> Table:
    """Tabulate test errors by the true length of the rows."""
    rows = []
    for cell, trials in _by_cell(chosen.of(Accuracy)):
        for length in sorted({length for trial in trials for length in trial.test_by_length}):
            errors = [trial.test_by_length[length] for trial in trials if length in trial.test_by_length]
            rows.append(
                _axes(cell)
                | {
                    "true length": length,
                    "test rows": errors[0].rows,
                    "test mse": float(np.mean([error.mse for error in errors])),
                    "exact sums %": 100 * float(np.mean([error.exact_sum_rate for error in errors])),
                }
            )
    frame = pd.DataFrame(rows)
    if not frame.empty:
        frame = frame.sort_values(["length", "model", "backend"], kind="stable", ignore_index=True)
    return Table("Accuracy by true length", frame, ("Means over seeds.",))


def predictions_table(chosen: Selection) -> Table:
    """Tabulate the outputs for the first six test rows beside their sums, lowest seed only."""
    rows = []
    for cell, trials in _by_cell(chosen.of(Accuracy)):
        first = min(trials, key=lambda trial: trial.seed)
        outputs = {f"row {place}": value for place, value in enumerate(first.predictions, 1)}
        rows.append(_axes(cell) | outputs)
        rows.append(_axes(cell) | {"backend": "true sum"} | {f"row {n}": s for n, s in enumerate(first.sums, 1)})
    frame = pd.DataFrame(rows).drop_duplicates(ignore_index=True)
    if not frame.empty:
        frame["true"] = frame["backend"] == "true sum"
        frame = frame.sort_values(["length", "model", "true"], kind="stable").drop(columns="true")
    return Table("Predictions of the first six test rows", frame.reset_index(drop=True), ("Lowest seed.",))


def failures_table(chosen: Selection) -> Table:
    """Tabulate the trials that left no numbers."""
    rows = [
        _axes(failure.cell) | {"trial": failure.trial, "phase": failure.phase, "reason": failure.reason}
        for failure in chosen.of(Failure)
    ]
    return Table("Failures", pd.DataFrame(rows))


TABLES: dict[str, Callable[[Selection], Table]] = {
    "overview": overview_table,
    "speed": speed_table,
    "start": start_table,
    "accuracy": accuracy_table,
    "lengths": lengths_table,
    "predictions": predictions_table,
    "failures": failures_table,
}


def _frame(chosen: Selection, kind: str, trials: list[Any], row: Callable[[list[Any]], Row]) -> pd.DataFrame:
    """Make one row of figures for each cell; that of a cell whose every trial failed is empty."""
    rows = {str(cell): _axes(cell) | row(of_cell) for cell, of_cell in _by_cell(trials)}
    for failure in chosen.of(Failure):
        if failure.trial == kind:
            rows.setdefault(str(failure.cell), _axes(failure.cell))
    frame = pd.DataFrame(list(rows.values()))
    if frame.empty:
        return frame
    return frame.sort_values(["length", "model", "backend"], kind="stable", ignore_index=True)


def _without_figures(chosen: Selection, kind: str) -> tuple[str, ...]:
    """Name the cells that were tried and have nothing to show."""
    measured = {str(record.cell) for record in chosen.of(Speed if kind == "speed" else Accuracy)}
    lost = {str(failure.cell) for failure in chosen.of(Failure) if failure.trial == kind} - measured
    return (f"Without figures, see Failures: {', '.join(sorted(lost))}.",) if lost else ()


def _by_cell(trials: Iterable[Any]) -> list[tuple[Cell, list[Any]]]:
    cells: dict[str, list[Any]] = defaultdict(list)
    for trial in trials:
        cells[trial.cell.model_dump_json()].append(trial)
    return [(of_cell[0].cell, of_cell) for of_cell in cells.values()]


def _axes(cell: Cell) -> Row:
    return {"model": cell.model, "length": cell.length, "backend": cell.backend}


def provenance(chosen: Selection) -> list[str]:
    """Say in a few lines where the figures are from, and what is doubtful about it."""
    header, runs = chosen.runs[-1].header, chosen.runs
    machine, workers = (
        header.machine,
        {worker.backend: worker for run in runs for worker in run.header.workers},
    )
    versions = sorted({f"{name} {version}" for worker in workers.values() for name, version in _named(worker)})
    lines = [
        f"{header.sweep.device}: {machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB, "
        f"{machine.system}",
        ", ".join([*versions, f"seqsum {header.seqsum_version} ({header.commit})"]),
        f"runs: {', '.join(run.header.run for run in runs)}",
    ]
    if (busiest := max(run.header.load_average for run in runs)) > 0.5:
        lines.append(f"The machine was busy when a run began: load {busiest:g} in the minute before.")
    if chosen.left_out:
        lines.append(f"Left out, since measured elsewhere or otherwise: {len(chosen.left_out)} older run(s).")
    return lines


def _named(worker: Any) -> list[tuple[str, str]]:
    return [(name, worker.versions[name]) for name in ("keras", worker.backend) if name in worker.versions]
