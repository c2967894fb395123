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
from calling import write_run
from factories import RUN, make_accuracy, make_baseline, make_failure, make_header, make_speed
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.errors import UserError
from bench.records import store
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
    seal,
    start_run,
    unseal,
)
from bench.records.verify import verify_run

RECORDS: list[Record] = [make_speed(), make_accuracy(), make_baseline(), make_failure()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path, make_header(), RECORDS)


class FreshFolders:
    """Folders of runs with the same records, one for each example of a property."""

    def __init__(self, results: Path) -> None:
        self._results, self._numbers = results, count()

    def next(self) -> Path:
        return write_run(self._results / str(next(self._numbers)), make_header(), RECORDS)


@pytest.fixture(scope="session")
def fresh_folders(tmp_path_factory: pytest.TempPathFactory) -> FreshFolders:
    return FreshFolders(tmp_path_factory.mktemp("runs"))


def pack(folder: Path) -> Path:
    packed = folder / PACKED_TRIALS
    packed.write_bytes(gzip.compress((folder / TRIALS).read_bytes(), mtime=0))
    (folder / TRIALS).unlink()
    return packed


def change_header(folder: Path, **fields: object) -> None:
    header = json.loads((folder / HEADER).read_text("utf-8"))
    (folder / HEADER).write_text(json.dumps(header | fields), "utf-8")


@given(
    document=st.dictionaries(st.text(), st.integers() | st.text(), min_size=1).map(json.dumps),
    number=st.integers(1, 10**6),
    place=st.integers(0),
    byte=st.integers(1, 255),
)
def test_line(document: str, number: int, place: int, byte: int) -> None:
    """A line holds the document, its number and a checksum; no byte changes unnoticed, and none is of another run."""
    line = seal(document, number, "a")
    assert unseal(line, "a") == (document.encode(), number) and line.count(b"\n") == 1
    assert json.loads(line) == {**json.loads(document), "line": number, "sum": line[-19:-3].decode()}
    altered = bytearray(line)
    altered[place % len(line)] ^= byte
    for wrong, run in ((bytes(altered), "a"), (line[: place % len(line)], "a"), (line, "b")):
        with pytest.raises(ValueError, match=r"altered|cut"):
            unseal(wrong, run)


def test_round_trip(folder: Path) -> None:
    run = load_run(folder)
    assert (run.header, run.records, run.lines, run.problems) == (make_header(), tuple(RECORDS), (1, 2, 3, 4), ())
    assert sorted(path.name for path in folder.iterdir()) == sorted([HEADER, TRIALS])


