"""`seqsum table` as a person calls it: formats, rows, columns, near names, colours, completion."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from calling import Caller, write_run
from factories import make_accuracy, make_cell, make_failure, make_header, make_processes

from bench.commands.app import screen
from bench.output.tables.catalog import TABLES
from bench.plan.cells import BackendName
from bench.records.schema import Record

SECONDS = (0.0100, 0.0101, 0.0099, 0.0102, 0.0098)
BACKENDS: tuple[BackendName, ...] = ("jax", "torch")
CELLS = [make_cell(backend, length=length) for backend in BACKENDS for length in (4, 12)]
RECORDS: list[Record] = [
    *[
        record
        for place, cell in enumerate(CELLS, 1)
        for record in make_processes(cell, seconds=[place * one for one in SECONDS], rounds=2)
    ],
    *[make_accuracy(cell, seed=seed) for cell in CELLS for seed in range(5)],
    make_failure(make_cell("tensorflow"), reason="\x1b[2Jkilled\x07"),
]


@pytest.fixture
def seqsum(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Caller]:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    yield Caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_run(folder, make_header(), RECORDS)
    return folder


def test_json_is_one_document_with_every_digit_and_where_it_is_from(seqsum: Caller, results: Path) -> None:
    answer = seqsum("table", "--results", results, "--show", "speed", "--show", "ratios", "--format", "json")
    document = json.loads(answer.out)
    speed, ratios, failures = document["tables"]
    assert (speed["title"], failures["title"]) == ("Speed", "Failures")
    assert all(len(row) == len(speed["columns"]) for row in speed["rows"])
    first = dict(zip(speed["columns"], speed["rows"][0], strict=True))
    assert first["epoch ms"] == pytest.approx(10.0, abs=1e-9) and first["backend"] == "jax"
    lost = dict(zip(speed["columns"], speed["rows"][3], strict=True))
    assert (lost["backend"], lost["epoch ms"], lost["status"]) == ("tensorflow", None, "failed in fit")
    assert [0, "epoch ms"] in speed["best"] and ratios["notes"]
    assert document["provenance"]["runs"][0]["machine"]["cpu"] == "Test CPU"


def test_latex_and_markdown_make_the_fastest_bold(seqsum: Caller, results: Path) -> None:
    latex = seqsum("table", "--results", results, "--show", "speed", "--format", "latex").out
    assert r"lstm & 4 & jax & \textbf{10.0" in latex and r"\toprule" in latex and "% runs: " in latex
    markdown = seqsum("table", "--results", results, "--show", "speed", "--format", "markdown").out
    assert "**10.0" in markdown and "**30.0" not in markdown


def test_text_stars_the_fastest(seqsum: Caller, results: Path) -> None:
    lines = seqsum("table", "--results", results, "--show", "speed").out.splitlines()
    starred = [line.split()[:3] for line in lines if " * " in line]
    assert starred == [["lstm", "4", "jax"], ["lstm", "12", "jax"]]


def test_a_failed_cell_says_why_it_has_no_figures(seqsum: Caller, results: Path) -> None:
    out = seqsum("table", "--results", results, "--show", "speed").out
    assert "failed in fit" in out and "Without figures, see Failures: tensorflow lstm 12." in " ".join(out.split())


def test_a_reason_cannot_steer_the_terminal(seqsum: Caller, results: Path) -> None:
    for form in ("text", "markdown", "latex", "json"):
        out = seqsum("table", "--results", results, "--show", "failures", "--format", form).out
        assert "killed" in out and "\x1b" not in out and "\x07" not in out


def test_rows_and_columns_are_chosen(seqsum: Caller, results: Path) -> None:
    options = ["--backend", "torch", "--length", "12", "--columns", "backend, epoch ms", "--format", "csv"]
    answer = seqsum("table", "--results", results, *options)
    assert answer.code == 0
    heading, row = answer.out.splitlines()
    assert heading == "backend,epoch ms" and row.startswith("torch,40.0")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--show", "sped"], "`--show` must be one of overview, speed, "),
        (["--show", "sped"], "Received: 'sped'. Did you mean speed?"),
        (["--columns", "epoch m"], "Received: 'epoch m'. Did you mean epoch ms?"),
        (["--backend", "jaxx"], "Did you mean jax?"),
        (["--model", "lsmt"], "Did you mean lstm?"),
        (["--length", "13"], "`--length` must be one of 4, 12."),
    ],
)
def test_a_near_name_is_offered(seqsum: Caller, results: Path, arguments: list[str], expected: str) -> None:
    answer = seqsum("table", "--results", results, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert expected in answer.err and len(answer.err.splitlines()) == 1


def test_tensorflow_has_a_short_name(seqsum: Caller, results: Path) -> None:
    assert "failed in fit" in seqsum("table", "--results", results, "--show", "speed", "--backend", "tf").out


def test_help_lists_every_table(seqsum: Caller) -> None:
    out = seqsum("table", "--help").out
    for name, make in TABLES.items():
        assert f"\n    {name} " in out, name
        assert str(make.__doc__).partition("\n")[0].rstrip(".") in " ".join(out.split()), name
    assert max(map(len, out.splitlines())) <= 80


def test_every_command_has_an_example_in_its_help(seqsum: Caller) -> None:
    import typer

    from bench.cli import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert {"run", "table", "compare", "export", "doctor"} <= commands.keys()
    for name in commands:
        assert (
            f"Example: seqsum {name} " in seqsum(name, "--help").out
            or f"Example: seqsum {name}\n" in seqsum(name, "--help").out
        ), name


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    for forbidden, coloured in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", forbidden)
        screen().print("red", style="red")
        assert ("\x1b[31m" in capsys.readouterr().out) == coloured


def test_what_is_piped_has_no_escapes(seqsum: Caller, results: Path) -> None:
    assert "\x1b" not in seqsum("table", "--results", results, "--show", "all").out


@pytest.mark.parametrize(("typed", "offered"), [("seqsum ta", "table"), ("seqsum compare --fail", "--fail-on")])
def test_the_shell_completes_commands_and_options(tmp_path: Path, typed: str, offered: str) -> None:
    words = typed.split()
    asked = {"_SEQSUM_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    answer = subprocess.run(
        [sys.executable, "-m", "bench"], env=os.environ | asked, capture_output=True, text=True, cwd=tmp_path
    )
    assert answer.stdout.split() == [offered], answer.stderr


def test_a_target_is_named_in_the_table_and_changes_nothing_else(seqsum: Caller, results: Path) -> None:
    usual = seqsum("table", "--results", results, "--show", "target", "--show", "speed")
    other = seqsum("table", "--results", results, "--show", "target", "--show", "speed", "--target", "1.5")
    assert "Time to a val_mse of 0.25" in usual.out and "Time to a val_mse of 1.5" in other.out
    assert usual.out.partition("\nTime")[0] == other.out.partition("\nTime")[0]


@pytest.mark.parametrize("command", ["table", "plot", "report"])
@pytest.mark.parametrize("target", ["0", "-0.25", "nan", "inf"])
def test_a_target_that_cannot_be_reached_is_refused(
    seqsum: Caller, results: Path, tmp_path: Path, command: str, target: str
) -> None:
    out = [] if command == "table" else ["--out", str(tmp_path / "new.html")]
    answer = seqsum(command, "--results", results, f"--target={target}", *out)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("seqsum: `--target` must be") and len(answer.err.splitlines()) == 1
    assert not list(tmp_path.glob("new*"))
