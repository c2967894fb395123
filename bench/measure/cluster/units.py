"""What is sent to a node as one, and which node gets which next. Pure: knows neither Ray nor time."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.frozen import Frozen
from bench.measure.progress import expected_s
from bench.names import say_count
from bench.plan.cells import Cell, Group, Trial
from bench.plan.sweep import Sweep
from bench.records.missing import missing_groups, place_of, timed_places
from bench.records.schema import Record

MOST_GROUPS = 20
"""Groups of one cell that a worker trains one after another: few enough to spread, enough to pay for its start."""


class Unit(Frozen):
    """Trials that run on one node: what takes turns, or groups of one cell that are trained for accuracy.

    Args:
        trials: one fresh process of each cell of a block, in the order of starting; such a unit has its node to itself.
        groups: seeds of one cell; as many such units share a node as it has cores, or GPUs.
    """

    trials: tuple[Trial, ...] = ()
    groups: tuple[Group, ...] = ()

    @property
    def timed(self) -> bool:
        """Tell whether it has its node to itself."""
        return bool(self.trials)

    @property
    def parts(self) -> list[Trial | Group]:
        """Return what is counted and shown of it."""
        return [*self.trials, *self.groups]

    @property
    def all_trials(self) -> list[Trial]:
        """Return every trial that leaves records."""
        return [*self.trials, *(trial for group in self.groups for trial in group.trials)]

    @property
    def expected_s(self) -> float:
        """Guess how long it takes; only the order hangs on it."""
        return sum(map(expected_s, self.parts))

    def __str__(self) -> str:
        if self.timed:
            first = self.trials[0]
            cells = say_count(len(self.trials), "worker")
            return f"length {first.cell.length} in turns, process {first.index + 1}, {cells}"
        seeds = sum(len(group.seeds) for group in self.groups)
        return f"accuracy {self.groups[0].cell}, {say_count(seeds, 'seed')}"


def missing_units(sweep: Sweep, records: Sequence[Record], blocks: list[list[Cell]]) -> list[Unit]:
    """Return what a run lacks, cut into units.

    Args:
        sweep: what is measured.
        records: what there is.
        blocks: cells that take turns with each other.
    """
    timed = timed_places(records)
    waves = (sweep.turns(block, process=process) for process in range(sweep.timing.processes) for block in blocks)
    units = [Unit(trials=tuple(wave)) for wave in waves if any(place_of(trial) not in timed for trial in wave)]
    return [*units, *_units_of_groups(missing_groups(sweep, records))]


def _units_of_groups(groups: Sequence[Group]) -> Iterator[Unit]:
    by_cell: dict[Cell, list[Group]] = {}
    for group in groups:
        by_cell.setdefault(group.cell, []).append(group)
    for of_cell in by_cell.values():
        for first in range(0, len(of_cell), MOST_GROUPS):
            yield Unit(groups=tuple(of_cell[first : first + MOST_GROUPS]))


@dataclass(frozen=True)
class Place:
    """Where a unit runs: a node, and which of its cores if it shares it."""

    node: str
    core: int


class Schedule:
    """Units that wait, and what the nodes are at.

    Long units go first, so that no node is left with one when the others have ended. A node trains for accuracy once
    nothing is left to be timed: what is timed next to it would be disturbed.

    Args:
        units: what shall run.
        nodes: how many units that are not timed each node runs at once.
    """

    def __init__(self, units: Sequence[Unit], nodes: Mapping[str, int]) -> None:
        ordered = sorted(units, key=lambda unit: -unit.expected_s)
        self._timed = deque(unit for unit in ordered if unit.timed)
        self._trained = deque(unit for unit in ordered if not unit.timed)
        self._free = {node: set(range(slots)) for node, slots in nodes.items()}
        self._slots = dict(nodes)

    @property
    def nodes(self) -> list[str]:
        """Return the nodes that are there."""
        return list(self._free)

    @property
    def waiting(self) -> int:
        """Count the units that no node has begun."""
        return len(self._timed) + len(self._trained)

    def next(self) -> tuple[Unit, Place] | None:
        """Take the next unit and the place where it runs; None if nothing waits, or no node is free for it."""
        for node, free in self._free.items():
            if self._timed and len(free) == self._slots[node]:
                free.clear()
                return self._timed.popleft(), Place(node, 0)
            if self._trained and not self._timed and free:
                core = min(free)
                free.remove(core)
                return self._trained.popleft(), Place(node, core)
        return None

    def ends(self, unit: Unit, place: Place) -> None:
        """Free a place."""
        if place.node in self._free:
            self._free[place.node] |= set(range(self._slots[place.node])) if unit.timed else {place.core}

    def loses(self, node: str) -> None:
        """Give a node nothing more."""
        self._free.pop(node, None)
