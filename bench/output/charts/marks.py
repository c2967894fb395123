"""What the charts are made of: panels, marks with intervals, axes of lengths and logarithms, tooltips."""

import json
from collections.abc import Mapping, Sequence
from math import floor, log10
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from bench.output.charts.theme import DASHES, DISPLAY_NAMES, MARKED, SHAPES, display_name
from bench.output.numbers import interval, number

WIDTH, HEIGHT = 330, 230
"""Pixels of a panel in a picture; in the report the width follows the window."""
ABOUT = ("environment", "first", "second", "faster", "other", "model", "length", "next_length")
"""Columns that say what a row is about, by which a report filters it."""
PLAIN = ",~g"
"""Labels of a logarithmic axis, without an exponent: 0.5, 20, 1,000."""


def panels(
    frame: pd.DataFrame,
    layers: Sequence[alt.Chart],
    *,
    title: str,
    note: str,
    columns: int = 2,
    height: int | alt.Step = HEIGHT,
    **scales: Any,
) -> alt.FacetChart:
    """Draw the same layers for each value of the column `panel`, in the order of the frame.

    Args:
        frame: rows of all panels.
        layers: charts without data.
        title: what is shown.
        note: what a reader must know, in one or more lines.
        columns: most panels beside each other.
        height: of a panel in pixels, or the step of its rows.
        scales: `x="independent"` or `y="independent"`: each panel has a scale of its own.
    """
    names = list(frame["panel"].drop_duplicates())
    chart = alt.layer(*layers).properties(width=WIDTH, height=height)
    text = json.dumps(chart.to_dict(validate=False))
    used = [name for name in frame if name in ("panel", *ABOUT) or f'"{name}"' in text or f"datum.{name}" in text]
    faceted: alt.FacetChart = chart.facet(
        facet=alt.Facet("panel:N", title=None, sort=names, header=alt.Header(labelAnchor="start")),
        columns=min(columns, len(names)),
        data=alt.Data(values=records(frame[used])),  # type: ignore[no-untyped-call]
        title=alt.Title(title, subtitle=note.splitlines()),
        spacing={"row": 24, "column": 28},
    )
    faceted = faceted.resolve_scale(**scales)
    faceted = faceted.resolve_axis(x="independent", y="independent")
    return faceted


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as JSON holds them: six digits of a float, and null for what is not finite."""
    short = frame.copy()
    for name in short.select_dtypes("float"):
        short[name] = [float(f"{value:.6g}") for value in short[name]]
    rows: list[dict[str, Any]] = json.loads(short.to_json(orient="records", double_precision=15))
    return rows


def name_series(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Add a column `series`: each row's environment or model as it is read, and what is not usual about its cell.

    Args:
        frame: rows with the columns of a cell.
        column: "environment" or "model".
    """
    threads = frame["threads"].map({"1": "", "default": ", default threads"})
    threads = threads.fillna(", " + frame["threads"].astype(str) + " threads")
    variant = (", " + frame["variant"].astype(str)).where(frame["variant"] != "default", "")
    return frame.assign(series=frame[column].map(display_name) + threads + variant)


