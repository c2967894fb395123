"""The command line, called as a user calls it: exit codes, one clear line, tables."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_worker import fake_python

from bench.measure.environments import TOX_ENVIRONMENT


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


def every_python(folder: Path) -> list[str]:
    python = fake_python(folder)
    return [f"--python={backend}={python}" for backend in TOX_ENVIRONMENT]


@pytest.fixture
def pythons(tmp_path: Path) -> list[str]:
    return every_python(tmp_path)


FILES = {
    "broken": "lengths = [4\n",
    "misspelt": "lengths = [4]\n[training]\nbatchsize = 10\n",
    "too_large": "lengths = [4]\n[training]\nbatch_size = 1621\n",
    "empty_range": 'lengths = [4]\n[task]\nsource = "generated"\ndigits = [3, 0]\n',
    "flags": "lengths = [4]\n[runtime]\nxla_flags = 'foo'\n",
    "no_table": "lengths = [4]\ntiming = 3\n",
}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--length", "0"], "`length` must be at least 1"),
        (["run", "--length", "1"], "at least `min_length`, which is 2"),
        (["run", "--model", "lsmt"], "Did you mean lstm?"),
        (["run", "--backend", "theano"], "`backend` must be one of jax, torch, tensorflow"),
        (["run", "--device", "tpu"], "`device` must be cpu or gpu"),
        (["run", "--profile", "ful"], "Did you mean full?"),
        (["run", "--seeds", "-1"], "`seeds`: Input should be greater than or equal to 0. Received: -1."),
        (["run", "--processes", "0"], "`timing.processes`: Input should be greater than or equal to 1. Received: 0."),
        (["run", "--rounds", "0"], "`timing.rounds`: Input should be greater than or equal to 1. Received: 0."),
        (["run", "--rigorous", "--rounds", "0"], "`timing.rounds`: Input should be greater than or equal to 1."),
        (["run", "--budget", "-1"], "`timing.budget_s`: Input should be greater than or equal to 0. Received: -1.0."),
        (
            ["run", "--precision", "0%"],
            "`--precision` must be a share above 0 and below 100 %. Received: '0%'. Write 5%",
        ),
        (["run", "--precision", "abc%"], "`--precision` must be a share above 0 and below 100 %. Received: 'abc%'."),
        (["run", "--expect", "skan"], "Received: 'skan'. Did you mean scan?"),
        (["run", "--expect", "cudnn"], "`expect` cannot be cudnn on a CPU. Received: 'cudnn'. Use --device gpu."),
        (["run", "--sweep", "absent.toml"], "absent.toml: cannot be read"),
        (["run", "--sweep", "broken.toml"], "broken.toml: not valid TOML"),
        (["run", "--sweep", "misspelt.toml"], "misspelt.toml, line 3: `training.batchsize`: there is no such key"),
        (["run", "--sweep", "too_large.toml"], "too_large.toml, line 3: `batch_size` must be at most"),
        (["run", "--sweep", "empty_range.toml"], "`digits` must be a range from low to high"),
        (
            ["run", "--sweep", "flags.toml"],
            "flags.toml, line 3: `runtime.xla_flags`: `xla_flags` must hold flags of XLA.",
        ),
        (["run", "--sweep", "no_table.toml"], "no_table.toml, line 2: `timing`: "),
        (["run", "--python", "jax"], "`--python` must be BACKEND=PATH"),
        (["run", "--backend", "jax", "--python", "jax=/no/such/python"], "cannot be started"),
        (["replicas", "--replicas", "0"], "`--replicas` must be at least 1. Received: 0"),
        (["replicas", "--seeds", "-3"], "`--seeds` must be at least 1. Received: -3"),
        (["replicas", "--model", "x:y"], "`model` must be one of simple_rnn, lstm, gru"),
        (["replicas", "--length", "1"], "at least `min_length`, which is 2"),
        (["overhead", "--processes", "0"], "`--processes` must be at least 1. Received: 0. Use 8"),
        (["overhead", "--pairs", "0"], "`--pairs` must be even, so that bare and timed fits come first equally often."),
        (["overhead", "--pairs", "3"], "Received: 3. Use 8"),
        (["overhead", "--length", "1"], "at least `min_length`, which is 2"),
        (["overhead", "--model", "x:y"], "`model` must be one of simple_rnn, lstm, gru"),
        (["overhead", "--backend", "theano"], "`backend` must be one of jax, torch, tensorflow"),
        (["overhead", "--backend", "jax", "--python", "jax=/no/such/python"], "cannot be started"),
        (["table"], "Measure first: seqsum run"),
        (["table", "absent"], "not a run"),
        (["--no-such-option"], "No such option"),
        (["run", "--length", "twelve"], "should be a valid integer"),
    ],
)
def test_wrong_input_is_one_line_with_exit_code_2(tmp_path: Path, arguments: list[str], expected: str) -> None:
    for name, text in FILES.items():
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


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Return a folder with the results of one smoke run, not to be changed, and what the run printed."""
    folder = tmp_path_factory.mktemp("measured")
    return folder, seqsum(folder, "run", "--profile", "smoke", *every_python(folder))


