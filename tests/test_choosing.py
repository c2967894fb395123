"""Choosing rows and columns: what is unknown is refused, what is shown is not computed anew."""

import pytest
from factories import make_accuracy, make_baseline, make_cell, make_failure, make_processes, make_speed, select_all

from bench.analysis.selection import Selection, Table
from bench.errors import UserError
from bench.output.printing.choosing import Wanted, choose, parse_columns
from bench.output.tables.catalog import TABLES


def measured() -> Selection:
    cells = [
        make_cell(backend, model, length)
        for backend in ("jax", "torch")
        for model in ("lstm", "gru")
        for length in (4, 12)
    ]
    seconds = (0.01, 0.011, 0.009, 0.01, 0.01)
    timings = [record for cell in cells for record in make_processes(cell, seconds=seconds, rounds=2)]
    seeds = [make_accuracy(cell, seed=seed) for cell in cells for seed in range(5)]
    return select_all(*timings, *seeds, make_baseline(), make_failure(make_cell("tensorflow", "lstm", 12)))


CHOSEN = measured()


def chosen_tables(wanted: Wanted, *names: str) -> list[Table]:
    return choose([TABLES[name](CHOSEN) for name in names], wanted, CHOSEN)


def test_nothing_wanted_is_everything() -> None:
    (table,) = chosen_tables(Wanted(), "speed")
    assert table.frame.equals(TABLES["speed"](CHOSEN).frame)


def test_rows_of_a_backend_model_and_length() -> None:
    (table,) = chosen_tables(Wanted(backends=("jax",), models=("lstm",), lengths=(4,)), "speed")
    assert table.frame[["backend", "model", "length"]].values.tolist() == [["jax", "lstm", 4]]


def test_several_values_of_an_axis_are_all_shown() -> None:
    (table,) = chosen_tables(Wanted(backends=("jax", "torch"), lengths=(4, 12)), "speed")
    assert set(table.frame["backend"]) == {"jax", "torch"} and set(table.frame["length"]) == {4, 12}


@pytest.mark.parametrize("name", ["ratios", "backends"])
def test_a_pair_of_backends_needs_both(name: str) -> None:
    (table,) = chosen_tables(Wanted(backends=("jax", "torch")), name)
    assert len(table.frame) == 4
    assert chosen_tables(Wanted(backends=("jax",)), name) == []


@pytest.mark.parametrize("name", ["model-ratios", "models"])
def test_a_pair_of_models_needs_both(name: str) -> None:
    assert len(chosen_tables(Wanted(models=("lstm", "gru")), name)) == 1
    assert chosen_tables(Wanted(models=("lstm",)), name) == []


def test_a_length_is_not_taken_for_a_number_of_threads() -> None:
    cells = [make_cell(length=length, threads=threads) for length in (4, 12) for threads in (1, 4)]
    both = select_all(*(record for cell in cells for record in make_processes(cell, seconds=(0.01, 0.02))))
    (table,) = choose([TABLES["thread-ratios"](both)], Wanted(lengths=(12,)), both)
    assert table.frame["ratio of"].tolist() == ["4 / 1"]


def test_a_baseline_is_shown_for_every_backend_and_model() -> None:
    (table,) = chosen_tables(Wanted(backends=("jax",), models=("lstm",), lengths=(12,)), "accuracy")
    assert table.frame["model"].tolist() == ["lstm", "mean"]


def test_figures_of_chosen_rows_are_those_of_all() -> None:
    (table,) = chosen_tables(Wanted(models=("gru",)), "backends")
    whole = TABLES["backends"](CHOSEN).frame
    assert table.frame.equals(whole[whole["model"] == "gru"])


def test_the_overview_loses_the_columns_of_other_backends() -> None:
    (table,) = chosen_tables(Wanted(backends=("jax",)), "overview")
    assert "jax ms" in table.frame and "torch ms" not in table.frame


def test_columns_come_in_the_order_asked_for() -> None:
    (table,) = chosen_tables(Wanted(columns=("epoch ms", "model")), "speed")
    assert table.shown == ["epoch ms", "model"]


def test_a_table_without_the_columns_asked_for_is_left_out() -> None:
    tables = chosen_tables(Wanted(columns=("model", "epoch ms")), "speed", "accuracy")
    assert [table.title for table in tables] == ["Speed"]
    assert len(chosen_tables(Wanted(columns=("model",)), "speed", "accuracy")) == 2, "axes alone are in both"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(columns=("epoch",)), r"`--columns` must be one of model, length, .*Received: 'epoch'"),
        (Wanted(columns=("epoch m",)), r"Did you mean epoch ms\?"),
        (Wanted(models=("lsmt",)), r"`--model` must be one of gru, lstm. Received: 'lsmt'. Did you mean lstm\?"),
        (Wanted(lengths=(25,)), r"`--length` must be one of 4, 12. Received: '25'"),
    ],
)
def test_what_was_not_measured_is_refused(wanted: Wanted, message: str) -> None:
    with pytest.raises(UserError, match=message):
        chosen_tables(wanted, "speed")


def test_a_backend_that_was_not_measured_is_refused() -> None:
    only_jax = select_all(make_speed())
    with pytest.raises(UserError, match=r"`--backend` must be one of jax. Received: 'torch'"):
        choose([TABLES["speed"](only_jax)], Wanted(backends=("torch",)), only_jax)


@pytest.mark.parametrize(
    ("text", "names"), [(None, ()), ("a, b c ,a", ("a", "b c")), ("", ("",)), ("epoch ms", ("epoch ms",))]
)
def test_names_of_columns_stand_between_commas(text: str | None, names: tuple[str, ...]) -> None:
    assert parse_columns(text) == names
