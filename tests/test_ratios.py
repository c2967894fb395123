"""Ratios: which cells are compared with which, the controls, and the widest interval of a block."""

from collections.abc import Iterable, Sequence
from math import inf, isnan

import pytest
from factories import make_accuracy, make_baseline, make_cell, make_failure, make_processes, make_speed

from bench.analysis.ratios import Compared, compare, controls, of_cells, widest_interval
from bench.plan.cells import Cell
from bench.records.schema import Record

JAX, TORCH, TENSORFLOW = (make_cell(backend) for backend in ("jax", "torch", "tensorflow"))
STEADY = (1.0, 1.1, 0.9, 1.05, 0.95)


def pairs(records: Iterable[Record], side: str) -> list[tuple[Cell, Cell]]:
    return [(found.first, found.second) for found in compare(of_cells(records), side)]


def controls_of(records: Sequence[Record]) -> list[Compared]:
    return controls(of_cells(records), of_cells(records, twins=True))


def test_processes_are_found_by_cell_and_controls_apart() -> None:
    one, two, twin = make_speed(JAX), make_speed(JAX, process=1), make_speed(JAX, twin=True)
    other = make_speed(TORCH)
    records: list[Record] = [one, make_accuracy(JAX), twin, other, make_failure(JAX), make_baseline(), two]
    assert of_cells(records) == {JAX: [one, two], TORCH: [other]}
    assert of_cells(records, twins=True) == {JAX: [twin]}


def test_every_two_backends_are_compared_once_later_name_first() -> None:
    records = [make_speed(cell) for cell in (TORCH, TENSORFLOW, JAX)]
    expected = [(TENSORFLOW, JAX), (TORCH, JAX), (TORCH, TENSORFLOW)]
    assert pairs(records, "backend") == expected
    assert pairs(records[::-1], "backend") == expected, "the order of records does not matter"


def test_a_ratio_is_that_of_the_first_to_the_second() -> None:
    records = [*make_processes(JAX, seconds=(1.0, 2.0)), *make_processes(TORCH, seconds=(3.0, 6.0))]
    (found,) = compare(of_cells(records), "backend")
    assert (found.first, found.second) == (TORCH, JAX)
    assert found.ratio.processes == 2 and found.ratio.value == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ("backend", (make_cell("torch"), JAX)),
        ("model", (JAX, make_cell(model="gru"))),
        ("threads", (make_cell(threads="default"), JAX)),
    ],
)
def test_only_cells_that_differ_in_that_field_alone_are_compared(side: str, expected: tuple[Cell, Cell]) -> None:
    cells = [JAX, make_cell("torch"), make_cell(model="gru"), make_cell(threads="default"), make_cell(length=4)]
    assert pairs([make_speed(cell) for cell in cells], side) == [expected]


def test_cells_that_differ_in_two_fields_are_not_compared() -> None:
    records = [make_speed(make_cell("jax", "lstm")), make_speed(make_cell("torch", "gru"))]
    assert [pairs(records, side) for side in ("backend", "model", "threads")] == [[], [], []]


def test_a_control_is_not_taken_for_its_cell() -> None:
    records = [make_speed(JAX, steady_s=(1.0,)), make_speed(JAX, twin=True, steady_s=(50.0,))]
    (found,) = compare(of_cells([*records, make_speed(TORCH, steady_s=(2.0,))]), "backend")
    assert found.ratio.value == pytest.approx(2.0) and found.ratio.processes == 1
    alone = [make_speed(JAX, twin=True), make_speed(TORCH)]
    assert compare(of_cells(alone), "backend") == [], "a control alone is no cell"


def test_a_control_is_compared_with_its_own_cell() -> None:
    records = [
        *make_processes(JAX, seconds=(1.0, 1.0)),
        *make_processes(JAX, seconds=(1.5, 1.5), twin=True),
        *make_processes(TORCH, seconds=(9.0, 9.0)),
    ]
    (found,) = controls_of(records)
    assert (found.first, found.second) == (JAX, JAX)
    assert found.ratio.processes == 2 and found.ratio.value == pytest.approx(1.5)


def test_cells_without_a_control_and_controls_without_a_cell_are_left_out() -> None:
    assert controls_of([make_speed(JAX), make_speed(TORCH, twin=True)]) == []


def test_the_widest_interval_is_that_of_the_noisiest_comparison() -> None:
    calm = make_processes(JAX, seconds=(1.0,) * 5)
    noisy = make_processes(TORCH, seconds=STEADY)
    wide = make_processes(JAX, seconds=(1.0, 1.4, 0.7, 1.2, 0.8), twin=True)
    (backends,), (control,) = compare(of_cells([*calm, *noisy]), "backend"), controls_of([*calm, *wide])
    assert 0 < backends.ratio.half_width < control.ratio.half_width
    assert widest_interval([*calm, *noisy], [JAX, TORCH]) == backends.ratio.half_width
    assert widest_interval([*calm, *noisy, *wide], [JAX, TORCH]) == control.ratio.half_width


def test_a_block_with_too_few_processes_is_infinitely_wide() -> None:
    calm, few = make_processes(JAX, seconds=(1.0,) * 5), make_processes(TORCH, seconds=(1.0,) * 4)
    assert widest_interval([*calm, *few], [JAX, TORCH]) == inf
    assert widest_interval(few, [TORCH]) == inf


def test_a_block_without_figures_has_no_width() -> None:
    assert isnan(widest_interval(make_processes(JAX, seconds=STEADY), [TORCH]))


def test_medians_tell_the_width_where_nothing_is_compared() -> None:
    records = make_processes(JAX, seconds=STEADY)
    width = widest_interval(records, [JAX])
    assert 0.01 < width < 0.2 and not isnan(width)
    assert widest_interval(make_processes(JAX, seconds=(1.0,) * 5), [JAX]) == 0.0


def test_other_blocks_do_not_widen_a_block() -> None:
    calm = [*make_processes(JAX, seconds=(1.0,) * 5), *make_processes(TORCH, seconds=(2.0,) * 5)]
    short = [make_cell(backend, length=4) for backend in ("jax", "torch")]
    noisy = [*make_processes(short[0], seconds=(1.0,)), *make_processes(short[1], seconds=(1.0,))]
    assert widest_interval([*calm, *noisy], [JAX, TORCH]) == pytest.approx(0.0)
    assert widest_interval([*calm, *noisy], short) == inf
