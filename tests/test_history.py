"""Histories: steps that are there are marked, others are not; what a folder has is not measured again."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from calling import Caller
from factories import PATH, make_cell, make_processes, make_run, make_sweep, make_worker
from watched import LIMITS, QUICK, play_versions

from bench.analysis.history import KEY, MARGIN, history, steps, version_key
from bench.analysis.select import Selection, select
from bench.measure.progress import Progress
from bench.output.charts import CHARTS
from bench.output.tables.watch import history as table
from bench.records.frame import Frames, load
from bench.records.schema import Record
from bench.records.store import load_runs
from bench.watch.history import measure_history

PUBLISHED = Path(__file__).parents[1] / "results" / "reference"
BEHAVIOURS = {"1.1": "takes 2", "0.9": "dies at import"}
FACTORS = {"3.9.2": 1.0, "3.10.0": 1.4, "3.11.0": 1.41}


def timed(factors: dict[str, float], *, run: str, spread: float = 0.005, seed: int = 0) -> Selection:
    """Make nine processes of torch and of versions of Keras on a machine that drifts by a third within the run."""
    random = np.random.default_rng(seed)
    drift = np.geomspace(0.1, 0.133, 9)
    records: list[Record] = [*make_processes(make_cell("torch"), seconds=list(drift))]
    for version, factor in factors.items():
        seconds = drift * factor * np.exp(random.normal(0, spread, 9))
        cell = make_cell(f"torch@keras=={version}")
        records += make_processes(cell, seconds=list(seconds), execution_path=_path(factor))
    names = ("torch", *(f"torch@keras=={version}" for version in factors))
    sweep = make_sweep(backends=names, models=("lstm",), lengths=(12,), seeds=0)
    return select([make_run(records, run, sweep=sweep, workers=tuple(map(make_worker, names)))])


def _path(factor: float) -> object:
    return PATH.model_copy(update={"recurrence": "python loop"}) if factor > 2 else PATH


def test_steps() -> None:
    """Versions are in their order, not in that of their names; only the one slow-down is a step."""
    figures = history(timed(FACTORS, run="2030-01-01T00-00-00-a").frames.turns)
    assert list(figures["version"]) == ["keras 3.9.2", "keras 3.10.0", "keras 3.11.0"]
    assert list(figures["ratio"]) == pytest.approx([1.0, 1.4, 1.41], rel=0.01)
    ((quantity, ratio, low, high),) = figures["steps"][1]
    assert quantity == "epoch" and low < 1.4 < high and ratio == pytest.approx(1.4, rel=0.01)
    assert figures["steps"][0] == figures["steps"][2] == []


def test_changed_path_is_a_step() -> None:
    figures = history(timed({"3.9.2": 1.0, "3.10.0": 3.0}, run="2030-01-01T00-00-00-a").frames.turns)
    assert [step[0] for step in figures["steps"][1]] == ["epoch", "path"]


def test_several_runs() -> None:
    """Versions of two runs are compared by their ratios to the anchor, though the machine was half as fast in one."""
    first = timed({"3.9.2": 1.0}, run="2030-01-01T00-00-00-a")
    second = timed({"3.10.0": 1.4, "3.11.0": 1.4}, run="2030-01-02T00-00-00-b", seed=1)
    both = select([*first.runs, *second.runs])
    figures = history(Frames(both.runs).turns)
    assert list(figures["ratio"]) == pytest.approx([1.0, 1.4, 1.4], rel=0.01)
    assert [[step[0] for step in steps] for steps in figures["steps"]] == [[], ["epoch"], []]
    assert "epoch 1.4" in table(both).frame["changed"][1] and CHARTS["history"](both)


def test_nothing_to_compare() -> None:
    assert not len(history(Frames([make_run([])]).turns))
    assert version_key("torch@keras-nightly==3.12.0.dev2025083103") < version_key("torch@keras==3.12.0")


def test_recorded_processes_show_no_step() -> None:
    """One version five times, 200 times: at most 5 % of such histories mark a step.

    Every process of a version or its anchor is drawn from those that were recorded of one cell, for epochs and for
    validations, which is more than two in turns differ.
    """
    turns = load(PUBLISHED)
    turns = turns[~turns["is_control"] & turns["counted"]]
    cells = turns.groupby(["environment", "model", "length", "process"])[["epoch_s", "validation_s"]].median()
    recorded = {name: cells.dropna()[name].groupby(level=[0, 1, 2]).agg(list) for name in cells}
    names = [f"torch@keras==1.{number}" for number in range(5)]
    figures = pd.DataFrame([dict.fromkeys(KEY, "") | {"environment": name, "path": "scan"} for name in names])
    random = np.random.default_rng(0)
    marked = 0
    for _ in range(200):
        parts = []
        for quantity, samples in (("epoch", recorded["epoch_s"]), ("validation", recorded["validation_s"])):
            logs = np.log(samples.iloc[random.integers(len(samples))])
            anchor = random.choice(logs, 9)
            for name in names:
                log_ratio = random.choice(logs, 9) - anchor
                part = pd.DataFrame({"run": "a", "process": range(9), "quantity": quantity, "log_ratio": log_ratio})
                parts.append(part.assign(**dict.fromkeys(KEY, "") | {"environment": name}))
        marked += bool(steps(pd.concat(parts), figures, MARGIN)["is_step"].any())
    assert marked <= 10


@pytest.mark.usefixtures("own_lock")
class TestMeasuring:
    """What is measured, by played workers."""

    def measure(self, folder: Path, versions: list[str], processes: int = 1) -> list[set[str]]:
        """Measure versions and return the environments of each run that was measured."""
        timing = QUICK.model_copy(update={"processes": processes})
        sweep = make_sweep(models=("lstm",), lengths=(4,), seeds=0, timing=timing, limits=LIMITS)
        written = measure_history(
            sweep,
            {"torch": [f"torch@keras=={version}" for version in versions]},
            command="seqsum history",
            results=folder / "results",
            pythons={},
            progress=Progress(),
        )
        return [{record.cell.environment for record in writer.records} for writer in written]  # type: ignore[union-attr]

    def test_added_versions(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only what is new is measured, beside the anchor; what cannot be imported does not stop the others."""
        play_versions(
            monkeypatch, tmp_path, lambda version: {"1.1": "takes 1.3", "0.9": "dies at import"}.get(version, "takes 1")
        )
        assert self.measure(tmp_path, ["1.0", "0.9"], 6) == [{"torch", "torch@keras==1.0", "torch@keras==0.9"}]
        assert self.measure(tmp_path, ["1.0", "0.9"], 6) == []
        assert self.measure(tmp_path, ["1.0", "1.1"], 6) == [{"torch", "torch@keras==1.1"}]
        selection = select(load_runs(tmp_path / "results")[0])
        frame = table(selection).frame
        assert list(frame["version"]) == ["keras 1.0", "keras 1.1"] and "epoch 1.3" in frame["changed"][1]

    def test_interruption(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A run that was interrupted goes on before anything new begins."""
        play_versions(monkeypatch, tmp_path, lambda _: "takes 1")
        self.measure(tmp_path, ["1.0"])
        (trials,) = (tmp_path / "results").glob("*/trials.jsonl")
        lines = trials.read_bytes().splitlines(keepends=True)
        trials.write_bytes(b"".join(lines[:1]))
        assert self.measure(tmp_path, ["1.0"]) == [{"torch", "torch@keras==1.0"}]
        assert len(load_runs(tmp_path / "results")[0][0].records) == len(lines)

    def test_groups(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where memory is short, versions are measured in several runs, each with the anchor."""
        play_versions(monkeypatch, tmp_path, lambda _: "takes 1")
        monkeypatch.setattr("bench.watch.history.WORKER_BYTES", 2**50)
        runs = self.measure(tmp_path, ["1.0", "1.1", "1.2"])
        assert [len(run) for run in runs] == [3, 2] and all("torch" in run for run in runs)


@pytest.mark.usefixtures("own_lock")
def test_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It measures, prints and draws; what cannot be imported is no failure."""
    play_versions(monkeypatch, tmp_path, lambda version: BEHAVIOURS.get(version, "takes 1"))
    sweep = make_sweep(backends=("torch",), models=("lstm",), lengths=(4,), seeds=0, timing=QUICK, limits=LIMITS)
    monkeypatch.setattr("bench.commands.watch.plan_versions", lambda *_, **__: sweep)
    place = ("--results", tmp_path / "results", "--plot", tmp_path / "history.svg")
    seqsum = Caller(monkeypatch, capsys)
    answer = seqsum("history", "--versions", "keras=0.9,1.0,1.1", *place)
    assert answer.code == 0, answer.err
    assert "keras 1.1" in answer.out and "epoch 2.0" in answer.out and (tmp_path / "history.svg").exists()
    assert "\nkeras 0, seqsum" in answer.out and max(map(len, answer.out.splitlines())) <= 80
    document = json.loads(seqsum("history", "--versions", "keras=1.0,1.1", "--json", *place).out)
    assert [row[3] for row in document["rows"]] == ["keras 1.0", "keras 1.1"] and len(document["runs"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "`history` needs one of --versions, --last, --nightlies, --over-time."),
        ("--versions keras=1 --last 2", "`history` needs one of"),
        ("--nightlies weekly", "`--nightlies` and `--since` go together."),
        ("--versions keras", "`--versions` must be PACKAGE=VERSION,VERSION. Received: 'keras'"),
        ("--versions keras=3.1 --backend torch@old", "`--backend` must be a backend here"),
        ("--versions keras=3.1 --plot a.txt", "`--plot` must end in .png"),
    ],
)
def test_wrong_input(
    arguments: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    play_versions(monkeypatch, tmp_path, lambda _: "takes 1")
    answer = Caller(monkeypatch, capsys)("history", *arguments.split())
    assert answer.code == 2 and message in answer.err and len(answer.err.splitlines()) == 1
