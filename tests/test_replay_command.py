"""Replays with workers that only play: verdicts, what is missing, what is shown and written."""

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_worker import fake_python
from rich.console import Console

from bench.errors import UserError
from bench.measure.progress import Progress
from bench.measure.replay import Replays, replay_runs
from bench.output.replay import document, print_replays, write_chart, write_csv
from bench.plan.cells import BACKENDS
from seqsum_core.article import reference
from seqsum_core.article.reference import CASES, FLOAT64_CASES
from seqsum_core.start import WEIGHT_NAMES

pytestmark = pytest.mark.usefixtures("own_lock")


def file_arrays() -> dict[str, Any]:
    """Return the arrays of a small reference file: an LSTM(3), 12 rows, 3 epochs."""
    random = np.random.default_rng(0)
    digits = random.integers(0, 4, (12, 5), dtype=np.int8)
    shapes: list[tuple[int, ...]] = [(1, 12), (3, 12), (12,), (3, 1), (1,)]
    weights = {f"init_{name}": random.normal(size=shape) for name, shape in zip(WEIGHT_NAMES, shapes, strict=True)}
    return {
        "X_pad": digits,
        "y": digits.sum(axis=1),
        "train_idx": np.arange(8),
        "test_idx": np.arange(8, 12),
        "perms": np.array([random.permutation(6) for _ in range(3)]),
        **{name: weight.astype(np.float32) for name, weight in weights.items()},
        "loss": np.array([3.0, 2.0, 1.0]),
        "val_loss": np.array([3.0, 2.0, 2.5]),
        "stopped_epoch": np.array(2),
        "test_pred": random.normal(size=4).astype(np.float32),
    }


def replay(folder: Path, *environments: str, behaviours: dict[str, str] | None = None, **request: Any) -> Replays:
    """Replay runs in played environments; `messages` in the folder has what was printed."""
    workers = dict.fromkeys(BACKENDS, "good") | (behaviours or {})
    pythons = {backend: fake_python(folder, behaviour) for backend, behaviour in workers.items()}
    with (folder / "messages").open("w") as messages:
        progress = Progress(Console(file=messages, width=300))
        return replay_runs(environments, pythons=request.pop("pythons", pythons), progress=progress, **request)


def shown(replays: Replays) -> list[str]:
    text = StringIO()
    print_replays(replays, Console(file=text, width=80))
    return text.getvalue().splitlines()


def test_all_cases_in_all_environments(tmp_path: Path) -> None:
    replays = replay(tmp_path)
    assert replays.passed and [run.name for run in replays.references] == list(CASES)
    assert list(replays.workers) == list(BACKENDS) and len(replays.attempts) == 18
    lines = shown(replays)
    assert "Verdict in float32: pass" in lines and max(map(len, lines)) <= 80
    assert not any("FAIL" in line for line in lines)
    assert "[18/18]" in (tmp_path / "messages").read_text()


def test_article_table(tmp_path: Path) -> None:
    """The table of the article again: predicted, printed and true, with its digits."""
    lines = shown(replay(tmp_path, cases=["rnn-12"]))
    (heading,) = [line.split() for line in lines if line.split()[:2] == ["row", "jax"]]
    assert heading == ["row", "jax", "torch", "tensorflow", "reference", "article", "true"]
    first = next(line.split() for line in lines if line.split()[:1] == ["0"])
    assert first == ["0", "17.030787", "17.030787", "17.030787", "17.030788", "17.030787", "22"]


def test_document_holds_every_digit(tmp_path: Path) -> None:
    answer = json.loads(json.dumps(document(replay(tmp_path, "tensorflow", cases=["rnn-4"]))))
    (run,) = answer["runs"]
    assert answer["passed"] is True and answer["missing"] == {} and list(run["backends"]) == ["tensorflow"]
    replayed = run["backends"]["tensorflow"]
    assert replayed["stop_epoch"] == run["reference"]["stop_epoch"] == 23
    assert len(replayed["loss"]) == 24 and len(replayed["test_predictions"]) == len(run["true"]) == 200
    assert all(check["measured"] <= check["limit"] and check["passed"] for check in replayed["checks"])
    assert replayed["val_loss"] == reference.case("rnn-4").val_loss.tolist()


def test_float64(tmp_path: Path) -> None:
    replays = replay(tmp_path, "jax", dtype="float64")
    assert [run.name for run in replays.references] == list(FLOAT64_CASES)
    assert {check.limit for each in replays.attempts.values() for check in each.checks} == {0, 1e-9}


def test_broken_limit_fails(tmp_path: Path) -> None:
    replays = replay(tmp_path, cases=["lstm-4"], behaviours={"torch": "learns otherwise"})
    lines = shown(replays)
    assert not replays.passed and "Verdict in float32: FAIL" in lines
    assert any("0.100 FAIL" in line for line in lines)
    assert [line.split() for line in lines if line.startswith("lstm-4 ")][-1] == ["lstm-4", "pass", "FAIL", "pass"]


