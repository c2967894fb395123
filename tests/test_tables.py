"""Tables of speed: which rows and columns they have, what is marked, and that their notes are true."""

from typing import Any

import pandas as pd
import pytest
from factories import (
    make_accuracy,
    make_cell,
    make_errors,
    make_failure,
    make_processes,
    make_speed,
    make_sweep,
    make_turn,
    select_all,
)

from bench.analysis.select import Selection
from bench.output.formats import data_frame
from bench.output.tables import TABLES, Table
from bench.output.tables.speed import interval_note, verdict_note
from bench.output.tables.table import cell_name
from bench.plan.cells import Cell
from bench.records.schema import Record

FAST, SLOW = [0.010 + 0.0001 * process for process in range(9)], [0.020 + 0.0001 * process for process in range(9)]


def rows_of(table: Table) -> list[dict[str, Any]]:
    data = data_frame(table)
    return [dict(zip(data.columns, row, strict=True)) for row in data.itertuples(index=False, name=None)]


def two_backends(**fields: Any) -> list[Record]:
    records: list[Record] = [*make_processes(make_cell("jax", **fields), seconds=FAST)]
    return [*records, *make_processes(make_cell("torch", **fields), seconds=SLOW)]


@pytest.fixture
def selection() -> Selection:
    control = make_processes(make_cell("jax"), seconds=FAST, is_control=True)
    trainings = [
        make_accuracy(make_cell(name), seed=seed, test=make_errors(0.5 + seed, right_rate=0.8))
        for name in ("jax", "torch")
        for seed in range(5)
    ]
    return select_all(*two_backends(), *control, *trainings, sweep=make_sweep(lengths=(12,), backends=("jax", "torch")))


def test_every_table_has_its_name(selection: Selection) -> None:
    """And a line of documentation, which `seqsum table --help` shows."""
    for name, make in TABLES.items():
        assert make(selection).name == name
        assert (make.__doc__ or "").split("\n")[0].endswith(".")


def test_overview(selection: Selection) -> None:
    """Milliseconds by backend beside the errors of all backends; the fastest backend is marked."""
    table = TABLES["overview"](selection)
    (row,) = rows_of(table)
    assert row == pytest.approx(
        {"model": "lstm", "length": 12, "jax ms": 10.4, "torch ms": 20.4, "test mse": 2.5, "exact sums %": 80}
    )
    assert table.best == {(0, "jax")}
    assert any(note.startswith("Controls: 1 cell timed against themselves, of which 1 ") for note in table.notes)


def test_overview_is_of_the_first_variant() -> None:
    sweep = make_sweep(lengths=(12,), axes={"unroll": (False, True)})
    records = [*two_backends(), *make_processes(make_cell("jax", unroll=True), seconds=SLOW)]
    (row,) = rows_of(TABLES["overview"](select_all(*records, sweep=sweep)))
    assert row["jax ms"] == pytest.approx(10.4)


def test_speed(selection: Selection) -> None:
    table = TABLES["speed"](selection)
    jax, torch = rows_of(table)
    assert list(jax) == [
        *["model", "length", "backend", "epoch ms", "epoch ms low", "epoch ms high", "sequences per s"],
        "execution path",
    ]
    assert jax["epoch ms low"] == pytest.approx(10.1)
    assert torch["sequences per s"] == pytest.approx(1620 / 0.0204)
    assert table.best == {(0, "epoch_s")}
    assert "The 96.1 % interval reaches from number 2 to number 8 of them in order." in table.notes[0]


def test_failed_cells_have_a_row() -> None:
    """With what became of them; cells that were planned and never measured are named below."""
    failures = [make_failure(make_cell("jax"), index=9), make_failure(make_cell("tensorflow"), phase="build")]
    failures.append(make_failure(make_cell("torch", model="gru"), fault="not available"))
    sweep = make_sweep(lengths=(12,), models=("lstm",), threads=(1, "default"))
    table = TABLES["speed"](select_all(*two_backends(), *failures, sweep=sweep))
    status = {(row["model"], row["backend"]): row["status"] for row in rows_of(table) if isinstance(row["status"], str)}
    assert status == {
        ("lstm", "jax"): "1 failed",
        ("lstm", "tensorflow"): "failed in build",
        ("gru", "torch"): "not available",
    }
    assert table.notes[-2] == "Without figures, see failures: tensorflow lstm 12, torch gru 12."
    assert "Planned but not measured: jax lstm 12 default threads, " in table.notes[-1]


@pytest.mark.parametrize(
    ("name", "cells", "pair"),
    [
        ("speed-by-backend", (make_cell("jax"), make_cell("torch@old")), "torch@old / jax"),
        ("speed-by-model", (make_cell(model="gru"), make_cell(model="lstm")), "lstm / gru"),
        ("speed-by-threads", (make_cell(threads=1), make_cell(threads="default")), "default / 1"),
    ],
)
def test_ratios(name: str, cells: tuple[Cell, Cell], pair: str) -> None:
    records = [*make_processes(cells[0], seconds=FAST), *make_processes(cells[1], seconds=SLOW)]
    (row,) = rows_of(TABLES[name](select_all(*records)))
    assert row["A / B"] == pair
    assert row["ratio"] == pytest.approx(204 / 104)
    assert row["ratio low"] < row["ratio"] < row["ratio high"]
    assert row["verdict"] == "slower"