def test_run_prints_tables_to_stdout_and_progress_to_stderr(
    measured: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """24 timings: 2 processes of 2 models at 2 lengths on 3 backends; 12 trainings."""
    answer = measured[1]
    assert answer.returncode == 0, answer.stderr
    for heading in ("Speed", "Backends compared by speed", "Start, validation and memory", "Break-even", "Accuracy"):
        assert f"\n{heading}\n" in answer.stdout
    assert "[36/36]" in answer.stderr and "[36/36]" not in answer.stdout
    assert answer.stderr.splitlines()[-1].startswith(
        "Next: seqsum report --results results, or all tables: seqsum table"
    )
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_options_of_the_timing_reach_the_run(tmp_path: Path, pythons: list[str]) -> None:
    """What is named wins over --rigorous; a precision that one process cannot show is said so."""
    options = ["--rigorous", "--processes=1", "--rounds=2", "--precision=5%", "--budget=0", "--seeds=0"]
    axes = ["--backend=jax", "--model=lstm", "--length=4"]
    answer = seqsum(tmp_path, "run", "--profile", "smoke", *axes, *options, *pythons)
    assert answer.returncode == 0, answer.stderr
    (header,) = (tmp_path / "results").glob("*/run.json")
    timing = json.loads(header.read_text())["sweep"]["timing"]
    assert (timing["processes"], timing["rounds"], timing["control"]) == (1, 2, "each")
    assert (timing["precision"], timing["budget_s"], timing["slice_s"]) == (0.05, 0.0, 0.3)
    records = [json.loads(line) for line in (header.parent / "trials.jsonl").read_text().splitlines()]
    speeds = [record for record in records if record["kind"] == "speed"]
    assert sorted(speed["twin"] for speed in speeds) == [False, True]
    assert all({turn["round"] for turn in speed["slices"]} == {0, 1} for speed in speeds)
    assert not [record for record in records if record["kind"] == "accuracy"]
    assert "Precision 5.0% at length 4: too few processes" in answer.stderr and "\nControls\n" in answer.stdout


def test_failed_trial_makes_exit_code_1_and_stands_in_the_table(tmp_path: Path, pythons: list[str]) -> None:
    crashing = fake_python(tmp_path, "crashes at 12")
    answer = seqsum(tmp_path, "run", "--profile", "smoke", *pythons, f"--python=torch={crashing}")
    assert answer.returncode == 1
    assert "Failures" in answer.stdout and "exit code -6" in " ".join(answer.stdout.split())


def test_table_reads_what_run_wrote_in_every_format(
    measured: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder = measured[0]
    text = seqsum(folder, "table", "--show", "all").stdout
    markdown = seqsum(folder, "table", "--format", "markdown").stdout
    csv = seqsum(folder, "table", "--format", "csv", "--show", "accuracy").stdout
    assert "Accuracy by true length" in text and "Predictions" in text
    assert "### Speed" in markdown and "| simple_rnn |" in markdown
    assert csv.splitlines()[0].startswith("model,length,backend,seeds,test mse,low,high")
    assert seqsum(folder, "table", "--show", "sped").returncode == 2


def test_recorded_command_does_not_say_where_files_lie(tmp_path: Path, pythons: list[str]) -> None:
    axes = ["--backend=jax", "--model=lstm", "--length=4"]
    seqsum(tmp_path, "run", "--profile", "smoke", *axes, "--results", "elsewhere", "--results=there", *pythons)
    (header,) = (tmp_path / "there").glob("*/run.json")
    assert json.loads(header.read_text())["command"] == f"seqsum run --profile smoke {' '.join(axes)}"


def test_damaged_record_is_named_and_exits_with_1(
    tmp_path: Path, measured: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    shutil.copytree(measured[0] / "results", tmp_path / "results")
    (trials,) = (tmp_path / "results").glob("*/trials.jsonl")
    lines = trials.read_text().splitlines()
    trials.write_text("\n".join([*lines, '{"kind": "speed", "cell"']))
    answer = seqsum(tmp_path, "table")
    assert answer.returncode == 1 and f"line {len(lines) + 1}: left out" in " ".join(answer.stderr.split())
    assert "Speed" in answer.stdout


def test_doctor_tells_backends_and_obstacles_as_json(tmp_path: Path, pythons: list[str]) -> None:
    answer = seqsum(tmp_path, "doctor", "--json", *pythons)
    told = json.loads(answer.stdout)
    assert answer.returncode == 0
    assert [worker["backend"] for worker in told["workers"]] == ["jax", "torch", "tensorflow"]
    assert told["machine"]["cores"] >= 1 and told["missing"] == {}
    assert told["steal_share"] >= 0 and told["others_cpu_share"] >= 0 and 0 <= told["slowed_share"] < 1
    assert all(obstacle.endswith(".") for obstacle in told["obstacles"])


def test_doctor_for_a_person_names_what_is_missing(tmp_path: Path, pythons: list[str]) -> None:
    absent = fake_python(tmp_path, "dies at import")
    answer = seqsum(tmp_path, "doctor", *pythons, f"--python=jax={absent}")
    assert answer.returncode == 0
    assert "torch" in answer.stdout and "missing: ended with exit code 3" in answer.stdout
    assert re.search(
        r"load [\d.]+, others use [\d.]+ cores, the hypervisor takes [\d.]+;\nthe host slowed", answer.stdout
    )


def test_version_and_help_have_what_they_promise(tmp_path: Path) -> None:
    assert seqsum(tmp_path, "--version").stdout.startswith("seqsum 0.")
    for command in ("run", "table", "plot", "report", "doctor", "replay", "parity", "replicas", "overhead"):
        assert "Example: seqsum" in seqsum(tmp_path, command, "--help").stdout
