"""Plots of speed: time by length, ratios with their intervals and controls, and every turn when it was measured."""

from collections import defaultdict
from math import isnan

import numpy as np

from bench.analysis.findings import Findings, Timed, Turn
from bench.analysis.ratios import Compared
from bench.output.plots.figures import BACKEND_STYLES, GREY, say_backend
from bench.output.printing.output import format_value
from bench.output.report.chart_parts import (
    MOST_POINTS,
    Chart,
    Trace,
    by_backend,
    by_model,
    cell_style,
    errors,
    layout_of,
    length_axis,
    line_trace,
    log_axis,
    meta_of_cells,
    say_list,
    short,
    shorts,
)
from bench.output.report.texts import model_name, say_interval
from bench.records.speed import disturbers

RED = "#cc0000"


def speed_charts(found: Findings) -> list[Chart]:
    """Draw the time of an epoch against length, for each model."""
    charts = []
    for model, cells in by_model(found.cells).items():
        traces = [_speed_trace(of_side) for of_side in by_backend(cells).values()]
        lengths = sorted({one.cell.length for one in cells})
        layout = layout_of(length_axis(lengths), log_axis("ms per epoch", traces))
        title = f"{model_name(model)}: a steady epoch by length"
        charts.append(Chart("speed", title, _say_speeds(cells), "speed", {"data": traces, "layout": layout}))
    return charts


def _speed_trace(cells: list[Timed]) -> Trace:
    times = [one.time for one in cells]
    texts = [
        f"{say_backend(one.cell)}, length {one.cell.length}: {format_value(1e3 * one.time.median_s)} ms"
        + (f" ({said})" if (said := say_interval(one.time.interval, scale=1e3)) else "")
        + f"<br>{format_value(one.rows_per_epoch / one.time.median_s)} sequences per s"
        for one in cells
    ]
    middle = [1e3 * time.median_s for time in times]
    low, high = [1e3 * time.interval.low for time in times], [1e3 * time.interval.high for time in times]
    return (
        line_trace(say_backend(cells[0].cell), [one.cell.length for one in cells], middle, cell_style(cells[0].cell))
        | {"error_y": errors(middle, low, high), "hovertext": texts, "hoverinfo": "text"}
        | meta_of_cells(*(one.cell for one in cells))
    )


def _say_speeds(cells: list[Timed]) -> str:
    said = [
        f"{say_backend(one.cell)} {format_value(1e3 * one.time.median_s)} ms at length {one.cell.length}"
        for one in cells
    ]
    return say_list("Milliseconds of a steady epoch", said)


def ratio_charts(found: Findings) -> list[Chart]:
    """Draw ratios between backends with their intervals, and the controls, for each model."""
    groups: dict[str, list[Compared]] = defaultdict(list)
    for one in [*found.ratios, *found.controls]:
        groups[one.first.model].append(one)
    charts = []
    for model, ratios in groups.items():
        ratios.sort(key=lambda one: (one.first.length, one.first == one.second))
        traces = [_ratio_trace(one) for one in ratios if not isnan(one.ratio.value)]
        names = list(dict.fromkeys(_ratio_name(one) for one in ratios))
        axis = {"type": "category", "categoryorder": "array", "categoryarray": names[::-1], "automargin": True}
        layout = layout_of(log_axis("times as long", traces, "x"), axis, height=110 + 24 * len(names)) | {
            "showlegend": False
        }
        layout["shapes"] = [
            {"type": "line", "x0": 1, "x1": 1, "yref": "paper", "y0": 0, "y1": 1, "line": {"color": GREY, "width": 1}}
        ]
        said = [f"{_ratio_name(one)}: {_say_ratio(one)}" for one in ratios]
        title = f"{model_name(model)}: how many times as long"
        summary = say_list("Ratios of the epochs of two backends", said)
        charts.append(Chart("ratios", title, summary, "ratios", {"data": traces, "layout": layout}))
    return charts


