"""Where records live: one folder a run, holding `run.json` and one line a record in `trials.jsonl`.

A line is on the disk before the next trial starts, so that a crash loses nothing measured. A published run
may be packed: `gzip -n trials.jsonl`.
"""

import gzip
import json
import os
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from bench.errors import UserError
from bench.records import PROTOCOL_VERSION, RECORD, SCHEMA_VERSION, Header, Record
from bench.upgrades import OLDEST_SCHEMA, Document, upgrade_header, upgrade_record

HEADER, TRIALS, PACKED_TRIALS = "run.json", "trials.jsonl", "trials.jsonl.gz"
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What a damaged document makes: it may be no JSON, nested too deeply, or of another shape."""


@dataclass(frozen=True)
class Run:
    """A run as read back.

    Args:
        header: what is true of all its records.
        records: in the order of measuring.
        problems: lines that could not be read, each with its place.
    """

    header: Header
    records: tuple[Record, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunWriter:
    """A run that is being measured."""

    folder: Path
    records: list[Record] = field(default_factory=list)

    def append(self, record: Record) -> None:
        """Put a record on the disk.

        Raises:
            UserError: if the disk refuses it; everything before is kept.
        """
        try:
            with (self.folder / TRIALS).open("a", encoding="utf-8") as lines:
                lines.write(record.model_dump_json() + "\n")
                lines.flush()
                os.fsync(lines.fileno())
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot write a record ({error.strerror}). Earlier ones are kept."
            ) from None
        self.records.append(record)


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
    """Name a run by the time it starts and what it measures; names sort by time."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}-{label}"


def start_run(results: Path, header: Header) -> RunWriter:
    """Make the folder of a new run and write its header.

    Raises:
        UserError: if the folder exists already or cannot be written.
    """
    folder = results / header.run
    try:
        folder.mkdir(parents=True)
        unfinished = folder / f"{HEADER}.part"
        unfinished.write_text(header.model_dump_json(indent=2) + "\n", "utf-8")
        unfinished.replace(folder / HEADER)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}). Name another --results.") from None
    return RunWriter(folder)


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
        raise UserError(f"{folder / HEADER}: damaged or of another version ({_first_line(error)}).") from None
    if header.schema_version != SCHEMA_VERSION or header.protocol_version > PROTOCOL_VERSION:
        raise UserError(
            f"{folder}: schema {header.schema_version}, protocol {header.protocol_version}; this seqsum reads schema "
            f"{OLDEST_SCHEMA} to {SCHEMA_VERSION}, protocol 1 to {PROTOCOL_VERSION}. Use the version that wrote it, "
            f"{header.seqsum_version}."
        )
    records: list[Record] = []
    problems: list[str] = []
    sweep = header.sweep.model_dump(mode="json") if schema != SCHEMA_VERSION else None
    for name in (TRIALS, PACKED_TRIALS):
        _read_records(folder / name, sweep, records, problems)
    return Run(header, tuple(records), tuple(problems))


def _read_records(path: Path, old_sweep: Document | None, records: list[Record], problems: list[str]) -> None:
    """Add the records of a file, and the places of lines that could not be read, if the file is there."""
    if not path.exists():
        return
    number = 0
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        try:
            for number, line in enumerate(lines, 1):
                try:
                    if old_sweep:
                        line = json.dumps(upgrade_record(json.loads(line), old_sweep)).encode()
                    records.append(RECORD.validate_json(line))
                except UNREADABLE as error:
                    problems.append(f"{path}, line {number}: left out: {_first_line(error)}")
        except (OSError, EOFError, zlib.error) as error:
            problems.append(f"{path}: damaged behind line {number}: {_first_line(error)}")


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


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else first["msg"]
    return str(error).partition("\n")[0] or type(error).__name__
