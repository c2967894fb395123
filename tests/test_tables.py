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
    make_slice,
    make_speed,
    make_sweep,
    make_worker,
    select_all,
)

from bench.analysis.selection import provenance, select
from bench.output.tables.accuracy import accuracy_table
from bench.output.tables.catalog import TABLES, failures_table, overview_table
from bench.output.tables.speed import speed_table
from bench.records.speed import Speed

OLD, NEW = "2030-01-01T00-00-00-old", "2030-01-02T00-00-00-new"


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


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
        {"sweep": make_sweep(timing={"slice_s": 9.0})},
        {"sweep": make_sweep(timing={"rounds": 9})},
        {"sweep": make_sweep(runtime={"tf32": True})},
        {"protocol_version": 1},
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
    other = make_sweep(lengths=(4,), seeds=1, threads=(2,), expect="scan")
    old = make_run([make_speed(make_cell(length=4))], OLD, sweep=other)
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
    assert figures.loc["torch"].drop("status").isna().all(), "a row without figures, not no row"
    assert figures.loc["torch", "status"] == "failed in fit"
    intervals = [name for name in figures if name.startswith(("low", "high", "sd"))]  # not of a single seed
    assert figures.loc["jax"].drop([*intervals, "status"]).notna().all()


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


@pytest.mark.parametrize(("kind", "table"), [("speed", speed_table), ("accuracy", accuracy_table)])
def test_failed_trials_of_a_cell_with_figures_are_counted(kind: Any, table: Any) -> None:
    good = make_speed() if kind == "speed" else make_accuracy()
    other = make_speed(make_cell("torch")) if kind == "speed" else make_accuracy(make_cell("torch"))
    frame = table(select_all(good, other, make_failure(trial=kind), make_failure(trial=kind))).frame
    assert frame.set_index("backend")["status"].fillna("").to_dict() == {"jax": "2 failed", "torch": ""}


@pytest.mark.parametrize(("kind", "table"), [("speed", speed_table), ("accuracy", accuracy_table)])
def test_cells_whose_turn_never_came_are_named(kind: Any, table: Any) -> None:
    """An interrupted run: they are no failures, but a reader would take the table for the whole plan."""
    sweep = make_sweep(backends=("jax", "torch"), models=("lstm",), lengths=(12,))
    chosen = select_all(make_speed() if kind == "speed" else make_accuracy(), sweep=sweep)
    assert "Planned but not measured: torch lstm 12." in table(chosen).notes
    many = select_all(make_speed(), make_accuracy(), sweep=make_sweep(lengths=(4, 5, 12)))
    assert any(note.endswith(" and 9 more.") for note in table(many).notes)


def test_failures_are_listed_with_phase_and_reason() -> None:
    (row,) = rows(failures_table(select_all(make_speed(), make_failure(reason="out of memory"))).frame)
    assert row == {
        "model": "lstm",
        "length": 12,
        "backend": "jax",
        "trial": "speed",
        "phase": "fit",
        "fault": "killed",
        "reason": "out of memory",
    }


def test_a_newer_success_removes_an_older_failure() -> None:
    old, new = make_run([make_failure()], OLD), make_run([make_speed()], NEW)
    selection = select([old, new])
    assert failures_table(selection).frame.empty
    assert "failed" not in speed_table(selection).frame


def test_failures_name_the_threads_of_every_row_where_they_differ() -> None:
    failures = [make_failure(make_cell("torch")), make_failure(make_cell("torch", threads=4))]
    frame = failures_table(select_all(*failures)).frame
    assert list(frame.columns[:4]) == ["model", "length", "backend", "threads"]
    assert frame["threads"].tolist() == ["1", "4"]


def test_the_overview_shows_one_threading_only() -> None:
    """A column is a backend: two figures would not fit into it."""
    usual, wide = make_speed(steady_s=(0.01,)), make_speed(make_cell(threads="default"), steady_s=(0.07,))
    (row,) = rows(overview_table(select_all(usual, wide)).frame)
    assert row["jax ms"] == pytest.approx(10)


def test_the_overview_leaves_controls_out() -> None:
    (row,) = rows(overview_table(select_all(make_speed(twin=True, steady_s=(9.0,)), make_speed())).frame)
    assert row["jax ms"] == pytest.approx(10)


def test_a_newer_run_replaces_a_cell_with_its_control() -> None:
    """Else the new cell would be compared with a control that never took turns with it."""
    old = make_run([make_speed(steady_s=(0.01,)), make_speed(steady_s=(0.01,), twin=True)], OLD)
    new = make_run([make_speed(steady_s=(0.05,))], NEW)
    assert [(record.median_s, record.twin) for record in select([old, new]).of(Speed)] == [(0.05, False)]


def test_provenance_counts_disturbed_turns() -> None:
    noisy, calm = make_slice(others_cpu_s=9.0), make_slice()
    trials = [make_speed(slices=[noisy, calm]), make_speed(process=1, rounds=2)]
    (line,) = (line for line in provenance(select_all(*trials)) if "disturbed" in line)
    assert "disturbed 1 of 4 turns" in line
    assert not any("disturbed" in line for line in provenance(select_all(make_speed(rounds=2))))


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
