"""Records as tidy pandas frames: a row for each observation, raw figures. The one form in which records are analysed.

Times are seconds and sizes are bytes; the names of the columns say so. docs/reading.md describes every column.

    frames = Frames([load_run(Path("results/2026-11-27T05-47-44-standard"))])
    turns = frames.turns
    turns[turns["counted"] & ~turns["is_control"]].groupby(CELL)["epoch_s"].median()
"""

import warnings
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, fields
from functools import cached_property
from itertools import chain
from math import nan
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

import numpy as np
import pandas as pd

from bench.errors import UserError
from bench.names import choose_name
from bench.plan.cells import Cell
from bench.records.schema import Accuracy, Baseline, Failure, Record, Speed
from bench.records.store import HEADER, Run, load_run, load_runs
from seqsum_core.settings import VariantSettings

RUN = ["run", "protocol_version", "machine"]
"""Where a row is from; the first columns of every frame."""
CELL = ["environment", "device", "model", "length", "threads", "variant"]
"""What identifies a cell; the next columns of every frame but `baselines`."""
SETTINGS = ["backend", *(field.name for field in fields(VariantSettings))]
"""What else is known of a cell: its backend, and what its variant consists of."""
TURNS = [
    *("process", "is_control", "round", "counted", "epoch_s", "epochs", "warmup_epochs", "seconds", "started_after_s"),
    *("disturbed", "others_cpu_s", "steal_s", "involuntary_switches", "device_lag_s", "energy_j", "process_start_s"),
    *("import_s", "build_s", "first_epoch_s", "start_s", "validation_s", "rows_per_epoch", "steps_per_epoch"),
    *("padding_share", "peak_rss_bytes", "peak_device_bytes", "recurrence", "xla", "compilations", "compute_dtype"),
    "python_calls",
]
OF_CELL = [*RUN, *CELL, *SETTINGS]
TRAINING = [*OF_CELL, "seed", "patience"]
FAILURE = ["trial", "index", "is_control", "phase", "fault", "reason", "exit_code"]
TEST = ["test_rows", "test_error", "test_mae", "right_rate", "split_test_error", "split_right_rate"]
SPLIT = ["error", "right_rate"]
KEPT = ["seed", "patience", "stopped_early", "start", "start_hash", "trained_as", "loss_name", "judge"]
GRADIENTS = ["gradient_start_h", "gradient_h", "gradient_start_c", "gradient_c"]

Kind = Literal[
    "turns", "speed", "trainings", "accuracy", "losses", "lengths", "memory", "predictions", "baselines", "failures"
]
KINDS: tuple[str, ...] = get_args(Kind)
COLUMNS: dict[str, list[str]] = {
    "turns": [*OF_CELL, *TURNS],
    "trainings": [
        *TRAINING,
        "epochs",
        "stopped_early",
        "val_loss",
        *TEST,
        "start",
        "start_hash",
        "trained_as",
        "loss_name",
        "judge",
    ],
    "losses": [*TRAINING, "epoch", "loss", "val_loss"],
    "lengths": [*TRAINING, "true_length", "rows", "error", "mae", "right_rate"],
    "memory": [*TRAINING, "steps_back", "rows", "moved", *GRADIENTS],
    "predictions": [*TRAINING, "row", "prediction", "true_value"],
    "baselines": [*RUN, "name", "length", *TEST],
    "failures": [*OF_CELL, *FAILURE],
}
"""Columns of each frame."""
FLAGS = ["is_control", "counted", "disturbed", "stopped_early", "unroll"]
COUNTS = [
    *("protocol_version", "length", "steps_per_execution", "devices", "process", "round", "epochs", "warmup_epochs"),
    *("involuntary_switches", "rows_per_epoch", "steps_per_epoch", "peak_rss_bytes", "seed", "patience", "epoch"),
    *("true_length", "rows", "test_rows", "steps_back", "row", "index"),
]
FIGURES = [
    *("batch_size", "units", "loss", "val_loss", "error", "mae", "moved", "prediction", "true_value", "exit_code"),
    *("compilations", "peak_device_bytes", "energy_j", "padding_share", "seconds", "python_calls"),
]
FIGURES += [*TEST[1:], *GRADIENTS, *(name for name in TURNS if name.endswith("_s"))]
DTYPES = dict.fromkeys(FIGURES, "float64") | dict.fromkeys(COUNTS, "int64") | dict.fromkeys(FLAGS, "bool")
"""Types of columns that are no words; a frame without rows has them, too. What may be unknown is NaN, so a float."""

R = TypeVar("R", Speed, Accuracy, Baseline, Failure)
Columns = dict[str, Any]