def test_record_is_on_the_disk_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system syncs a record when all of it is written, and before `append` returns."""
    synced_bytes: list[int] = []
    writer = start_run(tmp_path, make_header())
    assert load_run(writer.folder).records == ()
    monkeypatch.setattr(os, "fsync", lambda file: synced_bytes.append(os.fstat(file).st_size))
    for number, record in enumerate(RECORDS, 1):
        writer.append(record)
        assert synced_bytes[number - 1 :] == [(writer.folder / TRIALS).stat().st_size]
        assert load_run(writer.folder).records == tuple(RECORDS[:number])


def test_existing_run_is_kept(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match=rf"{RUN}: cannot be made \(File exists\)"):
        start_run(folder.parent, make_header(command="another"))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_packed(folder: Path) -> None:
    """A packed run is read like any other; where it is damaged, the records before are kept."""
    packed = pack(folder)
    assert load_run(folder).records == tuple(RECORDS)
    with pytest.raises(UserError, match=r"is packed.*gunzip"):
        reopen_run(folder)
    whole = packed.read_bytes()
    damaged = whole[:40] + bytes(byte ^ 0xFF for byte in whole[40:80]) + whole[80:]
    for content in (whole[:-30], b"no gzip", damaged):
        packed.write_bytes(content)
        run = load_run(folder)
        assert run.problems and run.problems[-1].startswith(f"{packed}")
        assert all(record in RECORDS for record in run.records)


@pytest.mark.parametrize(
    ("place", "line", "expected"),
    [
        (3, b'{"kind": "failure", "cell"', "line 4: left out: cut, or no record: it does not end in its checksum"),
        (1, b'{"kind": "speed", \xff\n', "line 2: left out: cut, or no record: it does not end in its checksum"),
        (2, seal('{"kind": "rumour"}', 3, RUN), "line 3: left out: Input tag 'rumour' found using 'kind' does not"),
        (0, seal('{"kind": "baseline", "mse": 1}', 1, RUN), "line 1: left out: baseline.name: Field required"),
        (1, seal(RECORDS[1].model_dump_json(), 2, "another"), "line 2: left out: altered, or of another run"),
    ],
)
def test_damaged_line(folder: Path, place: int, line: bytes, expected: str) -> None:
    """It is named with its place and left out; the others are read."""
    lines = (folder / TRIALS).read_bytes().splitlines(keepends=True)
    lines[place] = line
    (folder / TRIALS).write_bytes(b"".join(lines))
    run = load_run(folder)
    assert run.records == tuple(RECORDS[:place] + RECORDS[place + 1 :])
    (problem,) = run.problems
    assert problem.startswith(f"{folder / TRIALS}, {expected}") and "\n" not in problem


@pytest.mark.parametrize(
    ("order", "lines", "expected"),
    [
        ([1, 2, 3], (2, 3, 4), ["line 1: line 1 is missing before it"]),
        ([0, 3], (1, 4), ["line 2: lines 2 to 3 are missing before it"]),
        ([0, 1, 1, 2, 3], (1, 2, 3, 4), ["line 3: left out: inserted: line 2 once more"]),
        (
            [0, 2, 1, 3],
            (1, 3, 2, 4),
            ["line 2: line 2 is missing before it", "line 3: moved: it was written as line 2"],
        ),
    ],
)
def test_missing_moved_or_inserted_line(
    folder: Path, order: list[int], lines: tuple[int, ...], expected: list[str]
) -> None:
    path = folder / TRIALS
    written = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(written[place] for place in order))
    run = load_run(folder)
    assert run.lines == lines and run.records == tuple(RECORDS[line - 1] for line in lines)
    assert list(run.problems) == [f"{path}, {problem}" for problem in expected]


@pytest.mark.parsers
@settings(deadline=None)  # a busy machine is no failure
@given(junk=st.binary() | st.text(st.characters(codec="utf-8")).map(str.encode))
@example(junk=b"\n")
@example(junk=b"\xff\xfe\x00")
@example(junk=b'{"kind": "speed"}')
@example(junk=b"[" * 100_000)
@example(junk=b"9" * 10_000)
@example(junk=b'{"kind": "\\ud800"}')
def test_junk_after_the_records(fresh_folders: FreshFolders, junk: bytes) -> None:
    folder = fresh_folders.next()
    with (folder / TRIALS).open("ab") as lines:
        lines.write(junk)
    run = load_run(folder)
    assert run.records == tuple(RECORDS)
    assert len(run.problems) == junk.count(b"\n") + bool(junk and not junk.endswith(b"\n"))
    assert all("\n" not in problem for problem in run.problems)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.sampled_from(["kind", "cell", "dropped", "x"]), inside),
)


@pytest.mark.parsers
@settings(deadline=None)
@given(fields=st.dictionaries(st.sampled_from(["kind", "cell", "trial", "dropped"]), JSON, min_size=1))
@example(fields={"kind": "resumed", "at": "", "command": "", "load_average": 0.0, "dropped": [1, 2, 99]})
@example(fields={"kind": "speed"})
def test_any_document_in_a_line(fresh_folders: FreshFolders, fields: Any) -> None:
    """It is a record, or it is named."""
    folder = fresh_folders.next()
    with (folder / TRIALS).open("ab") as lines:
        lines.write(seal(json.dumps(fields), 5, RUN))
    run = load_run(folder)
    assert len(run.problems) + len(run.resumed) == 1 and all("\n" not in problem for problem in run.problems)


@pytest.mark.parsers
@settings(deadline=None)
@given(place=st.integers(0, 10**6), junk=st.binary(max_size=8))
def test_any_change_of_a_header(fresh_folders: FreshFolders, place: int, junk: bytes) -> None:
    """It leaves a run, or a user's error of one line."""
    folder = fresh_folders.next()
    whole = (folder / HEADER).read_bytes()
    place %= len(whole)
    (folder / HEADER).write_bytes(whole[:place] + junk + whole[place + len(junk) :])
    try:
        load_run(folder)
    except UserError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "header", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"schema_version": "x"}', b"[" * 100_000], ids=range(7)
)
def test_damaged_header(folder: Path, header: bytes) -> None:
    (folder / HEADER).write_bytes(header)
    with pytest.raises(UserError, match="damaged or of another version"):
        load_run(folder)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"schema_version": SCHEMA_VERSION + 1, "colour": "red"}, f"schema {SCHEMA_VERSION + 1}, protocol"),
        ({"schema_version": SCHEMA_VERSION - 1}, f"schema {SCHEMA_VERSION - 1}, protocol"),
        ({"protocol_version": PROTOCOL_VERSION + 1}, f"schema {SCHEMA_VERSION}, protocol {PROTOCOL_VERSION + 1}"),
    ],
)
def test_another_version(folder: Path, fields: dict[str, Any], expected: str) -> None:
    change_header(folder, seqsum_version="9.9.9", **fields)
    with pytest.raises(
        UserError, match=rf"{expected}.*; this seqsum reads .* Use the version that wrote it, 9\.9\.9\."
    ):
        load_run(folder)


def test_older_protocol(folder: Path) -> None:
    """It can be read, and not be resumed."""
    change_header(folder, protocol_version=PROTOCOL_VERSION - 1)
    assert load_run(folder).records == tuple(RECORDS)
    with pytest.raises(UserError, match=f"only a run of protocol {PROTOCOL_VERSION} can go on"):
        reopen_run(folder)


