"""The command line called in this process, which is quicker than starting Python anew."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.cli import main
from bench.records.schema import Header, Record
from bench.records.store import start_run


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code, data, messages."""

    code: int
    out: str
    err: str


class Caller:
    """Calls `seqsum` with arguments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
        monkeypatch.setattr("signal.signal", lambda *_: None)

    def __call__(self, *arguments: str | Path) -> Answer:
        self._capsys.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["seqsum", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = self._capsys.readouterr()
        return Answer(int(end.value.code or 0), out, err)


def write_run(results: Path, header: Header, records: Iterable[Record]) -> Path:
    """Put a run on the disk and return its folder."""
    writer = start_run(results, header)
    for record in records:
        writer.append(record)
    writer.close()
    return writer.folder
