"""Which backend is the fastest in its group: only where the intervals of its ratios to every other one say so."""

from collections import defaultdict

from bench.analysis.selection import Selection
from bench.plan.cells import Cell

MARKED = "Marked: faster than every other backend, by the intervals of their ratios."


def fastest(chosen: Selection) -> frozenset[Cell]:
    """Return the cells that are faster than those of every other backend.

    Compared are cells that differ in nothing but the backend or its installation. Cells of different runs took no
    turns with each other, have no ratio, and so none of them is the fastest.
    """
    groups: dict[Cell, set[Cell]] = defaultdict(set)
    for cell in chosen.timed:
        groups[cell.model_copy(update={"backend": None, "installation": None})].add(cell)
    beaten: dict[Cell, set[Cell]] = defaultdict(set)
    for one in chosen.compared("backend"):
        if one.ratio.interval.low > 1:
            beaten[one.second].add(one.first)
        elif one.ratio.interval.high < 1:
            beaten[one.first].add(one.second)
    return frozenset(
        cell for group in groups.values() if len(group) > 1 for cell in group if beaten[cell] == group - {cell}
    )
