"""Upgrades: runs of schema 2, written down here as they were, are read, and never stand beside newer ones."""

import gzip
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from factories import make_accuracy, make_header, make_run, make_speed

from bench.analysis.selection import provenance, select
from bench.output.tables.catalog import TABLES
from bench.output.tables.speed import speed_table, start_table
from bench.plan.timing import Limits
from bench.records.schema import PROTOCOL_VERSION, SCHEMA_VERSION, Accuracy, Failure
from bench.records.speed import Speed
from bench.records.store import HEADER, PACKED_TRIALS, TRIALS, Run, load_run
from bench.records.upgrades import upgrade_header, upgrade_record

RESULTS = Path(__file__).parents[1] / "results"
CELL = {
    "backend": "jax",
    "device": "cpu",
    "model": "lstm",
    "length": 12,
    "variant": {"unroll": False, "jit_compile": "auto", "steps_per_execution": 1},
}
OLD_HEADER: dict[str, Any] = {
    "schema_version": 2,
    "protocol_version": 1,
    "run": "2029-01-01T00-00-00-old",
    "started_at": "2029-01-01T00:00:00+00:00",
    "seqsum_version": "0.1.0",
    "commit": "fef87a4be59e",
    "harness": "seqsum run",
    "profile": "standard",
    "command": "seqsum run",
    "load_average": 0.25,
    "machine": json.loads(make_header().machine.model_dump_json()),
    "sweep": {
        "task": {
            "source": "article",
            "sequences": 2000,
            "min_length": 2,
            "digits": [0, 3],
            "padding": "pre",
            "seed": 14,
            "test_share": 0.1,
            "validation_share": 0.1,
        },
        "network": {"units": 16, "layers": 1, "mask": False},
        "training": {
            "optimizer": "rmsprop",
            "learning_rate": 0.001,
            "batch_size": 100,
            "epochs": 100,
            "patience": [0, 20],
            "replicas": "auto",
        },
        "timing": {
            "processes": 3,
            "warmup_epochs": 2,
            "steady_epochs": 10,
            "steady_s": 2.0,
            "most_epochs": 1000,
            "validations": 6,
            "repeats": 1,
            "threads": "one",
            "limit_s": 600.0,
        },
        "backends": ["jax"],
        "device": "cpu",
        "models": ["lstm"],
        "lengths": [12],
        "seeds": 20,
        "variant": CELL["variant"],
    },
    "workers": [json.loads(worker.model_dump_json()) for worker in make_header().workers],
}
OLD_SPEED: dict[str, Any] = {
    "kind": "speed",
    "cell": CELL,
    "process": 1,
    "process_start_s": 0.15784430503845215,
    "import_s": 3.25,
    "build_s": 0.04,
    "epochs_s": [0.75, 0.06, 0.05, 0.04, 0.03, 0.02],
    "warmup_epochs": 2,
    "validation_s": [0.0067, 0.006, 0.006],
    "steps_per_epoch": 17,
    "rows_per_epoch": 1620,
    "peak_rss_bytes": 612880384,
    "peak_device_bytes": None,
    "others_cpu_s": 0.01,
}
OLD_FAILURE = {"kind": "failure", "trial": "speed", "cell": CELL, "index": 0, "phase": "fit", "reason": "gone"}


def old_header(threads: str = "one") -> dict[str, Any]:
    header = deepcopy(OLD_HEADER)
    header["sweep"]["timing"]["threads"] = threads
    return header


def old_accuracy() -> dict[str, Any]:
    """Return what training left, which differs in nothing but its cell."""
    record: dict[str, Any] = json.loads(make_accuracy().model_dump_json())
    del record["cell"]["threads"]
    return record


def write(folder: Path, header: dict[str, Any], *records: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / HEADER).write_text(json.dumps(header), "utf-8")
    (folder / TRIALS).write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return folder


def read(folder: Path, header: dict[str, Any], *records: dict[str, Any]) -> Run:
    run = load_run(write(folder, header, *records))
    assert run.problems == ()
    return run


def test_an_old_header_says_its_timing_in_new_words(tmp_path: Path) -> None:
    header = read(tmp_path / "old", OLD_HEADER).header
    timing = header.sweep.timing
    assert (header.schema_version, header.protocol_version) == (SCHEMA_VERSION, 1), "the numbers stay what they were"
    assert (timing.processes, timing.rounds, timing.control, timing.precision) == (3, 1, "none", None)
    assert (timing.warmup_epochs, timing.warmup_s, timing.slice_epochs, timing.slice_s) == (2, 0.0, 10, 2.0)
    assert (timing.validations, timing.repeats) == (6, 1)
    assert header.sweep.limits == Limits.all_phases(600.0)
    assert (header.sweep.seeds, header.sweep.training.patience, header.run) == (20, (0, 20), OLD_HEADER["run"])


@pytest.mark.parametrize(("threads", "now"), [("one", 1), ("default", "default")])
def test_threads_of_an_old_run_are_those_of_its_timed_cells(tmp_path: Path, threads: str, now: int | str) -> None:
    run = read(tmp_path / "old", old_header(threads), OLD_SPEED, old_accuracy(), OLD_FAILURE)
    speed, accuracy, failure = run.records
    assert isinstance(speed, Speed) and isinstance(accuracy, Accuracy) and isinstance(failure, Failure)
    assert run.header.sweep.threads == (now,)
    assert speed.cell.threads == failure.cell.threads == now
    assert accuracy.cell.threads == 1, "training was never timed, hence never had more"


