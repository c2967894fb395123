"""Store: one folder a run, nothing measured is lost, and what cannot be read is named."""

import errno
import gzip
import json
import os
from io import FileIO
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from factories import make_accuracy, make_baseline, make_failure, make_header, make_speed
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.errors import UserError
from bench.records import store
from bench.records.checksums import seal
from bench.records.schema import PROTOCOL_VERSION, SCHEMA_VERSION, Record, Resumed
from bench.records.store import (
    HEADER,
    PACKED_TRIALS,
    TRIALS,
    RunWriter,
    check_writable,
    load_run,
    load_runs,
    new_run_name,
    reopen_run,
    start_run,
)
from bench.records.verify import verify_run

RECORDS: list[Record] = [make_speed(), make_accuracy(), make_baseline(), make_failure()]


def write_run(results: Path, run: str = "2030-01-01T00-00-00-test", records: list[Record] = RECORDS) -> RunWriter:
    writer = start_run(results, make_header(run))
    for record in records:
        writer.append(record)
    writer.close()
    return writer


def write_lines(folder: Path, records: list[Record]) -> None:
    """Write records as a run of this schema does, whatever they are."""
    writer = RunWriter(folder)
    for record in records:
        writer.append(record)
    writer.close()


def change_header(folder: Path, **fields: object) -> None:
    header = json.loads((folder / HEADER).read_text("utf-8"))
    (folder / HEADER).write_text(json.dumps(header | fields), "utf-8")


def test_a_run_is_read_back_equal(tmp_path: Path) -> None:
    writer = write_run(tmp_path)
    run = load_run(writer.folder)
    assert run.header == make_header()
    assert run.records == tuple(RECORDS) == tuple(writer.records)
    assert run.problems == ()


def test_a_record_is_on_the_disk_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    writer = start_run(tmp_path, make_header())
    for number, record in enumerate(RECORDS, 1):
        writer.append(record)
        assert load_run(writer.folder).records == tuple(RECORDS[:number])


def test_a_record_is_whole_when_the_disk_is_told_to_keep_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced_bytes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced_bytes.append(os.fstat(file).st_size))
    writer = start_run(tmp_path, make_header())
    synced_bytes.clear()
    writer.append(make_speed())
    assert synced_bytes == [(writer.folder / TRIALS).stat().st_size]


def test_a_run_without_a_record_can_be_read(tmp_path: Path) -> None:
    assert load_run(start_run(tmp_path, make_header()).folder).records == ()


def test_the_folder_holds_nothing_but_the_two_files(tmp_path: Path) -> None:
    folder = write_run(tmp_path).folder
    assert sorted(path.name for path in folder.iterdir()) == sorted([HEADER, TRIALS])


def test_an_existing_run_is_not_overwritten(tmp_path: Path) -> None:
    folder = write_run(tmp_path).folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match=r"2030-01-01T00-00-00-test: cannot be made \(File exists\)"):
        start_run(tmp_path, make_header(command="another"))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def pack(folder: Path) -> Path:
    packed = folder / PACKED_TRIALS
    packed.write_bytes(gzip.compress((folder / TRIALS).read_bytes(), mtime=0))
    (folder / TRIALS).unlink()
    return packed


def test_a_packed_run_is_read_back_equal(tmp_path: Path) -> None:
    writer = write_run(tmp_path)
    pack(writer.folder)
    assert load_run(writer.folder).records == tuple(writer.records)


def test_a_packed_run_that_was_cut_or_damaged_is_named(tmp_path: Path) -> None:
    packed = pack(write_run(tmp_path).folder)
    whole = packed.read_bytes()
    damaged = whole[:40] + bytes(byte ^ 0xFF for byte in whole[40:80]) + whole[80:]
    for content in (whole[:-30], b"no gzip", damaged):
        packed.write_bytes(content)
        run = load_run(packed.parent)
        assert run.problems and run.problems[-1].startswith(f"{packed}")
        assert all(record in RECORDS for record in run.records)


