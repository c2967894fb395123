"""Records as tidy pandas frames, for notebooks and for export: one row for each observation, raw figures.

Times are seconds, sizes bytes; the columns say so. docs/reading.md describes every column.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from bench.errors import UserError
from bench.names import choose_name
from bench.plan.cells import Cell
from bench.records.schema import Accuracy, Baseline, Failure, Record
from bench.records.speed import Speed
from bench.records.store import HEADER, Run, load_run, load_runs
from seqsum_core.settings import VariantSettings

Kind = Literal["speed", "accuracy", "failures", "baselines"]
Row = dict[str, Any]

OF_RUN = ("run", "protocol_version", "machine")
OF_CELL = (
    "backend",
    "installation",
    "device",
    "model",
    "length",
    "threads",
    *(field.name for field in fields(VariantSettings)),
)
OF_SPEED = (
    "process",
    "twin",
    "round",
    "median_epoch_s",
    "epochs",
    "warmup_epochs",
    "begun_at_s",
    "disturbed",
    "slowdown",
    "slow_epochs",
    "others_cpu_s",
    "steal_s",
    "involuntary_switches",
    "process_start_s",
    "import_s",
    "build_s",
    "first_epoch_s",
    "validation_s",
    "rows_per_epoch",
    "steps_per_epoch",
    "padding_share",
    "peak_rss_bytes",
    "peak_device_bytes",
    "recurrence",
    "xla",
)
OF_ACCURACY = (
    "seed",
    "patience",
    "epochs",
    "stopped_early",
    "val_mse",
    "test_mse",
    "test_mae",
    "exact_sum_rate",
    "start",
    "way",
)
COLUMNS: dict[Kind, tuple[str, ...]] = {
    "speed": (*OF_RUN, *OF_CELL, *OF_SPEED),
    "accuracy": (*OF_RUN, *OF_CELL, *OF_ACCURACY),
    "failures": (*OF_RUN, *OF_CELL, "trial", "index", "twin", "phase", "fault", "reason", "exit_code"),
    "baselines": (*OF_RUN, "name", "length", "test_mse", "test_mae", "exact_sum_rate"),
}


def load(results: str | Path, *, kind: Kind = "speed") -> pd.DataFrame:
    """Read a folder of runs, or one run, as a frame; warns of lines that could not be read.

    Raises:
        UserError: if there is no run or no such kind.
    """
    choose_name(kind, COLUMNS, "kind")
    folder = Path(results)
    runs, problems = ([load_run(folder)], []) if (folder / HEADER).exists() else load_runs(folder)
    for problem in [*problems, *(problem for run in runs for problem in run.problems)]:
        warnings.warn(problem, stacklevel=3)
    if not runs:
        raise UserError(f"No run in {folder} can be read. Received: {problems[0]}")
    return frame_of(((run, run.records) for run in runs), kind)


def frame_of(runs: Iterable[tuple[Run, Sequence[Record]]], kind: Kind) -> pd.DataFrame:
    """Return records with the runs they are from as a frame of one kind."""
    rows = [_of_run(run) | row for run, records in runs for record in records for row in _ROWS[kind](record)]
    return pd.DataFrame(rows, columns=list(COLUMNS[kind]))


def _of_run(run: Run) -> Row:
    header = run.header
    return {"run": header.run, "protocol_version": header.protocol_version, "machine": header.machine.cpu}


def _of_cell(cell: Cell) -> Row:
    """Return the columns of a cell; what may be a word or a number is a word."""
    return {
        "backend": cell.backend,
        "installation": cell.installation,
        "device": cell.device,
        "model": cell.model,
        "length": cell.length,
        "threads": str(cell.threads),
        **asdict(cell.variant),
        "jit_compile": str(cell.variant.jit_compile),
    }


def _of_speed(record: Record) -> list[Row]:
    """Return a row for each round, of the turn that counts."""
    if not isinstance(record, Speed):
        return []
    of_process = _of_cell(record.cell) | {
        "process": record.process,
        "twin": record.twin,
        "process_start_s": record.process_start_s,
        "import_s": record.import_s,
        "build_s": record.build_s,
        "first_epoch_s": record.first_epoch_s,
        "validation_s": record.steady_validation_s,
        "rows_per_epoch": record.rows_per_epoch,
        "steps_per_epoch": record.steps_per_epoch,
        "padding_share": record.padding_share,
        "peak_rss_bytes": record.peak_rss_bytes,
        "peak_device_bytes": record.peak_device_bytes,
        "recurrence": record.witness.recurrence if record.witness else None,
        "xla": record.witness.xla if record.witness else None,
    }
    return [
        of_process
        | {
            "round": turn.round,
            "median_epoch_s": turn.median_s,
            "epochs": len(turn.steady_s),
            "warmup_epochs": turn.warmup_epochs,
            "begun_at_s": turn.begun_at_s,
            "disturbed": turn.disturbed,
            "slowdown": turn.slowdown,
            "slow_epochs": len(turn.slow_s),
            "others_cpu_s": turn.others_cpu_s,
            "steal_s": turn.steal_s,
            "involuntary_switches": turn.involuntary_switches,
        }
        for turn in record.rounds.values()
    ]


def _of_accuracy(record: Record) -> list[Row]:
    if not isinstance(record, Accuracy):
        return []
    figures = {
        "seed": record.seed,
        "patience": record.patience,
        "epochs": record.epochs,
        "stopped_early": record.stopped_early,
        "val_mse": record.val_loss[-1],
        "start": record.start,
        "way": record.way,
    }
    return [_of_cell(record.cell) | figures | _of_test(record)]


def _of_test(record: Accuracy | Baseline) -> Row:
    test = record.test
    return {"test_mse": test.mse, "test_mae": test.mae, "exact_sum_rate": test.exact_sum_rate}


def _of_failure(record: Record) -> list[Row]:
    if not isinstance(record, Failure):
        return []
    how = {name: getattr(record, name) for name in ("trial", "index", "twin", "phase", "fault", "reason", "exit_code")}
    return [_of_cell(record.cell) | how]


def _of_baseline(record: Record) -> list[Row]:
    if not isinstance(record, Baseline):
        return []
    return [{"name": record.name, "length": record.length} | _of_test(record)]


_ROWS: dict[Kind, Callable[[Record], list[Row]]] = {
    "speed": _of_speed,
    "accuracy": _of_accuracy,
    "failures": _of_failure,
    "baselines": _of_baseline,
}
