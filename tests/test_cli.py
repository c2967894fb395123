"""The command line, called as a user calls it: exit codes, one clear line, tables."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_worker import fake_python

from bench.interpreters import TOX_ENVIRONMENT


def seqsum(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, without what a caller's environment would add."""
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=folder,
        env=environment | {"TMPDIR": str(folder), "COLUMNS": "200"} | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def pythons(tmp_path: Path) -> list[str]:
    python = fake_python(tmp_path)
    return [f"--python={backend}={python}" for backend in TOX_ENVIRONMENT]


BROKEN = "lengths = [4\n"
MISSPELT = "lengths = [4]\n[training]\nbatchsize = 10\n"
TOO_LARGE = "lengths = [4]\n[training]\nbatch_size = 1621\n"
EMPTY_RANGE = 'lengths = [4]\n[task]\nsource = "generated"\ndigits = [3, 0]\n'


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--length", "0"], "`length` must be at least 1"),
        (["run", "--length", "1"], "at least `min_length`, which is 2"),
        (["run", "--model", "lsmt"], "Did you mean lstm?"),
        (["run", "--backend", "theano"], "`backend` must be one of jax, torch, tensorflow"),
        (["run", "--device", "tpu"], "`device` must be cpu or gpu"),
        (["run", "--profile", "ful"], "Did you mean full?"),
        (["run", "--seeds", "0"], "`seeds`"),
        (["run", "--sweep", "absent.toml"], "absent.toml: cannot be read"),
        (["run", "--sweep", "broken.toml"], "broken.toml: not valid TOML"),
        (["run", "--sweep", "misspelt.toml"], "misspelt.toml, line 3: `training.batchsize`: there is no such key"),
        (["run", "--sweep", "too_large.toml"], "too_large.toml, line 3: `batch_size` must be at most"),
        (["run", "--sweep", "empty_range.toml"], "`digits` must be a range from low to high"),
        (["run", "--python", "jax"], "`--python` must be BACKEND=PATH"),
        (["run", "--backend", "jax", "--python", "jax=/no/such/python"], "cannot be started"),
        (["replicas", "--replicas", "0"], "`--replicas` must be at least 1. Received: 0"),
        (["replicas", "--seeds", "-3"], "`--seeds` must be at least 1. Received: -3"),
        (["replicas", "--model", "x:y"], "`model` must be one of simple_rnn, lstm, gru"),
        (["replicas", "--length", "1"], "at least `min_length`, which is 2"),
        (["table"], "Measure first: seqsum run"),
        (["table", "absent"], "not a run"),
        (["--no-such-option"], "No such option"),
        (["run", "--length", "twelve"], "should be a valid integer"),
    ],
)
def test_wrong_input_is_one_line_with_exit_code_2(tmp_path: Path, arguments: list[str], expected: str) -> None:
    files = {"broken": BROKEN, "misspelt": MISSPELT, "too_large": TOO_LARGE, "empty_range": EMPTY_RANGE}
    for name, text in files.items():
        (tmp_path / f"{name}.toml").write_text(text)
    answer = seqsum(tmp_path, *arguments)
    assert answer.returncode == 2, answer.stderr
    assert expected in " ".join(answer.stderr.split())
    assert answer.stdout == "" and "Traceback" not in answer.stderr
    assert not (tmp_path / "results").exists()


def test_missing_backend_names_its_tox_environment(tmp_path: Path) -> None:
    bare = tmp_path / "bare-python"
    bare.write_text('#!/bin/sh\necho \'["bench", "seqsum_core", "keras"]\'\n')
    bare.chmod(0o755)
    answer = seqsum(tmp_path, "run", "--backend", "tf", "--python", f"tf={bare}")
    assert answer.returncode == 2 and "cannot run tensorflow: tensorflow not installed" in answer.stderr