def _ratio_name(one: Compared) -> str:
    if one.first == one.second:
        return f"{one.first.length} · {say_backend(one.first)} A/A"
    threads = say_backend(one.first).removeprefix(one.first.side)
    return f"{one.first.length} · {one.first.side} / {one.second.side}{threads}"


def _say_ratio(one: Compared) -> str:
    interval = say_interval(one.ratio.interval)
    verdict = "no difference" if one.ratio.undecided else "a difference"
    return f"{format_value(one.ratio.value)}" + (f" ({interval}), {verdict}" if interval else ", no interval")


def _ratio_trace(one: Compared) -> Trace:
    ratio, control = one.ratio, one.first == one.second
    known = not isnan(ratio.interval.low)
    color = GREY if control else BACKEND_STYLES["jax"]["color"]
    symbol = ("diamond" if control else "circle") + ("-open" if known and ratio.undecided else "")
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [short(ratio.value)],
        "y": [_ratio_name(one)],
        "error_x": errors([ratio.value], [ratio.interval.low], [ratio.interval.high]),
        "marker": {"color": color, "symbol": symbol, "size": 9, "line": {"width": 2}},
        "hovertext": f"{_ratio_name(one)}: {_say_ratio(one)}",
        "hoverinfo": "text",
    } | meta_of_cells(one.first, one.second)


def sample_charts(found: Findings) -> list[Chart]:
    """Draw the median epoch of the turns against the time since the run began, for each model and length."""
    groups: dict[tuple[str, int], list[Turn]] = defaultdict(list)
    for turn in found.turns:
        groups[turn.cell.model, turn.cell.length].append(turn)
    if not any(turn.slice.begun_at_s for turn in found.turns):
        return []
    charts = []
    for (model, length), turns in sorted(groups.items()):
        sides: dict[tuple[str, bool], list[Turn]] = defaultdict(list)
        for turn in turns:
            sides[say_backend(turn.cell), turn.twin].append(turn)
        traces = [_turns_trace(name, of_side) for (name, _), of_side in sorted(sides.items())]
        layout = layout_of({"title": {"text": "minutes since the run began"}}, log_axis("ms per epoch", traces))
        disturbed = [turn.slice for turn in turns if turn.slice.disturbed]
        title = f"{model_name(model)}, length {length}: every turn when it was measured"
        by = f" by {disturbers(disturbed)}" if disturbed else ""
        summary = f"{title}. {len(turns)} turns, {len(disturbed)} of them disturbed{by}."
        charts.append(Chart("samples", title, summary, "noise", {"data": traces, "layout": layout}))
    return charts


def _turns_trace(name: str, turns: list[Turn]) -> Trace:
    """Return the points of a backend or its control; very many are put together to medians of neighbours."""
    cell, twin = turns[0].cell, turns[0].twin
    groups = [turns[part[0] : part[-1] + 1] for part in np.array_split(np.arange(len(turns)), MOST_POINTS) if len(part)]
    minutes = [float(np.median([turn.slice.begun_at_s for turn in group])) / 60 for group in groups]
    epochs_ms = [1e3 * float(np.median([turn.slice.median_s for turn in group])) for group in groups]
    disturbed = [any(turn.slice.disturbed for turn in group) for group in groups]
    style = cell_style(cell)
    marker = {
        "color": style["color"],
        "symbol": "x-thin" if twin else style["symbol"],
        "size": 7,
        "opacity": 0.85,
        "line": {
            "width": [2.5 if one else (1.5 if twin else 0) for one in disturbed],
            "color": [RED if one else style["color"] for one in disturbed],
        },
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{name}, control" if twin else name,
        "x": shorts(minutes),
        "y": shorts(epochs_ms),
        "marker": marker,
        "hovertext": [
            f"minute {minute:.1f}: {format_value(epoch_ms)} ms" + (", disturbed" if one else "")
            for minute, epoch_ms, one in zip(minutes, epochs_ms, disturbed, strict=True)
        ],
        "hoverinfo": "text+name",
    } | meta_of_cells(cell)
