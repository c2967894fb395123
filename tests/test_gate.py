"""Gates in turns: what they decide, how often they err, what they could find, and what a run exits with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calling import Caller
from factories import make_accuracy, make_cell, make_errors, make_processes, make_sweep, select_all
from watched import play_versions

import bench
from bench.analysis import gate
from bench.analysis.select import Selection
from bench.analysis.statistics import anytime_p_values, processes_for, smallest_effect
from bench.errors import UserError
from bench.output.doctor import sensitivity_line
from bench.output.numbers import number
from bench.output.tables.watch import gate_lines
from bench.plan.gate import QUANTITIES, parse_gate
from bench.records.store import load_runs

NEW = "torch@keras==9.0"
NOISE: list[float] = np.exp(np.random.default_rng(0).normal(0, 0.01, 9)).tolist()


def compared(factor: float, *gates: str, seconds: Sequence[float] = NOISE, **fields: Any) -> Selection:
    """Make nine processes of torch and of a version whose epochs take longer by a factor, on a drifting machine."""
    drift = np.linspace(0.1, 0.2, len(seconds))
    timing = {"gates": [parse_gate(text, "--gate", QUANTITIES).model_dump() for text in gates or ["slower:5%"]]}
    sweep = make_sweep(backends=("torch", NEW), models=("lstm",), lengths=(12,), seeds=0, timing=timing)
    return select_all(
        *make_processes(make_cell("torch"), seconds=list(drift)),
        *make_processes(make_cell(NEW), seconds=list(drift * factor * np.array(seconds)), **fields),
        sweep=sweep,
    )


@pytest.mark.parametrize(
    ("factor", "verdict", "code"), [(1.0, "within", 0), (0.5, "within", 0), (1.1, "slower", 1), (1.05, "undecided", 3)]
)
def test_verdicts(factor: float, verdict: str, code: int) -> None:
    selection = compared(factor)
    assert list(gate.judge(selection.frames, selection.header.sweep)["verdict"]) == [verdict]
    found, lines = gate_lines(selection)
    assert found == code and lines[0] == f"Gate slower:5%: 1 {verdict}."


def test_other_quantities() -> None:
    selection = compared(1.0, "memory:5%", "validation:5%", "path", peak_rss_bytes=600 * 2**20)
    figures = gate.judge(selection.frames, selection.header.sweep).set_index("gate")
    assert figures["verdict"].to_dict() == {"memory:5%": "more", "validation:5%": "within", "path": "within"}
    assert figures.loc["memory:5%", "ratio"] == pytest.approx(600 / 512)
    assert gate_lines(compared(1.0, "path")) == (0, ["Gate path: 1 within."])


@pytest.mark.parametrize(("calls", "verdict"), [(1021, "more"), (1019, "within"), (500, "within")])
def test_calls_need_one_process(calls: int, verdict: str) -> None:
    selection = compared(1.0, "calls:2%", seconds=[1.0], python_calls=calls)
    assert list(gate.judge(selection.frames, selection.header.sweep)["verdict"]) == [verdict]
    assert gate_lines(selection) == ({"more": 1, "within": 0}[verdict], [f"Gate calls:2%: 1 {verdict}."])


@pytest.mark.parametrize(
    ("factors", "verdict", "code"),
    [
        ([1.0, 1.001, 0.999, 1.0, 1.0, 1.001], "within", 0),
        ([2.0, 2.1, 1.9, 2.0, 2.0, 2.1], "worse", 1),
        ([0.5, 0.51, 0.49, 0.5, 0.5, 0.51], "within", 0),
        ([0.5, 2.0, 1.0, 3.0, 0.4, 1.0], "undecided", 3),
    ],
)
@pytest.mark.parametrize("new", [NEW, "torch@another"])
def test_accuracy(factors: list[float], verdict: str, code: int, new: str) -> None:
    """By pairs of seeds; the first environment of a backend is the one to compare with, whatever the names."""
    errors = [1.0, 1.1, 0.9, 1.2, 1.0, 0.8]
    timing = {"gates": [parse_gate("accuracy:10%", "--gate", QUANTITIES).model_dump()]}
    for first, second in (("torch", new), (new, "torch")):
        sweep = make_sweep(backends=(first, second), models=("lstm",), lengths=(12,), seeds=6, timing=timing)
        trainings = [
            make_accuracy(make_cell(name), seed=seed, test=make_errors(error))
            for name, scale in ((first, [1.0] * 6), (second, factors))
            for seed, error in enumerate(np.multiply(errors, scale).tolist())
        ]
        selection = select_all(*trainings, sweep=sweep)
        assert gate_lines(selection) == (code, [f"Gate accuracy:10%: 1 {verdict}."])
    code, lines = gate_lines(select_all(*trainings[:6], sweep=sweep))
    assert code == 3 and "has no figures" in lines[1]


def test_what_is_missing_is_undecided() -> None:
    selection = select_all(*make_processes(make_cell("torch"), seconds=NOISE), sweep=compared(1).header.sweep)
    code, lines = gate_lines(selection)
    assert code == 3 and lines[1].startswith(f"Undecided: {NEW} lstm 12 has no figures")


@pytest.mark.parametrize("text", ["slower", "epoch:5%", "path:5%", "memory", "accuracy", "slower:5"])
def test_wrong_gates(text: str) -> None:
    with pytest.raises(UserError, match=r"`--gate` must be slower:SHARE%, .*accuracy:SHARE%, path\. Received: "):
        parse_gate(text, "--gate", QUANTITIES)


@pytest.mark.parametrize("shape", ["normal", "outliers"])
def test_error_of_the_sequential_test(shape: str) -> None:
    """Of 1,000 samples around 0 that are looked at after every figure, at most 5 % are ever significant."""
    random = np.random.default_rng(1)
    samples = random.normal(0, 1, (1000, 40)) if shape == "normal" else random.standard_t(2, (1000, 40))
    wrong = np.zeros(len(samples), bool)
    for count in range(2, 41):
        wrong |= anytime_p_values(samples[:, :count]) < 0.05
    assert wrong.mean() < 0.05


def test_outliers_hide_nothing() -> None:
    """Fourteen ratios on one side decide, though two of them are far off."""
    assert anytime_p_values([0.1] * 6 + [0.11] * 6 + [2.0, 4.0]) < 0.005


@pytest.mark.parametrize(("count", "comparisons"), [(6, 1), (9, 1), (9, 18), (30, 18)])
def test_smallest_effect(count: int, comparisons: int) -> None:
    """An effect of this size is found in 80 % of samples."""
    effect = smallest_effect(count, comparisons)
    samples = np.random.default_rng(2).normal(effect, 1, (4000, count))
    assert np.mean(anytime_p_values(samples) * comparisons < 0.05) == pytest.approx(0.8, abs=0.04)
    assert processes_for(effect * 1.0001, 1.0, comparisons) == count


def test_too_few_and_no_processes() -> None:
    assert smallest_effect(2) == np.inf and processes_for(0.0, 1.0) is None
    assert np.isnan(anytime_p_values([1.0])) and list(anytime_p_values([[1.0] * 3, [0.0] * 3])) == [0.0, 1.0]


def test_sensitivity() -> None:
    """What doctor says: the spread of a run's ratios decides which slow-down is found."""
    found = gate.sensitivity(compared(1.3).frames.turns)
    assert found and found.processes == 9 and 0.005 < (found.found or 0) < 0.05 and (found.needed or 0) <= 9
    line = sensitivity_line(found)
    assert f"with 9 processes, 80 % would show a slow-down of {number(100 * (found.found or 0))} %" in line
    few = gate.sensitivity(compared(1.3, seconds=NOISE[:2]).frames.turns)
    assert few and few.found is None and gate.sensitivity(compared(1, seconds=NOISE[:1]).frames.turns) is None


