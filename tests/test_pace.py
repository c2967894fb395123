"""The pace of the host: probes, waiting for a calm core within a budget, and who is said to have disturbed."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from factories import make_slice

from bench import pace
from bench.machine import usable_cores
from bench.pace import Pace, disturbers
from bench.records import SLOW_HOST

FAST_S, SLOW_S = 0.005, 0.008
Host = Callable[[Iterator[float]], list[float]]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """Return what plays a host: told how long each piece of work takes; it returns how long was slept."""
    slept: list[float] = []

    def play(seconds: Iterator[float]) -> list[float]:
        monkeypatch.setattr(pace, "_work_s", lambda: next(seconds))
        monkeypatch.setattr(pace, "sleep", slept.append)
        monkeypatch.setattr(pace, "monotonic", lambda: sum(slept))
        return slept

    return play


CORE = usable_cores()[0]


def test_a_probe_is_judged_by_the_fastest_so_far(host: Host) -> None:
    host(iter([SLOW_S, FAST_S, SLOW_S, SLOW_S]))
    asked = Pace()
    probes = [asked.probe(CORE) for _ in range(4)]
    assert [probe.seconds for probe in probes] == [SLOW_S, FAST_S, SLOW_S, SLOW_S]
    assert [probe.fastest_s for probe in probes] == [SLOW_S, FAST_S, FAST_S, FAST_S]
    assert [probe.slowdown for probe in probes] == pytest.approx([1, 1, 1.6, 1.6])


def test_each_core_is_judged_by_itself(host: Host) -> None:
    host(iter([FAST_S, SLOW_S]))
    asked = Pace()
    both = (usable_cores() * 2)[:2]
    known = [asked.probe(core).slowdown for core in both]
    assert known[1] == (1 if both[0] != both[1] else SLOW_S / FAST_S), "a core that is always slower is not slowed"


def test_nobody_waits_for_a_core_that_is_calm(host: Host) -> None:
    slept = host(repeat(FAST_S))
    assert Pace(wait_s=60).calm(CORE).seconds == FAST_S
    assert slept == []


def test_a_slow_core_is_waited_for_until_it_is_calm(host: Host) -> None:
    slept = host(chain([FAST_S], [SLOW_S] * 5, repeat(FAST_S)))
    asked = Pace(wait_s=60)
    asked.probe(CORE)
    assert asked.calm(CORE).slowdown == 1
    assert len(slept) == 5


def test_the_time_for_waiting_is_shared_by_all_turns(host: Host) -> None:
    slept = host(chain([FAST_S], repeat(SLOW_S)))
    asked = Pace(wait_s=1.0)
    asked.probe(CORE)
    assert asked.calm(CORE).slowdown > SLOW_HOST
    assert sum(slept) == pytest.approx(1.0, abs=pace.LOOK_AGAIN_S)
    count = len(slept)
    assert asked.calm(CORE).slowdown > SLOW_HOST
    assert len(slept) <= count + 1, "there was no time left"


def test_without_time_for_it_nobody_waits(host: Host) -> None:
    slept = host(chain([FAST_S], repeat(SLOW_S)))
    asked = Pace()
    asked.probe(CORE)
    asked.calm(CORE)
    assert slept == []


def test_a_process_gets_its_cores_back() -> None:
    before = usable_cores()
    Pace().probe(before[-1])
    assert usable_cores() == before


def test_a_piece_of_work_outlasts_what_a_clock_can_tell(real_work: Callable[[], float]) -> None:
    assert min(real_work() for _ in range(3)) > 1e-4


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([], ""),
        ([{"others_cpu_s": 0.0}], ""),
        ([{"others_cpu_s": 9.0}], "other processes"),
        ([{"probes_s": (0.005, 0.009), "fastest_probe_s": 0.005}], "the host"),
        (
            [{"probes_s": (0.009, 0.005), "fastest_probe_s": 0.005}, {"others_cpu_s": 9.0}],
            "other processes and the host",
        ),
        ([{"probes_s": (0.009, 0.005), "fastest_probe_s": 0.005, "others_cpu_s": 9.0}], "other processes"),
    ],
)
def test_who_disturbed_is_named(turns: list[dict[str, Any]], expected: str) -> None:
    assert disturbers([make_slice((1.0, 1.0), **changes) for changes in turns]) == expected
