"""Frames of records: a row for each observation; `bench.load` of a folder."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from calling import write_run
from factories import (
    RUN,
    make_accuracy,
    make_baseline,
    make_cell,
    make_errors,
    make_failure,
    make_header,
    make_memory,
    make_run,
    make_speed,
    make_turn,
)

import bench
from bench.errors import UserError
from bench.records.frame import CELL, COLUMNS, KINDS, Frames, Kind, cell_columns
from bench.records.schema import Record

PROJECT = Path(__file__).parent.parent
VARIANT = make_cell("torch@old", threads="default", batch_size=20, jit_compile=False)


def frames(*records: Record, **fields: Any) -> Frames:
    return Frames([make_run(records, **fields)])


def test_turns() -> None:
    """A row for each turn, with the columns of its run, cell and process; the disturbed one does not count."""
    turns = [make_turn((0.02, 0.04)), make_turn((0.06,), number=1, others_cpu_s=9.0), make_turn((0.08,), number=1)]
    frame = frames(make_speed(VARIANT, process=3, turns=turns), make_speed(is_control=True)).turns
    assert frame["epoch_s"].tolist() == pytest.approx([0.03, 0.06, 0.08, 0.01])
    assert frame[["round", "counted", "disturbed", "epochs", "warmup_epochs"]].values.tolist() == [
        [0, True, False, 2, 1],
        [1, False, True, 1, 1],
        [1, True, False, 1, 1],
        [0, True, False, 3, 1],
    ]
    assert frame["seconds"].tolist() == pytest.approx([0.56, 0.56, 0.58, 0.53])
    assert frame["process"].tolist() == [3, 3, 3, 0] and frame["is_control"].tolist() == [False, False, False, True]
    assert frame[[*CELL, "backend", "jit_compile", "batch_size"]].values.tolist()[0] == [
        *("torch@old", "cpu", "lstm", 12, "default", "jit_compile false, batch_size 20", "torch", "False", 20)
    ]
    assert frame[["run", "protocol_version", "machine"]].values.tolist()[3] == [RUN, 3, "Test CPU"]
    assert (frame["start_s"] == 4.3).all() and (frame["validation_s"] == 0.003).all()


def test_not_known() -> None:
    """It is NaN, in converted records and where there is no GPU."""
    speed = make_speed(process_start_s=None, execution_path=None, padding_share=None, turns=[make_turn(())])
    unknown = ["process_start_s", "padding_share", "peak_device_bytes", "recurrence", "xla", "compilations"]
    unknown += ["device_lag_s", "energy_j", "epoch_s", "batch_size", "units", "mask"]
    assert frames(speed).turns[unknown].isna().all().all()


def test_trainings() -> None:
    """Long frames repeat the columns of a training for each epoch, length, step and row."""
    training = make_accuracy(seed=4, patience=20, val_loss=(2.0, 1.0, 0.5), test=make_errors(0.7))
    whole = frames(training, make_accuracy(seed=5, memory=None))
    columns = ["seed", "patience", "epochs", "val_loss", "test_error", "stopped_early", "trained_as"]
    assert whole.trainings[columns].values.tolist() == [
        [4, 20, 3, 0.5, 0.7, True, "replica"],
        [5, 0, 2, 1.0, 0.5, True, "replica"],
    ]
    assert whole.losses[["seed", "epoch", "loss", "val_loss"]].values.tolist() == [
        *([4, 1, 4, 2], [4, 2, 2, 1], [4, 3, 1, 0.5], [5, 1, 4, 2], [5, 2, 2, 1])
    ]
    assert whole.lengths[["seed", "true_length", "rows", "error"]].values.tolist() == [
        *([4, 2, 90, 0.25], [4, 12, 110, 0.75], [5, 2, 90, 0.25], [5, 12, 110, 0.75])
    ]
    assert whole.predictions[["seed", "row", "prediction", "true_value"]].values.tolist()[:2] == [
        *([4, 1, 3.7, 4], [4, 2, -0.09, 0])
    ]


def test_memory() -> None:
    """A SimpleRNN has no state c; a model of the user's has no memory at all."""
    lstm = make_memory((1.0, 0.5), gradient={"h": (1.0, 0.5), "c": (3.0, 2.0)})
    frame = frames(make_accuracy(memory=lstm), make_accuracy(memory=None), make_accuracy(seed=2)).memory
    assert frame["seed"].tolist() == [0, 0, 2, 2, 2] and frame["steps_back"].tolist() == [0, 1, 0, 1, 2]
    np.testing.assert_array_equal(frame["gradient_c"], [3.0, 2.0, np.nan, np.nan, np.nan])
    assert frame["gradient_start_c"].isna().all() and frame["gradient_h"].tolist() == [1.0, 0.5, 1.0, 0.5, 0.25]


