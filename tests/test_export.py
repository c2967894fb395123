"""Export: other tools read what is written, and find the figures of the tables in it."""

import json
import subprocess
import sys
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from factories import make_accuracy, make_cell, make_failure, make_processes, select_all

from bench.errors import UserError
from bench.output import export
from bench.output.export import ExportFormat, write_export
from bench.records.frame import KINDS, Kind

SECONDS = (0.010, 0.011, 0.012, 0.013, 0.018, 0.019)
SELECTION = select_all(
    *make_processes(make_cell("torch"), seconds=[2 * epoch_s for epoch_s in SECONDS], rounds=2),
    *make_processes(make_cell("jax"), seconds=SECONDS, rounds=2),
    *make_processes(make_cell("jax"), seconds=[9.0] * 6, is_control=True),
    *make_processes(make_cell("jax", length=4), seconds=SECONDS[:3]),
    make_accuracy(),
    make_failure(make_cell(model="=HYPERLINK(1)"), reason="\x1b[31mgone"),
)


def exported(form: ExportFormat, kind: Kind, folder: Path) -> bytes:
    write_export(SELECTION, form, kind, folder / "exported")
    return (folder / "exported").read_bytes()


def test_github_action(tmp_path: Path) -> None:
    points: list[dict[str, Any]] = json.loads(exported("github-action", "turns", tmp_path))
    jax, short = (next(point for point in points if point["name"] == f"jax lstm {length} epoch") for length in (12, 4))
    assert jax == {
        **{"name": "jax lstm 12 epoch", "unit": "ms", "value": pytest.approx(12.5), "extra": "6 processes"},
        "range": "10.0 to 19.0",
    }
    assert "range" not in short, "three processes make no interval"


def test_pytest_benchmark(tmp_path: Path) -> None:
    """A round for each process; pytest-benchmark's own command compares two such files."""
    document = json.loads(exported("pytest-benchmark", "turns", tmp_path))
    stats = {benchmark["name"]: benchmark["stats"] for benchmark in document["benchmarks"]}
    assert stats["epoch[jax lstm 12]"]["data"] == pytest.approx(SECONDS)
    for name in ("0001_base.json", "0002_new.json"):
        (tmp_path / name).write_bytes((tmp_path / "exported").read_bytes())
    command = [sys.executable, "-m", "pytest_benchmark", "--storage", f"file://{tmp_path}", "compare"]
    options = ["--group-by=name", "--columns=median,rounds", "--time-unit=ms", "0001", "0002"]
    answer = subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path)
    rows = [line.split() for line in answer.stdout.splitlines() if line.startswith("epoch[jax lstm 12]")]
    assert [(row[-3], row[-1]) for row in rows] == 2 * [("12.5000", "6")], answer.stdout + answer.stderr


def test_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rows of the frame with every digit; nothing runs in a spreadsheet, and control characters are visible."""
    read = pd.read_csv(StringIO(exported("csv", "turns", tmp_path).decode()), dtype={"threads": str})
    turns = SELECTION.frames.turns
    assert list(read) == list(turns) and read["epoch_s"].equals(turns["epoch_s"])
    write_export(SELECTION, "csv", "failures", None)
    text = capsys.readouterr().out
    assert ",'=HYPERLINK(1)," in text and r"\x1b[31mgone" in text and "\x1b" not in text


@pytest.mark.skipif(not find_spec("pyarrow"), reason="pyarrow is not installed: the extra parquet")
@pytest.mark.parametrize("kind", KINDS)
def test_parquet(tmp_path: Path, kind: Kind) -> None:
    exported("parquet", kind, tmp_path)
    frame = SELECTION.frames.of(kind)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "exported"), frame, check_dtype=False)


def test_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"`kind` must be one of turns.*Received: 'turn'"):
        write_export(SELECTION, "csv", "turn", None)
    with pytest.raises(UserError, match=r"cannot be written \(No such file or directory\)"):
        write_export(SELECTION, "csv", "turns", tmp_path / "absent" / "rows.csv")
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"^`--format parquet` needs pyarrow\. Received: none\. Install it: pip install"
    ):
        write_export(SELECTION, "parquet", "turns", tmp_path / "rows.parquet")
