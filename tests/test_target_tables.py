"""The table of time to accuracy: figures by hand, misses that stay visible, notes that say what is derived."""

from math import inf
from typing import Any

import pytest
from factories import make_accuracy, make_cell, make_processes, select_all
from test_printing import assert_whole_in_80_columns

from bench.analysis.selection import Table
from bench.output.printing.output import to_csv
from bench.output.tables.targets import target_table
from bench.records.schema import Record


def train(*epochs: float, of: int = 40, **cell: Any) -> list[Record]:
    return [
        make_accuracy(
            make_cell(**cell),
            seed=seed,
            patience=-1,
            val_loss=[0.2 if number >= epoch else 2.0 for number in range(1, of + 1)],
        ).model_copy(update={"stopped_early": False})
        for seed, epoch in enumerate(epochs)
    ]


def rows(table: Table) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.frame.to_dict("records")]


def test_figures_are_medians_over_seeds() -> None:
    cell = make_cell()
    timed = make_processes(cell, seconds=(0.1,) * 5, import_s=2.0, process_start_s=0.25)
    (row,) = rows(target_table(select_all(*train(*range(10, 20)), *timed)))
    assert row == {
        "model": "lstm",
        "length": 12,
        "backend": "jax",
        "reached": "10 of 10",
        "epochs": 14.5,
        "low": 11.0,
        "high": 18.0,
        "sequences": 14.5 * 1620,
        "steady s": pytest.approx(1.45),
        "from start s": pytest.approx(4.0 + 13.5 * 0.1),
    }


def test_misses_are_never_and_never_left_out() -> None:
    chosen = select_all(*train(*[5] * 9, inf), *train(5, *[inf] * 9, backend="torch"))
    jax, torch = rows(target_table(chosen))
    assert (jax["reached"], jax["epochs"], jax["high"]) == ("9 of 10", 5, 5)
    assert (torch["reached"], torch["epochs"], torch["sequences"]) == ("1 of 10", "never", "never")
    assert "never" in to_csv(target_table(chosen)) and "inf" not in to_csv(target_table(chosen))


def test_notes_say_how_seconds_are_derived_and_how_many_missed() -> None:
    table = target_table(select_all(*train(*[5] * 8, inf, inf)))
    notes = " ".join(table.notes)
    assert "2 of 10 trainings did not get there within 40 epochs." in notes
    assert "not timed" in notes and "Validating is not charged" in notes
    assert "too few" not in notes and "stopped early" not in notes


def test_too_few_seeds_and_early_stops_are_said() -> None:
    stopped = make_accuracy(seed=3, patience=20, val_loss=(2.0, 1.0))
    notes = " ".join(target_table(select_all(*train(5, 5, 5), stopped)).notes)
    assert "4 seeds, which is too few: train at least 10." in notes
    assert "1 of those had been stopped early" in notes


def test_epochs_that_differ_between_backends_are_said() -> None:
    table = target_table(select_all(*train(5, 6, 7, inf), *train(5, 6, 9, 8, backend="torch")))
    assert table.frame["same epoch"].tolist() == ["2 of 4", "2 of 4"]
    note = next(note for note in table.notes if note.startswith("Same epoch"))
    assert "2 of 4; the others differ by at most 2 epochs; 1 seed got there on some backends only." in note


def test_nothing_is_said_of_pairs_where_every_seed_missed() -> None:
    table = target_table(select_all(*train(inf, inf), *train(inf, inf, backend="torch")))
    assert "same epoch" not in table.frame
    assert not any(note.startswith("Same epoch") for note in table.notes)


@pytest.mark.parametrize("epoch", [1, 37, inf])
def test_it_stands_whole_in_80_columns(epoch: float) -> None:
    cells = [("simple_rnn", backend, length) for backend in ("jax", "tensorflow") for length in (4, 200)]
    records = [
        record
        for model, backend, length in cells
        for record in (
            *train(*[epoch] * 10, model=model, backend=backend, length=length),
            *make_processes(make_cell(backend, model, length), seconds=(12.345,)),  # type: ignore[arg-type]
        )
    ]
    assert_whole_in_80_columns(target_table(select_all(*records)))
