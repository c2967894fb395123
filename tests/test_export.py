"""Export: other tools read what is written, and find the figures of the tables in it."""

import json
import subprocess
import sys
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from calling import Caller, write_run
from factories import make_accuracy, make_cell, make_failure, make_header, make_processes, select_all

from bench.output import export
from bench.output.tables.speed import speed_table
from bench.records.frame import COLUMNS
from bench.records.schema import Record

SECONDS = (0.010, 0.011, 0.012, 0.013, 0.018)
RECORDS: list[Record] = [
    *make_processes(make_cell("torch"), seconds=[2 * one for one in SECONDS], rounds=2),
    *make_processes(make_cell("jax"), seconds=SECONDS, rounds=2),
    *make_processes(make_cell("jax"), seconds=5 * [9.0], twin=True),
    *make_processes(make_cell("jax", length=4), seconds=SECONDS[:2]),
    make_accuracy(),
    make_failure(make_cell(model="=HYPERLINK(1)"), reason="\x1b[31mgone"),
]
CHOSEN = select_all(*RECORDS)


@pytest.fixture
def seqsum(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(monkeypatch, capsys)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_run(tmp_path / "results", make_header(), RECORDS)
    return tmp_path / "results"


def test_pytest_benchmark_has_a_round_for_each_process() -> None:
    document = export.pytest_benchmark(CHOSEN)
    assert [one["name"] for one in document["benchmarks"]] == [
        "epoch[jax lstm 4]",
        "epoch[jax lstm 12]",
        "epoch[torch lstm 12]",
    ]
    stats = document["benchmarks"][1]["stats"]
    assert stats["data"] == pytest.approx(SECONDS)
    assert (stats["rounds"], stats["median"], stats["min"], stats["max"]) == pytest.approx((5, 0.012, 0.010, 0.018))
    assert document["benchmarks"][1]["group"] == "lstm length 12"


def test_pytest_benchmark_compares_what_is_exported(seqsum: Caller, results: Path, tmp_path: Path) -> None:
    """Its own command reads two files, and prints the medians that the table has."""
    storage = tmp_path / "storage"
    storage.mkdir()
    for name in ("0001_base.json", "0002_new.json"):
        assert seqsum("export", "--format", "pytest-benchmark", "--results", results, "--out", storage / name).code == 0
    command = [sys.executable, "-m", "pytest_benchmark", "--storage", f"file://{storage}"]
    wanted = ["compare", "--group-by=name", "--columns=median,rounds", "--time-unit=ms"]
    answer = subprocess.run([*command, *wanted], capture_output=True, text=True, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    rows = [line.split() for line in answer.stdout.splitlines() if line.startswith("epoch[jax lstm 12]")]
    assert [(row[-3], row[-1]) for row in rows] == 2 * [("12.0000", "5")], answer.stdout


def test_github_action_has_name_unit_value_and_range() -> None:
    short, long, other = export.github_action(CHOSEN)
    assert (long["name"], long["unit"], long["value"]) == ("jax lstm 12 epoch", "ms", pytest.approx(12.0))
    assert long["range"] == "10.0 to 18.0" and other["value"] == pytest.approx(24.0)
    assert "range" not in short, "two processes make no interval"
    assert all(
        isinstance(value, str) for point in (short, long, other) for key, value in point.items() if key != "value"
    )


def test_exported_figures_are_those_of_the_table() -> None:
    figures = [point["value"] for point in export.github_action(CHOSEN)]
    medians = [1e3 * one["stats"]["median"] for one in export.pytest_benchmark(CHOSEN)["benchmarks"]]
    tabled = speed_table(CHOSEN).frame["epoch ms"].dropna().tolist()
    assert sorted(figures) == pytest.approx(sorted(tabled)) == sorted(medians)


def test_csv_has_the_rows_of_the_frame_with_every_digit() -> None:
    read = pd.read_csv(StringIO(export.as_text(CHOSEN, "csv", "speed")))
    assert list(read.columns) == list(COLUMNS["speed"])
    assert read["median_epoch_s"].tolist() == export.frame(CHOSEN, "speed")["median_epoch_s"].tolist()


def test_csv_runs_nothing_in_a_spreadsheet_and_shows_control_characters() -> None:
    text = export.as_text(CHOSEN, "csv", "failures")
    assert ",'=HYPERLINK(1)," in text and r"\x1b[31mgone" in text and "\x1b" not in text


@pytest.mark.skipif(not find_spec("pyarrow"), reason="pyarrow is not installed: the extra parquet")
@pytest.mark.parametrize("kind", ["speed", "accuracy", "failures", "baselines"])
def test_parquet_comes_back_whole(seqsum: Caller, results: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "rows.parquet"
    answer = seqsum("export", "--format", "parquet", "--kind", kind, "--results", results, "--out", out)
    assert (answer.code, answer.out) == (0, "") and f"Wrote {out}" in answer.err
    frame = export.frame(CHOSEN, kind)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(pd.read_parquet(out), frame, check_dtype=False)


def test_missing_pyarrow_is_one_line(
    seqsum: Caller, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    answer = seqsum("export", "--format", "parquet", "--results", results, "--out", tmp_path / "rows.parquet")
    assert (answer.code, answer.err) == (
        2,
        "seqsum: `--format parquet` needs pyarrow. Received: none. Install it: pip install pyarrow\n",
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--format", "parquet"], "`--format parquet` needs --out."),
        (["--format", "csv", "--out", "absent/rows.csv"], "`--out` must be a file that can be written."),
        (["--format", "parquet", "--out", "absent/rows.parquet"], "`--out` must be a file that can be written."),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_2(
    seqsum: Caller, results: Path, arguments: list[str], expected: str
) -> None:
    answer = seqsum("export", "--results", results, *arguments)
    assert answer.code == 2 and answer.out == ""
    assert expected in answer.err and len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("form", ["pytest-benchmark", "github-action"])
def test_text_goes_to_stdout_and_nothing_else(seqsum: Caller, results: Path, form: str) -> None:
    answer = seqsum("export", "--format", form, "--results", results)
    assert (answer.code, answer.err) == (0, "")
    assert json.loads(answer.out)
