"""The commands `plot` and `report`: what is written, what is said, and how they end."""

from pathlib import Path

import pytest
from factories import make_header
from whole_runs import timings

from bench.cli import main
from bench.records import store


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with one small run, beside which the commands are called."""
    monkeypatch.chdir(tmp_path)
    writer = store.start_run(tmp_path / "results", make_header())
    for record in timings(models=["lstm"], lengths=[4]):
        writer.append(record)
    return tmp_path / "results"


def seqsum(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Call the command as a user does; return its exit code."""
    monkeypatch.setattr("sys.argv", ["seqsum", *arguments])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_report_is_written_and_named(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert seqsum(monkeypatch, "report") == 0
    printed = capsys.readouterr()
    assert printed.out == "report.html\n" and printed.err == ""
    assert "jax trains fastest" in (results.parent / "report.html").read_text("utf-8")


def test_a_damaged_record_is_named_left_out_and_ends_with_1(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (trials,) = results.glob("*/trials.jsonl")
    trials.write_text(trials.read_text() + '{"kind": "speed", "cell"\n')
    assert seqsum(monkeypatch, "report", "--out", "page.html") == 1
    printed = capsys.readouterr()
    assert printed.out == "page.html\n" and "line 16: left out" in printed.err
    assert (results.parent / "page.html").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["report", "--results", "absent"], "`--results` must be a folder. Received: absent. Measure first"),
        (["report", "--results", "empty"], "There is no run in empty"),
        (["report", "--out", "report.txt"], "`--out` must end in .html or .htm. Received: report.txt."),
        (["report", "--out", "absent/report.html"], "(No such file or directory). Name another."),
        (["plot", "--show", "sped"], "`--show` must be one of speed, ratios, "),
        (["plot", "--out", "a-file"], "`--out` must be a folder that can be written. Received: a-file"),
    ],
)
def test_wrong_input_is_one_line_with_exit_code_2(
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: str,
) -> None:
    (results.parent / "empty").mkdir()
    (results.parent / "a-file").touch()
    assert seqsum(monkeypatch, *arguments) == 2
    printed = capsys.readouterr()
    assert expected in printed.err and printed.out == "" and printed.err.count("\n") == 1
    assert not (results.parent / "report.html").exists()


def test_a_folder_without_a_readable_run_is_named_and_nothing_written(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (header,) = results.glob("*/run.json")
    header.write_text("{")
    assert seqsum(monkeypatch, "report") == 1
    assert "damaged or of another version" in capsys.readouterr().err
    assert not (results.parent / "report.html").exists()


def test_pictures_are_written_named_and_missing_ones_said(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert seqsum(monkeypatch, "plot", "--out", "pictures", "--show", "speed", "--show", "loss") == 0
    printed = capsys.readouterr()
    assert printed.out == "pictures/speed.png\n"
    assert "Not drawn: loss: there is no accuracy record" in printed.err
    assert (results.parent / "pictures" / "speed.png").read_bytes().startswith(b"\x89PNG")
