"""Where records live: one folder a run, holding `run.json` and one line a record in `trials.jsonl`.

A line is on the disk before the next trial starts, or not there at all, so that a crash or a full disk loses nothing
that was measured. Each line ends in its number and a checksum; `run.json` ends in a checksum of its own. A published
run may be packed: `gzip -n -9 trials.jsonl`. docs/reliability.md has the promises.
"""

import gc
import gzip
import json
import os
import re
import shlex
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from io import FileIO
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from bench.errors import UserError
from bench.records.schema import LINE, PROTOCOL_VERSION, SCHEMA_VERSION, Header, Record, Resumed

HEADER, TRIALS, PACKED_TRIALS, LOCK = "run.json", "trials.jsonl", "trials.jsonl.gz", ".lock"

UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading a damaged document raises: it may be no JSON, nested too deeply, or of another shape."""

LINE_END = re.compile(rb',"line":(\d{1,18}),"sum":"([0-9a-f]{16})"\}\n\Z')
LONGEST_END = 70
"""More bytes than the end of a line takes."""
HEADER_END = re.compile(rb',\n  "sum": "([0-9a-f]{16})"\n\}\n\Z')


def checksum(text: bytes) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a text: enough against accidents."""
    return sha256(text).hexdigest()[:16]


def seal(document: str, number: int, run: str) -> bytes:
    """Return a JSON object, not empty and without line breaks, as a numbered line.

    The run's name is part of the checksum, so that a line of another run is found.
    """
    body = f'{document[:-1]},"line":{number}'.encode()
    return body + f',"sum":"{checksum(run.encode() + body)}"}}\n'.encode()


def unseal(line: bytes, run: str) -> tuple[bytes, int]:
    """Return the JSON object of a line, and its number; a ValueError if it is incomplete or altered."""
    end = LINE_END.search(line, max(0, len(line) - LONGEST_END))
    if end is None:
        raise ValueError("cut, or no record: it does not end in its checksum")
    if checksum(run.encode() + line[: end.end(1)]) != end[2].decode():
        raise ValueError("altered, or of another run: its checksum does not match")
    return line[: end.start()] + b"}", int(end[1])


def seal_header(header: Header) -> bytes:
    """Return the text of `run.json`."""
    body = header.model_dump_json(indent=2).encode().removesuffix(b"\n}")
    return body + f',\n  "sum": "{checksum(body)}"\n}}\n'.encode()


def is_header_intact(text: bytes) -> bool:
    """Tell whether the text of `run.json` is as it was written."""
    end = HEADER_END.search(text)
    return end is not None and checksum(text[: end.start()]) == end[1].decode()


@dataclass(frozen=True)
class Run:
    """A run as read back.

    Args:
        records: in the order of measuring; `lines` are the numbers of their lines.
        problems: lines that are damaged, missing or moved, each with its place.
        resumed: when it went on after an interruption.
    """

    header: Header
    records: tuple[Record, ...]
    problems: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()
    resumed: tuple[Resumed, ...] = ()


