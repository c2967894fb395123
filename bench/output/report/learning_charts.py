"""Plots of learning: losses, accuracy by length, and what is kept of earlier digits."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.analysis.accuracy_lines import Line
from bench.output.plots.figures import styles
from bench.output.printing.output import format_value
from bench.output.report.chart_parts import (
    DASHES,
    MOST_POINTS,
    SYMBOLS,
    Chart,
    Trace,
    errors,
    layout_of,
    length_axis,
    line_trace,
    log_axis,
    meta_of,
    say_list,
    shorts,
)
from bench.output.report.texts import model_name, plotly_text


def loss_charts(lines: Sequence[Line]) -> list[Chart]:
    """Draw val_loss against the epoch, for each length."""
    what = "val_loss by epoch, median and quartiles of the seeds"
    return _band_charts(lines, "loss", what, "epoch", "accuracy", True)


def memory_charts(lines: Sequence[Line]) -> list[Chart]:
    """Draw what is kept of a digit, for each length."""
    axis = "k: steps before the end"
    return _band_charts(lines, "memory", "what is kept of a digit (1 all, 0 nothing)", axis, "memory", False)


def _band_charts(
    lines: Sequence[Line], group: str, what: str, x_title: str, table: str, logarithmic: bool
) -> list[Chart]:
    style_of = styles(list(dict.fromkeys(line.model for line in lines)))
    charts = []
    for length in sorted({line.length for line in lines if line.length is not None}):
        inside = [line for line in lines if line.length == length]
        traces = [trace for line in inside for trace in _band_traces(line, style_of[line.model])]
        y_axis = log_axis("", traces) if logarithmic else {}
        layout = layout_of({"title": {"text": x_title}}, y_axis)
        said = [f"{model_name(line.model)} ends at {format_value(float(line.middle[-1]))}" for line in inside]
        summary = say_list(f"Length {length}, {what}", said)
        charts.append(Chart(group, f"Length {length}: {what}", summary, table, {"data": traces, "layout": layout}))
    return charts


def _band_traces(line: Line, style: dict[str, Any]) -> list[Trace]:
    kept = _thinned(len(line.x))
    x, (low, high) = shorts(line.x[kept]), line.band[:, kept]
    meta = meta_of(models=[line.model], lengths=[line.length])
    edge = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    edge |= {"legendgroup": plotly_text(line.model)} | meta
    upper = {"y": shorts(high), "fill": "tonexty", "fillcolor": _pale(style["color"])}
    bands = [edge | {"y": shorts(low)}, edge | upper]
    middle = line_trace(model_name(line.model), line.x[kept], line.middle[kept], _model_style(line.model, style)) | meta
    if len(x) > 24:
        middle["mode"] = "lines"
    return [*bands, middle | {"legendgroup": plotly_text(line.model), "hovertemplate": "%{x}: %{y:.3g}"}]


def accuracy_charts(mse: Sequence[Line], exact: Sequence[Line]) -> list[Chart]:
    """Draw test errors and exact sums against length, a line for each model."""
    charts = []
    for lines, what, logarithmic in ((mse, "test MSE", True), (exact, "exact sums in %", False)):
        style_of = styles([line.model for line in lines])
        traces = [
            line_trace(model_name(line.model), line.x, line.middle, _model_style(line.model, style_of[line.model]))
            | {"error_y": errors(line.middle, *line.band), "hovertemplate": "length %{x}: %{y:.3g}"}
            | meta_of(models=[line.model], lengths=[])
            for line in lines
        ]
        lengths = sorted({int(length) for line in lines for length in line.x})
        axis = log_axis("", traces) if logarithmic else {"range": [-4, 104]}
        said = [
            f"{model_name(line.model)} {format_value(float(value))} at length {length}"
            for line in lines
            for length, value in zip(line.x, line.middle, strict=True)
        ]
        figure = {"data": traces, "layout": layout_of(length_axis(lengths), axis)}
        title = f"{what[0].upper()}{what[1:]} by length, mean of the seeds"
        if traces:
            charts.append(Chart("accuracy", title, say_list(what, said), "accuracy", figure))
    return charts


def _model_style(model: str, style: dict[str, Any]) -> dict[str, str]:
    symbol = SYMBOLS.get(style["marker"], "diamond")
    return {"color": style["color"], "symbol": symbol, "dash": DASHES.get(model, "solid")}


def _pale(color: str) -> str:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def _thinned(points: int) -> Any:
    """Return which points of a long line are drawn: all, or so many evenly spread with both ends."""
    return np.unique(np.linspace(0, points - 1, min(points, MOST_POINTS)).round().astype(int))
