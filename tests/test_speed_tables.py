"""Tables of speed: figures by hand, verdicts in words, and what was unsteady."""

from math import inf, isnan, nan
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import (
    WITNESS,
    make_cell,
    make_failure,
    make_processes,
    make_run,
    make_slice,
    make_speed,
    select_all,
)

from bench.analysis.intervals import Interval
from bench.analysis.selection import select
from bench.analysis.statistics import Overtaking
from bench.output.tables.speed import (
    controls_table,
    model_ratios_table,
    noise_table,
    overtaking_table,
    ratios_table,
    say_ahead,
    speed_table,
    start_table,
    thread_ratios_table,
)
from bench.plan.cells import BackendName
from bench.records.speed import Speed

JAX, TORCH = make_cell("jax"), make_cell("torch")


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def sides(first: list[float], second: list[float]) -> list[Speed]:
    return [*make_processes(JAX, seconds=first), *make_processes(TORCH, seconds=second)]


def starting(backend: BackendName, start_s: float, epoch_s: float) -> Speed:
    cell = make_cell(backend)
    return make_speed(cell, steady_s=(epoch_s,), process_start_s=0, import_s=0, build_s=0, start_epochs_s=(start_s,))


def test_speed_figures_are_those_counted_by_hand() -> None:
    trials = [make_speed(process=0, steady_s=(0.01, 0.02, 0.03)), make_speed(process=1, steady_s=(0.04, 0.04, 0.05))]
    (row,) = rows(speed_table(select_all(*trials)).frame)
    assert isnan(row.pop("low ms")) and isnan(row.pop("high ms")), "of two processes there is no interval"
    assert row == {
        "model": "lstm",
        "length": 12,
        "backend": "jax",
        "epoch ms": pytest.approx(30),
        "25 % ms": pytest.approx(22.5),
        "75 % ms": pytest.approx(40),
        "sequences per s": pytest.approx(1620 / 0.03),
        "path": "scan, XLA",
    }


def test_the_interval_of_an_epoch_is_shown_from_five_processes_on() -> None:
    (row,) = rows(speed_table(select_all(*make_processes(seconds=[0.01, 0.02, 0.03, 0.04, 0.05]))).frame)
    assert 10 <= row["low ms"] < row["epoch ms"] < row["high ms"] <= 50
    assert row["epoch ms"] == pytest.approx(30)


def test_controls_do_not_move_a_cells_figures() -> None:
    trials = [make_speed(steady_s=(0.01,)), make_speed(steady_s=(0.09,), twin=True)]
    chosen = select_all(*trials)
    (row,), (start,), (noise,) = (rows(make(chosen).frame) for make in (speed_table, start_table, noise_table))
    assert row["epoch ms"] == pytest.approx(10) and start["steady epoch ms"] == pytest.approx(10)
    assert noise["turns"] == 1
    assert "1 fresh processes a cell" in speed_table(chosen).notes[1]


def test_a_disturbed_turn_does_not_move_the_figures_beside_its_repetition() -> None:
    turns = [make_slice((0.08,), others_cpu_s=9.0), make_slice((0.02,))]
    (row,) = rows(speed_table(select_all(make_speed(slices=turns))).frame)
    assert row["epoch ms"] == row["75 % ms"] == pytest.approx(20)


def test_processes_that_ran_on_different_paths_name_both() -> None:
    other = WITNESS.model_copy(update={"recurrence": "while_loop", "xla": False})
    trials = [make_speed(), make_speed(process=1, witness=other), make_speed(process=2, witness=None)]
    (row,) = rows(speed_table(select_all(*trials)).frame)
    assert row["path"] == "scan, XLA, while loop"


def test_the_speed_table_counts_processes_and_turns() -> None:
    trials = [*make_processes(seconds=[0.01] * 3, rounds=4), *make_processes(TORCH, seconds=[0.01], rounds=2)]
    assert "1 to 3 fresh processes a cell, 2 to 4 turns each." in speed_table(select_all(*trials)).notes[1]


@pytest.mark.parametrize(
    ("threads", "said"),
    [((1,), "one core and one thread"), (("default",), "as the frameworks choose"), ((1, 4), "so many cores and thre")],
)
def test_the_speed_table_says_what_threads_it_had(threads: tuple[Any, ...], said: str) -> None:
    table = speed_table(select_all(*(make_speed(make_cell(threads=one)) for one in threads)))
    assert said in table.notes[1]


