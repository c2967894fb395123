"""`seqsum replay`, called as a user calls it: verdicts, exit codes, files, and one clear line for a mistake."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import installed_backends
from fake_worker import fake_python
from test_cli import seqsum

from bench.measure.environments import TOX_ENVIRONMENT
from seqsum_core.article import reference
from seqsum_core.article.reference import CASES, FLOAT64_CASES


@pytest.fixture
def pythons(tmp_path: Path) -> list[str]:
    python = fake_python(tmp_path)
    return [f"--python={backend}={python}" for backend in TOX_ENVIRONMENT]


def file_arrays(length: int = 5) -> dict[str, Any]:
    """Return the arrays of a small reference file: an LSTM(3), 12 rows, 3 epochs."""
    random = np.random.default_rng(0)
    digits = random.integers(0, 4, (12, length), dtype=np.int8)
    weights = {
        "kernel": (1, 12),
        "recurrent_kernel": (3, 12),
        "bias": (12,),
        "dense_kernel": (3, 1),
        "dense_bias": (1,),
    }
    return {
        "X_pad": digits,
        "y": digits.sum(axis=1),
        "train_idx": np.arange(8),
        "test_idx": np.arange(8, 12),
        "perms": np.array([random.permutation(6) for _ in range(3)]),
        **{f"init_{name}": random.normal(size=shape).astype(np.float32) for name, shape in weights.items()},
        "loss": np.array([3.0, 2.0, 1.0]),
        "val_loss": np.array([3.0, 2.0, 2.5]),
        "stopped_epoch": np.array(2),
        "test_pred": random.normal(size=4).astype(np.float32),
    }


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Make a folder with one good reference file and many that are not."""
    good = file_arrays()
    not_a_number = good["loss"].copy()
    not_a_number[0] = np.nan
    bad = {
        "incomplete": {name: array for name, array in good.items() if name != "perms"},
        "shape": good | {"y": good["y"][:-1]},
        "dtype": good | {"loss": good["loss"].astype(np.float16)},
        "nan": good | {"loss": not_a_number},
        "pickle": good | {"loss": np.array([{}], dtype=object)},
    }
    np.savez(tmp_path / "good.npz", **good)
    for name, arrays in bad.items():
        np.savez(tmp_path / f"{name}.npz", allow_pickle=True, **arrays)
    whole = (tmp_path / "good.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def test_all_cases_on_all_backends_print_their_verdict_within_80_columns(tmp_path: Path, pythons: list[str]) -> None:
    answer = seqsum(tmp_path, "replay", *pythons)
    assert answer.returncode == 0, answer.stderr + answer.stdout
    for name in CASES:
        assert f"{name}: " in answer.stdout
    assert "Verdict in float32: pass" in answer.stdout and "FAIL" not in answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 80
    assert "[18/18]" in answer.stderr and "[18/18]" not in answer.stdout


def test_article_table_shows_predicted_printed_and_true(tmp_path: Path, pythons: list[str]) -> None:
    lines = seqsum(tmp_path, "replay", "--case", "rnn-12", *pythons).stdout.splitlines()
    (heading,) = [line.split() for line in lines if line.split()[:2] == ["row", "jax"]]
    assert heading == ["row", "jax", "torch", "tensorflow", "reference", "article", "true"]
    first = next(line.split() for line in lines if line.split()[:1] == ["0"])
    assert first == ["0", "17.030787", "17.030787", "17.030787", "17.030788", "17.030787", "22"]


def test_json_holds_everything_and_nothing_else_is_printed(tmp_path: Path, pythons: list[str]) -> None:
    answer = seqsum(tmp_path, "replay", "--case", "rnn-4", "--backend", "tf", "--json", *pythons)
    told = json.loads(answer.stdout)
    (run,) = told["runs"]
    assert told["passed"] is True and told["missing"] == {} and told["dtype"] == "float32"
    assert list(run["backends"]) == ["tensorflow"] and run["name"] == "rnn-4"
    replayed = run["backends"]["tensorflow"]
    assert replayed["stop_epoch"] == run["reference"]["stop_epoch"] == 23
    assert len(replayed["loss"]) == 24 and len(replayed["test_predictions"]) == len(run["true"]) == 200
    assert all(bar["measured"] <= bar["limit"] and bar["passed"] for bar in replayed["bars"])
    assert replayed["val_loss"] == reference.case("rnn-4").val_loss.tolist()  # to the last digit


def test_float64_replays_the_cases_that_have_it(tmp_path: Path, pythons: list[str]) -> None:
    told = json.loads(seqsum(tmp_path, "replay", "--dtype", "float64", "--json", *pythons).stdout)
    assert [run["name"] for run in told["runs"]] == list(FLOAT64_CASES)
    bars = [bar for run in told["runs"] for each in run["backends"].values() for bar in each["bars"]]
    assert {bar["limit"] for bar in bars} == {0, 1e-9}


def test_bar_that_does_not_hold_exits_with_1_and_is_marked(tmp_path: Path, pythons: list[str]) -> None:
    wrong = fake_python(tmp_path, "learns otherwise")
    answer = seqsum(tmp_path, "replay", "--case", "lstm-4", *pythons, f"--python=torch={wrong}")
    assert answer.returncode == 1
    assert "Verdict in float32: FAIL" in answer.stdout and "0.1 FAIL" in answer.stdout
    last = [line.split() for line in answer.stdout.splitlines() if line.startswith("lstm-4 ")][-1]
    assert last == ["lstm-4", "pass", "FAIL", "pass"]


def test_missing_backend_is_named_and_the_others_run(tmp_path: Path, pythons: list[str]) -> None:
    bare = tmp_path / "bare-python"
    bare.write_text('#!/bin/sh\necho \'["bench", "seqsum_core", "keras"]\'\n')
    bare.chmod(0o755)
    for asked in ([], ["--backend", "jax", "--backend", "torch"]):
        answer = seqsum(tmp_path, "replay", "--case", "rnn-4", *asked, *pythons, f"--python=torch={bare}", "--json")
        told = json.loads(answer.stdout)
        assert answer.returncode == 1 and "torch not installed" in told["missing"]["torch"]
        assert told["runs"][0]["backends"]["jax"]["passed"] and not told["passed"]
        assert "torch not installed" in answer.stderr


def test_backend_that_does_not_start_is_named_and_the_others_run(tmp_path: Path, pythons: list[str]) -> None:
    broken = fake_python(tmp_path, "dies at import")
    answer = seqsum(tmp_path, "replay", "--case", "rnn-4", *pythons, f"--python=torch={broken}")
    assert answer.returncode == 1
    assert "missing: Backend torch does not start: ended with exit code 3" in answer.stdout
    last = [line.split() for line in answer.stdout.splitlines() if line.startswith("rnn-4 ")][-1]
    assert last == ["rnn-4", "pass", "pass", "missing"]


def test_worker_lost_in_one_case_is_followed_by_another(tmp_path: Path, pythons: list[str]) -> None:
    crashing = fake_python(tmp_path, "crashes at 12")
    cases = ["--case", "rnn-12", "--case", "rnn-4"]
    answer = seqsum(tmp_path, "replay", *cases, "--json", *pythons, f"--python=jax={crashing}")
    lost, after = (run["backends"]["jax"] for run in json.loads(answer.stdout)["runs"])
    assert answer.returncode == 1
    assert not lost["passed"] and "exit code -6" in lost["failure"] and "epoch 0" in lost["failure"]
    assert after["passed"]


def test_float64_that_stopped_working_fails_with_its_reason(tmp_path: Path, pythons: list[str]) -> None:
    demoting = fake_python(tmp_path, "no float64")
    answer = seqsum(tmp_path, "replay", "--dtype", "float64", "--case", "rnn-4", *pythons, f"--python=jax={demoting}")
    assert answer.returncode == 1 and "rnn-4, jax: RuntimeError: Keras 9 on jax does not" in answer.stdout


def test_users_file_is_replayed_in_both_precisions(files: Path, pythons: list[str]) -> None:
    answer = seqsum(files, "replay", "--reference", "good.npz", *pythons)
    assert answer.returncode == 0, answer.stderr + answer.stdout
    assert "good.npz: LSTM(3), length 5" in answer.stdout
    assert "jax, good.npz: again in float64" in answer.stderr


def test_one_history_is_written_as_csv_logger_writes_it(tmp_path: Path, pythons: list[str]) -> None:
    command = ["replay", "--case", "rnn-4", "--backend", "jax", "--csv", "log.csv"]
    assert seqsum(tmp_path, *command, *pythons).returncode == 0
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    run = reference.case("rnn-4")
    assert list(rows[0]) == ["epoch", "loss", "val_loss"] and [int(row["epoch"]) for row in rows] == list(range(24))
    assert [float(row["val_loss"]) for row in rows] == run.val_loss.tolist()


def test_several_histories_get_files_of_their_own(tmp_path: Path, pythons: list[str]) -> None:
    command = ["replay", "--case", "rnn-4", "--case", "lstm-4", "--backend", "jax", "--backend", "tf"]
    assert seqsum(tmp_path, *command, "--csv", "log.csv", *pythons).returncode == 0
    written = sorted(path.name for path in tmp_path.glob("*.csv"))
    assert written == [f"log-{run}-{backend}.csv" for run in ("lstm-4", "rnn-4") for backend in ("jax", "tensorflow")]


@pytest.mark.parametrize(("name", "beginning"), [("losses.png", b"\x89PNG"), ("losses.SVG", b"<?xml")])
def test_plot_is_drawn_in_the_format_of_its_name(
    tmp_path: Path, pythons: list[str], name: str, beginning: bytes
) -> None:
    answer = seqsum(tmp_path, "replay", "--case", "rnn-4", "--case", "rnn-25", "--plot", name, *pythons)
    assert answer.returncode == 0, answer.stderr
    drawn = (tmp_path / name).read_bytes()
    assert drawn.startswith(beginning) and len(drawn) > 10_000
    if name.endswith("SVG"):
        for text in (b"rnn-25: SimpleRNN(16), length 25", b"reference", b"tensorflow", b"val_loss"):
            assert text in drawn


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--case", "rnn-44"], "Did you mean rnn-4?"),
        (["--case", "rnn-25", "--dtype", "float64"], "`case` in float64 must be one of rnn-4, lstm-4, rnn-12, lstm-12"),
        (["--dtype", "float16"], "`dtype` must be one of float32, float64"),
        (["--case", "rnn-4", "--reference", "good.npz"], "`--case` and `--reference` exclude each other"),
        (["--reference", "absent.npz"], "must be an .npz file"),
        (["--reference", "folder.png"], "must be an .npz file"),
        (["--reference", "cut.npz"], "must be an .npz file"),
        (["--reference", "incomplete.npz"], "some are missing. Received: ['perms']"),
        (["--reference", "shape.npz"], "`y` must have the shape (rows=12)"),
        (["--reference", "dtype.npz"], "`loss` must hold float64. Received: 'float16'"),
        (["--reference", "nan.npz"], "`loss` must be finite"),
        (["--reference", "pickle.npz"], "needs pickle"),
        (["--backend", "theano"], "`backend` must be one of jax, torch, tensorflow"),
        (["--python", "jax"], "`--python` must be BACKEND=PATH"),
        (["--plot", "losses.doc"], "`--plot` must end in .png or .svg"),
        (["--plot", "absent/losses.png"], "No such file or directory"),
        (["--plot", "folder.png"], "it is a folder"),
        (["--csv", "absent/log.csv"], "`--csv` must be a file that can be written"),
        (["--csv", "log.txt"], "`--csv` must end in .csv"),
    ],
)
def test_wrong_input_is_one_line_with_exit_code_2_before_any_training(
    files: Path, pythons: list[str], arguments: list[str], expected: str
) -> None:
    answer = seqsum(files, "replay", *pythons, *arguments)
    assert answer.returncode == 2, answer.stderr
    assert answer.stdout == "" and len(answer.stderr.splitlines()) == 1
    assert answer.stderr.startswith("seqsum: ") and expected in answer.stderr


