"""Tables of what length costs: figures by hand, words for what crosses, whole in 80 columns."""

from typing import Any

import pytest
from factories import make_cell, make_processes, select_all
from test_length_costs import timed
from test_printing import assert_whole_in_80_columns

from bench.analysis.selection import Table
from bench.output.tables.lengths import crossings_table, length_cost_table


def rows(table: Table) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.frame.to_dict("records")]


def test_costs_have_units_that_can_be_read() -> None:
    (row,) = rows(length_cost_table(select_all(*timed(2.0, 0.1, off={12: 1.3}))))
    (straight,) = rows(length_cost_table(select_all(*timed(2.0, 0.1))))
    assert (straight["model"], straight["backend"], straight["lengths"]) == ("lstm", "jax", "4, 12, 25, 50")
    assert straight["fixed ms"] == pytest.approx(2) and straight["low ms"] < 2 < straight["high ms"]
    assert straight["per timestep µs"] == pytest.approx(100) and straight["low µs"] < 100 < straight["high µs"]
    assert straight["validation fixed ms"] == pytest.approx(2) and straight["validation ms per 100"] == pytest.approx(
        10
    )
    assert (straight["MiB at shortest"], straight["MiB at longest"]) == (504, 550)
    assert straight["MiB per 100"] == pytest.approx(100)
    assert (row["at length"], row["off by %"] > 10) == (12, True)


def test_threads_and_variants_have_rows_of_their_own() -> None:
    table = length_cost_table(select_all(*timed(2.0, 0.1), *timed(4.0, 0.1, threads=2), *timed(6.0, 0.1, unroll=True)))
    assert table.frame["threads"].tolist() == ["1", "1", "2"]
    assert table.frame["variant"].nunique() == 2 and "length" not in table.frame


def test_a_crossing_has_a_length_and_an_interval() -> None:
    (row,) = rows(crossings_table(select_all(*timed(3.0, 0.1, "jax"), *timed(1.0, 0.2, "torch"))))
    assert (row["backend"], row["against"], row["faster"]) == ("torch", "jax", "torch, then jax")
    assert row["from length"] == pytest.approx(20) and row["low"] < 20 < row["high"]
    assert (row["lengths"], row["medians change"]) == ("4 to 50", "12 to 25")


def test_a_side_that_is_always_faster_has_none() -> None:
    table = crossings_table(select_all(*timed(1.0, 0.1, "jax"), *timed(3.0, 0.2, "torch")))
    assert table.frame["faster"].tolist() == ["always jax"] and table.frame["medians change"].tolist() == ["nowhere"]
    assert table.frame[["from length", "low", "high"]].isna().all(axis=None)


def test_what_noise_hides_is_open_and_its_ends_lie_beyond_the_lengths() -> None:
    noise = ((0.9, 1.1, 1.0, 0.95, 1.05), (1.1, 0.9, 1.02, 1.05, 0.95))
    jax, torch = timed(2.0, 0.1, "jax", noise=noise[0]), timed(2.0, 0.1, "torch", noise=noise[1])
    table = crossings_table(select_all(*jax, *torch))
    (row,) = rows(table)
    assert (row["faster"], row["low"], row["high"]) == ("open", "< 4", "> 50")


@pytest.mark.parametrize("epoch_s", [0.001, 0.0987, 9.99])
@pytest.mark.parametrize("make", [length_cost_table, crossings_table])
def test_they_stand_whole_in_80_columns(make: Any, epoch_s: float) -> None:
    records = [
        record
        for place, backend in enumerate(("jax", "torch", "tensorflow"))
        for length in (4, 12, 100, 200)
        for record in make_processes(
            make_cell(backend, "simple_rnn", length),  # type: ignore[arg-type]
            seconds=[epoch_s * (1 + place + length / (7 + 5 * place)) * one for one in (0.97, 1.0, 1.02, 1.01, 0.99)],
        )
    ]
    assert_whole_in_80_columns(make(select_all(*records)))