def test_missing_environment(tmp_path: Path) -> None:
    bare = tmp_path / "bare-python"
    bare.write_text('#!/bin/sh\necho \'["bench", "seqsum_core", "keras"]\'\n')
    bare.chmod(0o755)
    pythons = {"jax": fake_python(tmp_path), "torch": str(bare), "tensorflow": fake_python(tmp_path, "dies at import")}
    replays = replay(tmp_path, cases=["rnn-4"], pythons=pythons)
    assert not replays.passed and replays.attempts["rnn-4", "jax"].passed
    assert "torch not installed" in replays.missing["torch"]
    assert "Backend tensorflow does not start: " in replays.missing["tensorflow"]
    lines = shown(replays)
    assert "torch not installed" in (tmp_path / "messages").read_text()
    assert any(line.startswith("missing: Backend tensorflow does not start: ") for line in lines)
    assert ["rnn-4", "pass", "missing", "missing"] in [line.split() for line in lines]


def test_lost_worker_is_replaced(tmp_path: Path) -> None:
    replays = replay(tmp_path, "jax", cases=["rnn-12", "rnn-4"], behaviours={"jax": "crashes at 12"})
    lost = replays.attempts["rnn-12", "jax"]
    assert not lost.passed and "exit code -6" in lost.failure
    assert replays.attempts["rnn-4", "jax"].passed and any("exit code -6" in line for line in shown(replays))


def test_reference_file(tmp_path: Path) -> None:
    """How far rounding moves a user's run is measured, since no limit is known for it."""
    np.savez(tmp_path / "good.npz", **file_arrays())
    replays = replay(tmp_path, "jax", file=tmp_path / "good.npz")
    assert replays.passed and any("good.npz: LSTM(3), length 5" in line for line in shown(replays))
    assert "jax, good.npz: again in float64" in (tmp_path / "messages").read_text()
    failed = replay(tmp_path, "jax", file=tmp_path / "good.npz", behaviours={"jax": "no float64"})
    assert "does not compute in float64" in failed.attempts["good.npz", "jax"].failure


def test_csv(tmp_path: Path) -> None:
    """A history is written as CSVLogger writes it; several get files of their own."""
    write_csv(replay(tmp_path, "jax", cases=["rnn-4"]), tmp_path / "log.csv")
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "val_loss"] and [int(row["epoch"]) for row in rows] == list(range(24))
    assert [float(row["val_loss"]) for row in rows] == reference.case("rnn-4").val_loss.tolist()
    replays = replay(tmp_path, "jax", "tensorflow", cases=["rnn-4", "lstm-4"])
    names = [f"log-{run}-{backend}.csv" for run in ("rnn-4", "lstm-4") for backend in ("jax", "tensorflow")]
    assert [path.name for path in write_csv(replays, tmp_path / "log.csv")] == names
    assert all((tmp_path / name).is_file() for name in names)


@pytest.mark.parametrize(("name", "beginning"), [("losses.png", b"\x89PNG"), ("losses.SVG", b"<svg")])
def test_chart(tmp_path: Path, name: str, beginning: bytes) -> None:
    replays = replay(tmp_path, "jax", "torch", cases=["rnn-4", "rnn-25"])
    write_chart(replays, tmp_path / name)
    drawn = (tmp_path / name).read_bytes()
    assert drawn.startswith(beginning) and len(drawn) > 10_000
    if name.endswith("SVG"):
        for text in (b"rnn-25: SimpleRNN(16), length 25, val_loss", b"PyTorch"):
            assert text in drawn


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"cases": ["rnn-44"]}, "Did you mean rnn-4?"),
        ({"cases": ["rnn-25"], "dtype": "float64"}, "`case` in float64 must be one of rnn-4, lstm-4, rnn-12, lstm-12"),
        ({"cases": ["rnn-4"], "file": "good"}, "`--case` and `--reference` exclude each other"),
        ({"file": "absent"}, "must be an .npz file"),
        ({"file": "incomplete"}, "some are missing. Received: ['perms']"),
    ],
)
def test_wrong_request(tmp_path: Path, request_: dict[str, Any], error: str) -> None:
    arrays = file_arrays()
    np.savez(tmp_path / "good.npz", **arrays)
    del arrays["perms"]
    np.savez(tmp_path / "incomplete.npz", **arrays)
    if "file" in request_:
        request_ = request_ | {"file": tmp_path / f"{request_['file']}.npz"}
    with pytest.raises(UserError) as raised:
        replay(tmp_path, "jax", pythons={"jax": "/no/such/python"}, **request_)
    assert error in str(raised.value) and "\n" not in str(raised.value)