def test_an_old_fit_is_a_process_with_one_turn(tmp_path: Path) -> None:
    (speed,) = read(tmp_path / "old", OLD_HEADER, OLD_SPEED).records
    assert isinstance(speed, Speed)
    (turn,) = speed.slices
    assert speed.start_epochs_s == (0.75, 0.06, 0.05) and speed.first_epoch_s == 0.75
    assert turn.epochs_s == turn.steady_s == speed.steady_s == (0.04, 0.03, 0.02)
    assert (turn.round, turn.others_cpu_s, turn.steal_s) == (0, 0.01, 0.0)
    assert (speed.process, speed.twin, speed.witness, speed.import_s) == (1, False, None, 3.25)
    assert speed.median_s == 0.03


def test_other_records_of_an_old_run_are_read_as_they_are(tmp_path: Path) -> None:
    (accuracy,) = read(tmp_path / "old", OLD_HEADER, old_accuracy()).records
    assert accuracy == make_accuracy()


def test_upgrading_leaves_what_it_was_given_alone() -> None:
    header, record = deepcopy(OLD_HEADER), deepcopy(OLD_SPEED)
    upgrade_record(record, 2, upgrade_header(header)["sweep"])
    assert (header, record) == (OLD_HEADER, OLD_SPEED)


def test_a_new_header_passes_unchanged() -> None:
    header = json.loads(make_header().model_dump_json())
    assert upgrade_header(header) == header


def test_tables_can_be_made_of_an_old_run(tmp_path: Path) -> None:
    chosen = select([read(tmp_path / "old", OLD_HEADER, OLD_SPEED, old_accuracy(), OLD_FAILURE)])
    for make in TABLES.values():
        make(chosen)
    assert speed_table(chosen).frame["epoch ms"].tolist() == [30.0]
    assert speed_table(chosen).frame["path"].tolist() == [""]
    assert start_table(chosen).frame["first epoch s"].tolist() == [0.75]


@pytest.mark.parametrize("newest", ["old", "new"])
def test_runs_of_two_protocols_never_stand_in_one_table(tmp_path: Path, newest: str) -> None:
    """Their settings are made equal here, so that nothing but the protocol keeps them apart."""
    old = read(tmp_path / "old", OLD_HEADER, OLD_SPEED)
    new = make_run([make_speed(steady_s=(9.0,))], sweep=old.header.sweep)
    assert (old.header.protocol_version, new.header.protocol_version) == (1, PROTOCOL_VERSION)
    runs = [new, old] if newest == "old" else [old, new]
    selection = select(runs)
    assert selection.runs == (runs[1],) and selection.left_out == (runs[0],)
    assert speed_table(selection).frame["epoch ms"].tolist() == [30.0 if newest == "old" else 9000.0]
    assert any("Left out" in line for line in provenance(selection))


def test_two_runs_of_the_old_protocol_stand_together(tmp_path: Path) -> None:
    other = OLD_SPEED | {"cell": CELL | {"length": 4}}
    runs = [read(tmp_path / "a", OLD_HEADER, OLD_SPEED), read(tmp_path / "b", OLD_HEADER, other)]
    assert speed_table(select(runs)).frame["length"].tolist() == [4, 12]


@pytest.mark.parametrize(
    "line",
    [
        "null",
        "3",
        "[]",
        "{}",
        '{"kind": "speed"}',
        '{"kind": []}',
        '{"kind": "speed", "cell": 3, "epochs_s": 3, "warmup_epochs": "two", "others_cpu_s": 0}',
        json.dumps(OLD_SPEED | {"epochs_s": 3}),
        json.dumps(OLD_SPEED | {"colour": "red"}),
        "[" * 100_000,
        "9" * 10_000,
        '{"kind": "\\ud800"}',
    ],
)
def test_a_damaged_line_of_an_old_run_is_named_and_left_out(tmp_path: Path, line: str) -> None:
    folder = write(tmp_path / "old", OLD_HEADER, OLD_SPEED)
    with (folder / TRIALS).open("a", encoding="utf-8") as lines:
        lines.write(line + "\n")
    run = load_run(folder)
    assert len(run.records) == 1
    (problem,) = run.problems
    assert "line 2: left out: " in problem and "\n" not in problem


def test_a_record_of_the_new_schema_is_no_line_of_an_old_run(tmp_path: Path) -> None:
    folder = write(tmp_path / "old", OLD_HEADER, json.loads(make_speed().model_dump_json()))
    run = load_run(folder)
    assert run.records == () and "line 1: left out" in run.problems[0]


def test_an_old_run_that_is_packed_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "old", OLD_HEADER, OLD_SPEED)
    (folder / PACKED_TRIALS).write_bytes(gzip.compress((folder / TRIALS).read_bytes()))
    (folder / TRIALS).unlink()
    assert len(load_run(folder).records) == 1


PUBLISHED = sorted(path.parent for path in RESULTS.glob(f"*/*/{HEADER}"))


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda path: path.name)
def test_a_published_run_is_read_without_a_problem(folder: Path) -> None:
    run = load_run(folder)
    assert run.problems == () and run.records
    speeds = [record for record in run.records if isinstance(record, Speed)]
    assert all(speed.median_s > 0 and speed.rounds for speed in speeds)
    assert len({(speed.cell, speed.process, speed.twin) for speed in speeds}) == len(speeds), "one record a process"
    assert speed_table(select([run])).frame.empty is not bool(speeds)


def test_reference_study_and_article_are_published() -> None:
    assert {folder.parent.name for folder in PUBLISHED} >= {"reference", "study", "article"}
