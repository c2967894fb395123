"""Where records live: one folder a run, holding `run.json` and one line a record in `trials.jsonl`.

A line is on the disk before the next trial starts, or not there at all, so that a crash or a full disk loses nothing
measured. A published run may be packed: `gzip -n trials.jsonl`. `docs/reliability.md` says what is promised.
"""

import gc
import gzip
import json
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from bench.errors import UserError
from bench.records.checksums import checksum, seal, unseal
from bench.records.schema import LINE, PROTOCOL_VERSION, SCHEMA_VERSION, Header, Record, Resumed
from bench.records.upgrades import OLDEST_SCHEMA, upgrade_header, upgrade_record

HEADER, TRIALS, PACKED_TRIALS, LOCK = "run.json", "trials.jsonl", "trials.jsonl.gz", ".lock"
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What a damaged document makes: it may be no JSON, nested too deeply, or of another shape."""


@dataclass(frozen=True)
class Run:
    """A run as read back.

    Args:
        header: what is true of all its records.
        records: in the order of measuring.
        problems: lines that could not be read, each with its place.
        lines: where each record stands, counted from 1.
        resumed: when it went on after an interruption.
        schema: in which it was written.
    """

    header: Header
    records: tuple[Record, ...]
    problems: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()
    resumed: tuple[Resumed, ...] = ()
    schema: int = SCHEMA_VERSION


class RunWriter:
    """A run that is being measured, by nobody else: it is locked until it is closed or this process ends.

    Args:
        folder: of the run; its header is there. A last line that an interruption cut is taken away.

    Raises:
        UserError: if another process writes this run, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: list[Record] = []
        self._lock = FileLock(folder / LOCK)
        try:
            self._lock.acquire(timeout=0)
            self._after = _cut_to_last_line(folder)
        except Timeout:
            raise UserError(f"{folder}: another process writes this run. Wait until it has ended.") from None
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error.strerror}). Mend that, or begin a new run.") from None

    def append(self, record: Record) -> None:
        """Put a record on the disk.

        Raises:
            UserError: if the disk refuses it; everything before is kept.
        """
        self._write(record)
        self.records.append(record)

    def note(self, resumed: Resumed) -> None:
        """Put on the disk that the run goes on from here.

        Raises:
            UserError: if the disk refuses it.
        """
        self._write(resumed)

    def close(self) -> None:
        """Let others write the run."""
        self._lock.release()
        (self.folder / LOCK).unlink(missing_ok=True)

    def _write(self, line: Record | Resumed) -> None:
        text, own = seal(line.model_dump_json(), after=self._after)
        try:
            with FileIO(self.folder / TRIALS, "a") as file:
                _append_whole(file, text)
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot write a record ({error.strerror}). Earlier ones are kept; when it can be "
                f"written again: seqsum run --resume {self.folder}"
            ) from None
        self._after = own


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