def test_threads_are_a_column_only_where_they_are_not_one() -> None:
    usual, wide = make_speed(make_cell("torch")), make_speed(make_cell("jax", threads="default"))
    for make in (speed_table, start_table, noise_table):
        assert "threads" not in make(select_all(usual)).frame
        frame = make(select_all(usual, wide)).frame
        assert list(frame.columns[:4]) == ["model", "length", "backend", "threads"]
        assert frame["threads"].tolist() == ["default", "1"]


@pytest.mark.parametrize("table", [ratios_table, model_ratios_table, controls_table, overtaking_table])
def test_threads_stand_behind_the_axes_where_they_differ(table: Any) -> None:
    cells = [
        make_cell(backend, model, threads=threads)
        for threads in (1, 2)
        for backend in ("jax", "torch")
        for model in ("gru", "lstm")
    ]
    trials = [make_speed(cell, twin=twin) for cell in cells for twin in (False, True)]
    frame = table(select_all(*trials)).frame
    assert sorted(set(frame["threads"])) == ["1", "2"]
    assert list(frame.columns).index("threads") <= 3
    alone = table(select_all(*(trial for trial in trials if trial.cell.threads == 1))).frame
    assert "threads" not in alone and len(alone) == len(frame) / 2


@pytest.mark.parametrize("table", [speed_table, start_table, noise_table])
def test_a_failed_cell_stays_visible(table: Any) -> None:
    frame = table(select_all(make_speed(JAX), make_failure(TORCH))).frame.set_index("backend")
    assert frame.loc["torch"].drop(["model", "length", "status"]).isna().all()
    assert frame.loc["torch", "status"] == "failed in fit"
    assert frame.loc["jax"].notna().any()
    if table is not noise_table:
        notes = " ".join(table(select_all(make_speed(JAX), make_failure(TORCH))).notes)
        assert "Without figures, see Failures: torch lstm 12." in notes


def test_a_failed_cell_with_other_threads_is_not_hidden_by_its_sister() -> None:
    wide = make_cell(threads="default")
    frame = speed_table(select_all(make_speed(), make_failure(wide))).frame
    assert frame["threads"].tolist() == ["1", "default"]
    assert frame["epoch ms"].isna().tolist() == [False, True]


def test_ratios_are_those_counted_by_hand() -> None:
    (row,) = rows(ratios_table(select_all(*sides([1.0, 1.0], [2.0, 8.0]))).frame)
    assert isnan(row.pop("low")) and isnan(row.pop("high"))
    assert row == {
        "model": "lstm",
        "length": 12,
        "ratio of": "torch / jax",
        "times as long": pytest.approx(4.0),
        "verdict": "",
    }


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        ([2.0, 2.1, 1.9, 2.05, 1.95], ""),
        ([1.0, 1.3, 0.8, 1.1, 0.9], "no difference"),
        ([1.0, 1.0, 1.0, 1.0, 1.0], "no difference"),
        ([1.0, 1.3, 0.8, 1.1], ""),
    ],
)
def test_a_ratio_whose_interval_holds_one_is_no_difference(second: list[float], verdict: str) -> None:
    """Without an interval there is no verdict: four processes say nothing about it."""
    (row,) = rows(ratios_table(select_all(*sides([1.0] * len(second), second))).frame)
    assert row["verdict"] == verdict
    if len(second) == 5 and not verdict:
        assert 1 < row["low"] < row["times as long"] < row["high"]


def test_models_and_threads_are_compared_within_a_backend() -> None:
    trials = [
        make_speed(make_cell("jax", "gru"), steady_s=(1.0,)),
        make_speed(make_cell("jax", "lstm"), steady_s=(3.0,)),
        make_speed(make_cell("jax", "lstm", threads="default"), steady_s=(6.0,)),
    ]
    (models,) = rows(model_ratios_table(select_all(*trials)).frame)
    (threads,) = rows(thread_ratios_table(select_all(*trials)).frame)
    assert (models["backend"], models["ratio of"], models["times as long"]) == ("jax", "lstm / gru", pytest.approx(3))
    assert (threads["model"], threads["ratio of"], threads["times as long"]) == (
        "lstm",
        "default / 1",
        pytest.approx(2),
    )