def test_variants() -> None:
    """Each variant beside the first one of its run; batches and devices have columns of their own."""
    sweep = make_sweep(lengths=(12,), axes={"batching": ("padded", "bucketed")})
    bucketed = make_processes(make_cell("jax", batching="bucketed"), seconds=SLOW, padding_share=0.1)
    table = TABLES["variants"](select_all(*two_backends(), *bucketed, sweep=sweep))
    (row,) = rows_of(table)
    assert (row["variant"], row["padding %"], row["baseline ms"]) == ("bucketed", 10, pytest.approx(10.4))
    assert "baseline (default)" in table.notes[0]

    sweep = make_sweep(lengths=(12,), axes={"devices": (1, 2)})
    pair = make_processes(make_cell("jax", devices=2), seconds=[epoch_s / 1.5 for epoch_s in FAST])
    (row,) = rows_of(TABLES["variants"](select_all(*two_backends(), *pair, sweep=sweep)))
    assert row["efficiency %"] == pytest.approx(75)
    assert "padding %" not in row


def test_tax() -> None:
    ceiling = make_processes(make_cell("torch", implementation="ceiling"), seconds=[0.005] * 9)
    (row,) = rows_of(TABLES["tax"](select_all(*two_backends(), *ceiling)))
    assert (row["epoch ms"], row["ceiling ms"], row["tax"]) == pytest.approx((20.4, 5, 4.08))


def test_start_and_break_even(selection: Selection) -> None:
    """Equal starts: after the second epoch the faster one is ahead. Validation is not charged, as a note says."""
    jax, _ = rows_of(TABLES["start"](selection))
    assert jax["total start s"] == pytest.approx(jax["process start s"] + jax["import s"] + jax["build s"] + 1.5)
    assert (jax["validation ms"], jax["memory MiB"]) == (3, 512)
    table = TABLES["break-even"](selection)
    (row,) = rows_of(table)
    assert (row["faster epochs"], row["other"], row["break-even epoch"]) == ("jax", "torch", 2)
    assert "Validation is not charged." in table.notes[0]


def test_growth() -> None:
    """The exponent between neighbouring lengths, and who changes places."""
    longer = make_processes(make_cell("jax", length=24), seconds=[0.1] * 9)
    longer += make_processes(make_cell("torch", length=24), seconds=[0.04] * 9)
    table = TABLES["growth"](select_all(*two_backends(), *longer))
    assert [row["next ms"] for row in rows_of(table)] == pytest.approx([100, 40])
    assert table.notes[-1] == "Backends change places: torch / jax (lstm) from 12 to 24."


def test_noise_and_controls(selection: Selection) -> None:
    jax, _ = rows_of(TABLES["noise"](selection))
    assert (jax["turns"], jax["disturbed turns"]) == (9, 0)
    (row,) = rows_of(TABLES["controls"](selection))
    assert row["consistent with 1"]
    assert row["ratio"] == 1


def test_energy_has_a_column_where_it_is_counted() -> None:
    turns = [make_turn((0.01,), energy_j=4.0)]
    (row,) = rows_of(TABLES["speed"](select_all(make_speed(turns=turns))))
    assert row["epoch J"] == 2
    assert "epoch J" not in rows_of(TABLES["speed"](select_all(make_speed())))[0]


def test_notes_on_intervals() -> None:
    """They are true for the rows above them, whatever the numbers of processes."""

    def note(*counts: int) -> str:
        cells = [make_cell(length=length) for length in range(4, 4 + len(counts))]
        records = [
            record
            for cell, count in zip(cells, counts, strict=True)
            for record in make_processes(cell, seconds=FAST[:count])
        ]
        return interval_note(TABLES["speed"](select_all(*records)).frame)

    assert note(1) == "Medians over 1 fresh process. An interval takes 6 processes."
    assert note(2, 5).endswith("2 to 5 fresh processes. Range: least to greatest; an interval takes 6 processes.")
    assert "98.4 % interval reaches from the least to the greatest" in note(7)
    assert note(9, 6) == "Medians over 6 to 9 fresh processes. Intervals by their order, of 96.1 to 96.9 %."
    assert note(6, 2).endswith("Intervals by their order, of 96.9 %; fewer than 6 have none.")


def test_note_on_chance(selection: Selection) -> None:
    frame = pd.concat([TABLES["speed-by-backend"](selection).frame] * 20)
    assert verdict_note(frame).endswith("Of 20 intervals 0.8 are expected to miss by chance.")


def test_rows_are_sorted_by_numbers() -> None:
    records = [make_speed(make_cell(units=units, length=length)) for length in (12, 4) for units in (16, 256, 4)]
    rows = rows_of(TABLES["speed"](select_all(*records)))
    assert [(row["length"], row["variant"]) for row in rows] == [
        (length, f"units {units}") for length in (4, 12) for units in (4, 16, 256)
    ]


def test_names_of_cells() -> None:
    """As the command line and the progress name them."""
    for cell in (make_cell("torch@old", threads="default"), make_cell(threads=2, unroll=True)):
        (failure,) = select_all(make_failure(cell)).frames.failures.itertuples()
        assert cell_name(failure) == str(cell)
