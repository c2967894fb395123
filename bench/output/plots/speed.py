"""Draw how fast the backends are: time and throughput against length, and ratios with their intervals."""

from collections import defaultdict
from collections.abc import Callable
from math import isnan
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bench.analysis.findings import Findings, Timed
from bench.analysis.intervals import LEAST_SEEDS
from bench.analysis.ratios import Compared
from bench.analysis.selection import Selection
from bench.output.plots.figures import (
    FAINT,
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
from bench.output.printing.output import format_value

INTERVALS = f"95 % intervals over fresh processes, from {LEAST_SEEDS} processes on."
BAR: dict[str, Any] = {"linewidth": 1.4, "markersize": 4.5, "elinewidth": 1.0, "capsize": 2.5}
Row = tuple[int, str]


def draw_speed(chosen: Selection) -> Figure:
    """Draw the time of a steady epoch and the sequences trained in a second, against length, for each model.

    Raises:
        NothingToDrawError: if nothing was timed.
    """
    cells = timed_cells(chosen)
    models = list(dict.fromkeys(one.cell.model for one in cells))
    figure, panels = make_panels(2, len(models), sharex=True, sharey="row")
    labelled = []
    for (upper, lower), model in zip(panels.T, models, strict=True):
        of_model = [one for one in cells if one.cell.model == model]
        labelled += [(upper, _draw_times(upper, of_model)), (lower, _draw_throughput(lower, of_model))]
        upper.set_title(shown_name(model), fontsize=9)
        for panel in (upper, lower):
            panel.set_yscale("log")
            plain_log(panel.yaxis)
            name_lengths(panel, sorted({one.cell.length for one in cells}))
    panels[0, 0].set_ylabel("ms per epoch", fontsize=8)
    panels[1, 0].set_ylabel("sequences per s", fontsize=8)
    rows = " or ".join(f"{rows:,}" for rows in sorted({one.rows_per_epoch for one in cells}))
    finish(
        figure,
        labelled,
        title="How long a steady epoch takes, and how many sequences are trained in a second",
        note=f"An epoch trains {rows} sequences. Medians of fresh processes; bars: {INTERVALS}",
    )
    return figure


def timed_cells(chosen: Selection) -> list[Timed]:
    """Return the cells that were timed.

    Raises:
        NothingToDrawError: if there is none.
    """
    cells = Findings(chosen).cells
    if not cells:
        raise NothingToDrawError("nothing was timed")
    return cells


def _draw_times(panel: Any, cells: list[Timed]) -> Ends:
    return _draw_backends(
        panel,
        cells,
        lambda one: (1e3 * one.time.median_s, 1e3 * one.time.interval.low, 1e3 * one.time.interval.high),
    )


def _draw_throughput(panel: Any, cells: list[Timed]) -> Ends:
    return _draw_backends(
        panel,
        cells,
        lambda one: tuple(
            one.rows_per_epoch / seconds
            for seconds in (one.time.median_s, one.time.interval.high, one.time.interval.low)
        ),
    )


def _draw_backends(panel: Any, cells: list[Timed], figures: Callable[[Timed], tuple[float, ...]]) -> Ends:
    """Draw a line for each backend; `figures` returns middle, low and high of a cell."""
    ends: Ends = {}
    sides: dict[str, list[Timed]] = defaultdict(list)
    for one in cells:
        sides[say_backend(one.cell)].append(one)
    for name, of_side in sides.items():
        style = backend_style(of_side[0].cell)
        middle, low, high = np.array([figures(one) for one in of_side]).T
        lengths = [one.cell.length for one in of_side]
        errors = np.maximum(0, np.stack([middle - low, high - middle]))  # rounding; NaN stays and is not drawn
        panel.errorbar(lengths, middle, yerr=errors, **BAR, **style)
        ends[name] = middle[-1], style["color"]
    return ends


def draw_ratios(chosen: Selection) -> Figure:
    """Draw how many times as long one backend takes as another, with the controls, in a panel for each model.

    Raises:
        NothingToDrawError: if no two backends took turns, and there is no control.
    """
    found = Findings(chosen)
    if not (found.ratios or found.controls):
        raise NothingToDrawError("no two backends took turns with each other, and there is no control")
    shown = {_row(one): 0 for one in [*found.ratios, *found.controls]}
    rows = sorted(shown, key=lambda row: (row[0], row[1].startswith("A/A"), row[1]))
    models = list(dict.fromkeys(one.first.model for one in [*found.ratios, *found.controls]))
    places = _places(rows)
    figure, panels = make_panels(1, len(models), sharey=True, sharex=True)
    figure.set_size_inches(figure.get_figwidth() + 0.6, 1.6 + 0.2 * max(places.values()))
    for panel, model in zip(panels.flat, models, strict=True):
        panel.set_title(shown_name(model), fontsize=9)
        panel.axvline(1, color=GREY, linewidth=1, zorder=0)
        panel.set_xscale("log")
        for one in (one for one in [*found.ratios, *found.controls] if one.first.model == model):
            _draw_ratio(panel, one, places[_row(one)])
        panel.margins(x=0.18)
        plain_log(panel.xaxis)
        panel.set_xlabel("times as long", fontsize=8)
    _name_rows(panels[0, 0], places)
    finish(
        figure,
        [(panel, {}) for panel in panels.flat],
        title="How many times as long one backend takes as another",
        note=f"Ratios of turns of one round; bars: {INTERVALS}\n"
        "Open: the interval holds 1, no difference is shown. A/A: the same cell against itself.",
    )
    return figure


def _row(one: Compared) -> Row:
    """Name the row of a ratio: length and sides."""
    threads = say_backend(one.first).removeprefix(one.first.side)
    if one.first == one.second:
        return one.first.length, f"A/A {one.first.side}{threads}"
    return one.first.length, f"{one.first.side} / {one.second.side}{threads}"


def _places(rows: list[Row]) -> dict[Row, int]:
    """Return the height of each row, downwards; a length begins one row lower with its name."""
    places: dict[Row, int] = {}
    for row in rows:
        new = not places or row[0] != next(reversed(places))[0]
        places[row] = max(places.values(), default=-1) + (2 if new else 1)
    return places


def _draw_ratio(panel: Any, one: Compared, height: int) -> None:
    ratio, control = one.ratio, one.first == one.second
    known = not isnan(ratio.interval.low)
    color = "#444444" if control else "#0072b2"
    if known:
        panel.plot([ratio.interval.low, ratio.interval.high], [height, height], color=color, linewidth=1.6)
    inside = "white" if known and ratio.undecided else color
    panel.plot(ratio.value, height, "D" if control else "o", color=color, markerfacecolor=inside, markersize=5)
    right = ratio.interval.high if known else ratio.value
    panel.annotate(
        format_value(ratio.value), (right, height), (5, 0), textcoords="offset points", va="center", fontsize=7
    )


def _name_rows(panel: Any, places: dict[Row, int]) -> None:
    firsts = {length: height for (length, _), height in reversed(places.items())}
    names = {height - 1: f"length {length}" for length, height in firsts.items()}
    names |= {height: name for (_, name), height in places.items()}
    panel.set_yticks(list(names), list(names.values()))
    for height, label in zip(names, panel.get_yticklabels(), strict=True):
        label.set_fontweight("bold" if height + 1 in firsts.values() else "normal")
    panel.set_ylim(max(names) + 0.7, min(names) - 0.7)
    for height in firsts.values():
        panel.axhline(height - 1.6, color=FAINT, linewidth=0.6, zorder=0)