def test_contradicting_keras_backend_exits_with_2(tmp_path: Path, pythons: list[str]) -> None:
    answer = seqsum(tmp_path, "replay", "--backend", "jax", *pythons, KERAS_BACKEND="torch")
    assert answer.returncode == 2 and "KERAS_BACKEND is set to 'torch'" in answer.stderr


@pytest.mark.end_to_end
@pytest.mark.parametrize(("dtype", "limit"), [("float32", 2e-5), ("float64", 1e-9)])
def test_every_installed_backend_retraces_the_article(tmp_path: Path, dtype: str, limit: float) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    command = [sys.executable, "-m", "bench", "replay", "--case", "rnn-4", "--dtype", dtype, "--json"]
    answer = subprocess.run(
        command, env=environment | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=900
    )
    assert answer.returncode == 0, answer.stderr
    (run,) = json.loads(answer.stdout)["runs"]
    assert set(run["backends"]) >= set(installed_backends())
    for replayed in run["backends"].values():
        assert replayed["stop_epoch"] == 23 and replayed["val_loss"][23] == pytest.approx(0.1111268, rel=5e-5)
        assert replayed["stop_predictions"][:6] == pytest.approx(run["printed"], abs=2e-5)
        assert limit in {bar["limit"] for bar in replayed["bars"]}
