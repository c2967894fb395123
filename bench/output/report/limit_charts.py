"""Plots of what limits a training: the framework tax against length, and the share of seeds that are there by when."""

from collections import defaultdict
from math import isfinite

from bench.analysis.ratios import Compared
from bench.analysis.selection import Selection
from bench.analysis.targets import Reached, reached
from bench.output.plots.figures import GREY, say_backend
from bench.output.plots.targets import shares
from bench.output.printing.output import format_value
from bench.output.report.chart_parts import (
    Chart,
    Trace,
    cell_style,
    errors,
    layout_of,
    length_axis,
    line_trace,
    log_axis,
    meta_of_cells,
    say_list,
    shorts,
)
from bench.output.report.texts import model_name, plotly_text, say_interval
from bench.output.tables.variants import taxes


def tax_charts(chosen: Selection) -> list[Chart]:
    """Draw how many times as long Keras takes as the same training without it, against length, for each model."""
    models: dict[str, dict[str, list[Compared]]] = defaultdict(lambda: defaultdict(list))
    for one in sorted(taxes(chosen), key=lambda one: (one.first.model, one.first.backend, one.first.length)):
        models[one.first.model][say_backend(one.first)].append(one)
    charts = []
    for model, lines in models.items():
        traces = [_tax_trace(name, of_line) for name, of_line in lines.items()]
        lengths = sorted({one.first.length for of_line in lines.values() for one in of_line})
        layout = layout_of(length_axis(lengths), log_axis("Keras / ceiling", traces))
        layout["shapes"] = [
            {"type": "line", "y0": 1, "y1": 1, "xref": "paper", "x0": 0, "x1": 1, "line": {"color": GREY, "width": 1}}
        ]
        said = [f"{name} {_say(one)}" for name, of_line in lines.items() for one in of_line]
        title = f"{model_name(model)}: the framework tax by length"
        charts.append(Chart("tax", title, say_list(title, said), "tax", {"data": traces, "layout": layout}))
    return charts


def _tax_trace(name: str, line: list[Compared]) -> Trace:
    ratios, cells = [one.ratio for one in line], [one.first for one in line]
    middle = [ratio.value for ratio in ratios]
    bars = errors(middle, [ratio.interval.low for ratio in ratios], [ratio.interval.high for ratio in ratios])
    return (
        line_trace(name, [cell.length for cell in cells], middle, cell_style(cells[0]))
        | {"error_y": bars, "hovertext": [plotly_text(f"{name}, {_say(one)}") for one in line], "hoverinfo": "text"}
        | meta_of_cells(*cells)
    )


def _say(one: Compared) -> str:
    interval = say_interval(one.ratio.interval)
    return f"{format_value(one.ratio.value)} at length {one.first.length}" + (f" ({interval})" if interval else "")


def target_charts(chosen: Selection) -> list[Chart]:
    """Draw the share of seeds that have got to the target by when, since starting, for each model and length."""
    groups: dict[tuple[str, int], list[Reached]] = defaultdict(list)
    for one in reached(chosen):
        if isfinite(one.first_s):
            groups[one.cell.model, one.cell.length].append(one)
    charts = []
    for (model, length), found in groups.items():
        traces = [_share_trace(one) for one in found]
        x_axis = log_axis("s from starting the process", traces, "x")
        layout = layout_of(x_axis, {"range": [-4, 104], "title": {"text": "seeds there, in %"}})
        said = [f"{say_backend(one.cell)} {one.hits} of {len(one.seeds)} seeds" for one in found]
        title = f"{model_name(model)}, length {length}: time to a val_mse of {chosen.target:g}"
        charts.append(Chart("target", title, say_list(title, said), "target", {"data": traces, "layout": layout}))
    return charts


def _share_trace(one: Reached) -> Trace:
    x, y = shares(one)
    trace = line_trace(say_backend(one.cell), x, 100 * y, cell_style(one.cell))
    trace["line"]["shape"] = "hv"
    hover = [f"{format_value(float(second))} s: {share:.0f} %" for second, share in zip(x, 100 * y, strict=True)]
    return (
        trace
        | {"x": shorts(x), "mode": "lines", "hovertext": hover, "hoverinfo": "text+name"}
        | meta_of_cells(one.cell)
    )
