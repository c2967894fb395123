"""The pace of the host: when probes are taken, what they say of epochs, and what the turns of a run share."""

import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from factories import make_slice

from bench.worker import pace
from bench.worker.pace import MOST_SLOW_S, PROBE_EVERY_S, Pace, Probes

FAST_S, SLOW_S = 0.0005, 0.0008
Host = Callable[[Iterator[float]], None]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """Return what plays a host: told how long each piece of work takes."""
    return lambda seconds: monkeypatch.setattr(pace, "work_s", lambda: next(seconds))


def probed(*after: int, fastest_s: float | None = None) -> Probes:
    probes = Probes(fastest_s)
    for epochs in after:
        probes.take(epochs)
    return probes


def test_an_epoch_is_calm_if_the_probes_around_it_are(host: Host) -> None:
    host(iter([FAST_S, FAST_S, SLOW_S, FAST_S]))
    assert probed(0, 2, 3, 5).calm() == [True, True, False, False, False]


def test_probes_are_judged_by_the_fastest_of_all_processes(host: Host) -> None:
    host(repeat(SLOW_S))
    assert probed(0, 2).calm() == [True, True], "a host that is always equally fast"
    again = probed(0, 2, fastest_s=FAST_S)
    assert again.calm() == [False, False] and again.fastest_s == FAST_S


def test_a_probe_is_due_when_epochs_have_taken_long_enough(host: Host) -> None:
    host(repeat(FAST_S))
    probes = probed(0, 2)
    assert not probes.due([9.0, 9.0])
    assert not probes.due([9.0, 9.0, 0.6 * PROBE_EVERY_S])
    assert probes.due([9.0, 9.0, 0.6 * PROBE_EVERY_S, 0.6 * PROBE_EVERY_S])


def test_a_piece_of_work_takes_longer_than_its_clock_can_tell(real_work: Callable[[], float]) -> None:
    assert min(real_work() for _ in range(3)) > 100 * time.get_clock_info("thread_time").resolution


def test_a_probe_does_not_count_what_its_thread_waits(
    real_work: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def counts() -> Iterator[int]:
        time.sleep(0.5)  # as if another thread had the core
        yield from range(1000)

    monkeypatch.setattr(pace, "range", lambda _: counts(), raising=False)
    assert real_work() < 0.25


def test_many_probes_tell_what_the_core_can_do(host: Host) -> None:
    host(chain(repeat(SLOW_S, pace.FIRST_PROBES - 1), [FAST_S], repeat(SLOW_S)))
    assert pace.fastest_of_many_s() == FAST_S


def slow_turn(slow_s: float) -> Any:
    return make_slice((slow_s,), probes_s=(FAST_S, FAST_S, SLOW_S), probed_after=(0, 1, 2), fastest_probe_s=FAST_S)


def test_turns_of_a_side_know_the_fastest_probe_so_far() -> None:
    shared = Pace()
    assert shared.turn("jax", number=0, begun_at_s=1.0).fastest_probe_s is None
    for fastest_s in (SLOW_S, FAST_S, SLOW_S):
        shared.learn("jax", fastest_s)
    assert shared.turn("jax", number=1, begun_at_s=2.0).fastest_probe_s == FAST_S
    assert shared.turn("torch", number=1, begun_at_s=3.0).fastest_probe_s is None


def test_turns_share_the_time_for_going_on() -> None:
    shared = Pace(calm_s=MOST_SLOW_S + 5)
    left_s = []
    for slow_s in (8.0, 4.0, 4.0, 0.0):
        left_s.append(shared.turn("jax", number=0, begun_at_s=0.0).calm_s)
        shared.spend(slow_turn(slow_s))
    assert left_s == [MOST_SLOW_S, 7.0, 3.0, 0.0]
    assert shared.spent_s == 16.0


def test_without_time_for_it_no_turn_goes_on() -> None:
    assert Pace().turn("jax", number=0, begun_at_s=0.0).calm_s == 0.0
