"""Draw the framework tax: how many times as long Keras takes as the same training without it, against the length."""

from collections import defaultdict
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bench.analysis.ratios import Compared
from bench.analysis.selection import Selection
from bench.output.plots.figures import (
    GREY,
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
from bench.output.tables.variants import taxes


def draw_taxes(chosen: Selection) -> Figure:
    """Draw the tax of each backend against the length, with one panel for each model.

    Raises:
        NothingToDrawError: if no ceiling was timed.
    """
    found = sorted(taxes(chosen), key=lambda one: (one.first.model, one.first.backend, one.first.length))
    if not found:
        raise NothingToDrawError("no ceiling was timed")
    models = list(dict.fromkeys(one.first.model for one in found))
    figure, panels = make_panels(1, len(models), sharey=True)
    labelled = [
        (panel, _draw_model(panel, [one for one in found if one.first.model == model]))
        for panel, model in zip(panels.flat, models, strict=True)
    ]
    for panel, model in zip(panels.flat, models, strict=True):
        panel.set_title(shown_name(model), fontsize=9)
    panels[0, 0].set_ylabel("Keras / ceiling", fontsize=8)
    finish(
        figure,
        labelled,
        title="The framework tax",
        note="How many times as long Keras takes as the same training\n"
        f"written in the framework itself.\nBars: {INTERVALS}\n"
        "At 1 (grey) there is no tax. Open: not the defaults.",
    )
    return figure


def _draw_model(panel: Any, found: list[Compared]) -> Ends:
    lines: dict[str, list[Compared]] = defaultdict(list)
    for one in found:
        lines[say_backend(one.first)].append(one)
    ends: Ends = {}
    for name, of_line in lines.items():
        style = backend_style(of_line[0].first)
        ratios = [one.ratio for one in of_line]
        middle, low, high = np.array([(one.value, one.interval.low, one.interval.high) for one in ratios]).T
        errors = np.maximum(0, np.stack([middle - low, high - middle]))  # rounding; NaN stays and is not drawn
        panel.errorbar([one.first.length for one in of_line], middle, yerr=errors, **BAR, **style)
        ends[name] = middle[-1], style["color"]
    panel.axhline(1, color=GREY, linewidth=1, zorder=0)
    panel.set_yscale("log")
    plain_log(panel.yaxis)
    name_lengths(panel, sorted({one.first.length for one in found}))
    return ends
