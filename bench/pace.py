"""How fast the host lets a core work: it can give the core to other machines, or share it, without telling.

A fixed piece of work is timed on the worker's core just before and just after each turn, by the coordinator, while the
worker is parked. What it takes beyond the least that it has taken is what the host withholds. Times are seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from time import monotonic, perf_counter, sleep

from bench.machine import pinned
from bench.records import SLOW_HOST, Slice

SQUARES = 100_000
"""So many make a piece of work that takes some milliseconds: longer than what a hypervisor gives a core away for."""

LOOK_AGAIN_S = 0.05


@dataclass(frozen=True)
class Probe:
    """A piece of work on one core.

    Args:
        seconds: what it took.
        fastest_s: the least that it has taken on that core so far.
    """

    seconds: float
    fastest_s: float

    @property
    def slowdown(self) -> float:
        """Return how many times as long it took as it can."""
        return self.seconds / self.fastest_s


class Pace:
    """Compares what cores do with the most that they have done since this was made.

    Args:
        wait_s: how long `calm` may wait in all.
    """

    def __init__(self, wait_s: float = 0.0) -> None:
        self.waited_s = 0.0
        self._wait_s = wait_s
        self._fastest_s: dict[int, float] = {}

    def probe(self, core: int) -> Probe:
        """Time the piece of work on a core."""
        with pinned([core]):
            seconds = _work_s()
        fastest_s = self._fastest_s[core] = min(seconds, self._fastest_s.get(core, inf))
        return Probe(seconds, fastest_s)

    def calm(self, core: int) -> Probe:
        """Wait until the host does not slow a core, while there is time left for that, and return the last probe."""
        probe = self.probe(core)
        while probe.slowdown > SLOW_HOST and self.waited_s < self._wait_s:
            begin_s = monotonic()
            sleep(LOOK_AGAIN_S)
            probe = self.probe(core)
            self.waited_s += monotonic() - begin_s
        return probe


def _work_s() -> float:
    start, total = perf_counter(), 0
    for number in range(SQUARES):
        total += number * number
    return perf_counter() - start


def disturbers(turns: Iterable[Slice]) -> str:
    """Name who has disturbed those of some turns that are disturbed: other processes, the host, or both.

    A core that is slow while other processes are at work is slowed by them.
    """
    found = {"other processes" if turn.crowded else "the host" for turn in turns if turn.disturbed}
    return " and ".join(sorted(found))
