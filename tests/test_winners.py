"""The fastest backend: only where the intervals say that it is faster than every other one."""

from collections.abc import Sequence

from factories import make_cell, make_processes, make_run, make_speed, select_all

from bench.analysis.selection import select
from bench.analysis.winners import fastest
from bench.output.tables.catalog import overview_table
from bench.output.tables.speed import speed_table
from bench.plan.cells import BackendName
from bench.records.schema import Record

NOISE = (0.98, 1.0, 1.01, 1.02, 0.99)


def timed(backend: BackendName, epoch_s: float, *, noise: Sequence[float] = NOISE, length: int = 12) -> list[Record]:
    return [*make_processes(make_cell(backend, length=length), seconds=[epoch_s * one for one in noise], rounds=2)]


def test_the_fastest_beats_every_other_backend() -> None:
    chosen = select_all(*timed("jax", 0.01), *timed("torch", 0.02), *timed("tensorflow", 0.03))
    assert fastest(chosen) == {make_cell("jax")}


def test_beating_one_of_two_is_not_enough() -> None:
    chosen = select_all(*timed("jax", 0.01), *timed("torch", 0.01, noise=NOISE[::-1]), *timed("tensorflow", 0.03))
    assert not fastest(chosen)


def test_without_an_interval_there_is_no_mark() -> None:
    few = select_all(*timed("jax", 0.01, noise=(1, 1, 1, 1)), *timed("torch", 0.09, noise=(1, 1, 1, 1)))
    assert not fastest(few)


def test_a_backend_alone_is_not_the_fastest() -> None:
    assert not fastest(select_all(*timed("jax", 0.01)))


def test_cells_of_different_runs_are_not_compared() -> None:
    old = make_run(timed("torch", 0.09), "2030-01-01T00-00-00-old")
    new = make_run(timed("jax", 0.01), "2030-01-02T00-00-00-new")
    assert not fastest(select([old, new]))


def test_every_length_has_its_own_fastest() -> None:
    records = [
        *timed("jax", 0.01),
        *timed("torch", 0.02),
        *timed("jax", 0.02, length=4),
        *timed("torch", 0.01, length=4),
    ]
    assert fastest(select_all(*records)) == {make_cell("jax"), make_cell("torch", length=4)}


def test_the_table_marks_the_row_of_the_fastest() -> None:
    table = speed_table(select_all(*timed("jax", 0.01), *timed("torch", 0.02)))
    ((row, column),) = table.best
    assert (table.frame.loc[row, "backend"], column) == ("jax", "epoch ms")
    assert any(note.startswith("Marked:") for note in table.notes)


def test_a_table_with_threads_marks_the_row_of_the_fastest() -> None:
    wide = [
        record
        for backend, epoch_s in (("jax", 0.03), ("torch", 0.01))
        for record in make_processes(make_cell(backend, threads="default"), seconds=[epoch_s * one for one in NOISE])  # type: ignore[arg-type]
    ]
    table = speed_table(select_all(*timed("jax", 0.01), *timed("torch", 0.02), *wide))
    marked = {(table.frame.loc[row, "backend"], table.frame.loc[row, "threads"]) for row, _ in table.best}
    assert marked == {("jax", "1"), ("torch", "default")}


def test_the_overview_marks_the_column_of_the_fastest() -> None:
    records = [
        *timed("jax", 0.02),
        *timed("torch", 0.01),
        *timed("jax", 0.01, length=4),
        *timed("torch", 0.02, length=4),
    ]
    table = overview_table(select_all(*records))
    assert {(table.frame.loc[row, "length"], column) for row, column in table.best} == {(4, "jax ms"), (12, "torch ms")}
    assert table.notes[-1].startswith("Marked:")


def test_nothing_is_said_of_marks_where_there_are_none() -> None:
    table = speed_table(select_all(make_speed()))
    assert not table.best and not any(note.startswith("Marked:") for note in table.notes)


def test_a_second_installation_is_a_side_of_its_own() -> None:
    newer = make_cell("jax").model_copy(update={"installation": "new"})
    faster = make_processes(newer, seconds=[0.005 * one for one in NOISE], rounds=2)
    chosen = select_all(*timed("jax", 0.01), *timed("torch", 0.02), *faster)
    assert fastest(chosen) == {newer}
    speed, overview = speed_table(chosen), overview_table(chosen)
    assert [(speed.frame.loc[row, "backend"], name) for row, name in speed.best] == [("jax@new", "epoch ms")]
    assert [name for _, name in overview.best] == ["jax@new ms"]
