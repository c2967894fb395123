"""Tables of accuracy: seeds are the sample, patiences are never mixed, pairs are pairs of seeds."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import make_accuracy, make_baseline, make_cell, make_errors, make_failure, select_all
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.intervals import mean_interval, paired_ratio
from bench.output.printing.output import format_value
from bench.output.tables.accuracy import accuracy_table, backends_table, lengths_table, models_table, predictions_table
from bench.plan.cells import BackendName
from bench.records.schema import Accuracy


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def make_seeds(mse: list[float], *, patience: int = 0, **cell: Any) -> list[Accuracy]:
    return [
        make_accuracy(make_cell(**cell), seed=seed, patience=patience, test=make_errors(one))
        for seed, one in enumerate(mse)
    ]


def test_accuracy_figures_are_means_over_seeds_with_their_intervals() -> None:
    mse = [2.0, 4.0, 3.0, 9.0, 1.0, 1.0]
    trials = [
        make_accuracy(seed=seed, val_loss=(5.0,) * (seed + 2), test=make_errors(one, exact_sum_rate=seed / 10))
        for seed, one in enumerate(mse)
    ]
    (row,) = rows(accuracy_table(select_all(*trials)).frame)
    interval = mean_interval(mse, bounds=(0, np.inf))
    assert row["test mse"] == pytest.approx(20 / 6) and row["median"] == 2.5
    assert row["sd"] == pytest.approx(np.std(mse, ddof=1))
    assert (row["low"], row["high"]) == (interval.low, interval.high)
    assert row["exact sums %"] == pytest.approx(25) and row["low %"] < 25 < row["high %"]
    assert row["stop epoch"] == 4.5 and row["seeds"] == 6


def test_a_lost_seed_is_missing_from_its_row_alone() -> None:
    jax, torch = make_seeds([1.0] * 6), make_seeds([1.0] * 6, backend="torch")[:4]
    table = accuracy_table(
        select_all(*jax, *torch, make_failure(make_cell("torch"), trial="accuracy"), make_baseline())
    )
    seeds = table.frame.set_index("backend")["seeds"]
    assert (seeds["jax"], seeds["torch"]) == (6, 4) and pd.isna(seeds["none"])
    assert format_value(seeds["jax"]) == "6" and table.notes[0].startswith("Means over 4 to 6 seeds;")


def test_a_seed_judged_by_two_patiences_is_one_seed() -> None:
    trials = [one for patience in (0, 20) for one in make_seeds([1.0, 2.0, 3.0], patience=patience)]
    table = accuracy_table(select_all(*trials))
    assert table.frame["seeds"].tolist() == [3, 3]
    assert table.notes[0].startswith("Means over 3 seeds;")


def test_too_few_seeds_have_no_interval() -> None:
    (row,) = rows(accuracy_table(select_all(*make_seeds([1.0, 2.0, 3.0, 4.0]))).frame)
    assert row["test mse"] == 2.5 and np.isnan(row["low"]) and np.isnan(row["high %"])


def test_patiences_stand_in_rows_of_their_own_never_stopping_last() -> None:
    trials = [one for patience in (-1, 20, 0) for one in make_seeds([1.0 + patience], patience=patience)]
    table = accuracy_table(select_all(*trials))
    assert [(row["patience"], row["test mse"]) for row in rows(table.frame)] == [(0, 1.0), (20, 21.0), (-1, 0.0)]
    assert table.notes[0].startswith("Means over 1 seed;")
    said = "at the first epoch without a better val_mse or after 20 epochs or after 100 epochs"
    assert any(said in note for note in table.notes)


def test_many_true_lengths_are_put_together_by_their_rows() -> None:
    by_length = {length: make_errors(float(length), rows=length) for length in range(1, 13)}
    frame = lengths_table(select_all(make_accuracy(test_by_length=by_length))).frame
    assert frame["true length"].tolist() == ["1 to 2", "3 to 4", "5 to 6", "7 to 8", "9 to 10", "11 to 12"]
    assert frame["test rows"].tolist() == [3, 7, 11, 15, 19, 23]
    assert frame["test mse"].tolist() == pytest.approx([5 / 3, 25 / 7, 61 / 11, 113 / 15, 181 / 19, 265 / 23])


def test_backends_are_compared_seed_by_seed() -> None:
    jax, torch = [1.0, 2.0, 4.0, 8.0, 16.0], [2.0, 4.0, 8.0, 16.0, 30.0]
    (row,) = rows(backends_table(select_all(*make_seeds(jax), *reversed(make_seeds(torch, backend="torch")))).frame)
    wanted = paired_ratio(jax, torch)
    assert (row["backend"], row["against"], row["pairs"], row["verdict"]) == ("jax", "torch", 5, "different")
    assert (row["mse ratio"], row["low"], row["high"]) == pytest.approx(
        (wanted.value, wanted.interval.low, wanted.interval.high)
    )


def test_exact_sums_are_compared_in_points() -> None:
    """Differences of 1, 2, 3, 4 and 5 points: mean 3, standard error sqrt(2.5 / 5), t of 4 degrees of freedom."""
    sides: dict[BackendName, tuple[float, ...]] = {
        "jax": (0.51, 0.62, 0.73, 0.84, 0.95),
        "torch": (0.5, 0.6, 0.7, 0.8, 0.9),
    }
    trials = [
        make_accuracy(make_cell(backend), seed=seed, test=make_errors(exact_sum_rate=rate))
        for backend, rates in sides.items()
        for seed, rate in enumerate(rates)
    ]
    (row,) = rows(backends_table(select_all(*trials)).frame)
    half = 2.7764451 * 0.5**0.5
    assert (row["exact sums"], row["low points"], row["high points"]) == pytest.approx((3, 3 - half, 3 + half))


def test_verdicts_are_corrected_for_all_rows_of_the_table() -> None:
    """What is different where it is the only row is open among rows that show nothing."""
    random = np.random.default_rng(0)
    jax = [1.0, 1.1, 0.9, 1.2, 1.0, 0.8]
    torch = [1.3, 1.2, 1.3, 1.4, 1.1, 1.2]
    alone = make_seeds(jax) + make_seeds(torch, backend="torch")
    assert backends_table(select_all(*alone)).frame["verdict"].tolist() == ["different"]
    others = [
        trial
        for length in range(20, 40)
        for backend in ("jax", "torch")
        for trial in make_seeds(random.lognormal(0, 1, 6).tolist(), backend=backend, length=length)
    ]
    row, *_ = rows(backends_table(select_all(*alone, *others)).frame)
    assert (row["length"], row["verdict"]) == (12, "open")
    assert row["high"] < 1, "the interval is of this row alone"


def test_only_seeds_that_both_have_are_pairs_and_only_starts_drawn_in_numpy() -> None:
    jax, torch = make_seeds([1.0] * 6), make_seeds([1.0] * 8, backend="torch")[2:]
    (row,) = rows(backends_table(select_all(*jax, *torch)).frame)
    assert row["pairs"] == 4
    drawn_by_keras = [trial.model_copy(update={"start": "keras"}) for trial in torch]
    assert backends_table(select_all(*jax, *drawn_by_keras)).frame.empty


def test_backends_that_do_the_same_are_equal_and_few_seeds_leave_it_open() -> None:
    for seeds, verdict in ((8, "equal"), (3, "open")):
        mse = [1.0 + seed for seed in range(seeds)]
        (row,) = rows(backends_table(select_all(*make_seeds(mse), *make_seeds(mse, backend="torch"))).frame)
        assert (row["mse ratio"], row["verdict"]) == (pytest.approx(1), verdict)


def test_models_are_compared_over_backends_that_both_have() -> None:
    trials = [
        *make_seeds([2.0] * 5, model="lstm"),
        *make_seeds([6.0] * 5, model="lstm", backend="torch"),
        *make_seeds([1.0, 1.0, 1.0, 1.0, 2.0], model="gru"),
    ]
    (row,) = rows(models_table(select_all(*trials)).frame)
    assert (row["model"], row["against"], row["pairs"]) == ("gru", "lstm", 5)
    assert row["mse ratio"] == pytest.approx(0.5**0.8)


@pytest.mark.parametrize("table", [models_table, backends_table])
def test_patiences_and_lengths_are_never_compared_with_each_other(table: Any) -> None:
    trials = [
        one
        for place, (backend, model) in enumerate((("jax", "lstm"), ("torch", "gru")))
        for one in make_seeds([1.0] * 5, backend=backend, model=model, patience=place, length=4 + place)
    ]
    assert table(select_all(*trials)).frame.empty


@pytest.mark.parametrize("table", [models_table, backends_table])
def test_one_side_alone_is_compared_with_nothing(table: Any) -> None:
    assert table(select_all(*make_seeds([1.0] * 5))).frame.empty


@pytest.mark.parametrize("table", [models_table, backends_table])
def test_a_single_seed_has_a_figure_but_no_interval(table: Any) -> None:
    trials = [*make_seeds([3.0]), *make_seeds([6.0], backend="torch"), *make_seeds([6.0], model="simple_rnn")]
    (row,) = rows(table(select_all(*trials)).frame)
    assert (row["pairs"], row["mse ratio"], row["verdict"]) == (1, pytest.approx(0.5), "open")
    assert np.isnan(row["low"]) and format_value(row["low"]) == ""


def test_each_patience_is_compared_with_itself() -> None:
    trials = [
        one
        for patience, factor in ((0, 2.0), (20, 4.0))
        for backend, scale in (("jax", factor), ("torch", 1.0))
        for one in make_seeds([scale, 3 * scale, 5 * scale], patience=patience, backend=backend)
    ]
    frame = backends_table(select_all(*trials)).frame
    assert frame["patience"].tolist() == [0, 20] and frame["pairs"].tolist() == [3, 3]
    assert frame["mse ratio"].tolist() == pytest.approx([2.0, 4.0])


@settings(deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8))
def test_the_order_of_records_changes_no_figure(mse: list[float]) -> None:
    trials = make_seeds(mse) + make_seeds(mse[::-1], backend="torch")
    for table in (accuracy_table, lengths_table):
        forth, back = (table(select_all(*order)).frame for order in (trials, trials[::-1]))
        pd.testing.assert_frame_equal(forth, back)


def test_baselines_stand_behind_the_models_of_their_length() -> None:
    cells = [make_cell(length=length) for length in (12, 4)]
    baselines = [make_baseline(name, length) for length in (4, 12) for name in ("mean", "linear_regression")]
    frame = accuracy_table(select_all(*(make_accuracy(cell) for cell in cells), *baselines)).frame
    assert list(zip(frame["length"], frame["model"], strict=True)) == [
        (4, "lstm"),
        (4, "mean"),
        (4, "linear fit"),
        (12, "lstm"),
        (12, "mean"),
        (12, "linear fit"),
    ]


def test_lengths_are_averaged_over_the_seeds() -> None:
    trials = [
        make_accuracy(seed=seed, test_by_length={2: make_errors(mse, rows=90), 3: make_errors(0.0, rows=7)})
        for seed, mse in enumerate((1.0, 2.0))
    ]
    short, long = rows(lengths_table(select_all(*trials)).frame)
    assert (short["true length"], short["test rows"], short["test mse"], short["exact sums %"]) == ("2", 90, 1.5, 75.0)
    assert (long["true length"], long["test rows"], long["test mse"]) == ("3", 7, 0.0)


def test_predictions_of_the_lowest_seed_stand_above_the_true_sums() -> None:
    trials = [
        make_accuracy(make_cell(backend), seed=seed, predictions=(float(seed), 7.5), sums=(4, 8))
        for backend in ("jax", "torch")
        for seed in (2, 1)
    ]
    frame = predictions_table(select_all(*trials)).frame
    assert frame[["backend", "row 1", "row 2"]].to_numpy().tolist() == [
        ["jax", 1.0, 7.5],
        ["torch", 1.0, 7.5],
        ["true sum", 4.0, 8.0],
    ]


@pytest.mark.parametrize(
    ("patience", "said"),
    [(0, "at the first epoch without"), (5, "after 5 epochs without"), (-1, "Training never stops early")],
)
def test_the_accuracy_table_says_when_training_stops(patience: int, said: str) -> None:
    table = accuracy_table(select_all(make_accuracy(patience=patience)))
    assert any(said in note for note in table.notes)


@pytest.mark.parametrize(
    ("lengths", "said"), [((4, 4, 12, 12), "2 seeds;"), ((4, 12, 12), "1 to 2 seeds;"), ((4,), "1 seed;")]
)
def test_the_accuracy_table_counts_the_seeds_of_a_cell(lengths: tuple[int, ...], said: str) -> None:
    trials = [make_accuracy(make_cell(length=length), seed=seed) for seed, length in enumerate(lengths)]
    assert accuracy_table(select_all(*trials)).notes[0].startswith(f"Means over {said}")
