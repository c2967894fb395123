"""Figures of speed: worked by hand, and computed a second time from the published records without pandas."""

import gzip
import json
from collections import defaultdict
from collections.abc import Sequence
from math import exp, inf, isnan, log
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import make_cell, make_processes, make_run, make_speed, make_turn, make_turns
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from bench.analysis import speed
from bench.records.frame import Frames, load
from bench.records.schema import ExecutionPath

REFERENCE = Path(__file__).parents[1] / "results" / "reference"
CONSTANT = [[1.0, 1.0, 1.0]] * 9
Turns = dict[tuple[int, int], dict[str, Any]]


def raw_turns() -> dict[tuple[str, str, int, bool], Turns]:
    """Return by environment, model, length and control the turn of each process and round that counts."""
    (path,) = REFERENCE.glob("*/trials.jsonl.gz")
    turns: dict[tuple[str, str, int, bool], Turns] = defaultdict(dict)
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        record, _ = json.JSONDecoder().raw_decode(line)
        if record["kind"] != "speed":
            continue
        cell = record["cell"]
        for turn in record["turns"]:
            counted = turn["epochs_s"][turn["warmup_epochs"] :]
            turn["epoch_s"] = sum(counted) / len(counted)
            turn["disturbed"] = turn["others_cpu_s"] > 0.1 * sum(turn["epochs_s"])
            key = cell["environment"], cell["model"], cell["length"], record["is_control"]
            turns[key][record["process"], turn["round"]] = turn | {"start_s": start_s(record)}
    return dict(turns)


def start_s(record: dict[str, Any]) -> float:
    parts = ("process_start_s", "import_s", "build_s")
    return float(sum(record[part] for part in parts) + record["start_epochs_s"][0])


def over_processes(figures: dict[int, list[float]]) -> tuple[float, float, float]:
    """Return the median over processes of the median over rounds, and its interval: from the 2nd to the 8th of 9."""
    of_process = sorted(median(rounds) for rounds in figures.values())
    assert len(of_process) == 9
    return median(of_process), of_process[1], of_process[7]


def ratio(first: Turns, second: Turns) -> tuple[float, float, float]:
    logs: dict[int, list[float]] = defaultdict(list)
    for process, number in first.keys() & second.keys():
        pair = first[process, number], second[process, number]
        assert not any(turn["disturbed"] for turn in pair)
        logs[process].append(log(pair[0]["epoch_s"] / pair[1]["epoch_s"]))
    value, low, high = map(exp, over_processes(logs))
    return value, low, high


def row_of(frame: pd.DataFrame, **values: Any) -> "pd.Series[Any]":
    for name, value in values.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def figures_of(row: "pd.Series[Any]", name: str) -> list[float]:
    return [float(row[column]) for column in (name, f"{name}_low", f"{name}_high")]


def test_published_figures() -> None:
    """Epoch times, ratios and controls of the reference run are those of a second implementation."""
    turns, raw = load(REFERENCE), raw_turns()
    times, ratios, controls = speed.epoch_times(turns), speed.ratios(turns, "environment"), speed.controls(turns)
    cells = [key for key in raw if not key[-1]]
    assert (len(times), len(ratios), len(controls)) == (len(cells), len(cells), len(raw) - len(cells))
    for environment, model, length, is_control in raw:
        own = raw[environment, model, length, is_control]
        where = {"model": model, "length": length}
        if is_control:
            row = row_of(controls, environment=environment, **where)
            assert figures_of(row, "ratio") == pytest.approx(ratio(own, raw[environment, model, length, False]))
            continue
        rounds: dict[int, list[float]] = defaultdict(list)
        for (process, _), turn in own.items():
            rounds[process].append(turn["epoch_s"])
        row = row_of(times, environment=environment, **where)
        assert figures_of(row, "epoch_s") == pytest.approx(over_processes(rounds))
        assert row["level"] == pytest.approx(1 - 2 * (1 + 9) / 2**9)
        for other in {key[0] for key in cells if key[0] < environment}:
            row = row_of(ratios, first=environment, second=other, **where)
            assert figures_of(row, "ratio") == pytest.approx(ratio(own, raw[other, model, length, False]))


def test_published_break_evens() -> None:
    """Epoch by epoch, the first one at whose end the faster environment has used less time."""
    raw = raw_turns()
    for _, row in speed.break_even(load(REFERENCE)).iterrows():
        epochs = []
        for process in range(9):
            pair = []
            for environment in (row.faster, row.other):
                own = raw[environment, row.model, row.length, False]
                rounds = [turn for (number, _), turn in own.items() if number == process]
                pair.append((rounds[0]["start_s"], median(turn["epoch_s"] for turn in rounds)))
            (start, epoch), (other_start, other_epoch) = pair
            ahead = (n for n in range(1, 100_000) if start + (n - 1) * epoch < other_start + (n - 1) * other_epoch)
            epochs.append(float(next(ahead, inf)))
        assert row.epoch == np.ceil(np.median(epochs))
        assert (row.epoch_low, row.epoch_high) == (sorted(epochs)[1], sorted(epochs)[7])


