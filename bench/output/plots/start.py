"""Draw what starting costs, and after how many epochs the backend with the faster epochs has made up for it."""

from itertools import pairwise
from math import isfinite
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bench.analysis.findings import PARTS, BreakEven, Findings, Timed, place
from bench.analysis.selection import Selection
from bench.output.plots.figures import Ends, backend_style, finish, make_panels, say_backend, shown_name
from bench.output.plots.speed import timed_cells

MOST_LENGTHS = 3
PART_STYLES: dict[str, dict[str, Any]] = {
    "process start": {"color": "#4d4d4d"},
    "import": {"color": "#56b4e9", "hatch": "///"},
    "build": {"color": "#e69f00"},
    "first epoch": {"color": "#f2e6c9", "hatch": "..."},
}
FEWEST_EPOCHS = 20.0


def draw_start(chosen: Selection) -> Figure:
    """Draw for each model the parts of the start, and the time to the end of each epoch at some lengths.

    Raises:
        NothingToDrawError: if nothing was timed.
    """
    cells = timed_cells(chosen)
    found = Findings(chosen)
    models = list(dict.fromkeys(one.cell.model for one in cells))
    lengths = some_lengths(sorted({one.cell.length for one in cells}))
    figure, panels = make_panels(len(models), 1 + len(lengths))
    labelled: list[tuple[Any, Ends]] = []
    for row, model in zip(panels, models, strict=True):
        of_model = [one for one in cells if one.cell.model == model and one.cell.length in lengths]
        _draw_parts(row[0], of_model)
        row[0].set_title(f"{shown_name(model)}: seconds to the end of the first epoch", fontsize=9)
        labelled.append((row[0], {}))
        for panel, length in zip(row[1:], lengths, strict=True):
            alike = [one for one in of_model if one.cell.length == length]
            if not alike:
                panel.set_axis_off()
                continue
            labelled.append((panel, _draw_time_to_epoch(panel, alike, found.break_evens)))
            panel.set_title(f"{shown_name(model)}, length {length}", fontsize=9)
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower right", ncols=len(PARTS), frameon=False, fontsize=8)
    finish(
        figure,
        labelled,
        title="What starting costs, and when faster epochs have made up for it",
        note="Bars: medians of the parts over fresh processes; beside them the median of all together.\n"
        "Lines: seconds until an epoch has ended, start included. Rings: the epoch from which on faster epochs pay.",
    )
    return figure


def some_lengths(lengths: list[int]) -> list[int]:
    """Return all lengths, or the first, the middle and the last of many."""
    if len(lengths) <= MOST_LENGTHS:
        return lengths
    return [lengths[0], lengths[len(lengths) // 2], lengths[-1]]


def _draw_parts(panel: Any, cells: list[Timed]) -> None:
    names = [f"{one.cell.length}  {say_backend(one.cell)}" for one in cells]
    ends = np.cumsum([one.parts_s for one in cells], axis=1)
    starts = np.hstack([np.zeros((len(cells), 1)), ends[:, :-1]])
    for part, left, right in zip(PARTS, starts.T, ends.T, strict=True):
        panel.barh(names, right - left, left=left, label=part, height=0.72, edgecolor="white", **PART_STYLES[part])
    panel.invert_yaxis()
    for name, one, right in zip(names, cells, ends[:, -1], strict=True):
        said = f"{one.start_s:.1f}"
        panel.annotate(said, (right, name), (3, 0), textcoords="offset points", va="center", fontsize=7)
    panel.set_axisbelow(True)
    panel.margins(x=0.12)
    panel.set_xlabel("s", fontsize=8)


def _draw_time_to_epoch(panel: Any, cells: list[Timed], break_evens: list[BreakEven]) -> Ends:
    inside = [one for one in break_evens if place(one.faster.cell) in {place(cell.cell) for cell in cells}]
    met = [one for one in inside if isfinite(one.found.epoch) and one.found.epoch > 1]
    last = max([FEWEST_EPOCHS, *(1.5 * one.found.epoch for one in met)])
    epochs = np.array([1.0, last])
    ends: Ends = {}
    for one in cells:
        style = backend_style(one.cell)
        panel.plot(epochs, one.done_s(epochs), linewidth=1.6, markersize=3.5, **style)
        ends[say_backend(one.cell)] = one.done_s(last), style["color"]
    heights = sorted({one.faster.done_s(one.found.epoch) for one in met})
    near = any(later < 1.05 * earlier for earlier, later in pairwise(heights))
    for number, even in enumerate(sorted(met, key=lambda one: one.found.epoch)):
        at = even.found.epoch, even.faster.done_s(even.found.epoch)
        panel.plot(*at, "o", markersize=9, markerfacecolor="none", markeredgecolor="#555555")
        lift = -16 if near and number % 2 else 8
        panel.annotate(f"{even.found.epoch:,.0f}", at, (0, lift), textcoords="offset points", ha="center", fontsize=8)
    panel.set_xlabel("epoch", fontsize=8)
    panel.set_ylabel("s", fontsize=8)
    panel.set_ylim(bottom=0)
    return ends