def test_ratios_are_sorted_by_length_and_model() -> None:
    cells = [
        make_cell(backend, model, length)
        for length in (12, 4)
        for model in ("lstm", "gru")
        for backend in ("torch", "jax")
    ]
    frame = ratios_table(select_all(*map(make_speed, cells))).frame
    keys = list(frame[["length", "model"]].itertuples(index=False, name=None))
    assert keys == [(4, "gru"), (4, "lstm"), (12, "gru"), (12, "lstm")]


def test_controls_are_judged_and_misses_counted() -> None:
    """Three have an interval, one of them misses 1; of four processes there is none."""
    calm, noisy, few = JAX, TORCH, make_cell("tensorflow")
    trials = [
        *make_processes(make_cell(length=4), seconds=[1.0] * 5),
        *make_processes(make_cell(length=4), seconds=[1.0] * 5, twin=True),
        *make_processes(calm, seconds=[1.0] * 5),
        *make_processes(calm, seconds=[1.1, 1.11, 1.09, 1.1, 1.12], twin=True),
        *make_processes(noisy, seconds=[1.0] * 5),
        *make_processes(noisy, seconds=[1.1, 0.9, 1.05, 0.95, 1.0], twin=True),
        *make_processes(few, seconds=[1.0] * 4),
        *make_processes(few, seconds=[2.0] * 4, twin=True),
    ]
    table = controls_table(select_all(*trials))
    found = {row["backend"]: row for row in rows(table.frame) if row["length"] == 12}
    assert {name: row["verdict"] for name, row in found.items()} == {
        "jax": "misses 1",
        "torch": "holds 1",
        "tensorflow": "",
    }
    assert found["jax"]["A/A"] == pytest.approx(1.1)
    assert found["jax"]["half-width %"] == pytest.approx(
        100 * max(found["jax"]["high"] / found["jax"]["A/A"] - 1, found["jax"]["A/A"] / found["jax"]["low"] - 1)
    )
    assert (found["tensorflow"]["processes"], found["tensorflow"]["A/A"]) == (4, pytest.approx(2.0))
    assert isnan(found["tensorflow"]["half-width %"])
    assert "1 of 3 intervals miss 1" in " ".join(table.notes)


def test_start_figures_are_medians_of_processes() -> None:
    trials = [make_speed(process=process, import_s=seconds) for process, seconds in enumerate((1.0, 2.0, 9.0))]
    (row,) = rows(start_table(select_all(*trials)).frame)
    assert (row["import s"], row["process start s"], row["build s"], row["first epoch s"]) == (2.0, 0.05, 0.25, 1.5)
    assert row["together s"] == pytest.approx(0.05 + 2.0 + 0.25 + 1.5)
    assert row["steady epoch ms"] == pytest.approx(10) and row["compilations"] == 1
    assert row["validation ms"] == pytest.approx(3), "the first call compiles and is left out"
    assert row["memory MiB"] == 512
    assert "GPU memory MiB" not in row


def test_starting_together_is_the_median_of_sums() -> None:
    """Sums of 11, 12 and 12: not the sum of the medians, which is 4 (1 + 1 + 1 + 1)."""
    parts = [(1, 10), (10, 1), (11, 1)]
    trials = [
        make_speed(process=process, import_s=a, build_s=b, process_start_s=0.0, start_epochs_s=(0.0,))
        for process, (a, b) in enumerate(parts)
    ]
    (row,) = rows(start_table(select_all(*trials)).frame)
    assert row["together s"] == 11 and row["import s"] + row["build s"] == 11


def test_gpu_memory_is_shown_where_it_was_measured() -> None:
    (row,) = rows(start_table(select_all(make_speed(peak_device_bytes=3 * 2**20))).frame)
    assert row["GPU memory MiB"] == 3


def test_process_start_stays_empty_where_it_is_not_known() -> None:
    (row,) = rows(start_table(select_all(make_speed(process_start_s=None))).frame)
    assert pd.isna(row["process start s"])
    assert row["import s"] == 2.5 and row["together s"] == 4.25


