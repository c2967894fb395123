"""How fast the host lets a core work: it can give the core to other machines, or share it, without telling.

The thread that trains does a fixed piece of work now and then, between two epochs and outside of their clocks. What it
takes beyond the least that it has ever taken is what the host withholds. Times are seconds.
"""

from collections.abc import Sequence
from time import thread_time
from typing import Any

from bench.records.speed import SLOW_HOST, Slice, slowdowns
from bench.worker.messages import Turn

SQUARES = 5_000
"""So many make a piece of work of a quarter of a millisecond or so, hardly felt by the epochs around it."""

FIRST_PROBES = 200
"""So many are taken before the first turn of a process, to learn what the core can do."""

PROBE_EVERY_S = 0.1
"""After so many seconds of epochs comes the next probe."""

MOST_SLOW_S = 10.0
"""To find epochs that the host does not slow, a turn runs at most so many seconds of those that it does."""


def work_s() -> float:
    """Do the piece of work and return the CPU seconds that it took this thread: other threads do not lengthen it."""
    start, total = thread_time(), 0
    for number in range(SQUARES):
        total += number * number
    return thread_time() - start


def fastest_of_many_s() -> float:
    """Return the least that many pieces took: the more are asked, the surer one of them had the whole core."""
    return min(work_s() for _ in range(FIRST_PROBES))


class Probes:
    """The probes of one turn, taken by the thread that trains.

    Args:
        fastest_s: the least that one has taken elsewhere; None: not known.
    """

    def __init__(self, fastest_s: float | None) -> None:
        self._known_s = () if fastest_s is None else (fastest_s,)
        self.seconds: list[float] = []
        self.after: list[int] = []

    @property
    def fastest_s(self) -> float:
        """Return the least that one has taken."""
        return min(*self._known_s, *self.seconds)

    @property
    def found(self) -> dict[str, Any]:
        """Return what a record keeps of them."""
        return {
            "probes_s": tuple(self.seconds),
            "probed_after": tuple(self.after),
            "fastest_probe_s": self.fastest_s,
        }

    def take(self, epochs: int) -> None:
        """Take one behind so many epochs of the turn."""
        self.seconds.append(work_s())
        self.after.append(epochs)

    def due(self, epochs_s: Sequence[float]) -> bool:
        """Tell whether it is time for the next one."""
        return sum(epochs_s[self.after[-1] :]) >= PROBE_EVERY_S

    def calm(self) -> list[bool]:
        """Return for each epoch up to the last probe whether the host let it run."""
        return [one <= SLOW_HOST for one in slowdowns(self.seconds, self.after, self.fastest_s)]


class Pace:
    """What the turns of a run share: the least that a probe has taken, and the time for going on.

    Processes of one side run the same Python, so that their probes can be compared.

    Args:
        calm_s: how many seconds of epochs that the host slows turns may run, all in all, to find others.
    """

    def __init__(self, calm_s: float = 0.0) -> None:
        self.spent_s = 0.0
        self._calm_s = calm_s
        self._fastest_s: dict[str, float] = {}

    def turn(self, side: str, *, number: int, begun_at_s: float) -> Turn:
        """Return the next turn of a side."""
        calm_s = max(0.0, min(self._calm_s - self.spent_s, MOST_SLOW_S))
        return Turn(round=number, begun_at_s=begun_at_s, calm_s=calm_s, fastest_probe_s=self._fastest_s.get(side))

    def learn(self, side: str, fastest_s: float) -> None:
        """Take in the least that a probe took in a process of a side."""
        self._fastest_s[side] = min(fastest_s, self._fastest_s.get(side, fastest_s))

    def spend(self, turn: Slice) -> None:
        """Take in how much of a turn the host slowed."""
        self.spent_s += sum(turn.slow_s)
