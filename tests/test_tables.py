"""Tables: figures by hand, and which records may stand in one table."""

from typing import Any

import pandas as pd
import pytest
from factories import (
    MACHINE,
    make_accuracy,
    make_baseline,
    make_cell,
    make_errors,
    make_failure,
    make_run,
    make_speed,
    make_sweep,
    make_worker,
    select_all,
)

from bench.accuracy_tables import accuracy_table
from bench.selection import provenance, select
from bench.speed_tables import speed_table, start_table
from bench.tables import TABLES, failures_table, overview_table

OLD, NEW = "2030-01-01T00-00-00-old", "2030-01-02T00-00-00-new"


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def test_speed_figures_are_those_counted_by_hand() -> None:
    trials = [make_speed(process=0, steady_s=(0.01, 0.02, 0.03)), make_speed(process=1, steady_s=(0.04, 0.04, 0.05))]
    (row,) = rows(speed_table(select_all(*trials)).frame)
    assert row == {
        "model": "lstm",
        "length": 12,
        "backend": "jax",
        "epoch ms": pytest.approx(30),
        "25 % ms": pytest.approx(22.5),
        "75 % ms": pytest.approx(40),
        "steps per s": pytest.approx(17 / 0.03),
        "sequences per s": pytest.approx(1620 / 0.03),
        "timesteps per s": pytest.approx(1620 * 12 / 0.03),
    }


def test_start_figures_are_medians_of_processes() -> None:
    trials = [make_speed(process=process, import_s=seconds) for process, seconds in enumerate((1.0, 2.0, 9.0))]
    (row,) = rows(start_table(select_all(*trials)).frame)
    assert (row["import s"], row["process start s"], row["build s"], row["first epoch s"]) == (2.0, 0.05, 0.25, 1.5)
    assert row["validation ms"] == pytest.approx(3), "the first call compiles and is left out"
    assert row["memory MiB"] == 512
    assert "GPU memory MiB" not in row


def test_gpu_memory_is_shown_where_it_was_measured() -> None:
    (row,) = rows(start_table(select_all(make_speed(peak_device_bytes=3 * 2**20))).frame)
    assert row["GPU memory MiB"] == 3


def test_process_start_stays_empty_where_it_is_not_known() -> None:
    (row,) = rows(start_table(select_all(make_speed(process_start_s=None))).frame)
    assert pd.isna(row["process start s"])
    assert row["import s"] == 2.5


def test_rows_are_sorted_by_length_model_and_backend() -> None:
    cells = [
        make_cell(backend, model, length)
        for length in (12, 4)
        for model in ("lstm", "gru")
        for backend in ("torch", "jax")
    ]
    frame = speed_table(select_all(*map(make_speed, cells))).frame
    keys = list(frame[["length", "model", "backend"]].itertuples(index=False, name=None))
    assert keys == sorted(keys) and len(keys) == 8


def test_the_newest_run_of_a_cell_replaces_older_ones() -> None:
    both, only_old = make_cell(length=12), make_cell(length=4)
    old = make_run([make_speed(both, steady_s=(0.01,)), make_speed(only_old, steady_s=(0.02,))], OLD)
    new = make_run([make_speed(both, steady_s=(0.05,))], NEW)
    frame = speed_table(select([old, new])).frame
    assert frame.set_index("length")["epoch ms"].to_dict() == pytest.approx({4: 20.0, 12: 50.0})


def test_speed_and_accuracy_of_a_cell_are_replaced_apart() -> None:
    old = make_run([make_speed(steady_s=(0.01,)), make_accuracy(test=make_errors(9.0))], OLD)
    new = make_run([make_accuracy(test=make_errors(1.0))], NEW)
    selection = select([old, new])
    assert rows(speed_table(selection).frame)[0]["epoch ms"] == pytest.approx(10)
    assert rows(accuracy_table(selection).frame)[0]["test mse"] == 1.0


def test_a_newer_run_replaces_the_baselines_too() -> None:
    old = make_run([make_accuracy(), make_baseline(mse=9.0)], OLD)
    new = make_run([make_accuracy(), make_baseline(mse=8.0)], NEW)
    frame = accuracy_table(select([old, new])).frame
    assert frame[frame["model"] == "mean"]["test mse"].tolist() == [8.0]


@pytest.mark.parametrize(
    "other",
    [
        {"machine": MACHINE.model_copy(update={"cpu": "Another CPU"})},
        {"machine": MACHINE.model_copy(update={"cores": 64})},
        {"sweep": make_sweep(training={"batch_size": 50})},
        {"sweep": make_sweep(timing={"threads": "default"})},
        {"sweep": make_sweep(variant={"unroll": True})},
        {"sweep": make_sweep(device="gpu")},
    ],
)
def test_runs_of_another_machine_or_other_settings_are_left_out_and_counted(other: dict[str, Any]) -> None:
    only_old = make_speed(make_cell(length=4))
    selection = select([make_run([only_old], OLD, **other), make_run([make_speed()], NEW)])
    assert speed_table(selection).frame["length"].tolist() == [12]
    assert [run.header.run for run in selection.left_out] == [OLD]
    assert any("1 older run(s)" in line for line in provenance(selection))
    assert not any(OLD in line for line in provenance(selection))


def test_runs_over_other_axes_are_put_together() -> None:
    old = make_run([make_speed(make_cell(length=4))], OLD, sweep=make_sweep(lengths=(4,), seeds=1))
    new = make_run([make_speed()], NEW, sweep=make_sweep(lengths=(12,), seeds=3))
    selection = select([old, new])
    assert speed_table(selection).frame["length"].tolist() == [4, 12]
    assert selection.left_out == ()
    assert not any("Left out" in line for line in provenance(selection))