ARGUMENTS = (
    *("run", "--profile", "smoke", "--model", "lstm", "--length", "4", "--seeds", "0", "--rounds", "1"),
    *("--backend", "torch", "--backend", NEW, "--gate", "slower:5%"),
)


@pytest.mark.usefixtures("own_lock")
@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        ("takes 1.2", 1, "Gate slower:5%: 1 slower."),
        ("takes 1", 0, "Gate slower:5%: 1 within."),
        ("takes 1.05", 3, "Gate slower:5%: 1 undecided."),
        ("dies at import", 3, "Undecided: torch@keras==9.0 lstm 4 has no figures"),
    ],
)
def test_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    behaviour: str,
    code: int,
    words: str,
) -> None:
    """Processes are added until a cell is decided or the budget is spent."""
    play_versions(monkeypatch, tmp_path, lambda _: behaviour)
    seqsum = Caller(monkeypatch, capsys)
    answer = seqsum(*ARGUMENTS, "--processes", "3", "--budget", "60", "--results", tmp_path / "results")
    assert answer.code == code and words in answer.err, answer.err
    assert ("Length 4 is undecided: process 4" in answer.err) == (behaviour != "dies at import")


@pytest.mark.usefixtures("own_lock")
@pytest.mark.parametrize(("factor", "code", "verdict"), [(1.3, 1, "worse"), (1, 0, "within"), (0.5, 0, "within")])
def test_run_judges_accuracy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    factor: float,
    code: int,
    verdict: str,
) -> None:
    """A version is trained from the same seeds, each alone, by the layers that may be what differs."""
    play_versions(monkeypatch, tmp_path, lambda _: f"errs {factor}")
    monkeypatch.chdir(tmp_path)
    arguments = [*ARGUMENTS[:5], "--length", "4", "--rounds", "1", "--processes", "1", *ARGUMENTS[-6:-2]]
    seqsum = Caller(monkeypatch, capsys)
    answer = seqsum(*arguments, "--gate", "accuracy:10%", "--seeds", "8")
    assert answer.code == code and f"Gate accuracy:10%: 1 {verdict}." in answer.err, answer.err
    trained = bench.load("results", kind="trainings")
    assert trained.groupby("environment")["seed"].nunique().to_dict() == {"torch": 8, NEW: 8}
    (run,) = load_runs(Path("results"))[0]
    assert all(len(group.seeds) == 1 for group in run.header.sweep.accuracy_groups())
    answer = seqsum(*arguments, "--gate", "accuracy:10%", "--seeds", "3")
    assert answer.code == 2 and "`--gate accuracy` needs 5 seeds. Received: 3." in answer.err


def test_nothing_to_judge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    play_versions(monkeypatch, tmp_path, lambda _: "takes 1")
    answer = Caller(monkeypatch, capsys)("run", "--backend", "torch", "--gate", "slower:5%")
    assert answer.code == 2 and "`--gate` needs two environments of a backend. Received: torch." in answer.err