class Frames:
    """The frames of some runs; each is made when it is first read, since the longest take most of the time.

    Rows of a run come before those of the next run, and rows of a cell stand together.

    Args:
        runs: oldest first.
        newest_only: keep of each cell and kind of trial the records of the newest run that has any.
    """

    def __init__(self, runs: Iterable[Run], *, newest_only: bool = False) -> None:
        self._runs = tuple(runs)
        groups: dict[tuple[int, str, Hashable], list[Record]] = defaultdict(list)
        for number, run in enumerate(self._runs):
            for record in run.records:
                groups[number, record.kind, _place(record)].append(record)
        if newest_only:
            newest = {place: number for number, _, place in groups}
            groups = {key: records for key, records in groups.items() if newest[key[2]] == key[0]}
        self._groups = groups

    @cached_property
    def turns(self) -> pd.DataFrame:
        """A row for each turn of each process; `counted` marks the turn of its round that counts."""
        records = self._records(Speed)
        turns = list(chain.from_iterable(record.turns for record in records))
        counted = [turn is record.counted_turns[turn.round] for record in records for turn in record.turns]
        process = _stored(
            records,
            *("process", "is_control", "process_start_s", "import_s", "build_s", "start_s", "rows_per_epoch"),
            *("steps_per_epoch", "padding_share", "peak_rss_bytes", "peak_device_bytes", "compute_dtype"),
            "python_calls",
        )
        paths = [record.execution_path for record in records]
        process |= {
            "first_epoch_s": [record.start_epochs_s[0] for record in records],
            "validation_s": [record.steady_validation_s for record in records],
            "recurrence": [path.recurrence if path else None for path in paths],
            "xla": [path.xla if path else None for path in paths],
            "compilations": [path.compilations if path else None for path in paths],
        }
        turn = _stored(
            turns,
            *("round", "epochs_s", "epoch_s", "warmup_epochs", "started_after_s", "disturbed", "others_cpu_s"),
            *("steal_s", "involuntary_switches", "device_lag_s", "energy_j"),
        )
        epochs_s = turn.pop("epochs_s")
        turn |= {
            "counted": counted,
            "epochs": [len(epochs) - warmup for epochs, warmup in zip(epochs_s, turn["warmup_epochs"], strict=True)],
            "seconds": [sum(epochs) for epochs in epochs_s],
        }
        return self._frame("turns", Speed, process, turn, [len(record.turns) for record in records])

    @cached_property
    def trainings(self) -> pd.DataFrame:
        """A row for each training: a cell, a seed and where one patience ends it."""
        records = self._records(Accuracy)
        figures = _stored(records, *KEPT) | _test_columns(records)
        figures["epochs"] = [len(record.loss) for record in records]
        figures["val_loss"] = [record.val_loss[-1] for record in records]
        return self._frame("trainings", Accuracy, figures)

    @cached_property
    def losses(self) -> pd.DataFrame:
        """A row for each epoch of each training."""
        return self._numbered("losses", "epoch", loss="loss", val_loss="val_loss")

    @cached_property
    def lengths(self) -> pd.DataFrame:
        """A row for each true length of the test rows of each training."""
        records = self._records(Accuracy)
        errors = list(chain.from_iterable(record.test_by_length.values() for record in records))
        lengths = {
            "true_length": _flat(record.test_by_length for record in records),
            **_stored(errors, "rows", "error", "mae", "right_rate"),
        }
        counts = [len(record.test_by_length) for record in records]
        return self._frame("lengths", Accuracy, _training(records), lengths, counts)

    @cached_property
    def memory(self) -> pd.DataFrame:
        """A row for each step back in time of each training whose memory was measured."""
        records = self._records(Accuracy)
        memories = [record.memory for record in records if record.memory]
        steps: Columns = {
            name: _flat(getattr(memory, name) for memory in memories) for name in ("steps_back", "rows", "moved")
        }
        for state in "hc":
            for name in ("gradient_start", "gradient"):
                norms = (getattr(memory, name).get(state) or [nan] * len(memory.rows) for memory in memories)
                steps[f"{name}_{state}"] = _flat(norms)
        counts = [len(record.memory.steps_back) if record.memory else 0 for record in records]
        return self._frame("memory", Accuracy, _training(records), steps, counts)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """A row for each of the first test rows of each training."""
        return self._numbered("predictions", "row", prediction="predictions", true_value="targets")

    @cached_property
    def baselines(self) -> pd.DataFrame:
        """A row for each model without recurrence and length."""
        records = self._records(Baseline)
        return self._frame("baselines", Baseline, _stored(records, "name", "length") | _test_columns(records))

    @cached_property
    def failures(self) -> pd.DataFrame:
        """A row for each trial that left no numbers."""
        records = self._records(Failure)
        return self._frame("failures", Failure, _stored(records, *FAILURE))

    def of(self, kind: str) -> pd.DataFrame:
        """Return a frame by its name; "speed" is the turns that count, "accuracy" is another name of trainings.

        Raises:
            UserError: if there is no such kind.
        """
        choose_name(kind, KINDS, "kind")
        if kind == "speed":
            return self.turns[self.turns["counted"]].reset_index(drop=True)
        return cast(pd.DataFrame, getattr(self, "trainings" if kind == "accuracy" else kind))

    def _groups_of(self, kind: type[R]) -> list[tuple[int, list[R]]]:
        """Return the records of each cell, with the number of their run."""
        name = kind.model_fields["kind"].default
        groups = [(key[0], records) for key, records in self._groups.items() if key[1] == name]
        return cast(list[tuple[int, list[R]]], groups)

    def _records(self, kind: type[R]) -> list[R]:
        return [record for _, group in self._groups_of(kind) for record in group]

    def _numbered(self, name: str, number: str, **fields: str) -> pd.DataFrame:
        """Return a row for each value of fields of the trainings, numbered from 1."""
        records = self._records(Accuracy)
        parts = {column: [getattr(record, field) for record in records] for column, field in fields.items()}
        counts = [len(values) for values in next(iter(parts.values()))]
        numbers = {number: _flat(range(1, count + 1) for count in counts)}
        rows = numbers | {column: _flat(values) for column, values in parts.items()}
        return self._frame(name, Accuracy, _training(records), rows, counts)

    def _frame(
        self, name: str, kind: type[R], columns: Columns, inner: Columns | None = None, counts: Sequence[int] = ()
    ) -> pd.DataFrame:
        """Put columns beside those of their run and cell.

        Args:
            name: of the frame.
            kind: of the records.
            columns: a value for each record.
            inner: a value for each part of each record: a turn, an epoch, a length.
            counts: how many parts each record has.
        """
        groups = self._groups_of(kind)
        if not groups:
            types = {column: DTYPES[column] for column in COLUMNS[name] if column in DTYPES}
            return pd.DataFrame(columns=COLUMNS[name]).astype(types)
        rows = pd.DataFrame([self._constants(number, group[0]) for number, group in groups])
        constants = {column: _typed(str(column), rows[column]) for column in rows}
        of_record = np.repeat(np.arange(len(groups)), [len(group) for _, group in groups])
        record = np.arange(len(of_record)) if inner is None else np.repeat(np.arange(len(of_record)), counts)
        whole = {str(column): values.take(of_record[record]) for column, values in constants.items()}
        whole |= {column: _typed(column, values).take(record) for column, values in columns.items()}
        whole |= {column: _typed(column, values) for column, values in (inner or {}).items()}
        return pd.DataFrame({column: whole[column] for column in COLUMNS[name]})

    def _constants(self, number: int, record: Record) -> Columns:
        """Return the columns of a run and a cell."""
        header = self._runs[number].header
        columns = {"run": header.run, "protocol_version": header.protocol_version, "machine": header.machine.cpu}
        return columns if isinstance(record, Baseline) else columns | cell_columns(record.cell)


