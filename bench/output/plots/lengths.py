"""Draw what length costs: a training step and the peak memory against length, with the lines fitted to them."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bench.analysis.length_costs import LEAST_LENGTHS, LengthCost, length_costs
from bench.analysis.selection import Selection
from bench.output.plots.figures import (
    Ends,
    NothingToDrawError,
    backend_style,
    finish,
    make_panels,
    name_lengths,
    plain_log,
    say_backend,
    shown_name,
)
from bench.output.plots.speed import BAR, INTERVALS

NARROWEST = 7.4
"""Inches that the note needs."""
POINTS = 100
"""Of a fitted line, which is curved on logarithmic axes."""


def draw_length_cost(chosen: Selection) -> Figure:
    """Draw the time of a training step and the peak memory against the length, for each model.

    Raises:
        NothingToDrawError: if nothing was timed at three lengths.
    """
    found = length_costs(chosen)
    if not found:
        raise NothingToDrawError(f"no cell was timed at {LEAST_LENGTHS} lengths or more")
    models = list(dict.fromkeys(one.cell.model for one in found))
    figure, panels = make_panels(2, len(models), sharey="row")
    labelled: list[tuple[Any, Ends]] = []
    for (upper, lower), model in zip(panels.T, models, strict=True):
        of_model = [one for one in found if one.cell.model == model]
        labelled += [(upper, _draw_steps(upper, of_model)), (lower, _draw_memory(lower, of_model))]
        upper.set_title(shown_name(model), fontsize=9)
        upper.set_yscale("log")
        plain_log(upper.yaxis)
        for panel in (upper, lower):
            name_lengths(panel, sorted({int(length) for one in of_model for length in one.lengths}))
    panels[0, 0].set_ylabel("ms per training step", fontsize=8)
    panels[1, 0].set_ylabel("peak memory, MiB", fontsize=8)
    panels[1, 0].set_ylim(bottom=0)
    figure.set_size_inches(max(NARROWEST, figure.get_figwidth()), figure.get_figheight())
    finish(
        figure,
        labelled,
        title="What length costs: a fixed part and one for each timestep",
        note=f"Points: medians of fresh processes; bars: {INTERVALS}\n"
        "Lines: fixed + per timestep x length, fitted to them. Memory: the most a process held, libraries included.",
    )
    return figure


def _draw_steps(panel: Any, found: list[LengthCost]) -> Ends:
    ends: Ends = {}
    for one in found:
        style = backend_style(one.cell)
        low, high = np.array([(interval.low, interval.high) for interval in one.intervals]).T
        errors = np.maximum(0, np.stack([one.step_s - low, high - one.step_s]))  # rounding; NaN stays, is not drawn
        panel.errorbar(one.lengths, 1e3 * one.step_s, yerr=1e3 * errors, **BAR, **style | {"linestyle": "none"})
        x = np.geomspace(one.lengths[0], one.lengths[-1], POINTS)
        fitted = 1e3 * one.line.at(x)
        panel.plot(x, fitted, linewidth=1.2, color=style["color"], linestyle=style["linestyle"])
        ends[say_backend(one.cell)] = 1e3 * float(one.step_s[-1]), style["color"]
    return ends


def _draw_memory(panel: Any, found: list[LengthCost]) -> Ends:
    ends: Ends = {}
    for one in found:
        style = backend_style(one.cell)
        panel.plot(one.lengths, one.memory / 2**20, linewidth=1.4, markersize=4.5, **style | {"linestyle": "none"})
        x = np.geomspace(one.lengths[0], one.lengths[-1], POINTS)
        drawn = one.memory_line.at(x) / 2**20
        panel.plot(x, drawn, linewidth=1.2, color=style["color"], linestyle=style["linestyle"])
        ends[say_backend(one.cell)] = float(one.memory[-1]) / 2**20, style["color"]
    return ends
