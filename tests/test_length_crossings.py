"""Where backends cross: a length is named only where the lines meet within what was timed, and noise leaves it open."""

from itertools import product
from math import inf, isnan

import pytest
from factories import make_run, select_all
from hypothesis import assume, given
from hypothesis import strategies as st
from test_length_costs import timed

from bench.analysis.intervals import Interval
from bench.analysis.length_costs import length_costs
from bench.analysis.length_crossings import Crossing, crossings
from bench.analysis.selection import select
from bench.plan.cells import BackendName
from bench.records.schema import Record


def crossing(*records: Record) -> Crossing:
    (one,) = crossings(select_all(*records))
    return one


def test_lines_that_cross_name_who_is_faster_and_from_where() -> None:
    """1 + 0.2 x and 3 + 0.1 x meet at 20."""
    one = crossing(*timed(3.0, 0.1, "jax"), *timed(1.0, 0.2, "torch"))
    assert (one.first.side, one.second.side) == ("torch", "jax")
    assert one.length == pytest.approx(20) and one.interval.low <= 20 <= one.interval.high
    assert one.interval.low > 15 and one.interval.high < 27 and not one.undecided
    assert one.changes == ((12, 25),)


@given(fixed=st.floats(1.5, 6), slope=st.floats(0.02, 0.09))
def test_a_crossing_lies_where_the_lines_meet_or_there_is_none(fixed: float, slope: float) -> None:
    met = (fixed - 1) / (0.1 - slope)
    assume(min(abs(met - end) for end in (4, 50)) > 1e-6)
    one = crossing(*timed(1.0, 0.1, "jax", noise=(1,)), *timed(fixed, slope, "torch", noise=(1,)))
    if met < 50:
        assert one.length == pytest.approx(met) if met > 4 else one.first.side == "torch"
    else:
        assert one.length == inf and one.first.side == "jax"


def test_the_order_of_the_backends_does_not_matter() -> None:
    records = [*timed(3.0, 0.1, "jax"), *timed(1.0, 0.2, "torch")]
    assert crossing(*records) == crossing(*records[::-1])


def test_a_side_that_is_always_faster_has_no_crossing() -> None:
    one = crossing(*timed(1.0, 0.1, "jax"), *timed(3.0, 0.2, "torch"))
    assert one.first.side == "jax" and one.length == inf
    assert one.interval == Interval(inf, inf) and not one.undecided and one.changes == ()


def test_lines_that_noise_hides_are_open() -> None:
    noise = ((0.9, 1.1, 1.0, 0.95, 1.05), (1.1, 0.9, 1.02, 1.05, 0.95))
    one = crossing(*timed(2.0, 0.1, "jax", noise=noise[0]), *timed(2.0, 0.1, "torch", noise=noise[1]))
    assert one.undecided and -one.interval.low == one.interval.high == inf


def test_without_five_processes_medians_alone_decide() -> None:
    one = crossing(*timed(3.0, 0.1, "jax", noise=(1,)), *timed(1.0, 0.2, "torch", noise=(1,)))
    assert one.length == pytest.approx(20) and isnan(one.interval.low) and not one.undecided


def test_backends_are_compared_where_all_else_is_equal_and_at_three_common_lengths() -> None:
    assert crossings(select_all(*timed(1.0, 0.1, "jax"), *timed(3.0, 0.2, "torch", threads=2))) == []
    assert crossings(select_all(*timed(1.0, 0.1, "jax"), *timed(3.0, 0.2, "torch", lengths=(4, 12, 100)))) == []


def test_cells_of_different_runs_are_not_compared() -> None:
    chosen = select([make_run(timed(1.0, 0.1, "jax"), "2030-01-01"), make_run(timed(2.0, 0.1, "torch"), "2030-01-02")])
    assert len(length_costs(chosen)) == 2 and crossings(chosen) == []


def test_lengths_of_several_runs_are_put_together() -> None:
    runs = [
        make_run([*timed(2.0, 0.1, "jax", lengths=lengths), *timed(3.0, 0.1, "torch", lengths=lengths)], name)
        for lengths, name in (((4, 12), "2030-01-01"), ((25, 50), "2030-01-02"))
    ]
    (one,) = crossings(select(runs))
    assert (one.shortest, one.longest) == (4, 50)


def test_every_two_backends_of_every_model_are_compared() -> None:
    backends: tuple[BackendName, ...] = ("jax", "torch", "tensorflow")
    records = [
        one
        for backend, model in product(backends, ("lstm", "gru"))
        for one in timed(1.0, 0.1, backend, model=model, noise=(1,))
    ]
    assert [one.first.model for one in crossings(select_all(*records))] == ["gru"] * 3 + ["lstm"] * 3
