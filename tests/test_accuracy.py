"""Accuracy: seeds are the sample, patiences are never mixed, pairs are pairs of seeds."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from factories import make_accuracy, make_baseline, make_cell, make_errors, make_failure, select_all
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.accuracy import (
    accuracy,
    average_environments,
    by_length,
    contrasts,
    loss_curves,
    seen_share,
    stopping,
)
from bench.analysis.statistics import mean_interval, paired_ratio
from bench.output.tables.accuracy import TABLES
from seqsum_core.settings import TaskSettings

CELL: dict[str, Any] = {
    "environment": "jax",
    "device": "cpu",
    "model": "lstm",
    "length": 12,
    "threads": "1",
    "variant": "default",
}
By = Literal["environment", "model"]


def trainings(mse: Sequence[float], **fields: Any) -> pd.DataFrame:
    """Make a training of each test MSE, with the seeds 0, 1, ...; a field may be a list."""
    known: dict[str, Any] = {"test_rows": 200, "split_test_error": np.nan, "split_right_rate": np.nan}
    known |= {"patience": 20, "epochs": 100, "stopped_early": False, "right_rate": 0.75}
    known |= {"start": "numpy", "start_hash": ""}
    return pd.DataFrame({"test_error": mse}).assign(seed=range(len(mse)), **{**CELL, **known, **fields})


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def notes(name: str, *records: Any) -> str:
    return " ".join(TABLES[name](select_all(*records)).notes)


def test_figures_are_of_the_seeds() -> None:
    mse, rates = [2.0, 4.0, 3.0, 9.0, 1.0, 1.0], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    stopped = [True, True, True, False, False, False]
    frame = trainings(mse, right_rate=rates, epochs=[2, 3, 4, 5, 6, 7], stopped_early=stopped)
    (row,) = rows(accuracy(frame))
    interval = mean_interval(mse, bounds=(0, np.inf))
    assert row["test_error"] == pytest.approx(20 / 6) and row["test_error_median"] == 2.5
    assert row["test_error_sd"] == pytest.approx(np.std(mse, ddof=1))
    assert (row["test_error_low"], row["test_error_high"]) == (interval.low, interval.high)
    assert row["right_rate_low"] < row["right_rate"] < row["right_rate_high"]
    assert (row["seeds"], row["epochs"], row["stopped_early"]) == (6, 4.5, 0.5)


def test_patiences_are_never_mixed() -> None:
    frame = pd.concat([trainings([1.0 + patience], patience=patience) for patience in (-1, 20, 0)])
    figures = accuracy(frame).set_index("patiences")["test_error"].to_dict()
    assert figures == {"0": 1.0, "20": 21.0, "never": 0.0}


def test_patiences_that_ended_alike() -> None:
    """One seed that differs is enough for two rows."""
    frame = pd.concat([trainings([3.0, 4.0, 5.0], patience=patience) for patience in (20, 0, -1)])
    (row,) = rows(accuracy(frame))
    assert (row["patience"], row["patiences"], row["seeds"]) == (-1, "0, 20, never", 3)
    frame = pd.concat([trainings([3.0, 4.0, 5.0]), trainings([3.0, 4.0, 6.0], patience=0)])
    assert sorted(accuracy(frame)["patiences"]) == ["0", "20"]


def test_what_ended_the_trainings_is_counted() -> None:
    frame = pd.concat(
        [
            trainings([1.0] * 3, patience=-1, epochs=300),
            trainings([1.0] * 3, patience=0, stopped_early=True, epochs=[7, 8, 9]),
            trainings([1.0] * 3, patience=20, stopped_early=[True, False, False], epochs=[40, 300, 300]),
        ]
    )
    counts = stopping(frame).fillna(0)
    assert counts["patience"].tolist() == [0, 20, -1]
    assert counts["stopped_early"].tolist() == [3, 1, 0] and counts["limit"].tolist() == [0, 300, 300]


def lengths(rows_of: dict[int, int], **fields: Any) -> pd.DataFrame:
    """Make the true lengths of a training, with as many rows as are given and a test MSE that is the length."""
    frame = pd.DataFrame({"true_length": list(rows_of), "rows": list(rows_of.values())})
    known = {"seed": 0, "patience": 0, "error": frame["true_length"].astype(float), "right_rate": 0.5}
    return frame.assign(**{**CELL, **known, **fields})


def test_bands_of_true_lengths() -> None:
    figures = by_length(lengths({length: length for length in range(1, 13)}))
    spans = list(figures[["shortest", "longest"]].itertuples(index=False, name=None))
    assert spans == [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12)]
    assert figures["rows"].tolist() == [3, 7, 11, 15, 19, 23]
    assert figures["error"].tolist() == pytest.approx([5 / 3, 25 / 7, 61 / 11, 113 / 15, 181 / 19, 265 / 23])
    assert len(by_length(lengths(dict.fromkeys(range(1, 13), 1)), most_bands=None)) == 12
    frame = pd.concat([lengths({2: 90, 3: 7}, seed=seed, error=[seed, 0.0]) for seed in (1.0, 2.0)])
    assert by_length(frame)["error"].tolist() == [1.5, 0.0], "means over the seeds"


def test_environments_are_compared_seed_by_seed() -> None:
    jax, torch = [1.0, 2.0, 4.0, 8.0, 16.0], [2.0, 4.0, 8.0, 16.0, 30.0]
    frame = pd.concat([trainings(jax), trainings(torch, environment="torch")[::-1]])
    (row,) = rows(contrasts(frame, "environment"))
    wanted = paired_ratio(torch, jax)
    assert (row["first"], row["second"], row["pairs"], row["verdict"]) == ("torch", "jax", 5, "different")
    assert (row["error_ratio"], row["error_ratio_low"], row["error_ratio_high"]) == pytest.approx(
        (wanted.value, wanted.low, wanted.high)
    )


def test_difference_of_exact_sums() -> None:
    """Differences of 1, 2, 3, 4 and 5 points: mean 3, standard error sqrt(2.5 / 5), t of 4 degrees of freedom."""
    jax, torch = [0.51, 0.62, 0.73, 0.84, 0.95], [0.5, 0.6, 0.7, 0.8, 0.9]
    frame = pd.concat(
        [trainings([1.0] * 5, right_rate=jax), trainings([1.0] * 5, right_rate=torch, environment="torch")]
    )
    (row,) = rows(contrasts(frame, "environment"))
    half = 0.01 * 2.7764451 * 0.5**0.5
    ends = (row["right_difference"], row["right_difference_low"], row["right_difference_high"])
    assert ends == pytest.approx((-0.03, -0.03 - half, -0.03 + half))


def test_verdicts_are_corrected_for_all_rows() -> None:
    """What is different where it is the only row is open among rows that show nothing."""
    random = np.random.default_rng(0)
    jax, torch = [1.0, 1.1, 0.9, 1.2, 1.0, 0.8], [1.3, 1.2, 1.3, 1.4, 1.1, 1.2]
    alone = pd.concat([trainings(jax), trainings(torch, environment="torch")])
    assert contrasts(alone, "environment")["verdict"].tolist() == ["different"]
    others = [
        trainings(random.lognormal(0, 1, 6).tolist(), environment=environment, length=length)
        for length in range(20, 40)
        for environment in ("jax", "torch")
    ]
    row, *_ = rows(contrasts(pd.concat([alone, *others]), "environment"))
    assert (row["length"], row["verdict"]) == (12, "open")
    assert row["error_ratio_low"] > 1, "the interval is of this row alone"


def test_equal_patiences_dilute_no_verdict() -> None:
    jax, torch = [1.0, 1.1, 0.9, 1.2, 1.0, 0.8], [1.3, 1.2, 1.3, 1.4, 1.1, 1.2]
    frame = pd.concat(
        [
            trainings(mse, environment=environment, patience=patience)
            for patience in range(40)
            for environment, mse in (("jax", jax), ("torch", torch))
        ]
    )
    (row,) = rows(contrasts(frame, "environment"))
    assert (row["patience"], row["pairs"], row["verdict"]) == (39, 6, "different")


def test_pairs_share_seed_and_start() -> None:
    jax, torch = trainings([1.0] * 6), trainings([1.0] * 8, environment="torch")[2:]
    assert contrasts(pd.concat([jax, torch]), "environment")["pairs"].tolist() == [4]
    assert contrasts(pd.concat([jax, torch.assign(start="keras")]), "environment").empty


@pytest.mark.parametrize(("seeds", "verdict"), [(8, "equal"), (3, "open")])
def test_equal_environments(seeds: int, verdict: str) -> None:
    mse = [1.0 + seed for seed in range(seeds)]
    (row,) = rows(contrasts(pd.concat([trainings(mse), trainings(mse, environment="torch")]), "environment"))
    assert (row["error_ratio"], row["verdict"]) == (pytest.approx(1), verdict)
    assert np.isnan(row["error_ratio_low"]) == (seeds < 5)


def test_models_share_environments() -> None:
    gru = trainings([1.0, 1.0, 1.0, 1.0, 2.0], model="gru")
    frame = pd.concat([trainings([2.0] * 5), trainings([6.0] * 5, environment="torch"), gru])
    (row,) = rows(contrasts(frame, "model"))
    assert (row["first"], row["second"], row["pairs"]) == ("lstm", "gru", 5)
    assert row["error_ratio"] == pytest.approx(2**0.8)
    both = pd.concat([frame, gru.assign(environment="torch", test_error=6.0)])
    assert contrasts(both, "model")["error_ratio"].tolist() == pytest.approx([(4 / 3.5) ** 0.8])


@pytest.mark.parametrize("by", ["environment", "model"])
def test_no_partner(by: By) -> None:
    first, other = trainings([1.0] * 5), trainings([1.0] * 5, environment="torch", model="gru")
    assert contrasts(first, by).empty and contrasts(first.iloc[:0], by).empty
    assert contrasts(pd.concat([first, other.assign(length=4)]), by).empty
    assert contrasts(pd.concat([first, other.assign(patience=0)]), by).empty


def test_environments_of_a_seed_are_averaged() -> None:
    frame = pd.concat([trainings([1.0, 3.0]), trainings([2.0, 5.0], environment="torch")])
    averaged = average_environments(frame)
    assert averaged["test_error"].tolist() == [1.5, 4.0] and set(averaged["environment"]) == {"all"}
    (row,) = rows(accuracy(averaged))
    assert (row["seeds"], row["test_error"]) == (2, 2.75)


def test_stopped_seed_keeps_its_last_loss() -> None:
    losses = [(0, 1, 4.0), (0, 2, 2.0), (1, 1, 8.0), (1, 2, 6.0), (1, 3, 4.0)]
    frame = pd.DataFrame(losses, columns=["seed", "epoch", "val_loss"]).assign(**CELL, patience=5)
    curve = loss_curves(pd.concat([frame, frame.assign(patience=0, val_loss=99.0)]))
    assert curve["val_loss"].tolist() == [6.0, 4.0, 3.0] and curve["val_loss_low"].tolist() == [5.0, 3.0, 2.5]


@settings(deadline=None, max_examples=10)
@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8))
def test_the_order_of_records_changes_no_figure(mse: list[float]) -> None:
    frame = pd.concat([trainings(mse), trainings(mse[::-1], environment="torch")])
    for table in (accuracy, lambda frame: contrasts(frame, "environment")):
        forth, back = table(frame), table(frame[::-1])
        names = [name for name in ("environment", "first") if name in forth]
        pd.testing.assert_frame_equal(
            forth.sort_values(names, ignore_index=True), back.sort_values(names, ignore_index=True)
        )


def test_seen_share() -> None:
    """Counted by hand once: 191 of the 200 test rows at length 4, 66 at 12."""
    assert [seen_share(TaskSettings(), length) for length in (4, 12)] == [191 / 200, 66 / 200]
    assert np.isnan(seen_share(TaskSettings(source="generated", sequences=10**6), 4))


def test_baselines_follow_their_models() -> None:
    cells = [make_cell(length=length) for length in (12, 4)]
    baselines = [make_baseline(name, length) for length in (4, 12, 50) for name in ("mean", "linear_regression")]
    frame = TABLES["accuracy"](select_all(*(make_accuracy(cell) for cell in cells), *baselines)).frame
    models = ["lstm", "mean", "linear fit"]
    assert list(zip(frame["length"], frame["model"], strict=True)) == [(n, name) for n in (4, 12) for name in models]


def test_accuracy_table() -> None:
    trials = [
        make_accuracy(seed=seed, patience=20, val_loss=(1.0,) * epochs).model_copy(update={"stopped_early": stopped})
        for seed, (epochs, stopped) in enumerate([(40, True), (100, False), (100, False)])
    ]
    text = notes("accuracy", *trials)
    assert TABLES["accuracy"](select_all(*trials)).frame["seen_share"].tolist() == [66 / 200]
    assert "1 of 3 trainings were ended by patience, 2 by the limit of 100 epochs" in text
    assert "200 test rows" in text and "Seen rows" in text and "linear fit solves the task" in text
    assert "3 seeds" in text


def test_lost_seed() -> None:
    trials = [make_accuracy(make_cell(name), seed=seed) for name, n in (("jax", 6), ("torch", 4)) for seed in range(n)]
    selection = select_all(*trials, make_failure(make_cell("torch"), trial="accuracy"))
    assert TABLES["accuracy"](selection).frame.set_index("environment")["seeds"].to_dict() == {"jax": 6, "torch": 4}
    assert "4 to 6 seeds" in TABLES["accuracy"](selection).notes[0]


def test_predictions() -> None:
    trials = [
        make_accuracy(
            make_cell(backend), seed=seed, patience=patience, predictions=(seed + patience, 7.5), targets=(4, 8)
        )
        for backend in ("jax", "torch")
        for seed in (2, 1)
        for patience in (0, 5)
    ]
    frame = TABLES["predictions"](select_all(*trials)).frame
    assert frame[["model", "environment", "row_1", "row_2"]].to_numpy().tolist() == [
        ["true value", "", 4.0, 8.0],
        ["lstm", "jax", 6.0, 7.5],
        ["lstm", "torch", 6.0, 7.5],
    ]


@pytest.mark.parametrize("by", ["environment", "model"])
def test_pairs_stand_beside_their_figures(by: By) -> None:
    """Whatever the order of the records, for each patience."""
    factors = {"jax": 1.0, "tensorflow": 2.0, "torch": 6.0} if by == "environment" else {"gru": 1.0, "lstm": 3.0}
    records = [
        make_accuracy(
            make_cell(name) if by == "environment" else make_cell(model=name),
            seed=seed,
            patience=patience,
            test=make_errors(factor * (1 + seed / 10) * (1 + patience)),
        )
        for patience in (20, 0)
        for name, factor in reversed(factors.items())
        for seed in range(5)
    ]
    table = TABLES["accuracy-by-backend" if by == "environment" else "accuracy-by-model"](select_all(*records))
    found = {(row["patiences"], row["pair"]): row["error_ratio"] for row in table.frame.to_dict("records")}
    expected = {
        (patience, f"{first} / {second}"): factors[first] / factors[second]
        for patience in ("0", "20")
        for first in factors
        for second in factors
        if first > second
    }
    assert found == pytest.approx(expected)
