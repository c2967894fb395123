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


CORES = usable_cores()[:1]


def test_a_probe_is_judged_by_the_fastest_so_far(host: Host) -> None:
    host(iter([SLOW_S, FAST_S, SLOW_S, SLOW_S]))
    asked = Pace()
    probes = [asked.probe(CORES) for _ in range(4)]
    assert [probe.seconds for probe in probes] == [SLOW_S, FAST_S, SLOW_S, SLOW_S]
    assert [probe.fastest_s for probe in probes] == [SLOW_S, FAST_S, FAST_S, FAST_S]
    assert [probe.slowdown for probe in probes] == pytest.approx([1, 1, 1.6, 1.6])


def test_of_several_cores_the_slowest_counts_each_against_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    now: list[int] = []
    seconds = {0: [0.005, 0.005], 1: [0.010, 0.015]}
    monkeypatch.setattr(pace, "pinned", _Noted(now))
    monkeypatch.setattr(pace, "_work_s", lambda: seconds[now[-1]].pop(0))
    asked = Pace()
    assert asked.probe([0, 1]).slowdown == 1, "a core that is always slower is not slowed"
    probe = asked.probe([0, 1])
    assert (probe.seconds, probe.fastest_s) == (0.015, 0.010)


class _Noted:
    """Plays the pinning of this process: notes each core."""

    def __init__(self, now: list[int]) -> None:
        self._now = now

    def __call__(self, cores: list[int]) -> "_Noted":
        self._now += cores
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def test_nobody_waits_for_a_core_that_is_calm(host: Host) -> None:
    slept = host(repeat(FAST_S))
    assert Pace(wait_s=60).calm(CORES).seconds == FAST_S
    assert slept == []


def test_a_slow_core_is_waited_for_until_it_is_calm(host: Host) -> None:
    slept = host(chain([FAST_S], [SLOW_S] * 5, repeat(FAST_S)))
    asked = Pace(wait_s=60)
    asked.probe(CORES)
    assert asked.calm(CORES).slowdown == 1
    assert len(slept) == 5


def test_the_time_for_waiting_is_shared_by_all_turns(host: Host) -> None:
    slept = host(chain([FAST_S], repeat(SLOW_S)))
    asked = Pace(wait_s=1.0)
    asked.probe(CORES)
    assert asked.calm(CORES).slowdown > SLOW_HOST
    assert sum(slept) == pytest.approx(1.0, abs=pace.LOOK_AGAIN_S)
    count = len(slept)
    assert asked.calm(CORES).slowdown > SLOW_HOST
    assert len(slept) <= count + 1, "there was no time left"


def test_without_time_for_it_nobody_waits(host: Host) -> None:
    slept = host(chain([FAST_S], repeat(SLOW_S)))
    asked = Pace()
    asked.probe(CORES)
    asked.calm(CORES)
    assert slept == []


def test_a_process_gets_its_cores_back() -> None:
    before = usable_cores()
    Pace().probe(before[-1:])
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
