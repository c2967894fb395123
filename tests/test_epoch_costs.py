"""What an epoch costs: lines made up are found again, from cells that differ in their batch size alone."""

from math import isnan
from typing import Any

import pytest
from factories import make_cell, make_processes, select_all

from bench.analysis.epoch_costs import epoch_costs
from bench.output.tables.epoch_costs import epoch_cost_table
from bench.plan.cells import BackendName
from bench.records.schema import Record

STEPS = {25: 65, 100: 17, 400: 5}
NOISE = (0.98, 1.0, 1.01, 0.99, 1.02)


def timed(
    fixed_ms: float, step_ms: float, backend: BackendName = "jax", *, noise: tuple[float, ...] = NOISE, **cell: Any
) -> list[Record]:
    return [
        record
        for batch_size, steps in STEPS.items()
        for record in make_processes(
            make_cell(backend, batch_size=batch_size, **cell),
            seconds=[1e-3 * (fixed_ms + step_ms * steps) * one for one in noise],
            steps_per_epoch=steps,
        )
    ]


def test_an_epoch_has_a_fixed_cost_and_one_for_each_step() -> None:
    (one,) = epoch_costs(select_all(*timed(60.0, 0.5)))
    assert one.steps.tolist() == [5, 17, 65] and one.cell == make_cell()
    assert one.line.fixed == pytest.approx(0.060) and one.line.slope == pytest.approx(0.0005)
    assert one.fixed.low < 0.060 < one.fixed.high and one.step.low < 0.0005 < one.step.high
    assert one.residuals == pytest.approx([0, 0, 0], abs=1e-9)


def test_cells_that_differ_in_more_have_lines_of_their_own() -> None:
    records = [*timed(60.0, 0.5, "tensorflow"), *timed(1.0, 0.2), *timed(1.0, 0.3, units=64)]
    frame = epoch_cost_table(select_all(*records)).frame
    assert list(zip(frame["backend"], frame["variant"], strict=True)) == [
        ("jax", "default"),
        ("jax", "units 64"),
        ("tensorflow", "default"),
    ]
    assert list(frame["fixed ms"]) == pytest.approx([1, 1, 60]) and list(frame["per step ms"]) == pytest.approx(
        [0.2, 0.3, 0.5]
    )
    assert set(frame["steps"]) == {"5, 17, 65"}


def test_few_processes_have_no_intervals_and_few_sizes_no_line() -> None:
    (one,) = epoch_costs(select_all(*timed(60.0, 0.5, noise=(1.0, 1.01))))
    assert isnan(one.fixed.low) and isnan(one.step.high)
    two = [record for record in timed(60.0, 0.5) if record.cell.variant.batch_size != 100]  # type: ignore[union-attr]
    assert epoch_cost_table(select_all(*two)).frame.empty