def check_writable(results: Path) -> None:
    """Make the results folder, or say why nothing could be kept there.

    Raises:
        UserError: if it cannot be made or written.
    """
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
    """Name a run by the time it starts and what it measures; names sort by time, and are names of folders anywhere."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}-{re.sub(r'[^A-Za-z0-9_.+-]+', '-', label)}"


def start_run(results: Path, header: Header) -> RunWriter:
    """Make the folder of a new run and write its header.

    Raises:
        UserError: if the folder exists already or cannot be written.
    """
    folder = results / header.run
    text = (header.model_dump_json(indent=2) + "\n").encode()
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}). Name another --results.") from None
    unfinished = folder / f"{HEADER}.part"
    try:
        with FileIO(unfinished, "w") as file:
            _append_whole(file, text)
        unfinished.replace(folder / HEADER)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        folder.rmdir()
        raise UserError(f"{folder}: cannot be written ({error.strerror}). Name another --results.") from None
    return RunWriter(folder)


def load_resumable(folder: Path) -> Run:
    """Read a run that shall go on.

    Raises:
        UserError: if it cannot be read, is packed, or of an older schema.
    """
    if (folder / PACKED_TRIALS).exists():
        raise UserError(f"{folder}: is packed, which only a finished run should be. To go on: gunzip {PACKED_TRIALS}")
    run = load_run(folder)
    if run.schema != SCHEMA_VERSION:
        raise UserError(
            f"{folder}: schema {run.schema}; only one of schema {SCHEMA_VERSION} can go on. Resume it with the version "
            "that wrote it, or begin a new run."
        )
    return run


def reopen_run(folder: Path) -> tuple[RunWriter, Run]:
    """Go on with a run that was interrupted; what an interruption cut off is taken away.

    Raises:
        UserError: if it cannot go on, be read or written, or another process writes it.
    """
    load_resumable(folder)
    writer = RunWriter(folder)
    run = load_run(folder)
    writer.records += run.records
    return writer, run


def _cut_to_last_line(folder: Path) -> str:
    """Cut a last line that is not whole, and return the checksum behind which the next one stands."""
    path = folder / TRIALS
    text = path.read_bytes() if path.exists() else b""
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        os.truncate(path, len(whole))
    for line in reversed(whole.splitlines()):
        with suppress(ValueError):
            return unseal(line).checksum
    return checksum((folder / HEADER).read_bytes())


def load_run(folder: Path) -> Run:
    """Read a run; lines that are cut or damaged are reported and left out.

    Raises:
        UserError: if the header is missing, damaged, or of a newer schema.
    """
    try:
        written = json.loads((folder / HEADER).read_text("utf-8"))
        schema = written["schema_version"]
        header = Header.model_validate_json(json.dumps(upgrade_header(written)))
    except OSError as error:
        raise UserError(f"{folder}: not a run ({HEADER}: {error.strerror}). Name a folder that holds one.") from None
    except UNREADABLE as error:
        raise UserError(f"{folder / HEADER}: damaged or of another version ({first_line(error)}).") from None
    if header.schema_version != SCHEMA_VERSION or header.protocol_version > PROTOCOL_VERSION:
        raise UserError(
            f"{folder}: schema {header.schema_version}, protocol {header.protocol_version}; this seqsum reads schema "
            f"{OLDEST_SCHEMA} to {SCHEMA_VERSION}, protocol 1 to {PROTOCOL_VERSION}. Use the version that wrote it, "
            f"{header.seqsum_version}."
        )
    reading = _Reading(header, schema)
    reading.read(trials_file(folder))
    return reading.run()


def trials_file(folder: Path) -> Path:
    """Return where the lines of a run are: packed, if they are not there as they were written."""
    return folder / (TRIALS if (folder / TRIALS).exists() else PACKED_TRIALS)


class _Reading:
    """Takes in the lines of a run."""

    def __init__(self, header: Header, schema: int) -> None:
        self._header, self._schema = header, schema
        self._old_sweep = header.sweep.model_dump(mode="json") if schema != SCHEMA_VERSION else None
        self._records: dict[int, Record] = {}
        self._resumed: list[Resumed] = []
        self._problems: list[str] = []

    def read(self, path: Path) -> None:
        """Take in the lines of a file, if it is there."""
        with without_collecting():
            for number, line in raw_lines(path, self._problems):
                try:
                    self._take(number, line)
                except UNREADABLE as error:
                    self._problems.append(f"{path}, line {number}: left out: {first_line(error)}")

    def _take(self, number: int, line: bytes) -> None:
        if self._old_sweep is None:
            document = unseal(line).document
        else:
            document = json.dumps(upgrade_record(json.loads(line), self._schema, self._old_sweep)).encode()
        record = LINE.validate_json(document)
        if isinstance(record, Resumed):
            self._resumed.append(record)
            for dropped in record.dropped:
                self._records.pop(dropped, None)
        else:
            self._records[number] = record

    def run(self) -> Run:
        """Return what was read."""
        return Run(
            self._header,
            tuple(self._records.values()),
            tuple(self._problems),
            tuple(self._records),
            tuple(self._resumed),
            self._schema,
        )


@contextmanager
def without_collecting() -> Iterator[None]:
    """Look for no garbage meanwhile: there is none, and searching what was read takes longer than reading it."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def raw_lines(path: Path, problems: list[str]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that is there, counted from 1; say it where a packed one is damaged."""
    if not path.exists():
        return
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                yield number, line
    except (OSError, EOFError, zlib.error) as error:
        problems.append(f"{path}: damaged behind line {number}: {first_line(error)}")


def load_runs(results: Path) -> tuple[list[Run], list[str]]:
    """Read all runs in a folder, oldest first, and say which could not be read.

    Raises:
        UserError: if there are none.
    """
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
    return runs, problems


def first_line(error: Exception) -> str:
    """Say in a line what a document broke."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else first["msg"]
    return str(error).partition("\n")[0] or type(error).__name__
