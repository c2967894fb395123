"""Selection: which runs are comparable with the newest, and what they planned."""

from typing import Any

import pytest
from factories import MACHINE, make_cell, make_run, make_speed, make_sweep, make_worker, select_all

from bench.analysis.select import select
from bench.records.schema import Resumed
from bench.records.store import Run


def run_at(hour: int, name: str = "", *, cell: Any = None, **fields: Any) -> Run:
    fields = {"started_at": f"2030-01-01T{hour:02}:00:00+00:00", **fields}
    return make_run([make_speed(cell)], name or f"run-{hour}", **fields)


def names(runs: tuple[Run, ...]) -> list[str]:
    return [run.header.run for run in runs]


def test_newest_by_time() -> None:
    """By the time in the header, not by name or by order; equal runs are selected, oldest first."""
    runs = [run_at(3, "a"), run_at(1, "c"), run_at(2, "b")]
    selection = select(runs)
    assert names(selection.runs) == ["c", "b", "a"] and selection.left_out == ()
    assert selection.header.run == "a" and selection.target == 0.25
    assert set(selection.frames.turns["run"]) == {"a"}


@pytest.mark.parametrize(
    "fields",
    [
        {"machine": MACHINE.model_copy(update={"cpu": "Other CPU"})},
        {"protocol_version": 2},
        {"sweep": make_sweep(training={"batch_size": 50})},
        {"sweep": make_sweep(timing={"rounds": 7})},
        {"sweep": make_sweep(variant={"unroll": True})},
        {"workers": (make_worker("jax", version="0.8.0"),)},
    ],
)
def test_not_comparable(fields: dict[str, Any]) -> None:
    """Another machine, protocol, setting or version than the newest run has."""
    selection = select([run_at(1, **fields), run_at(2)])
    assert (names(selection.runs), names(selection.left_out)) == (["run-2"], ["run-1"])


def test_comparable() -> None:
    """Runs may differ in cells and in environments; a cell's figures are of the newest run that has it."""
    old = run_at(1, workers=(make_worker("torch"),), cell=make_cell("torch"), sweep=make_sweep(lengths=(50,)))
    selection = select([old, run_at(2)])
    assert selection.frames.turns[["run", "environment"]].values.tolist() == [["run-1", "torch"], ["run-2", "jax"]]
    assert selection.workers == {"torch": make_worker("torch"), "jax": make_worker("jax")}


def test_version_must_match_every_newer_run() -> None:
    """Two versions of an environment that the newest run does not have: the newer of them is selected."""
    versions = [run_at(hour, workers=(make_worker("torch", version=f"2.{hour}"),)) for hour in (1, 2)]
    assert names(select([*versions, run_at(3)]).runs) == ["run-2", "run-3"]


def test_planned() -> None:
    """Second installations are planned for speed only; what two runs planned is listed once."""
    sweep = make_sweep(backends=("jax", "jax@old"), models=("lstm",), lengths=(4,), seeds=1)
    planned = select([run_at(1, sweep=sweep), run_at(2, sweep=sweep)]).planned
    assert planned[["trial", "environment", "length"]].values.tolist() == [
        *(["speed", "jax", 4], ["speed", "jax@old", 4], ["accuracy", "jax", 4])
    ]


def test_busiest_load() -> None:
    resumed = Resumed(at="", command="", load_average=0.7, dropped=())
    run = run_at(2, load_average=0.2)
    again = Run(run.header, run.records, resumed=(resumed,))
    assert select([run_at(1, load_average=0.3), again]).busiest_load == 0.7
    assert select_all(make_speed()).busiest_load == 0.1
