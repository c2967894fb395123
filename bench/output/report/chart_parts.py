"""What all plots of the page share: traces, axes, whose a trace is, and numbers with the digits that can be seen.

A figure is plain data for Plotly, which the page draws when it is looked at. Colours are those of
`bench.output.plots.figures`; the page maps them for its dark theme.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bench.analysis.findings import Timed
from bench.output.plots.figures import BACKEND_STYLES, is_usual, say_backend
from bench.output.report.texts import plotly_text
from bench.plan.cells import Cell

Trace = dict[str, Any]
MOST_POINTS = 160
HEIGHT = 300
SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond"}
DASHES = {"jax": "solid", "torch": "dash", "tensorflow": "dot", "lstm": "solid", "gru": "dash", "simple_rnn": "dot"}
MOST_SAID = 12
FINE_STEPS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)


@dataclass(frozen=True)
class Chart:
    """A plot.

    Args:
        group: what it belongs to: speed, ratios, start, break-even, tax, target, loss, accuracy, memory or samples.
        title: what is seen.
        summary: the same for those who cannot see it.
        table: name of the table that holds its figures as text.
        figure: `data` and `layout` for Plotly; a trace's `meta` says whose it is.
    """

    group: str
    title: str
    summary: str
    table: str
    figure: dict[str, Any]


def say_list(what: str, said: Sequence[str]) -> str:
    """Return a sentence that lists what is seen, cut where nobody would listen any longer."""
    more = f"; and {len(said) - MOST_SAID} more" if len(said) > MOST_SAID else ""
    return f"{what}: {'; '.join(said[:MOST_SAID])}{more}."


def by_model(cells: Iterable[Timed]) -> dict[str, list[Timed]]:
    """Group cells by model, in their order."""
    groups: dict[str, list[Timed]] = defaultdict(list)
    for one in cells:
        groups[one.cell.model].append(one)
    return groups


def by_backend(cells: Iterable[Timed]) -> dict[str, list[Timed]]:
    """Group cells by backend and threads, in their order."""
    groups: dict[str, list[Timed]] = defaultdict(list)
    for one in cells:
        groups[say_backend(one.cell)].append(one)
    return groups


def cell_style(cell: Cell) -> dict[str, str]:
    """Return how a backend is drawn: with open markers where it is not the usual one with one thread."""
    style = BACKEND_STYLES[cell.backend]
    open_or_not = "" if is_usual(cell) else "-open"
    symbol = SYMBOLS[style["marker"]] + open_or_not
    return {"color": style["color"], "symbol": symbol, "dash": DASHES[cell.backend]}


def line_trace(name: str, x: ArrayLike, y: ArrayLike, style: dict[str, str]) -> Trace:
    """Return a line with markers."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plotly_text(name),
        "x": shorts(x),
        "y": shorts(y),
        "line": {"color": style["color"], "dash": style["dash"], "width": 2},
        "marker": {"color": style["color"], "symbol": style["symbol"], "size": 7},
    }


def errors(middle: ArrayLike, low: ArrayLike, high: ArrayLike) -> dict[str, Any]:
    """Return error bars, which are left out where an interval is not known."""
    values, lower, upper = (np.asarray(side, np.float64) for side in (middle, low, high))
    return {
        "type": "data",
        "symmetric": False,
        "array": shorts(np.maximum(0, upper - values)),
        "arrayminus": shorts(np.maximum(0, values - lower)),
        "thickness": 1.5,
        "width": 4,
    }


def meta_of_cells(*cells: Cell) -> dict[str, Any]:
    """Say whose a trace is, so that it can be filtered; a line over lengths belongs to no length."""
    lengths = {cell.length for cell in cells}
    return meta_of(
        backends=sorted({cell.side for cell in cells}),
        models=sorted({cell.model for cell in cells}),
        lengths=list(lengths) if len(lengths) == 1 else [],
    )


def meta_of(*, backends: Sequence[str] = (), models: Sequence[str] = (), lengths: Sequence[Any] = ()) -> Trace:
    """Say which backends, models and lengths a trace belongs to."""
    return {"meta": {"backend": list(backends), "model": list(models), "length": [str(one) for one in lengths]}}


def layout_of(x_axis: dict[str, Any], y_axis: dict[str, Any], *, height: int = HEIGHT) -> dict[str, Any]:
    """Return a layout with the legend above, which scrolls with the page on a phone."""
    return {
        "height": height,
        "margin": {"l": 56, "r": 16, "t": 8, "b": 44},
        "xaxis": x_axis | {"automargin": True},
        "yaxis": y_axis | {"automargin": True},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
        "dragmode": False,
    }


def length_axis(lengths: list[int]) -> dict[str, Any]:
    """Return a logarithmic axis whose ticks are the lengths."""
    texts = [str(length) for length in lengths]
    return {"type": "log", "tickvals": lengths, "ticktext": texts, "title": {"text": "length"}}


def log_axis(title: str, traces: Iterable[Trace], axis: str = "y") -> dict[str, Any]:
    """Return a logarithmic axis whose ticks are round: the fewer, the more decades its data span.

    Args:
        title: what is drawn.
        traces: what is drawn along it.
        axis: "x" or "y".
    """
    values = [value for trace in traces for value in _ends(trace, axis) if value > 0]
    low, high = (min(values), max(values)) if values else (1.0, 10.0)
    spread = high / low
    steps = (1.0,) if spread > 1e4 else (1.0, 2.0, 5.0) if spread > 6 else FINE_STEPS
    decades = range(floor(log10(low)) - 1, ceil(log10(high)) + 1)
    ticks = [float(f"{step * 10.0**decade:.3g}") for decade in decades for step in steps]
    texts = [f"{tick:,g}" for tick in ticks]
    return {"type": "log", "title": {"text": title}, "tickvals": ticks, "ticktext": texts}


def _ends(trace: Trace, axis: str) -> list[float]:
    """Return where the points of a trace lie, and where their bars end."""
    bars = trace.get(f"error_{axis}", {})
    points = trace[axis]
    ends = [
        (point or 0.0) + sign * (bar or 0.0)
        for side, sign in (("array", 1), ("arrayminus", -1))
        for point, bar in zip(points, bars.get(side, ()), strict=False)
    ]
    return [point for point in points if point is not None] + ends


def short(value: float) -> float | None:
    """Return a number with the digits that can be seen, or None for what is none."""
    return float(f"{value:.5g}") if isfinite(value) else None


def shorts(values: ArrayLike) -> list[float | None]:
    """Return numbers with the digits that can be seen, None for what is none."""
    return [short(float(value)) for value in np.asarray(values, np.float64)]
