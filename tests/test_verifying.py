"""Verify: every altered, missing, moved or added byte of a run is found; an untouched run holds."""

import gzip
from pathlib import Path

import pytest
from factories import make_accuracy, make_baseline, make_header, make_speed, make_sweep
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.plan.cells import Cell
from bench.records.schema import Record
from bench.records.store import HEADER, PACKED_TRIALS, TRIALS, start_run
from bench.records.verify import verify_run

CELL = Cell(backend="jax", device="cpu", model="lstm", length=4)
SWEEP = make_sweep(
    backends=("jax",), models=("lstm",), lengths=(4,), seeds=1, timing={"processes": 1, "control": "none"}
)
RECORDS: list[Record] = [
    make_speed(CELL),
    make_baseline(length=4),
    make_accuracy(CELL, patience=SWEEP.training.patiences[0]),
]


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verified")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path)


def write(results: Path, run: str = "2030-01-01T00-00-00-test", records: list[Record] = RECORDS) -> Path:
    writer = start_run(results, make_header(run, sweep=SWEEP))
    for record in records:
        writer.append(record)
    writer.close()
    return writer.folder


def test_an_untouched_run_holds(folder: Path) -> None:
    found = verify_run(folder)
    assert found.holds and str(found) == "3 lines, every checksum is right; complete"


def test_a_packed_run_holds_too(folder: Path) -> None:
    (folder / PACKED_TRIALS).write_bytes(gzip.compress((folder / TRIALS).read_bytes()))
    (folder / TRIALS).unlink()
    assert verify_run(folder).holds


def test_an_unfinished_run_is_intact_but_does_not_hold(tmp_path: Path) -> None:
    found = verify_run(write(tmp_path, records=RECORDS[:1]))
    assert found.problems == () and not found.holds
    assert str(found) == "1 line, every checksum is right; 1 trial missing: seqsum run --resume"


WHOLE: dict[str, bytes] = {}


@settings(deadline=None, max_examples=200)
@given(place=st.integers(0, 10**6), byte=st.integers(1, 255))
def test_any_altered_byte_of_the_records_is_found(results: Path, place: int, byte: int) -> None:
    folder = results / "2030-01-01T00-00-00-test"
    if not WHOLE:
        write(results)
        WHOLE["lines"] = (folder / TRIALS).read_bytes()
    altered = bytearray(WHOLE["lines"])
    altered[place % len(altered)] ^= byte
    (folder / TRIALS).write_bytes(bytes(altered))
    assert verify_run(folder).problems


@pytest.mark.parametrize(("old", "new"), [("Test CPU", "Best CPU"), ('"commit": "0', '"commit": "1'), ("\n}", "\n} ")])
def test_an_altered_header_is_found(folder: Path, old: str, new: str) -> None:
    text = (folder / HEADER).read_text("utf-8")
    assert old in text
    (folder / HEADER).write_text(text.replace(old, new), "utf-8")
    (problem,) = verify_run(folder).problems
    assert "line 1: what stands before it is not what was written there: run.json was altered" in problem


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ([1, 2], "line 1: what stands before it"),
        ([0, 2], "line 2: what stands before it"),
        ([0, 2, 1], "line 2: what stands before it"),
        ([0, 1, 1, 2], "line 3: what stands before it"),
    ],
)
def test_lines_that_are_missing_moved_or_twice_there_are_found(folder: Path, order: list[int], said: str) -> None:
    lines = (folder / TRIALS).read_bytes().splitlines(keepends=True)
    (folder / TRIALS).write_bytes(b"".join(lines[place] for place in order))
    assert said in verify_run(folder).problems[0]


def test_a_record_that_was_cut_off_behind_a_whole_line_is_missing(folder: Path) -> None:
    lines = (folder / TRIALS).read_bytes().splitlines(keepends=True)
    (folder / TRIALS).write_bytes(b"".join(lines[:2]))
    found = verify_run(folder)
    assert found.problems == () and found.missing == 1 and not found.holds


def test_a_line_break_that_was_cut_off_is_found(folder: Path) -> None:
    (folder / TRIALS).write_bytes((folder / TRIALS).read_bytes()[:-1])
    (problem,) = verify_run(folder).problems
    assert problem.endswith("line 3: its end is cut")