def test_epoch_time_by_hand() -> None:
    """The median of a process is over its rounds; six processes have an interval, from the least to the greatest."""
    rounds: list[list[float]] = [[1, 3, 2], [4, 4, 4], [6, 6, 6], [8, 8, 8], [10, 10, 10], [50, 12, 0.1]]
    row = speed.epoch_times(make_turns({make_cell(): rounds})).iloc[0]
    assert figures_of(row, "epoch_s") == [7, 2, 12]
    assert (row["processes"], row["level"]) == (6, 1 - 2 / 64)
    assert row["round_spread"] == pytest.approx(0)
    few = speed.epoch_times(make_turns({make_cell(): rounds[:5]})).iloc[0]
    assert isnan(few["epoch_s_low"])
    assert isnan(few["level"])
    assert (few["epoch_s_least"], few["epoch_s_greatest"]) == (2, 10)


def test_ratio_by_hand() -> None:
    """Ratios are of turns of the same round; of two rounds the median is the geometric mean."""
    turns = make_turns({make_cell("jax"): [[1.0, 2.0]] * 6, make_cell("torch"): [[2.0, 16.0]] * 6})
    row = speed.ratios(turns, "environment").iloc[0]
    assert (row["first"], row["second"]) == ("torch", "jax")
    assert figures_of(row, "ratio") == pytest.approx([4, 4, 4])
    assert (row["first_s"], row["second_s"]) == (9, 1.5)


ROUNDS = st.lists(st.lists(st.floats(0.01, 10), min_size=2, max_size=2), min_size=6, max_size=6)


@settings(deadline=None, max_examples=20)
@given(ROUNDS, ROUNDS)
def test_exchanged_cells_have_inverse_ratios(first: list[list[float]], second: list[list[float]]) -> None:
    """Also with an even number of rounds and of processes."""

    def ratio_of(jax: Sequence[Sequence[float]], torch: Sequence[Sequence[float]]) -> list[float]:
        turns = make_turns({make_cell("jax"): jax, make_cell("torch"): torch})
        return figures_of(speed.ratios(turns, "environment").iloc[0], "ratio")

    value, low, high = ratio_of(first, second)
    assert low <= value <= high
    assert ratio_of(second, first) == pytest.approx([1 / value, 1 / high, 1 / low], rel=1e-12)


def test_left_out_of_ratios() -> None:
    """A disturbed round counts only where a process has no other."""
    quiet, loud = make_turn((1.0,), number=0), make_turn((7.0,), number=1, others_cpu_s=5.0)
    records = [make_speed(make_cell("jax"), process=0, turns=[quiet, loud])]
    records += [make_speed(make_cell("jax"), process=1, turns=[loud])]
    records += [
        make_speed(make_cell("torch"), process=process, turns=[make_turn((2.0,), number=number) for number in (0, 1)])
        for process in (0, 1, 2)
    ]
    row = speed.ratios(Frames([make_run(records)]).turns, "environment").iloc[0]
    assert row["processes"] == 2
    assert row["ratio"] == pytest.approx(np.sqrt(2.0 * 2 / 7))


def test_ratios_are_of_a_run() -> None:
    runs = [make_run(make_processes(make_cell(name), seconds=[1.0] * 6), run=name) for name in ("jax", "torch")]
    turns = Frames(runs).turns
    assert speed.ratios(turns, "environment").empty
    assert speed.fastest(turns).empty
    assert len(speed.epoch_times(turns)) == 2


@pytest.mark.parametrize(
    ("by", "cells", "pairs"),
    [
        ("model", [make_cell(model="gru"), make_cell(model="lstm")], [("lstm", "gru")]),
        ("threads", [make_cell(), make_cell(threads="default")], [("default", "1")]),
        ("environment", [make_cell("torch"), make_cell("torch@old")], [("torch@old", "torch")]),
        ("environment", [make_cell("torch"), make_cell("jax", length=4), make_cell("jax", unroll=True)], []),
    ],
)
def test_pairs(by: Any, cells: list[Any], pairs: list[tuple[str, str]]) -> None:
    """Cells are compared that differ in nothing but one column."""
    frame = speed.ratios(make_turns(dict.fromkeys(cells, CONSTANT)), by)
    assert list(zip(frame["first"], frame["second"], strict=True)) == pairs