def test_runs_come_oldest_first(tmp_path: Path) -> None:
    """By the time in their header, whatever their folders are called; an unreadable run does not hide the others."""
    for name, hour in (("b", 3), ("c", 1), ("a", 2)):
        write_run(tmp_path, make_header(name, started_at=f"2030-01-01T0{hour}:00:00+00:00"), [])
    (tmp_path / "b" / HEADER).write_text("{", "utf-8")
    runs, (problem,) = load_runs(tmp_path)
    assert [run.header.run for run in runs] == ["c", "a"]
    assert problem.startswith(str(tmp_path / "b"))


def test_no_run(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=r"Measure first: seqsum run$"):
            load_runs(folder)
    with pytest.raises(UserError, match=r"not a run \(run\.json: No such file or directory\)"):
        load_run(tmp_path)


def test_results_folder(tmp_path: Path) -> None:
    """It is made and left empty; one that cannot be written is a user's error."""
    check_writable(tmp_path / "new" / "results")
    assert list((tmp_path / "new" / "results").iterdir()) == []
    (tmp_path / "file").write_text("in the way", "utf-8")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=r"^`--results` must be a folder that can be written\. Received: "):
            check_writable(path)
        with pytest.raises(UserError, match=r"cannot be made .* Name another --results\.$"):
            start_run(path, make_header())


@pytest.mark.parametrize("free", [0, 1, 100, 10_000])
def test_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """A disk that takes only so many bytes of a record cuts nothing, and the run goes on when there is room."""
    room = [free]

    class FullDisk(FileIO):
        def write(self, text: Any) -> int:
            if not room[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            taken = super().write(bytes(text)[: room[0]])
            room[0] -= taken
            return taken

    writer, _ = reopen_run(folder)
    before = (folder / TRIALS).read_bytes()
    monkeypatch.setattr(store, "FileIO", FullDisk)
    if free < 10_000:
        with pytest.raises(UserError, match=r"\(No space left on device\).* Earlier records are kept.*--resume"):
            writer.append(make_speed())
        assert (folder / TRIALS).read_bytes() == before and writer.records == RECORDS
    room[0] = 10**9
    writer.append(make_speed())
    assert load_run(folder).records == (*RECORDS, make_speed()) and verify_run(folder).problems == ()


def test_full_disk_leaves_no_half_made_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        start_run(tmp_path, make_header())
    assert list(tmp_path.iterdir()) == []


def test_one_writer(folder: Path) -> None:
    writer = RunWriter(folder)
    with pytest.raises(UserError, match="another process writes this run"):
        RunWriter(folder)
    writer.close()
    RunWriter(folder).close()


@settings(deadline=None)
@given(keep=st.integers(0, 10**6))
def test_run_cut_at_any_byte(fresh_folders: FreshFolders, keep: int) -> None:
    """It goes on, and loses no more than the line that was cut."""
    folder = fresh_folders.next()
    whole = (folder / TRIALS).read_bytes()
    cut = whole[: keep % (len(whole) + 1)]
    (folder / TRIALS).write_bytes(cut)
    writer, run = reopen_run(folder)
    assert run.records == tuple(RECORDS[: cut.count(b"\n")]) == tuple(writer.records) and not run.problems
    writer.append(make_speed())
    writer.close()
    assert load_run(folder).records == (*run.records, make_speed()) and verify_run(folder).problems == ()


def test_numbers_go_on_after_a_damaged_line(folder: Path) -> None:
    with (folder / TRIALS).open("ab") as lines:
        lines.write(b"junk\n")
    writer, _ = reopen_run(folder)
    writer.append(make_speed())
    assert load_run(folder).lines == (1, 2, 3, 4, 6) and len(load_run(folder).problems) == 1


def test_resumed(folder: Path) -> None:
    """Records that are measured again are no longer read, but stay in the file."""
    writer, _ = reopen_run(folder)
    resumed = Resumed(at="2030-01-02T00:00:00+00:00", command="seqsum run --resume x", load_average=0.5, dropped=(1, 4))
    writer.note(resumed)
    writer.append(make_speed(process=7))
    writer.close()
    again = load_run(folder)
    assert again.records == (*RECORDS[1:3], make_speed(process=7)) and again.resumed == (resumed,)
    assert again.lines == (2, 3, 6) and (folder / TRIALS).read_bytes().count(b"\n") == 6


@pytest.mark.parametrize("label", ["smoke", "../../etc", "a/b", "a b", "<script>", "näme"])
def test_run_name(label: str) -> None:
    """Its label cannot lead out of the results folder, and no colon is in it, which some systems refuse."""
    name = new_run_name(label)
    assert make_header(name).run == name == Path(name).name and ":" not in name
    assert len(name) >= len("2030-01-01T00-00-00-")
