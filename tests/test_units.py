"""The schedule of a cluster: every unit runs once, what is timed runs alone, lost nodes get nothing more."""

from collections import Counter

import pytest
from factories import make_cell, make_speed, make_sweep
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.cluster.units import MOST_GROUPS, Place, Schedule, Unit, missing_units
from bench.plan.cells import Group, Trial
from bench.plan.sweep import Sweep


def timed_unit(number: int) -> Unit:
    cell = make_cell(length=4 + number % 5)
    return Unit(trials=(Trial(kind="speed", cell=cell, index=number, settings=make_sweep().settings),))


def trained_unit(number: int) -> Unit:
    return Unit(groups=(Group(cell=make_cell(), seeds=(number,), settings=make_sweep().settings),))


@given(
    timed=st.integers(0, 6),
    trained=st.integers(0, 12),
    slots=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    data=st.data(),
)
def test_every_unit_runs_once_and_what_is_timed_has_its_node_to_itself(
    timed: int, trained: int, slots: list[int], data: st.DataObject
) -> None:
    units = [*map(timed_unit, range(timed)), *map(trained_unit, range(trained))]
    nodes = {f"node {number}": slot for number, slot in enumerate(slots)}
    schedule = Schedule(units, nodes)
    running: list[tuple[Unit, Place]] = []
    ran: list[Unit] = []
    while True:
        while following := schedule.next():
            unit, place = following
            beside = [other for other, at in running if at.node == place.node]
            assert not beside if unit.timed else not any(other.timed for other in beside)
            assert len(beside) < nodes[place.node]
            assert unit.timed or all((at.node, at.core) != (place.node, place.core) for _, at in running)
            running.append(following)
        if not running:
            break
        unit, place = running.pop(data.draw(st.integers(0, len(running) - 1)))
        ran.append(unit)
        schedule.ends(unit, place)
    assert Counter(ran) == Counter(units) and schedule.waiting == 0


def test_long_units_go_first() -> None:
    schedule = Schedule([timed_unit(0), timed_unit(4), timed_unit(2)], {"a": 1, "b": 1})
    begun = [schedule.next(), schedule.next()]
    assert [one[0].trials[0].cell.length for one in begun if one] == [8, 6] and schedule.next() is None


def test_a_lost_node_gets_nothing_more_and_the_others_go_on() -> None:
    schedule = Schedule([timed_unit(0), timed_unit(1), timed_unit(2)], {"a": 1, "b": 1})
    first, second = schedule.next(), schedule.next()
    assert first and second and {first[1].node, second[1].node} == {"a", "b"}
    schedule.loses("a")
    schedule.ends(*first)
    assert schedule.next() is None and schedule.nodes == ["b"] and schedule.waiting == 1
    schedule.ends(*second)
    last = schedule.next()
    assert last and last[1].node == "b" and schedule.waiting == 0


def test_without_nodes_units_wait() -> None:
    schedule = Schedule([timed_unit(0)], {"a": 2})
    schedule.loses("a")
    assert schedule.next() is None and schedule.waiting == 1


def small_sweep(**changes: object) -> Sweep:
    timing = {"processes": 2, "control": "none"}
    usual: dict[str, object] = {"backends": ("jax", "torch"), "models": ("lstm",), "seeds": 3, "timing": timing}
    return make_sweep(**{**usual, **changes})


def test_a_run_is_cut_into_waves_of_blocks_and_cells_to_train() -> None:
    sweep = small_sweep()
    units = missing_units(sweep, [], sweep.blocks())
    timed = [unit for unit in units if unit.timed]
    assert sorted((unit.trials[0].cell.length, unit.trials[0].index) for unit in timed) == [
        (4, 0),
        (4, 1),
        (12, 0),
        (12, 1),
    ]
    assert all({trial.cell.backend for trial in unit.trials} == {"jax", "torch"} for unit in timed)
    trained = [unit for unit in units if not unit.timed]
    assert len(trained) == 4 and all(group.seeds == (0, 1, 2) for unit in trained for group in unit.groups)
    every = {str(trial) for unit in units for trial in unit.all_trials}
    assert every == {str(trial) for trial in (*sweep.speed_trials(), *sweep.accuracy_trials())}


def test_what_a_run_has_is_not_sent_again_and_a_torn_wave_is_sent_whole() -> None:
    sweep = small_sweep(seeds=0, lengths=(4,))
    whole = [make_speed(trial.cell, process=0) for trial in sweep.turns(sweep.blocks()[0], process=0)]
    torn = make_speed(sweep.turns(sweep.blocks()[0], process=1)[0].cell, process=1)
    (unit,) = missing_units(sweep, [*whole, torn], sweep.blocks())
    assert [trial.index for trial in unit.trials] == [1, 1]


def test_many_groups_of_one_cell_are_spread() -> None:
    sweep = small_sweep(models=("a:model",), backends=("jax",), lengths=(4,), seeds=2 * MOST_GROUPS + 1)
    trained = [unit for unit in missing_units(sweep, [], sweep.blocks()) if not unit.timed]
    assert [len(unit.groups) for unit in trained] == [MOST_GROUPS, MOST_GROUPS, 1]


@pytest.mark.parametrize(
    ("unit", "said"),
    [(timed_unit(1), "length 5 in turns, process 2, 1 worker"), (trained_unit(3), "accuracy jax lstm 12, 1 seed")],
)
def test_a_unit_says_what_it_is(unit: Unit, said: str) -> None:
    assert str(unit) == said