class RunWriter:
    """A run that is being measured, by this process only: it is locked until it is closed or the process ends.

    A last line that an interruption cut is dropped. All its methods raise a UserError if another process writes the
    run, or the disk refuses it; what was written before is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: list[Record] = []
        self._run = load_header(folder).run
        self._lock = FileLock(folder / LOCK)
        try:
            self._lock.acquire(timeout=0)
            self._lines = _drop_incomplete_line(folder / TRIALS, self._run)
        except Timeout:
            raise UserError(f"{folder}: another process writes this run. Wait until it has ended.") from None
        except OSError as error:
            problem = f"{folder}: cannot be written ({error.strerror})."
            raise UserError(f"{problem} Make it writable, or begin a new run.") from None

    def append(self, record: Record) -> None:
        """Put a record on the disk."""
        self._write(record)
        self.records.append(record)

    def note(self, resumed: Resumed) -> None:
        """Put on the disk that the run goes on from here."""
        self._write(resumed)

    def close(self) -> None:
        """Let others write the run."""
        self._lock.release()
        (self.folder / LOCK).unlink(missing_ok=True)

    def _write(self, content: Record | Resumed) -> None:
        line = seal(content.model_dump_json(), self._lines + 1, self._run)
        try:
            with FileIO(self.folder / TRIALS, "a") as file:
                _append_whole(file, line)
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot write a record ({error.strerror}). Earlier records are kept. When there is "
                f"room again: seqsum run --resume {shlex.quote(str(self.folder))}"
            ) from None
        self._lines += 1


def _append_whole(file: FileIO, text: bytes) -> None:
    """Append all of a text, or nothing of it."""
    end = file.seek(0, os.SEEK_END)
    try:
        rest = memoryview(text)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            file.truncate(end)
        raise


def _drop_incomplete_line(path: Path, run: str) -> int:
    """Cut off a last line without an end, and return the number of the line that is the last one then."""
    text = path.read_bytes() if path.exists() else b""
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        os.truncate(path, len(whole))
    lines = whole.splitlines(keepends=True)
    for damaged, line in enumerate(reversed(lines)):
        with suppress(ValueError):
            return unseal(line, run)[1] + damaged
    return len(lines)


def check_writable(results: Path) -> None:
    """Make the results folder; a UserError if files cannot be written there."""
    probe = results / ".writable"
    try:
        results.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"`--results` must be a folder that can be written. Received: {results} ({error.strerror}). Name another."
        ) from None


def new_run_name(label: str) -> str:
    """Name a run by the time it starts and what it measures; such names sort by time, and are valid folder names."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}-{re.sub(r'[^A-Za-z0-9_.+-]+', '-', label)}"


def start_run(results: Path, header: Header) -> RunWriter:
    """Make the folder of a new run, which must not exist, and write its header; a UserError if that fails."""
    folder = results / header.run
    unfinished = folder / f"{HEADER}.part"
    made = False
    try:
        folder.mkdir(parents=True)
        made = True
        with FileIO(unfinished, "w") as file:
            _append_whole(file, seal_header(header))
        unfinished.replace(folder / HEADER)
    except OSError as error:
        if made:
            unfinished.unlink(missing_ok=True)
            folder.rmdir()
        failed = "written" if made else "made"
        raise UserError(f"{folder}: cannot be {failed} ({error.strerror}). Name another --results.") from None
    return RunWriter(folder)


def load_resumable(folder: Path) -> Run:
    """Read a run that is to go on; a UserError if it is packed, or was measured by an older protocol."""
    if (folder / PACKED_TRIALS).exists():
        raise UserError(f"{folder}: is packed, as only a finished run should be. To go on: gunzip {PACKED_TRIALS}")
    run = load_run(folder)
    if (protocol := run.header.protocol_version) != PROTOCOL_VERSION:
        raise UserError(
            f"{folder}: measured by protocol {protocol}; only a run of protocol {PROTOCOL_VERSION} can go on. "
            "Begin a new run."
        )
    return run


def reopen_run(folder: Path) -> tuple[RunWriter, Run]:
    """Go on with a run that was interrupted; a last line that was cut is dropped."""
    load_resumable(folder)
    writer = RunWriter(folder)
    run = load_run(folder)
    writer.records += run.records
    return writer, run


def load_header(folder: Path) -> Header:
    """Read what is true of a whole run; a UserError if it is missing, damaged, or of another version."""
    path = folder / HEADER
    try:
        fields = json.loads(path.read_text("utf-8"))
        schema, protocol = int(fields["schema_version"]), int(fields["protocol_version"])
        if schema == SCHEMA_VERSION and protocol <= PROTOCOL_VERSION:
            fields.pop("sum", None)
            return Header.model_validate(fields)
    except OSError as error:
        raise UserError(f"{folder}: not a run ({HEADER}: {error.strerror}). Name a folder that holds one.") from None
    except UNREADABLE as error:
        raise UserError(f"{path}: damaged or of another version ({first_line(error)}).") from None
    raise UserError(
        f"{folder}: schema {schema}, protocol {protocol}; this seqsum reads schema {SCHEMA_VERSION}, protocol 1 to "
        f"{PROTOCOL_VERSION}. Use the version that wrote it, {fields.get('seqsum_version')}."
    )


