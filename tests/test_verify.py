"""Verify: an untouched run holds; an altered byte or a missing trial is reported."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from calling import write_run
from factories import make_accuracy, make_baseline, make_cell, make_header, make_speed, make_sweep
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.records.schema import Record
from bench.records.store import HEADER, PACKED_TRIALS, TRIALS
from bench.records.verify import verify_run

CELL = make_cell(length=4)
SWEEP = make_sweep(
    backends=("jax",), models=("lstm",), lengths=(4,), seeds=1, timing={"processes": 1, "control": "none"}
)
RECORDS: list[Record] = [make_speed(CELL), make_baseline(length=4), make_accuracy(CELL)]


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("verified"), make_header(sweep=SWEEP), RECORDS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path, make_header(sweep=SWEEP), RECORDS)


def test_untouched(folder: Path) -> None:
    verified = verify_run(folder)
    assert verified.holds and str(verified) == "3 records, every checksum is right; complete"
    (folder / PACKED_TRIALS).write_bytes(gzip.compress((folder / TRIALS).read_bytes()))
    (folder / TRIALS).unlink()
    assert verify_run(folder) == verified


def test_unfinished(tmp_path: Path) -> None:
    """It is intact, but does not hold."""
    verified = verify_run(write_run(tmp_path, make_header(sweep=SWEEP), RECORDS[:1]))
    assert verified.problems == () and not verified.holds
    assert str(verified) == "1 record, every checksum is right; 1 trial missing: seqsum run --resume"


@pytest.mark.parametrize("fields", [{"harness": "pytest"}, {"protocol_version": 2}])
def test_plan_of_another_making(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Trials that this version would plan otherwise are not called missing."""
    verified = verify_run(write_run(tmp_path, make_header(sweep=SWEEP, **fields), RECORDS[:1]))
    assert verified.holds and str(verified) == "1 record, every checksum is right; not compared with a plan"


WHOLE: dict[str, bytes] = {}


@settings(deadline=None, max_examples=200)
@given(name=st.sampled_from([HEADER, TRIALS]), place=st.integers(0, 10**6), byte=st.integers(1, 127))
def test_any_altered_byte(results: Path, name: str, place: int, byte: int) -> None:
    """It is reported, of the records and of a header that can still be read."""
    path = results / name
    whole = WHOLE.setdefault(name, path.read_bytes())
    altered = bytearray(whole)
    altered[place % len(altered)] ^= byte
    path.write_bytes(bytes(altered))
    try:
        assert verify_run(results).problems
    except Exception as error:
        assert type(error).__name__ == "UserError" and name == HEADER
    finally:
        path.write_bytes(whole)