def test_failures_and_baselines() -> None:
    whole = frames(make_failure(VARIANT, trial="accuracy", reason="gone", exit_code=None), make_baseline())
    (failure,) = whole.failures.to_dict("records")
    assert {name: failure[name] for name in CELL} == {name: cell_columns(VARIANT)[name] for name in CELL}
    assert (failure["trial"], failure["reason"]) == ("accuracy", "gone") and np.isnan(failure["exit_code"])
    assert whole.baselines[["name", "length", "test_error"]].values.tolist() == [["mean", 12, 9.0]]


RECORDS: list[Record] = [make_speed(rounds=3), make_accuracy(), make_baseline(), make_failure()]


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns(kind: Kind) -> None:
    """They are the same, of the same types, in a frame without rows; docs/reading.md has each of them."""
    full, empty = frames(*RECORDS).of(kind), Frames([]).of(kind)
    assert list(full.columns) == list(empty.columns) == list(COLUMNS[kind]) and isinstance(full.index, pd.RangeIndex)
    numeric = full.select_dtypes(["number"]).dtypes
    assert empty.dtypes[numeric.index].equals(numeric) and len(full) and not len(empty)
    text = (PROJECT / "docs" / "reading.md").read_text("utf-8")
    assert not [name for name in COLUMNS[kind] if f"`{name}`" not in text]


def test_newest_only() -> None:
    """Of each cell and kind of trial the newest run that has any; a failure is a trial, too."""
    torch, gru = make_cell("torch"), make_cell(model="gru")
    old = make_run([make_speed(), make_speed(torch), make_accuracy(), make_speed(gru)], "old")
    new = make_run([make_speed(process=7), make_failure(torch), make_failure(gru, trial="accuracy")], "new")
    whole = Frames([old, new], newest_only=True)
    assert whole.turns[["run", "environment", "model"]].values.tolist() == [
        *(["old", "jax", "gru"], ["new", "jax", "lstm"])
    ]
    assert whole.trainings["run"].tolist() == ["old"] and len(whole.failures) == 2
    assert len(Frames([old, new]).turns) == 4


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_run(tmp_path, make_header(), RECORDS)
    return tmp_path


def test_load(results: Path) -> None:
    """A folder of runs or one of them; "speed" is the turns that count, "accuracy" the trainings."""
    assert bench.load(results).equals(frames(*RECORDS).turns)
    assert bench.load(str(results / RUN), kind="speed").equals(bench.load(results))
    assert bench.load(results, kind="accuracy").equals(frames(*RECORDS).trainings)
    assert all(len(bench.load(results, kind=kind)) for kind in KINDS)  # type: ignore[arg-type]


def test_load_errors(results: Path) -> None:
    with pytest.raises(UserError, match=r"`kind` must be one of turns, .* Did you mean turns\?"):
        bench.load(results, kind="turn")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="Measure first"):
        bench.load(results / "absent")
    with (results / RUN / "trials.jsonl").open("a") as lines:
        lines.write('{"kind": "speed"\n')
    with pytest.warns(UserWarning, match="line 5: left out"):
        assert len(bench.load(results)) == 3


def test_example_of_the_documents(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first example of docs/reading.md runs."""
    text = (PROJECT / "docs" / "reading.md").read_text("utf-8")
    example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    load = bench.load
    monkeypatch.setattr(bench, "load", lambda *_, **options: load(results, **options))
    exec(example, {})
