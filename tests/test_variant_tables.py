"""Tables of variants: tax and settings by hand; what never took turns has no ratio."""

from math import isnan
from typing import Any

import pytest
from factories import make_cell, make_processes, make_run, make_sweep, select_all

from bench.analysis.selection import Table, select
from bench.output.tables.catalog import overview_table
from bench.output.tables.speed import speed_table
from bench.output.tables.variants import tax_table, variants_table
from bench.records.schema import Record

NOISE = (0.98, 1.0, 1.01, 1.02, 0.99)


def timed(epoch_s: float, **cell: Any) -> list[Record]:
    return [*make_processes(make_cell(**cell), seconds=[epoch_s * one for one in NOISE], rounds=2)]


def rows(table: Table) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.frame.to_dict("records")]


def test_tax_is_keras_by_its_ceiling() -> None:
    table = tax_table(
        select_all(
            *timed(0.030, backend="torch"),
            *timed(0.006, backend="torch", implementation="fused"),
            *timed(0.005, backend="torch", implementation="ceiling"),
            *timed(0.020, backend="jax"),
        )
    )
    found = {(row["backend"], row["variant"]): row for row in rows(table)}
    assert found.keys() == {("torch", "default"), ("torch", "fused")}, "jax has no ceiling here, a ceiling no tax"
    tax = found["torch", "default"]
    assert tax["tax"] == pytest.approx(6) and tax["low"] == pytest.approx(6) and tax["high"] == pytest.approx(6)
    assert (tax["epoch ms"], tax["ceiling ms"]) == (pytest.approx(30), pytest.approx(5))
    assert found["torch", "fused"]["tax"] == pytest.approx(1.2)


def test_sizes_have_ceilings_of_their_own() -> None:
    table = tax_table(
        select_all(
            *timed(0.030, units=64),
            *timed(0.010, units=64, implementation="ceiling"),
            *timed(0.020, units=16),
        )
    )
    assert [(row["variant"], row["tax"]) for row in rows(table)] == [("units 64", pytest.approx(3))]


def test_settings_of_keras_share_one_ceiling() -> None:
    table = tax_table(select_all(*timed(0.030), *timed(0.020, unroll=True), *timed(0.010, implementation="ceiling")))
    assert [(row["variant"], row["tax"]) for row in rows(table)] == [
        ("default", pytest.approx(3)),
        ("unroll true", pytest.approx(2)),
    ]


def test_too_few_processes_have_no_interval_and_no_verdict() -> None:
    cell, ceiling = make_cell(), make_cell(implementation="ceiling")
    table = tax_table(
        select_all(*make_processes(cell, seconds=[0.02, 0.02]), *make_processes(ceiling, seconds=[0.01, 0.01]))
    )
    (row,) = rows(table)
    assert row["tax"] == pytest.approx(2) and isnan(row["low"]) and row["verdict"] == ""


def test_variants_are_compared_with_the_first_one() -> None:
    sweep = make_sweep(axes={"unroll": (False, True)})
    run = make_run([*timed(0.020), *timed(0.010, unroll=True)], sweep=sweep)
    (row,) = rows(variants_table(select([run])))
    assert (row["variant"], row["times as long"], row["default ms"]) == (
        "unroll true",
        pytest.approx(0.5),
        pytest.approx(20),
    )


def test_the_same_speed_is_no_difference() -> None:
    one, other = make_cell(), make_cell(unroll=True)
    sweep = make_sweep(axes={"unroll": (False, True)})
    seconds = [0.010 * one for one in NOISE]
    run = make_run([*make_processes(one, seconds=seconds), *make_processes(other, seconds=seconds[::-1])], sweep=sweep)
    (row,) = rows(variants_table(select([run])))
    assert row["verdict"] == "no difference"


def test_variants_of_different_runs_are_not_compared() -> None:
    first = make_run(timed(0.020), run="2030-01-01T00-00-00-a")
    second = make_run(timed(0.010, implementation="ceiling"), run="2030-01-01T00-00-01-b")
    assert not rows(tax_table(select([first, second])))


def test_speed_names_the_variant_of_every_row_and_the_overview_shows_the_first_one() -> None:
    sweep = make_sweep(axes={"implementation": ("keras", "ceiling")})
    run = make_run([*timed(0.020), *timed(0.010, implementation="ceiling")], sweep=sweep)
    chosen = select([run])
    assert [(row["variant"], row["epoch ms"]) for row in rows(speed_table(chosen))] == [
        ("ceiling", pytest.approx(10)),
        ("default", pytest.approx(20)),
    ]
    (row,) = rows(overview_table(chosen))
    assert row["jax ms"] == pytest.approx(20)
