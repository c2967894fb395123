"""Energy of a GPU: by hand, and nothing where none was counted."""

import pandas as pd
import pytest
from factories import make_cell, make_failure, make_slice, make_speed, select_all

from bench.output.tables.energy import energy_table


def test_power_and_energy_are_those_by_hand() -> None:
    """A turn of the factories has an epoch of warm-up of half a second, then three of 10 ms."""
    turns = [make_slice(energy_j=53.0), make_slice(number=1, energy_j=53.0)]
    speed = make_speed(slices=turns, rows_per_epoch=1000)
    (row,) = energy_table(select_all(speed, make_speed(twin=True))).frame.to_dict("records")
    assert row["power W"] == pytest.approx(100) and row["epoch J"] == pytest.approx(53 / 4)
    assert row["sequences per J"] == pytest.approx(1000 / (53 / 4))


def test_a_counter_that_stood_still_makes_no_figure_of_sequences() -> None:
    (row,) = energy_table(select_all(make_speed(slices=[make_slice(energy_j=0.0)]))).frame.to_dict("records")
    assert row["power W"] == 0 and pd.isna(row["sequences per J"])


def test_without_a_count_there_is_no_table() -> None:
    assert energy_table(select_all(make_speed(), make_failure(make_cell("torch")))).frame.empty