def test_a_last_line_that_was_cut_is_named_and_left_out(tmp_path: Path) -> None:
    trials = write_run(tmp_path).folder / TRIALS
    trials.write_bytes(trials.read_bytes()[:-20])
    run = load_run(trials.parent)
    assert run.records == tuple(RECORDS[:-1])
    (problem,) = run.problems
    assert problem.startswith(f"{trials}, line 4: left out: ")


def test_a_damaged_line_in_the_middle_is_named_and_left_out(tmp_path: Path) -> None:
    trials = write_run(tmp_path).folder / TRIALS
    lines = trials.read_bytes().splitlines(keepends=True)
    trials.write_bytes(b"".join([lines[0], b'{"kind": "speed", \xff\n', *lines[2:]]))
    run = load_run(trials.parent)
    assert run.records == (RECORDS[0], *RECORDS[2:])
    (problem,) = run.problems
    assert problem.startswith(f"{trials}, line 2: left out: ")


def test_a_problem_says_what_is_wrong_without_stray_punctuation(tmp_path: Path) -> None:
    trials = write_run(tmp_path).folder / TRIALS
    trials.write_bytes(trials.read_bytes()[:-20])
    (problem,) = load_run(trials.parent).problems
    assert problem.endswith("left out: cut, or no record: it does not end in its checksum")


def test_a_line_with_an_unknown_field_is_named(tmp_path: Path) -> None:
    trials = write_run(tmp_path, records=[]).folder / TRIALS
    line, _ = seal(make_speed().model_dump_json().replace('"import_s"', '"import_ms"'), after="0" * 16)
    trials.write_bytes(line)
    (problem,) = load_run(trials.parent).problems
    assert "line 1" in problem and "import_" in problem


@pytest.fixture(scope="session")
def fresh_folders(tmp_path_factory: pytest.TempPathFactory) -> "FreshFolders":
    return FreshFolders(tmp_path_factory.mktemp("runs"))


class FreshFolders:
    """Folders of runs whose records are there already, one for each example."""

    def __init__(self, results: Path) -> None:
        self._results, self._numbers = results, count()

    def next(self) -> Path:
        return write_run(self._results, f"run-{next(self._numbers)}").folder


@pytest.mark.parsers
@settings(deadline=None)  # a busy machine is no failure
@given(junk=st.binary() | st.text(st.characters(codec="utf-8")).map(str.encode))
@example(junk=b"\n")
@example(junk=b"\xff\xfe\x00")
@example(junk=b"null")
@example(junk=b'{"kind": "speed"}')
@example(junk=b"[" * 100_000)
@example(junk=b"9" * 10_000)
@example(junk=b'{"kind": "\\ud800"}')
def test_bytes_behind_the_records_never_lose_them(fresh_folders: "FreshFolders", junk: bytes) -> None:
    folder = fresh_folders.next()
    with (folder / TRIALS).open("ab") as lines:
        lines.write(junk)
    run = load_run(folder)
    assert run.records == tuple(RECORDS)
    assert len(run.problems) == junk.count(b"\n") + bool(junk and not junk.endswith(b"\n"))
    assert all("\n" not in problem for problem in run.problems)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("schema_version", f"schema {SCHEMA_VERSION + 1}, protocol {PROTOCOL_VERSION}"),
        ("protocol_version", f"schema {SCHEMA_VERSION}, protocol {PROTOCOL_VERSION + 1}"),
    ],
)
def test_another_version_is_refused_with_the_version_that_wrote_it(tmp_path: Path, field: str, said: str) -> None:
    folder = write_run(tmp_path).folder
    newer = {"schema_version": SCHEMA_VERSION, "protocol_version": PROTOCOL_VERSION}[field] + 1
    change_header(folder, seqsum_version="9.9.9", **{field: newer})
    with pytest.raises(UserError, match=rf"{said}; this seqsum reads .*\. Use the version that wrote it, 9\.9\.9\."):
        load_run(folder)


