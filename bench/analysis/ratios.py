"""Which processes are compared with which: backends, models, threads, and the controls.

Ratios of cells that took turns with each other; `statistics` computes them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf, isnan, nan

from bench.analysis.statistics import Ratio, epoch_time, ratio
from bench.plan.cells import Cell, by_cell
from bench.records.schema import Record
from bench.records.speed import Speed

Timed = Mapping[Cell, list[Speed]]
"""The processes of each cell that took turns with each other."""


@dataclass(frozen=True)
class Compared:
    """Two cells that differ in one thing, and how many times as long the first one takes."""

    first: Cell
    second: Cell
    ratio: Ratio


def of_cells(records: Iterable[Record], *, twins: bool = False) -> dict[Cell, list[Speed]]:
    """Return the processes of every cell, or those of its control."""
    return dict(by_cell(record for record in records if isinstance(record, Speed) and record.twin == twins))


def compare(cells: Timed, side: str) -> list[Compared]:
    """Compare every two cells that differ in nothing but one field.

    Args:
        cells: of one run.
        side: the field: "backend" (installations of one are compared like backends), "model" or "threads".

    Returns:
        The ratios, always later name / earlier name.
    """
    alike: dict[Cell, list[Cell]] = defaultdict(list)
    for cell in cells:
        alike[cell.model_copy(update={side: None} | ({"installation": None} if side == "backend" else {}))].append(cell)
    return [
        Compared(second, first, ratio(cells[second], cells[first]))
        for group in alike.values()
        for first, second in combinations(sorted(group, key=lambda cell: side_name(cell, side)), 2)
    ]


def side_name(cell: Cell, side: str) -> str:
    """Return what a cell is called where cells that differ in one field are compared."""
    return cell.side if side == "backend" else str(getattr(cell, side))


def against(cells: Timed, other: Callable[[Cell], Cell]) -> list[Compared]:
    """Compare every cell with the one that `other` names for it, if that was timed and is another one."""
    pairs = [(cell, other(cell)) for cell in cells]
    return [
        Compared(cell, partner, ratio(cells[cell], cells[partner]))
        for cell, partner in pairs
        if partner in cells and partner != cell
    ]


def controls(cells: Timed, twins: Timed) -> list[Compared]:
    """Compare every cell with its control: the ratio should be 1."""
    return [Compared(cell, cell, ratio(twins[cell], cells[cell])) for cell in cells if cell in twins]


def widest_interval(records: Sequence[Record], block: Sequence[Cell]) -> float:
    """Return the half-width of the widest interval of a block, as a share of its figure.

    Args:
        records: what was measured so far.
        block: cells of the block.

    Returns:
        That of the ratios between backends and of the controls; of the cells' medians where there is
        nothing to compare. Infinite with too few processes, NaN with none at all.
    """
    inside = [record for record in records if isinstance(record, Speed) and record.cell in block]
    cells, twins = of_cells(inside), of_cells(inside, twins=True)
    widths = [found.ratio.half_width for found in (*compare(cells, "backend"), *controls(cells, twins))]
    if not widths:
        times = [epoch_time(trials) for trials in cells.values()]
        widths = [max(time.interval.high / time.median_s, time.median_s / time.interval.low) - 1 for time in times]
    return max((inf if isnan(width) else width for width in widths), default=nan)
