"""Plots of starting: what it costs part by part, and when faster epochs have made up for it."""

from math import isfinite

from bench.analysis.findings import PARTS, BreakEven, Findings, Timed, place
from bench.output.plots.figures import GREY, say_backend
from bench.output.plots.start import FEWEST_EPOCHS, some_lengths
from bench.output.printing.output import format_value
from bench.output.report.chart_parts import (
    Chart,
    Trace,
    by_model,
    cell_style,
    layout_of,
    line_trace,
    meta_of_cells,
    say_list,
    short,
)
from bench.output.report.texts import model_name
from bench.output.tables.speed import say_ahead

PART_COLORS = ("#4d4d4d", "#56b4e9", "#e69f00", "#cc79a7")


def start_charts(found: Findings) -> list[Chart]:
    """Draw what starting costs, part by part, for each model."""
    charts = []
    for model, all_cells in by_model(found.cells).items():
        lengths = some_lengths(sorted({one.cell.length for one in all_cells}))
        cells = [one for one in all_cells if one.cell.length in lengths]
        traces = [_part_trace(part, number, one, one is cells[0]) for number, part in enumerate(PARTS) for one in cells]
        names = [_bar_name(one) for one in cells]
        axis = {"type": "category", "categoryorder": "array", "categoryarray": names[::-1], "automargin": True}
        layout = layout_of({"title": {"text": "seconds"}}, axis, height=130 + 24 * len(names)) | {"barmode": "stack"}
        said = [f"{_bar_name(one)} {format_value(one.start_s)} s" for one in cells]
        title = f"{model_name(model)}: seconds to the end of the first epoch"
        summary = say_list("Process start, import, build and first epoch together", said)
        charts.append(Chart("start", title, summary, "start", {"data": traces, "layout": layout}))
    return charts


def _bar_name(one: Timed) -> str:
    return f"{one.cell.length} · {say_backend(one.cell)}"


def _part_trace(part: str, number: int, one: Timed, first: bool) -> Trace:
    seconds = one.parts_s[number]
    return {
        "type": "bar",
        "orientation": "h",
        "name": part,
        "legendgroup": part,
        "showlegend": first,
        "x": [short(seconds)],
        "y": [_bar_name(one)],
        "marker": {"color": PART_COLORS[number], "pattern": {"shape": ("", "/", "", ".")[number]}},
        "hovertext": f"{_bar_name(one)}, {part}: {format_value(seconds)} s",
        "hoverinfo": "text",
    } | meta_of_cells(one.cell)


def break_even_charts(found: Findings) -> list[Chart]:
    """Draw the seconds until an epoch has ended, and where one backend overtakes another, for each model and length."""
    charts = []
    for model, of_model in by_model(found.cells).items():
        for length in some_lengths(sorted({one.cell.length for one in of_model})):
            cells = [one for one in of_model if one.cell.length == length]
            places = {place(one.cell) for one in cells}
            met = [one for one in found.break_evens if place(one.faster.cell) in places and _is_later(one)]
            met.sort(key=lambda one: one.found.epoch)
            last = max([FEWEST_EPOCHS, *(1.5 * one.found.epoch for one in met)])
            traces = [_time_trace(one, last) for one in cells] + [
                _meeting_trace(one, number) for number, one in enumerate(met)
            ]
            layout = layout_of({"title": {"text": "epoch"}}, {"title": {"text": "seconds"}, "rangemode": "tozero"})
            said = [
                f"{say_backend(one.faster.cell)} is ahead of {say_backend(one.other.cell)} after epoch "
                f"{one.found.epoch:,.0f}"
                for one in met
            ] or ["the order does not change after the first epoch"]
            title = f"{model_name(model)}, length {length}: time until an epoch has ended"
            summary = say_list("Start included", said)
            charts.append(Chart("break-even", title, summary, "breakeven", {"data": traces, "layout": layout}))
    return charts


def _is_later(one: BreakEven) -> bool:
    return isfinite(one.found.epoch) and one.found.epoch > 1


def _time_trace(one: Timed, last: float) -> Trace:
    epochs = [1.0, last]
    seconds = [float(one.done_s(epoch)) for epoch in epochs]
    trace = line_trace(say_backend(one.cell), epochs, seconds, cell_style(one.cell))
    return trace | {"hovertemplate": "epoch %{x:.0f}: %{y:.3g} s"} | meta_of_cells(one.cell)


def _meeting_trace(one: BreakEven, number: int) -> Trace:
    epoch = one.found.epoch
    name = f"{say_backend(one.faster.cell)} overtakes {say_backend(one.other.cell)}"
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": "break-even",
        "showlegend": False,
        "x": [epoch],
        "y": [short(float(one.faster.done_s(epoch)))],
        "text": [f"{epoch:,.0f}"],
        "textposition": ("top center", "bottom center")[number % 2],
        "marker": {"symbol": "circle-open", "size": 13, "color": GREY, "line": {"width": 2}},
        "hovertext": f"{name} after epoch {say_ahead(one.found)}",
        "hoverinfo": "text",
    } | meta_of_cells(one.faster.cell, one.other.cell)