def test_a_header_with_unknown_fields_is_refused_as_another_version(tmp_path: Path) -> None:
    folder = write_run(tmp_path).folder
    change_header(folder, schema_version=SCHEMA_VERSION + 1, colour="red")
    with pytest.raises(UserError, match="another version"):
        load_run(folder)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"schema_version": 2}',
        b'{"schema_version": 2, "sweep": 3}',
        b"[" * 100_000,
    ],
    ids=range(8),
)
def test_a_damaged_header_is_refused(tmp_path: Path, header: bytes) -> None:
    folder = write_run(tmp_path).folder
    (folder / HEADER).write_bytes(header)
    with pytest.raises(UserError, match="damaged or of another version"):
        load_run(folder)


def test_a_folder_that_holds_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a run \(run\.json: No such file or directory\)"):
        load_run(tmp_path)


def test_runs_come_oldest_first(tmp_path: Path) -> None:
    for day in (3, 1, 2):
        write_run(tmp_path, f"2030-01-0{day}T00-00-00-test")
    runs, problems = load_runs(tmp_path)
    assert [run.header.run[:10] for run in runs] == ["2030-01-01", "2030-01-02", "2030-01-03"]
    assert problems == []


def test_one_unreadable_run_does_not_hide_the_others(tmp_path: Path) -> None:
    damaged = write_run(tmp_path, "2030-01-01T00-00-00-damaged").folder
    (damaged / HEADER).write_text("{", "utf-8")
    write_run(tmp_path, "2030-01-02T00-00-00-whole")
    runs, (problem,) = load_runs(tmp_path)
    assert [run.header.run for run in runs] == ["2030-01-02T00-00-00-whole"]
    assert str(damaged) in problem


def test_a_results_folder_that_is_missing_or_empty_says_how_to_begin(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=r"Measure first: seqsum run$"):
            load_runs(folder)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_results_folder_that_cannot_be_written_is_a_users_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    with pytest.raises(UserError, match=r"^`--results` must be a folder that can be written\. Received: "):
        check_writable(tmp_path / place)
    with pytest.raises(UserError, match=r"cannot be made .* Name another --results\.$"):
        start_run(tmp_path / place, make_header())
    assert (tmp_path / "file").read_text("utf-8") == "in the way"


def test_a_writable_results_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "results")
    assert list((tmp_path / "new" / "results").iterdir()) == []


def test_a_disk_that_refuses_a_record_is_a_users_error(tmp_path: Path) -> None:
    writer = write_run(tmp_path)
    kept = tuple(writer.records)
    (writer.folder / TRIALS).rename(writer.folder / "earlier.jsonl")
    (writer.folder / TRIALS).mkdir()
    said = r"cannot write a record \(Is a directory\)\. Earlier ones are kept; .*: seqsum run --resume "
    with pytest.raises(UserError, match=said):
        writer.append(make_speed())
    assert tuple(writer.records) == kept


@pytest.mark.parametrize("free", [0, 1, 100, 10_000])
def test_a_disk_that_is_full_cuts_nothing_and_the_run_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    """The disk takes only so many bytes of a record, then says that it is full."""
    writer = write_run(tmp_path)
    room = [free]

    class FullDisk(FileIO):
        def write(self, text: Any) -> int:
            if not room[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            taken = super().write(bytes(text)[: room[0]])
            room[0] -= taken
            return taken

    before = (writer.folder / TRIALS).read_bytes()
    monkeypatch.setattr(store, "FileIO", FullDisk)
    if free < 10_000:
        with pytest.raises(UserError, match="No space left on device"):
            writer.append(make_speed())
        assert (writer.folder / TRIALS).read_bytes() == before
    room[0] = 10**9
    writer.append(make_speed())
    assert load_run(writer.folder).records == (*RECORDS, make_speed())
    assert verify_run(writer.folder).problems == ()


def test_a_full_disk_leaves_no_half_made_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        start_run(tmp_path, make_header())
    assert list(tmp_path.iterdir()) == []


def test_two_never_write_one_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path).folder
    writer = RunWriter(folder)
    with pytest.raises(UserError, match="another process writes this run"):
        RunWriter(folder)
    writer.close()
    RunWriter(folder).close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.sampled_from(["kind", "cell", "dropped", "x"]), inside),
)


