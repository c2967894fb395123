"""Runs over time: steps that are there are found in the right run, noise makes none, and it is said what differed."""

import json
from pathlib import Path

import numpy as np
import pytest
from calling import Caller, write_run
from factories import MACHINE, make_cell, make_processes, make_run, make_sweep, make_worker

from bench.analysis.levels import change_points, levels, like_newest
from bench.output.tables.watch import levels as table
from bench.records.store import Run

NIGHTS = 12
NEW = 8
"""The night from which on the framework is another version, and slower."""


def make_nights(**fields: object) -> list[Run]:
    """Make a run a night: from one night on JAX is newer and 20 % slower; on torch nothing changes."""
    random, runs = np.random.default_rng(0), []
    for night in range(NIGHTS):
        is_new = night >= NEW
        names = {"jax": 1.2 if is_new else 1.0, "torch": 1.0}
        records = []
        for name, factor in names.items():
            seconds = 0.1 * factor * np.exp(random.normal(0, 0.02, 6))
            calls = 1100 if name == "jax" and is_new else 1000
            records += make_processes(make_cell(name), seconds=list(seconds), python_calls=calls)
        runs.append(
            make_run(
                records,
                f"2030-01-{night + 1:02}T00-00-00-nightly",
                started_at=f"2030-01-{night + 1:02}T00:00:00+00:00",
                workers=(make_worker("jax", version="0.10.0" if is_new else "0.9.0"), make_worker("torch")),
                sweep=make_sweep(models=("lstm",), lengths=(12,), seeds=0, backends=tuple(names)),
                **fields,
            )
        )
    return runs


def test_a_step() -> None:
    runs = make_nights()
    frame = levels(runs)
    found = frame[frame["step"].notna()].set_index("quantity")
    assert set(found["environment"]) == {"jax"} and set(found["since"]) == {runs[NEW].header.run}
    assert found["step"].to_dict() == {"epoch": pytest.approx(1.2, rel=0.02), "calls": pytest.approx(1.1)}
    assert frame.groupby(["environment", "quantity"])["runs"].sum().tolist() == [NIGHTS] * 4
    shown = table(runs).frame
    assert set(shown["differed"]) == {"", "jax 0.9.0 to 0.10.0"}


@pytest.mark.parametrize("noise", ["normal", "heavy tails"])
@pytest.mark.parametrize(("count", "least_found"), [(6, 0.4), (12, 0.9), (40, 0.95)])
def test_noise_makes_no_step(noise: str, count: int, least_found: float) -> None:
    """At most 5 % of series without a step show one; one of five times the noise is found, for sure in longer ones."""
    random = np.random.default_rng(count)
    series = random.normal(0, 1, (150, count)) if noise == "normal" else random.standard_t(4, (150, count))
    stepped = series + 5 * (np.arange(count) >= count // 2)
    wrong = [bool(change_points(each)) for each in series]
    right = [any(abs(place - count // 2) <= 1 for place in change_points(each)) for each in stepped]
    assert np.mean(wrong) <= 0.05 and np.mean(right) >= least_found


def test_single_outlier_and_few_runs() -> None:
    assert change_points([1, 1.01, 0.99, 1.02, 1, 3, 1.01, 0.98, 1]) == []
    assert change_points([1, 1, 1, 2, 2]) == [] and change_points([1, 1, 1, 2, 2, 2]) == [3]


def test_only_what_is_alike() -> None:
    runs = make_nights()
    other = make_nights(machine=MACHINE.model_copy(update={"cpu": "Another"}))[:3]
    assert like_newest([*other, *runs]) == runs


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for run in make_nights():
        write_run(tmp_path, run.header, run.records)
    seqsum = Caller(monkeypatch, capsys)
    answer = seqsum("history", "--over-time", "--results", tmp_path, "--json")
    document = json.loads(answer.out)
    rows = [dict(zip(document["columns"], row, strict=True)) for row in document["rows"]]
    assert answer.code == 0 and [row["since"] for row in rows if row["step"]] == ["2030-01-09T00-00-00-nightly"] * 2
    for option, value in (("--backend", "jax"), ("--since", "2030-01"), ("--rounds", "2"), ("--package", "jax")):
        refused = seqsum("history", "--over-time", option, value, "--results", tmp_path)
        message = f"`--over-time` goes with --results and --json. Received: {value}. Leave it out."
        assert refused.code == 2 and message in refused.err
    for header in tmp_path.glob("*/run.json"):
        header.write_text("{")
    unreadable = seqsum("history", "--over-time", "--results", tmp_path)
    assert unreadable.code == 2 and len(unreadable.err.splitlines()) == 1