@pytest.mark.parametrize(("kind", "table"), [("speed", speed_table), ("accuracy", accuracy_table)])
def test_a_cell_that_failed_stays_visible(kind: Any, table: Any) -> None:
    lost = make_cell("torch")
    good = make_speed() if kind == "speed" else make_accuracy()
    frame = table(select_all(good, make_failure(lost, trial=kind), make_baseline())).frame
    figures = frame.set_index("backend").drop(columns=["model", "length"])
    assert figures.loc["torch"].isna().all(), "a row without figures, not no row"
    intervals = [name for name in figures if name.startswith(("low", "high", "sd"))]  # not of a single seed
    assert figures.loc["jax"].drop(intervals).notna().all()


def test_the_overview_shows_the_most_patient_training() -> None:
    """One row for each model and length; its errors are means over backends and seeds."""
    trials = [
        make_accuracy(make_cell(backend), seed=seed, patience=patience, test=make_errors(1.0 + seed + bias))
        for patience, bias in ((0, 100.0), (20, 0.0))
        for backend in ("jax", "torch")
        for seed in range(3)
    ]
    table = overview_table(select_all(make_speed(), make_speed(make_cell("torch"), steady_s=(0.03,)), *trials))
    (row,) = rows(table.frame)
    assert row == {
        "model": "lstm",
        "length": 12,
        "jax ms": pytest.approx(10),
        "torch ms": pytest.approx(30),
        "test mse": 2.0,
        "exact sums %": 75.0,
    }
    assert "3 seeds each" in table.notes[0] and table.notes[0].endswith("Trained with patience 20.")


@pytest.mark.parametrize("name", TABLES)
def test_every_table_can_be_made_where_every_trial_failed(name: str) -> None:
    failures = [make_failure(make_cell(length=length), trial="accuracy") for length in (4, 12)]
    frame = TABLES[name](
        select_all(*failures, make_failure(), make_baseline(), make_baseline("linear_regression"))
    ).frame
    if name in ("speed", "start", "accuracy"):
        assert len(frame[frame["model"] == "lstm"]) == (2 if name == "accuracy" else 1), "a row for each lost cell"


@pytest.mark.parametrize("name", TABLES)
def test_every_table_can_be_made_of_a_run_without_records(name: str) -> None:
    assert TABLES[name](select_all()).frame.empty


def test_a_failed_trial_does_not_hide_the_others_of_its_cell() -> None:
    (row,) = rows(speed_table(select_all(make_failure(), make_speed(process=1, steady_s=(0.02,)))).frame)
    assert row["epoch ms"] == pytest.approx(20)


def test_failures_are_listed_with_phase_and_reason() -> None:
    (row,) = rows(failures_table(select_all(make_speed(), make_failure(reason="out of memory"))).frame)
    assert row == {
        "model": "lstm",
        "length": 12,
        "backend": "jax",
        "trial": "speed",
        "phase": "fit",
        "reason": "out of memory",
    }


def test_a_newer_success_removes_an_older_failure() -> None:
    old, new = make_run([make_failure()], OLD), make_run([make_speed()], NEW)
    selection = select([old, new])
    assert failures_table(selection).frame.empty
    assert "failed" not in speed_table(selection).frame


def test_disturbed_trials_are_counted_and_not_used_beside_an_undisturbed_one() -> None:
    trials = [make_speed(steady_s=(0.08,), others_cpu_s=1.0), make_speed(steady_s=(0.02,))]
    table = speed_table(select_all(*trials))
    assert rows(table.frame)[0]["epoch ms"] == pytest.approx(20)
    assert any(note.startswith("2 trials, 1 disturbed") for note in table.notes)


def test_disturbed_trials_are_used_where_there_is_nothing_else() -> None:
    table = speed_table(select_all(make_speed(steady_s=(0.08,), others_cpu_s=1.0)))
    assert rows(table.frame)[0]["epoch ms"] == pytest.approx(80)
    assert any(note.startswith("1 trials, 1 disturbed") for note in table.notes)


@pytest.mark.parametrize(("threads", "said"), [("one", "one core and one thread"), ("default", "as the frameworks")])
def test_the_speed_table_says_what_threads_it_had(threads: str, said: str) -> None:
    table = speed_table(select_all(make_speed(), sweep=make_sweep(timing={"threads": threads})))
    assert any(said in note for note in table.notes)


def test_provenance_names_machine_versions_commit_and_runs() -> None:
    text = "\n".join(provenance(select_all(make_speed(), workers=(make_worker("jax"), make_worker("torch")))))
    for part in ("Test CPU, 2 cores, 8 GiB", "jax 0.9.0", "torch 2.13.0", "keras 3.15.1", "0123456789ab"):
        assert part in text
    assert "2030-01-01T00-00-00-test" in text
    assert "busy" not in text


def test_provenance_says_that_the_machine_was_busy() -> None:
    old, new = make_run([make_speed()], OLD, load_average=1.5), make_run([make_speed()], NEW)
    assert any("load 1.5" in line for line in provenance(select([old, new])))


def test_figures_of_an_older_framework_do_not_stand_under_the_newer_ones_version() -> None:
    """Either the older run is left out, or both versions are named."""
    old = make_run([make_speed(make_cell(length=4))], OLD, workers=(make_worker("jax", version="0.8.0"),))
    new = make_run([make_speed()], NEW, workers=(make_worker("jax", version="0.9.0"),))
    selection = select([old, new])
    lengths = speed_table(selection).frame["length"].tolist()
    assert lengths == [12] or any("jax 0.8.0" in line for line in provenance(selection))
