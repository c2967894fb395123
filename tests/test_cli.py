"""The command line: wrong input is one line with exit code 2, and every command has help."""

import re
from pathlib import Path

import pytest
import typer
from calling import Caller

from bench.cli import app
from bench.commands.run import parse_axes, parse_share
from bench.errors import UserError
from bench.plan.files import read_profile

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.fixture
def seqsum(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Caller:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return Caller(monkeypatch, capsys)


FILES = {
    "misspelt.toml": "lengths = [4]\n[training]\nbatchsize = 10\n",
}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--no-such-option", "No such option: --no-such-option"),
        ("measure", "No such command 'measure'"),
        ("run --length 0", "`length` must be at least 1. Received: 0."),
        ("run --model lsmt", "Received: 'lsmt'. Did you mean lstm?"),
        ("run --backend theano", "`backend` must be one of jax, torch, tensorflow, tf. Received: 'theano'."),
        ("run --backend jax@a/b", "`backend` must be BACKEND or BACKEND@NAME. Received: 'jax@a/b'."),
        ("run --backend jax@old", "--python jax@old=PATH"),
        ("run --address auto", "`--address` is that of a Ray cluster. Received: auto without it."),
        ("run --profile ful", "`profile` must be one of smoke, standard, full. Received: 'ful'. Did you mean full?"),
        ("run --seeds -1", "`seeds`: Input should be greater than or equal to 0. Received: -1."),
        ("run --rigorous --rounds 0", "`timing.rounds`: Input should be greater than or equal to 1. Received: 0."),
        ("run --precision 0%", "`--precision` must be a share above 0 and below 100 %. Received: '0%'. Write 5%"),
        ("run --axis unrol=true", "`--axis` must be one of implementation, unroll, "),
        ("run --axis unroll=maybe", "`axes.unroll`: "),
        ("run --sweep absent.toml", "absent.toml: cannot be read"),
        ("run --sweep misspelt.toml", "misspelt.toml: `training.batchsize`: there is no such key"),
        ("run --python jax", "`--python` must be BACKEND=PATH"),
        ("run --backend jax --python jax=/no/such/python", "cannot be started"),
        ("run --retry", "`--retry` needs `--resume`. Received: --retry alone."),
        ("run --resume absent --length 4", "`--resume` takes its cells and settings from the run. Received: --length."),
        ("run --resume absent", "absent"),
        ("advise --budget 1", "`--budget` must be at least "),
        ("replay --case rnn-5", "Received: 'rnn-5'. Did you mean rnn-"),
        ("replay --plot losses.txt", "`--plot` must end in .png"),
        ("parity --backend jaxx", "Did you mean jax?"),
        ("table", "Measure first: seqsum run"),
        ("table absent", "absent"),
        ("report --results absent", "`--results` must be a folder. Received: absent. Measure first"),
        ("report --out report.txt", "`--out` must end in .html or .htm. Received: report.txt."),
        ("export --format parquet", "`--format parquet` needs --out. Received: none."),
        ("compare absent absent", "`BASE` must be a folder of a run or of runs. Received: absent."),
        ("compare . . --fail-on slow", "`--fail-on` must be slower:SHARE%"),
        *[(f"{command} --target={mse}", "`--target` must be") for command in ("table", "plot") for mse in ("0", "nan")],
    ],
)
def test_wrong_input(seqsum: Caller, tmp_path: Path, arguments: str, expected: str) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    answer = seqsum(*arguments.split())
    assert answer.code == 2 and answer.out == ""
    assert expected in answer.err and answer.err.startswith("seqsum: ") and len(answer.err.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == FILES.keys()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help(seqsum: Caller, name: str) -> None:
    """Each command has an example in its help."""
    answer = seqsum(name, "--help")
    assert answer.code == 0 and f"Example: seqsum {name}" in " ".join(answer.out.split())


@pytest.mark.parametrize("name", ["", *sorted(COMMANDS)])
def test_help_fits_a_terminal(seqsum: Caller, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """80 columns, no type of Python, no sentence cut short, the command that comes first in use first."""
    monkeypatch.setenv("COLUMNS", "80")
    out = seqsum(*filter(None, [name]), "--help").out
    assert max(map(len, out.splitlines())) <= 80
    assert not re.search(r"<(list\[|str>|int>|float>|path>)", out)
    if not name:
        commands = out.partition("Commands:\n")[2].splitlines()
        assert [line.split()[0] for line in commands][:3] == ["run", "table", "report"] and len(commands) == len(
            COMMANDS
        )


def test_help_lists_tables_and_charts(seqsum: Caller) -> None:
    from bench.output.charts import CHARTS
    from bench.output.tables import TABLES

    for command, names in (("table", TABLES), ("plot", CHARTS)):
        out = seqsum(command, "--help").out
        assert all(f"\n    {name} " in out for name in names)


def test_version_and_no_arguments(seqsum: Caller) -> None:
    assert seqsum("--version").out.startswith("seqsum 0.")
    answer = seqsum()
    assert answer.code == 0 and "Usage: seqsum" in answer.out


@pytest.mark.parametrize(("text", "share"), [("0.05", 0.05), (" 5 % ", 0.05), ("99.9%", 0.999), ("1e-3", 0.001)])
def test_share(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["0", "100%", "-5%", "%", "5%%", "nan", "inf%"])
def test_no_share(text: str) -> None:
    with pytest.raises(UserError, match=r"`--precision` must be a share above 0 and below 100 %\. Received: "):
        parse_share(text)


def test_axes() -> None:
    """Words and numbers; an axis given twice, as `--axis implementation=... --ceilings` gives it, loses nothing."""
    axes = parse_axes(["unroll=false,true", "jit_compile=auto", "units=16, 64", "dtype=float32", "units=8"])
    assert axes == {"unroll": [False, True], "jit_compile": ["auto"], "units": [16, 64, 8], "dtype": ["float32"]}
    twice = parse_axes(["implementation=keras,fused", "implementation=keras,ceiling"])
    variants = read_profile("smoke", {"axes": twice}).variants
    assert [variant.implementation for variant in variants] == ["keras", "fused", "ceiling"]
    with pytest.raises(UserError, match=r"must be NAME=VALUE,VALUE\. Received: 'unroll'\. Write unroll=false,true"):
        parse_axes(["unroll"])