def load_run(folder: Path) -> Run:
    """Read a run; lines that are damaged, missing or moved are named in its `problems`, a bad header is a UserError."""
    header = load_header(folder)
    records: dict[int, Record] = {}
    resumed: list[Resumed] = []
    problems: list[str] = []
    path = folder / (TRIALS if (folder / TRIALS).exists() else PACKED_TRIALS)
    with without_collecting():
        for number, content in _read_lines(path, header.run, problems):
            if isinstance(content, Resumed):
                resumed.append(content)
                for dropped in content.dropped:
                    records.pop(dropped, None)
            else:
                records[number] = content
    return Run(header, tuple(records.values()), tuple(problems), tuple(records), tuple(resumed))


def _read_lines(path: Path, run: str, problems: list[str]) -> Iterator[tuple[int, Record | Resumed]]:
    """Yield what the lines of a file hold, with their numbers; append a sentence to `problems` for what is wrong."""
    next_number, seen = 1, set[int]()
    for place, line in _raw_lines(path, problems):
        try:
            document, number = unseal(line, run)
            content = LINE.validate_json(document)
        except UNREADABLE as error:
            problems.append(f"{path}, line {place}: left out: {first_line(error)}")
            next_number += 1
            continue
        if number in seen:
            problems.append(f"{path}, line {place}: left out: inserted: line {number} once more")
            continue
        if number < next_number:
            problems.append(f"{path}, line {place}: moved: it was written as line {number}")
        elif number > next_number:
            several = f"lines {next_number} to {number - 1} are"
            missing = f"line {next_number} is" if number == next_number + 1 else several
            problems.append(f"{path}, line {place}: {missing} missing before it")
        next_number = max(next_number, number + 1)
        seen.add(number)
        yield number, content


def _raw_lines(path: Path, problems: list[str]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file, if it exists, counted from 1; append to `problems` where a packed file is damaged."""
    if not path.exists():
        return
    place = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for place, line in enumerate(lines, 1):
                yield place, line
    except (OSError, EOFError, zlib.error) as error:
        problems.append(f"{path}: damaged after line {place}: {first_line(error)}")


@contextmanager
def without_collecting() -> Iterator[None]:
    """Pause the garbage collector: searching what was just read takes longer than reading it, and finds nothing."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def load_runs(results: Path) -> tuple[list[Run], list[str]]:
    """Read all runs in a folder, oldest first, and name those that could not be read; a UserError without any."""
    if not results.is_dir():
        raise UserError(f"`--results` must be a folder. Received: {results}. Measure first: seqsum run")
    runs, problems = [], []
    for path in sorted(results.glob(f"*/{HEADER}")):
        try:
            runs.append(load_run(path.parent))
        except UserError as error:
            problems.append(str(error))
    if not runs and not problems:
        raise UserError(f"There is no run in {results}. Measure first: seqsum run")
    runs, copies = distinct(runs)
    return runs, problems + copies


def distinct(runs: Iterable[Run]) -> tuple[list[Run], list[str]]:
    """Return runs, oldest first and each once, and name those that stand twice; of copies the longest is kept."""
    kept: dict[tuple[str, int], Run] = {}
    copies = []
    for run in sorted(runs, key=lambda run: (run.header.started_at, -len(run.records))):
        if kept.setdefault((run.header.run, run.header.order_seed), run) is not run:
            copies.append(f"{run.header.run}: stands twice; left out: the copy of {len(run.records)} records.")
    return list(kept.values()), copies


def first_line(error: Exception) -> str:
    """Return the first rule that a document breaks, in a line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else first["msg"]
    return str(error).partition("\n")[0] or type(error).__name__