def test_records_without_a_witness_name_no_path_and_no_compilations() -> None:
    chosen = select_all(make_speed(witness=None))
    assert rows(speed_table(chosen).frame)[0]["path"] == ""
    assert pd.isna(rows(start_table(chosen).frame)[0]["compilations"])


@pytest.mark.parametrize(("faster", "slower"), [("jax", "torch"), ("torch", "jax")])
def test_the_break_even_names_the_faster_side_and_its_epoch(faster: BackendName, slower: BackendName) -> None:
    chosen = select_all(starting(slower, 1.0, 3.0), starting(faster, 11.0, 1.0))
    (row,) = rows(overtaking_table(chosen).frame)
    assert row == {
        "model": "lstm",
        "length": 12,
        "faster epochs": faster,
        "against": slower,
        "start s": 11.0,
        "against's start s": 1.0,
        "ahead after epoch": "7",
    }


def test_the_break_even_compares_backends_of_one_cell_only() -> None:
    trials = [make_speed(make_cell("jax", "gru")), make_speed(make_cell("torch")), make_speed(make_cell("jax"))]
    trials.append(make_speed(make_cell("tensorflow", threads="default")))
    trials.append(make_speed(make_cell("tensorflow"), twin=True))
    frame = overtaking_table(select_all(*trials)).frame
    assert frame["model"].tolist() == ["lstm"]
    assert {frame["faster epochs"][0], frame["against"][0]} == {"jax", "torch"}


@pytest.mark.parametrize(
    ("epoch", "low", "high", "said"),
    [
        (1.0, nan, nan, "1"),
        (7.0, nan, nan, "7"),
        (12345.0, nan, nan, "12,345"),
        (inf, nan, nan, "never"),
        (1.0, 1.0, 1.0, "1"),
        (7.0, 7.0, 7.0, "7"),
        (inf, inf, inf, "never"),
        (7.0, 3.0, 15.0, "7 (3 to 15)"),
        (1.0, 1.0, 4.0, "1 (1 to 4)"),
        (7.0, 3.0, inf, "7 (3 to never)"),
        (inf, 2000.0, inf, "never (2,000 to never)"),
    ],
)
def test_a_break_even_is_said_in_words(epoch: float, low: float, high: float, said: str) -> None:
    assert say_ahead(Overtaking(epoch, Interval(low, high))) == said


def test_noise_figures_are_those_counted_by_hand() -> None:
    """Two turns of 1.1 s, one of 1.6 s: 3.8 s together."""
    slices = [
        make_slice((0.6,), others_cpu_s=0.05, steal_s=0.038, involuntary_switches=10),
        make_slice((0.6,), number=1, others_cpu_s=0.2, involuntary_switches=9),
        make_slice((1.1,), number=1, others_cpu_s=0.13),
    ]
    (row,) = rows(noise_table(select_all(make_speed(slices=slices))).frame)
    assert (row["turns"], row["disturbed"]) == (3, 1)
    assert row["others cores"] == pytest.approx(0.38 / 3.8)
    assert row["stolen cores"] == pytest.approx(0.01)
    assert row["switches per s"] == pytest.approx(5.0)
    assert row["between rounds %"] == pytest.approx(100 * np.std(np.log([0.6, 1.1])))
    assert isnan(row["between processes %"])


def test_noise_between_processes_is_a_share_of_their_medians() -> None:
    (row,) = rows(noise_table(select_all(*make_processes(seconds=[1.0, 1.0, 1.2], rounds=2))).frame)
    assert row["between processes %"] == pytest.approx(100 * np.std(np.log([1.0, 1.0, 1.2]), ddof=1))
    assert row["between rounds %"] == 0 and row["disturbed"] == 0


def test_processes_of_different_runs_are_not_compared_by_their_turns() -> None:
    """They have the same numbers, but never met the same machine."""
    old = make_run(make_processes(make_cell("torch"), seconds=(2.0,) * 5), "2030-01-01T00-00-00-old")
    new = make_run(make_processes(make_cell("jax"), seconds=(1.0,) * 5), "2030-01-02T00-00-00-new")
    assert len(speed_table(select([old, new])).frame) == 2
    assert ratios_table(select([old, new])).frame.empty
    both = make_run([*old.records, *new.records], "2030-01-03T00-00-00-both")
    assert ratios_table(select([old, both])).frame["times as long"].tolist() == pytest.approx([2.0])