def test_ratios_to_a_baseline() -> None:
    cells = {make_cell(): CONSTANT, make_cell(unroll=True): [[0.5] * 3] * 9, make_cell(jit_compile=True): CONSTANT}
    frame = speed.ratios(make_turns(cells), "variant", second="default").set_index("first")
    assert frame["ratio"].to_dict() == pytest.approx({"unroll true": 0.5, "jit_compile true": 1})


def test_tax() -> None:
    """Every variant of Keras is compared with the ceiling of the same sizes."""
    cells = {
        make_cell(): [[6.0] * 3] * 9,
        make_cell(unroll=True): [[4.0] * 3] * 9,
        make_cell(implementation="ceiling"): [[2.0] * 3] * 9,
        make_cell(units=32): [[9.0] * 3] * 9,
        make_cell(units=32, implementation="ceiling"): [[3.0] * 3] * 9,
        make_cell(units=64): CONSTANT,
    }
    frame = speed.tax(make_turns(cells)).set_index("variant")
    assert frame["ratio"].to_dict() == pytest.approx({"default": 3, "unroll true": 2, "units 32": 3})
    assert (frame["first_s"]["units 32"], frame["second_s"]["units 32"]) == (9, 3)


def test_device_efficiency() -> None:
    """Four devices that train three times as fast are used at three quarters."""
    cells = {make_cell(batch_size=8): [[6.0] * 3] * 9, make_cell(batch_size=8, devices=4): [[2.0] * 3] * 9}
    frame = speed.device_efficiency(make_turns(cells | {make_cell(devices=4): CONSTANT}))
    assert frame["efficiency"].tolist() == pytest.approx([0.75])


def test_verdicts_are_corrected_for_their_table() -> None:
    """A ratio whose own interval leaves out 1 is open among many that do not."""
    close = [[ratio] for ratio in (1.001, 1.003, 1.005, 1.02, 1.03, 1.04, 1.05, 1.06, 1.08)]
    noise = [[1.0 + 0.01 * (process % 3 - 1)] for process in range(9)]
    cells = {make_cell("jax"): [[1.0]] * 9, make_cell("torch"): close}
    alone = speed.ratios(make_turns(cells), "environment").iloc[0]
    assert float(alone["p_value"]) == pytest.approx(ttest_1samp(np.log(np.ravel(close)), 0).pvalue)
    assert alone["ratio_low"] == pytest.approx(1.003) and alone["verdict"] == "slower"
    for length in range(20, 60):
        cells |= {make_cell("jax", length=length): [[1.0]] * 9, make_cell("torch", length=length): noise}
    frame = speed.ratios(make_turns(cells), "environment")
    assert len(frame) == 41 and set(frame["verdict"]) == {"open"}
    far = {make_cell("jax"): [[2.0]] * 9, make_cell("torch"): close}
    frame = speed.ratios(make_turns(cells | far), "environment")
    assert frame.loc[frame["length"] == 12, "verdict"].tolist() == ["faster"]
    few = speed.ratios(make_turns({cell: rounds[:5] for cell, rounds in far.items()}), "environment")
    assert few["verdict"].tolist() == [None]


def test_controls() -> None:
    """The ratio is control / cell; without an interval it is not known."""
    cell = make_cell()
    even, odd = [[1.0]] * 9, [[1.1]] * 9
    row = speed.controls(make_turns({cell: even}, {cell: odd}))
    assert row["ratio"].tolist() == pytest.approx([1.1])
    assert row["consistent"].tolist() == [False]
    assert speed.controls(make_turns({cell: even}, {cell: even}))["consistent"].tolist() == [True]
    assert speed.controls(make_turns({cell: even[:5]}, {cell: odd[:5]}))["consistent"].isna().all()


def test_fastest() -> None:
    """A cell is the fastest only if its intervals against all others say so."""
    near = [[0.9 + 0.05 * process] for process in range(9)]
    three = {make_cell("jax"): [[1.0]] * 9, make_cell("torch"): [[2.0]] * 9, make_cell("tensorflow"): [[3.0]] * 9}
    assert speed.fastest(make_turns(three))["environment"].tolist() == ["jax"]
    assert speed.fastest(make_turns(three | {make_cell("torch"): near})).empty
    assert speed.fastest(make_turns({make_cell("jax"): CONSTANT})).empty


