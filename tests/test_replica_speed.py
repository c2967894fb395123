"""Timing replicas against loops: every way once, ratios from one run, wrong numbers refused."""

from pathlib import Path
from typing import Any

import pytest
from factories import MACHINE, make_worker
from fake_worker import fake_python

from bench.errors import UserError
from bench.measure.replica_speed import Plan, ReplicaTimes, Timed, replicas_table, time_replicas

pytestmark = pytest.mark.usefixtures("own_lock")


def make_times(*timed: Timed) -> ReplicaTimes:
    return ReplicaTimes(
        started_at="2030-01-01T00:00:00+00:00",
        commit="0123456789ab",
        command="seqsum replicas",
        device="cpu",
        length=12,
        epochs=30,
        machine=MACHINE,
        workers=(make_worker("jax"),),
        timed=timed,
    )


def make_timed(way: Any, train_s: float | None, *, backend: Any = "jax", replicas: int = 1, **fields: Any) -> Timed:
    return Timed(backend=backend, model="lstm", way=way, replicas=replicas, seeds=20, train_s=train_s, **fields)


def timed(folder: Path, plan: Plan, behaviours: dict[str, str]) -> tuple[ReplicaTimes, list[str]]:
    said: list[str] = []
    pythons = {backend: fake_python(folder, behaviour) for backend, behaviour in behaviours.items()}
    times = time_replicas(plan, list(behaviours), pythons=pythons, command="seqsum replicas", say=said.append)  # type: ignore[arg-type]
    return times, said


def test_every_way_is_timed_once_and_plain_pytorch_beside_keras_on_torch(tmp_path: Path) -> None:
    times, said = timed(tmp_path, Plan(models=("lstm",), replicas=(5, 20)), {"jax": "good", "torch": "good"})
    ways = [(one.backend, one.way, one.replicas, one.train_s) for one in times.timed]
    assert ways == [
        ("jax", "replica", 5, 0.4),
        ("jax", "replica", 20, 0.1),
        ("jax", "alone", 1, 10.0),
        ("torch", "replica", 5, 0.4),
        ("torch", "replica", 20, 0.1),
        ("torch", "alone", 1, 10.0),
        ("torch", "plain", 1, 4.0),
    ]
    assert len(said) == 7 and {worker.backend for worker in times.workers} == {"jax", "torch"}
    assert all(one.val_loss == (1.5,) * 20 and one.peak_rss_bytes for one in times.timed)


def test_a_way_that_fails_says_why_and_the_others_are_timed(tmp_path: Path) -> None:
    times, said = timed(tmp_path, Plan(models=("lstm",)), {"jax": "exits", "torch": "good"})
    assert [one.failed is None for one in times.timed] == [False, False, True, True, True]
    assert "exit code 9" in said[0]
    notes = " ".join(replicas_table(times).notes)
    assert "lstm on jax, replicas: failed, ended with exit code 9" in notes


def test_ratios_are_to_the_loop_of_the_same_backend_and_to_plain_pytorch() -> None:
    times = make_times(
        make_timed("replica", 2.0, replicas=20),
        make_timed("alone", 20.0),
        make_timed("replica", 5.0, backend="torch", replicas=20),
        make_timed("alone", 100.0, backend="torch"),
        make_timed("plain", 10.0, backend="torch"),
    )
    frame = replicas_table(times).frame
    assert frame["times loop"].dropna().tolist() == [10.0, 20.0]
    assert frame["times plain"].dropna().tolist() == [5.0, 2.0]
    assert frame["seeds per s"].tolist() == [10.0, 1.0, 4.0, 0.2, 2.0]


def test_without_loops_there_are_no_ratios() -> None:
    table = replicas_table(make_times(make_timed("replica", 2.0, replicas=20, val_loss=(3.0, 1.0, 2.0))))
    assert "times loop" not in table.frame and table.frame["val mse"].tolist() == [2.0]
    assert not any("times loop" in note for note in table.notes)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"replicas": (20, 0)}, "`--replicas` must be at least 1. Received: 0"),
        ({"seeds": 0}, "`--seeds` must be at least 1. Received: 0"),
        ({"epochs": -1}, "`--epochs` must be at least 1. Received: -1"),
        ({"length": 1}, "Received: 1"),
    ],
)
def test_numbers_that_make_no_measurement_are_refused(tmp_path: Path, numbers: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        timed(tmp_path, Plan(**numbers), {"jax": "good"})