def cell_columns(cell: Cell) -> Columns:
    """Return the columns of a cell, `CELL` and `SETTINGS`: a word where it may be a word or a number, NaN for None."""
    variant = cell.variant
    columns = {name: getattr(cell, name) for name in CELL} | {"backend": cell.backend} | asdict(variant)
    columns |= {name: str(columns[name]) for name in ("threads", "jit_compile")} | {"variant": str(variant)}
    return columns | {name: nan for name in ("batch_size", "units") if columns[name] is None}


def load(results: str | Path, *, kind: Kind = "turns") -> pd.DataFrame:
    """Read a folder of runs, or one run, as a frame; warns of lines that could not be read.

    Raises:
        UserError: if there is no run or no such kind.
    """
    choose_name(kind, KINDS, "kind")
    folder = Path(results)
    runs, problems = ([load_run(folder)], []) if (folder / HEADER).exists() else load_runs(folder)
    for problem in [*problems, *chain.from_iterable(run.problems for run in runs)]:
        warnings.warn(problem, stacklevel=3)
    if not runs:
        raise UserError(f"No run in {folder} can be read. Received: {problems[0]}")
    return Frames(runs).of(kind)


def _place(record: Record) -> Hashable:
    """Return what a record is about: a kind of trial of a cell, or a baseline."""
    if isinstance(record, Baseline):
        return record.kind, record.name, record.length
    # a model's own hash and == are several times as slow as those of its values
    return record.trial if isinstance(record, Failure) else record.kind, *vars(record.cell).values()


def _training(records: Sequence[Accuracy]) -> Columns:
    return _stored(records, "seed", "patience")


def _test_columns(records: Sequence[Accuracy] | Sequence[Baseline]) -> Columns:
    errors = _stored([record.test for record in records], "rows", "error", "mae", "right_rate")
    of_split = [record.split_test for record in records]
    errors |= {f"split_{name}": [getattr(test, name) if test else nan for test in of_split] for name in SPLIT}
    return dict(zip(TEST, errors.values(), strict=True))


def _stored(things: Sequence[Any], *names: str) -> Columns:
    """Return attributes as columns, read in one pass: most of the time goes into fetching the objects from memory."""
    rows = list(map(attrgetter(*names), things))
    return {name: list(map(itemgetter(place), rows)) for place, name in enumerate(names)}


def _typed(column: str, values: Any) -> Any:
    """Return an array of the type of a column; None becomes NaN."""
    return np.asarray(values, DTYPES[column]) if column in DTYPES else pd.Series(values).array


def _flat(parts: Iterable[Iterable[float]]) -> list[float]:
    return list(chain.from_iterable(parts))