def test_widest_interval() -> None:
    """It is that of the ratios and controls; of the epochs if there are none; infinite with too few processes."""
    low_to_high = [[epoch_s] for epoch_s in (0.8, 1, 1, 1, 1, 1.6)]
    jax, torch = make_cell("jax"), make_cell("torch")
    assert speed.widest_interval(make_turns({jax: low_to_high})) == pytest.approx(0.6)
    assert speed.widest_interval(make_turns({jax: low_to_high, torch: low_to_high})) == pytest.approx(0)
    assert speed.widest_interval(make_turns({jax: low_to_high[:5], torch: low_to_high})) == inf
    assert isnan(speed.widest_interval(make_turns({})))


def test_break_even_by_hand() -> None:
    """3 s more to start and 0.5 s less an epoch: as far after epoch 7, ahead after epoch 8. Equal starts: after 2."""
    records = make_processes(make_cell("jax"), seconds=[0.5] * 6, import_s=5.5)
    records += make_processes(make_cell("torch"), seconds=[1.0] * 6)
    records += make_processes(make_cell("tensorflow"), seconds=[0.75] * 6, import_s=1.5)
    frame = speed.break_even(Frames([make_run(records)]).turns).set_index(["faster", "other"])
    assert frame["epoch"].to_dict() == {("jax", "torch"): 8, ("jax", "tensorflow"): 18, ("tensorflow", "torch"): 1}
    assert frame.loc[("jax", "torch"), "faster_start_s"] == pytest.approx(0.05 + 5.5 + 0.25 + 1.5)


def test_break_even_is_never() -> None:
    """The interval is open above if in some processes the other environment has the faster epochs."""
    jax = make_processes(make_cell("jax"), seconds=[0.5] * 8 + [2.0], import_s=4.5)
    turns = Frames([make_run([*jax, *make_processes(make_cell("torch"), seconds=[1.0] * 9)])]).turns
    row = speed.break_even(turns).iloc[0]
    assert (row["epoch"], row["epoch_high"], row["epoch_greatest"]) == (6, 6, inf)


def test_growth() -> None:
    """Twice the length, twice the time: 1. Four times the length, twice the time: 1/2."""
    cells = {make_cell(length=length): [[epoch_s]] * 6 for length, epoch_s in ((16, 4.0), (2, 1.0), (4, 2.0))}
    frame = speed.growth(make_turns(cells))
    assert frame[["length", "next_length"]].to_numpy().tolist() == [[2, 4], [4, 16]]
    assert frame["exponent"].tolist() == pytest.approx([1, 0.5])
    assert frame["exponent_low"].tolist() == pytest.approx([1, 0.5])


def test_changes_of_order() -> None:
    """JAX is faster at 2 and 4, PyTorch at 8 without doubt, and at 16 nobody can say."""
    seconds = {2: (1.0, 2.0), 4: (2.0, 3.0), 8: (5.0, 4.0), 16: (5.0, 6.0)}
    cells = {
        make_cell(name, length=length): [[epoch_s]] * 9
        for length, pair in seconds.items()
        for name, epoch_s in zip(("jax", "torch"), pair, strict=True)
    }
    cells[make_cell("torch", length=16)] = [[3.0 + process] for process in range(9)]
    frame = speed.changes_of_order(make_turns(cells))
    assert frame[["length", "next_length", "decided"]].to_numpy().tolist() == [[4, 8, True], [8, 16, False]]


def test_start_times() -> None:
    """Medians over processes; the first call of evaluate, which compiles, is left out."""
    records = [make_speed(process=process, import_s=1.0 + process, peak_device_bytes=8) for process in range(3)]
    row = speed.start_times(Frames([make_run(records)]).turns).iloc[0]
    assert (row["import_s"], row["start_s"]) == (2, pytest.approx(0.05 + 2 + 0.25 + 1.5))
    assert (row["validation_s"], row["compilations"], row["peak_device_bytes"]) == (0.003, 1, 8)


def test_noise_counts_all_turns() -> None:
    """Also those that were measured again."""
    again = [make_turn((1.0,), others_cpu_s=0.3), make_turn((1.0,), others_cpu_s=0.0, steal_s=0.15)]
    row = speed.noise(Frames([make_run([make_speed(turns=again)])]).turns).iloc[0]
    assert (row["turns"], row["disturbed"]) == (2, 1)
    assert (row["others_cores"], row["steal_cores"]) == (pytest.approx(0.1), pytest.approx(0.05))
    assert isnan(row["device_lag_share"])


def test_execution_paths() -> None:
    other = ExecutionPath(recurrence="unrolled", xla=False, compilations=1, evidence="")
    records = [make_speed(process=0), make_speed(process=1, execution_path=other)]
    frame = speed.execution_paths(Frames([make_run(records)]).turns)
    assert frame["path"].tolist() == ["scan, XLA or unrolled"]
