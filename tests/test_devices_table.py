"""The table of devices: speed-up and efficiency by hand, and nothing where all have one device."""

from typing import Any

import pytest
from factories import make_cell, make_processes, select_all

from bench.output.tables.devices import devices_table
from bench.plan.cells import BackendName
from bench.records.schema import Record

NOISE = (0.98, 1.0, 1.01, 1.02, 0.99)


def timed(epoch_s: float, backend: BackendName = "jax", **variant: Any) -> list[Record]:
    return [*make_processes(make_cell(backend, **variant), seconds=[epoch_s * one for one in NOISE])]


def test_speed_up_and_efficiency_are_those_by_hand() -> None:
    frame = devices_table(select_all(*timed(0.06), *timed(0.04, devices=2), *timed(0.03, devices=4))).frame
    assert frame["devices"].tolist() == [2, 4]
    assert frame["speed-up"].tolist() == pytest.approx([1.5, 2.0])
    assert frame["efficiency %"].tolist() == pytest.approx([75, 50])
    assert (frame["low"] <= frame["speed-up"]).all() and (frame["speed-up"] <= frame["high"]).all()


def test_a_variant_is_compared_with_itself_on_one_device() -> None:
    slow = [*timed(0.6, units=64), *timed(0.3, units=64, devices=2)]
    (row,) = devices_table(select_all(*timed(0.06), *slow)).frame.to_dict("records")
    assert row["variant"] == "units 64, devices 2" and row["speed-up"] == pytest.approx(2)


def test_where_all_have_one_device_there_is_no_table() -> None:
    assert devices_table(select_all(*timed(0.06), *timed(0.05, "torch"))).frame.empty