@pytest.mark.parsers
@settings(deadline=None)
@given(fields=st.dictionaries(st.sampled_from(["kind", "cell", "trial", "dropped"]), JSON, min_size=1))
@example(fields={"kind": "resumed", "at": "", "command": "", "load_average": 0.0, "dropped": [1, 2, 99]})
@example(fields={"kind": "speed"})
def test_any_document_in_a_whole_line_is_a_record_or_named(fresh_folders: "FreshFolders", fields: Any) -> None:
    folder = fresh_folders.next()
    with (folder / TRIALS).open("ab") as lines:
        lines.write(seal(json.dumps(fields), after="0" * 16)[0])
    run = load_run(folder)
    assert len(run.problems) + len(run.resumed) == 1 and all("\n" not in problem for problem in run.problems)


@pytest.mark.parsers
@settings(deadline=None)
@given(place=st.integers(0, 10**6), junk=st.binary(max_size=8))
def test_any_change_of_a_header_leaves_a_run_or_a_users_error(
    fresh_folders: "FreshFolders", place: int, junk: bytes
) -> None:
    folder = fresh_folders.next()
    whole = (folder / HEADER).read_bytes()
    place %= len(whole)
    (folder / HEADER).write_bytes(whole[:place] + junk + whole[place + len(junk) :])
    try:
        assert load_run(folder).problems == ()
    except UserError as error:
        assert "\n" not in str(error)


@settings(deadline=None)
@given(keep=st.integers(0, 10**6))
def test_a_run_cut_at_any_byte_goes_on_and_loses_at_most_what_was_cut(fresh_folders: "FreshFolders", keep: int) -> None:
    folder = fresh_folders.next()
    whole = (folder / TRIALS).read_bytes()
    cut = whole[: keep % (len(whole) + 1)]
    (folder / TRIALS).write_bytes(cut)
    writer, run = reopen_run(folder)
    assert run.records == tuple(RECORDS[: cut.count(b"\n")]) == tuple(writer.records) and not run.problems
    writer.append(make_speed())
    writer.close()
    assert load_run(folder).records == (*run.records, make_speed())
    assert verify_run(folder).problems == ()


def test_what_is_measured_again_after_an_interruption_takes_the_place_of_what_was(tmp_path: Path) -> None:
    folder = write_run(tmp_path).folder
    writer, run = reopen_run(folder)
    assert run.lines == (1, 2, 3, 4)
    resumed = Resumed(at="2030-01-02T00:00:00+00:00", command="seqsum run --resume x", load_average=0.5, dropped=(1, 4))
    writer.note(resumed)
    writer.append(make_speed(process=7))
    writer.close()
    again = load_run(folder)
    assert again.records == (*RECORDS[1:3], make_speed(process=7)) and again.resumed == (resumed,)
    assert again.lines == (2, 3, 6)


def test_a_packed_or_an_older_run_cannot_go_on(tmp_path: Path) -> None:
    folder = write_run(tmp_path).folder
    pack(folder)
    with pytest.raises(UserError, match=r"is packed.*gunzip"):
        reopen_run(folder)


@pytest.mark.parametrize("label", ["../../etc", "a/b", "a b", "<script>", "näme"])
def test_a_label_cannot_lead_a_run_out_of_its_folder(label: str) -> None:
    name = new_run_name(label)
    assert make_header(name).run == name and Path(name).name == name and "/" not in name


@pytest.mark.parametrize("run", ["../out", "/abs", "a/b", "", ".", "..", "a\nb"])
def test_a_header_whose_run_leads_elsewhere_is_refused(run: str) -> None:
    with pytest.raises(ValidationError, match="run"):
        make_header(run)


def test_run_names_sort_by_time_and_end_in_their_label() -> None:
    name = new_run_name("smoke")
    assert name.endswith("-smoke")
    assert len(name) == len("2030-01-01T00-00-00-smoke")
    assert name.replace(":", "") == name, "a colon cannot stand in a folder's name everywhere"