def sort_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort rows by model, length and environment, in the order in which they are named everywhere."""
    rank = {name: place for place, name in enumerate(MARKED)}
    by = [name for name in ("model", "length", "environment", "first", "second") if name in frame]
    return frame.sort_values(
        by, key=lambda column: column.map(rank).fillna(len(rank)) if column.name != "length" else column, kind="stable"
    )


def name_panels(frame: pd.DataFrame) -> pd.DataFrame:
    """Add a column `panel`: model and length, and sort by it."""
    frame = sort_cells(frame)
    names = zip(frame["model"].map(display_name), frame["length"], strict=True)
    return frame.assign(panel=[f"{model}, length {length}" for model, length in names])


def series(frame: pd.DataFrame, *, points: bool = True) -> dict[str, Any]:
    """Return the encodings by which the series of a frame differ: `color`, `strokeDash` of lines, `shape` of points.

    Args:
        frame: what is drawn, with a column `series`.
        points: whether there are points, which the legend then shows, or lines only.
    """
    names = list(frame["series"].drop_duplicates())
    domain = [DISPLAY_NAMES[name] for name in MARKED]
    domain += [name for name in names if name not in domain]
    symbol: dict[str, Any] = {"symbolDash": [1, 0]} if points else {"symbolType": "stroke", "symbolSize": 400}
    legend = alt.Legend(values=[name for name in domain if name in names], symbolOpacity=1, **symbol)
    shapes = [SHAPES[place % len(SHAPES)] for place in range(len(domain))]
    dashes = [DASHES[place % len(DASHES)] for place in range(len(domain))]
    color = alt.Color("series:N", scale=alt.Scale(domain=domain), legend=legend)
    shape = alt.Shape("series:N", scale=alt.Scale(domain=domain, range=shapes), legend=legend)
    dash = alt.Scale(domain=domain, range=dashes)
    of_lines = alt.StrokeDash("series:N", scale=dash, legend=legend)
    return {"color": color, "strokeDash": of_lines} | ({"shape": shape} if points else {})


def line_layers(frame: pd.DataFrame, x: alt.X, y: alt.Y, figure: str, tips: Mapping[str, str]) -> list[alt.Chart]:
    """Return a line with points for each series, and bars from <figure>_low to <figure>_high.

    Args:
        frame: what will be drawn, with a column `series`.
        x: the axis of the points.
        y: the axis of the figure.
        figure: the column.
        tips: what a tooltip shows: titles by column.
    """
    look = series(frame)
    color, chart = look["color"], alt.Chart().encode(x=x)
    return [
        chart.mark_rule(strokeWidth=1.5).encode(y=alt.Y(f"{figure}_low:Q"), y2=f"{figure}_high:Q", color=color),
        chart.mark_line().encode(y=y, color=color, strokeDash=look["strokeDash"]),
        chart.mark_point().encode(y=y, color=color, shape=look["shape"], tooltip=tooltips(tips)),
    ]


def curve_layers(frame: pd.DataFrame, x: alt.X, y: alt.Y, figure: str, tips: Mapping[str, str]) -> list[alt.Chart]:
    """Return a line for each series with a band from <figure>_low to <figure>_high: for many points.

    The arguments are those of `line_layers`.
    """
    look = series(frame, points=False)
    chart = alt.Chart().encode(x=x)
    band = chart.mark_area(opacity=0.15).encode(y=alt.Y(f"{figure}_low:Q"), y2=f"{figure}_high:Q", color=look["color"])
    line = chart.mark_line().encode(y=y, **look)
    unseen = chart.mark_point(size=100, opacity=0).encode(y=y, color=look["color"], tooltip=tooltips(tips))
    return [*([band] if f"{figure}_low" in frame else []), line, unseen]


def add_text(frame: pd.DataFrame, figure: str, scale: float = 1.0) -> pd.DataFrame:
    """Add a column `text`: a figure with its interval, as it is read: "5.47 (5.31 to 5.60)"."""
    values = scale * frame[figure]
    texts = [number(float(value)) for value in values]
    if f"{figure}_low" in frame:
        known = map(interval, scale * frame[f"{figure}_low"], scale * frame[f"{figure}_high"])
        texts = [f"{text} ({ends})" if ends else text for text, ends in zip(texts, known, strict=True)]
    return frame.assign(text=texts)


def tooltips(titles: Mapping[str, str]) -> list[alt.Tooltip]:
    """Return what is shown beside a mark: the values of columns under their titles."""
    return [alt.Tooltip(field=name, type="nominal", title=title) for name, title in titles.items()]


def count_axis(column: str, title: str) -> alt.X:
    """Return an axis of whole numbers."""
    axis = alt.Axis(format=",d", labelExpr="datum.value % 1 ? '' : datum.label")
    return alt.X(f"{column}:Q", title=title, axis=axis, scale=alt.Scale(nice=False))


def length_axis(frame: pd.DataFrame) -> alt.X:
    """Return a logarithmic axis of the lengths, which are its ticks."""
    lengths = sorted(int(length) for length in frame["length"].unique())
    axis = alt.Axis(values=lengths, format="d", grid=False)
    scale = alt.Scale(type="log", nice=False, padding=12)
    return alt.X("length:Q", title="sequence length (timesteps)", axis=axis, scale=scale)


def log_scale(frame: pd.DataFrame, *columns: str) -> dict[str, Any]:
    """Return scale and axis of a logarithmic figure, with plain numbers as ticks.

    Args:
        frame: what is drawn.
        columns: figure and ends of its interval; what is not finite or not above 0 is left out.
    """
    values = frame[list(columns)].to_numpy(float)
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (values.min() / 1.15, values.max() * 1.15) if len(values) else (0.5, 2.0)
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    return {"scale": scale, "axis": alt.Axis(values=_ticks(low, high), format=PLAIN)}


def _ticks(low: float, high: float) -> list[float]:
    """Return three to ten ticks between two ends: powers of ten, or 1, 2 and 5 times these, or finer ones."""
    ticks: list[float] = []
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        powers = range(floor(log10(low)), floor(log10(high)) + 1)
        ticks = [float(f"{step}e{power}") for power in powers for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) > 2:
            return ticks[:: -(-len(ticks) // 10)]
    step = 10.0 ** floor(log10((high - low) / 2))
    step *= 2 if (high - low) / step > 5 else 1
    return [round(number * step, 9) for number in range(int(low / step) + 1, int(high / step) + 1)]


def row_axis(frame: pd.DataFrame, title: str) -> alt.Y:
    """Return an axis of the texts in the column `row`, in their order, with its title above."""
    above = alt.Axis(title=title, titleAngle=0, titleAlign="right", titleAnchor="end", titleX=-8, titleY=-8)
    return alt.Y("row:N", sort=list(frame["row"].drop_duplicates()), axis=above)


def constant(axis: str, value: float) -> alt.Chart:
    """Return a line across each panel where an axis ("x" or "y") has a value."""
    panel = alt.Chart().transform_aggregate(rows="count()", groupby=["panel"])
    line: alt.Chart = panel.mark_rule(strokeWidth=1).encode(**{axis: alt.datum(value)})
    return line