def test_contradicting_keras_backend_exits_with_2(tmp_path: Path, pythons: list[str]) -> None:
    answer = seqsum(tmp_path, "run", "--backend", "jax", *pythons, KERAS_BACKEND="torch")
    assert answer.returncode == 2 and "KERAS_BACKEND is set to 'torch'" in answer.stderr


def test_run_prints_tables_to_stdout_and_progress_to_stderr(tmp_path: Path, pythons: list[str]) -> None:
    answer = seqsum(tmp_path, "run", "--profile", "smoke", *pythons)
    assert answer.returncode == 0, answer.stderr
    for heading in ("Speed", "Start, validation and memory", "Accuracy"):
        assert heading in answer.stdout
    assert "[24/24]" in answer.stderr and "[24/24]" not in answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_failed_trial_makes_exit_code_1_and_stands_in_the_table(tmp_path: Path, pythons: list[str]) -> None:
    crashing = fake_python(tmp_path, "crashes at 12")
    answer = seqsum(tmp_path, "run", "--profile", "smoke", *pythons, f"--python=torch={crashing}")
    assert answer.returncode == 1
    assert "Failures" in answer.stdout and "exit code -6" in " ".join(answer.stdout.split())


def test_table_reads_what_run_wrote_in_every_format(tmp_path: Path, pythons: list[str]) -> None:
    seqsum(tmp_path, "run", "--profile", "smoke", *pythons)
    text = seqsum(tmp_path, "table", "--show", "all").stdout
    markdown = seqsum(tmp_path, "table", "--format", "markdown").stdout
    csv = seqsum(tmp_path, "table", "--format", "csv", "--show", "accuracy").stdout
    assert "Accuracy by true length" in text and "Predictions" in text
    assert "### Speed" in markdown and "| simple_rnn |" in markdown
    assert csv.splitlines()[0].startswith("model,length,backend,seeds,test mse,low,high")
    assert seqsum(tmp_path, "table", "--show", "sped").returncode == 2


def test_recorded_command_does_not_say_where_files_lie(tmp_path: Path, pythons: list[str]) -> None:
    seqsum(tmp_path, "run", "--profile", "smoke", "--results", "elsewhere", "--results=there", *pythons)
    (header,) = (tmp_path / "there").glob("*/run.json")
    assert json.loads(header.read_text())["command"] == "seqsum run --profile smoke"


def test_damaged_record_is_named_and_exits_with_1(tmp_path: Path, pythons: list[str]) -> None:
    seqsum(tmp_path, "run", "--profile", "smoke", *pythons)
    (trials,) = (tmp_path / "results").glob("*/trials.jsonl")
    trials.write_text(trials.read_text() + '{"kind": "speed", "cell"')
    answer = seqsum(tmp_path, "table")
    assert answer.returncode == 1 and "line 29: left out" in " ".join(answer.stderr.split())
    assert "Speed" in answer.stdout


def test_doctor_tells_backends_and_obstacles_as_json(tmp_path: Path, pythons: list[str]) -> None:
    answer = seqsum(tmp_path, "doctor", "--json", *pythons)
    told = json.loads(answer.stdout)
    assert answer.returncode == 0
    assert [worker["backend"] for worker in told["workers"]] == ["jax", "torch", "tensorflow"]
    assert told["machine"]["cores"] >= 1 and told["missing"] == {}


def test_doctor_for_a_person_names_what_is_missing(tmp_path: Path, pythons: list[str]) -> None:
    absent = fake_python(tmp_path, "dies at import")
    answer = seqsum(tmp_path, "doctor", *pythons, f"--python=jax={absent}")
    assert answer.returncode == 0
    assert "torch" in answer.stdout and "missing: ended with exit code 3" in answer.stdout


def test_version_and_help_have_what_they_promise(tmp_path: Path) -> None:
    assert seqsum(tmp_path, "--version").stdout.startswith("seqsum 0.")
    for command in ("run", "table", "plot", "doctor", "replay", "parity", "replicas"):
        assert "Example: seqsum" in seqsum(tmp_path, command, "--help").stdout
