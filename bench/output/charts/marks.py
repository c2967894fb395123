"""What the charts are made of: panels, lines with intervals, axes of lengths and logarithms, tooltips."""

import json
from collections.abc import Mapping, Sequence
from math import floor, log10
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from bench.output.charts.theme import DASHES, SHAPES
from bench.output.names import DISPLAY_NAMES, KNOWN, display_name, sort_cells
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
    height: int | alt.Step = HEIGHT,
    free: Sequence[str] = (),
) -> alt.FacetChart:
    """Draw the same layers, charts without data, for each value of the column `panel`, in the order of the frame.

    Args:
        frame: rows of all panels; only the columns that a layer shows are kept.
        layers: what is drawn.
        title: what is shown.
        note: what a reader must know, in one or more lines.
        height: of a panel in pixels, or the step of its rows.
        free: axes, x or y, of which each panel has a scale of its own.
    """
    names = list(frame["panel"].drop_duplicates())
    chart = alt.layer(*layers).properties(width=WIDTH, height=height)
    text = json.dumps(chart.to_dict(validate=False))
    used = [name for name in frame if name in ("panel", *ABOUT) or f'"{name}"' in text or f"datum.{name}" in text]
    faceted: alt.FacetChart = chart.facet(
        facet=alt.Facet("panel:N", title=None, sort=names, header=alt.Header(labelAnchor="start")),
        columns=min(2, len(names)),
        data=alt.Data(values=_records(frame[used])),  # type: ignore[no-untyped-call]
        title=alt.Title(title, subtitle=note.splitlines()),
        spacing={"row": 24, "column": 28},
    )
    faceted = faceted.resolve_axis(x="independent", y="independent")
    scales: dict[str, Any] = dict.fromkeys(free, "independent")
    faceted = faceted.resolve_scale(**scales)
    return faceted


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as JSON holds them: six digits of a float, and null for what is not finite."""
    floats = frame.select_dtypes("float")
    short = frame.assign(**{str(name): [float(f"{value:.6g}") for value in floats[name]] for name in floats})
    rows: list[dict[str, Any]] = json.loads(short.to_json(orient="records", double_precision=15))
    return rows


def line_chart(
    frame: pd.DataFrame,
    figure: str,
    y_title: str,
    tips: Mapping[str, str],
    *,
    x: alt.X | None = None,
    scale: alt.Scale | None = None,
    constants: Sequence[float] = (),
    **texts: Any,
) -> alt.FacetChart | None:
    """Draw a figure as a line for each value of the column `series`, with its interval: bars by length, else bands.

    Args:
        frame: with the columns `series` and `panel`; the interval is in <figure>_low and <figure>_high.
        figure: the column.
        y_title: of its axis.
        tips: what a tooltip shows: titles by column; `text` is the figure with its interval.
        x: an axis of many points; None: the lengths.
        scale: of the figure; None: logarithmic.
        constants: where a line crosses each panel.
        texts: further arguments of `panels`.
    """
    if frame.empty:
        return None
    frame = add_text(frame, figure)
    ends = [name for name in (f"{figure}_low", f"{figure}_high") if name in frame]
    log = {} if scale else log_scale(frame, figure, *ends, include=constants)
    y = alt.Y(f"{figure}:Q", title=y_title, **(log or {"scale": scale}))
    look = series(frame, points=x is None)
    color, chart = look["color"], alt.Chart().encode(x=x or _length_axis(frame))
    span = {"y": alt.Y(f"{figure}_low:Q"), "y2": f"{figure}_high:Q", "color": color}
    line = chart.mark_line().encode(y=y, color=color, strokeDash=look["strokeDash"])
    if x is None:
        bars = chart.mark_rule(strokeWidth=1.5).encode(**span)
        points = chart.mark_point().encode(y=y, color=color, shape=look["shape"], tooltip=tooltips(tips))
    else:
        bars = chart.mark_area(opacity=0.15).encode(**span)
        points = chart.mark_point(size=100, opacity=0).encode(y=y, color=color, tooltip=tooltips(tips))
    guides = [constant("y", value) for value in constants]
    return panels(frame, [*guides, *([bars] if ends else []), line, points], **texts)


def name_series(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Add a column `series`: each row's environment or model as it is read, and what is not usual about its cell."""
    threads = frame["threads"].map({"1": "", "default": ", default threads"})
    threads = threads.fillna(", " + frame["threads"].astype(str) + " threads")
    variant = (", " + frame["variant"].astype(str)).where(frame["variant"] != "default", "")
    return frame.assign(series=frame[column].map(display_name) + threads + variant)


def name_panels(frame: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Add a column `panel` of the model, the length, or both, and sort by it."""
    frame = sort_cells(frame, *by)
    parts = {"model": frame["model"].map(display_name), "length": "length " + frame["length"].astype(str)}
    return frame.assign(panel=[", ".join(names) for names in zip(*(parts[name] for name in by), strict=True)])


def series(frame: pd.DataFrame, *, points: bool = True) -> dict[str, Any]:
    """Return the encodings by which series differ: `color`, `strokeDash` of lines, and `shape` if there are points."""
    names = list(frame["series"].drop_duplicates())
    domain = [DISPLAY_NAMES[name] for name in KNOWN]
    domain += [name for name in names if name not in domain]
    symbol: dict[str, Any] = {"symbolDash": [1, 0]} if points else {"symbolType": "stroke", "symbolSize": 400}
    legend = alt.Legend(values=[name for name in domain if name in names], symbolOpacity=1, **symbol)
    shapes, dashes = ([kinds[place % len(kinds)] for place in range(len(domain))] for kinds in (SHAPES, DASHES))
    look = {
        "color": alt.Color("series:N", scale=alt.Scale(domain=domain), legend=legend),
        "strokeDash": alt.StrokeDash("series:N", scale=alt.Scale(domain=domain, range=dashes), legend=legend),
        "shape": alt.Shape("series:N", scale=alt.Scale(domain=domain, range=shapes), legend=legend),
    }
    return look if points else {name: look[name] for name in ("color", "strokeDash")}


def add_text(frame: pd.DataFrame, figure: str) -> pd.DataFrame:
    """Add a column `text`: a figure with its interval, as it is read: "5.47 (5.31 to 5.60)"."""
    texts = [number(float(value)) for value in frame[figure]]
    if f"{figure}_low" in frame:
        known = map(interval, frame[f"{figure}_low"], frame[f"{figure}_high"])
        texts = [f"{text} ({ends})" if ends else text for text, ends in zip(texts, known, strict=True)]
    return frame.assign(text=texts)


def tooltips(titles: Mapping[str, str]) -> list[alt.Tooltip]:
    """Return what is shown beside a mark: the values of columns under their titles."""
    return [alt.Tooltip(field=name, type="nominal", title=title) for name, title in titles.items()]


def count_axis(column: str, title: str) -> alt.X:
    """Return an axis of whole numbers."""
    axis = alt.Axis(format=",d", labelExpr="datum.value % 1 ? '' : datum.label")
    return alt.X(f"{column}:Q", title=title, axis=axis, scale=alt.Scale(nice=False))


def _length_axis(frame: pd.DataFrame) -> alt.X:
    """Return a logarithmic axis of the lengths, which are its ticks."""
    lengths = sorted(int(length) for length in frame["length"].unique())
    axis = alt.Axis(values=lengths, format="d", grid=False)
    scale = alt.Scale(type="log", nice=False, padding=12)
    return alt.X("length:Q", title="sequence length (timesteps)", axis=axis, scale=scale)


def log_scale(frame: pd.DataFrame, *columns: str, include: Sequence[float] = ()) -> dict[str, Any]:
    """Return scale and axis of logarithmic figures, with plain numbers as ticks; what is not above 0 is left out."""
    values = np.append(frame[list(columns)].to_numpy(float), include)
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (values.min() / 1.15, values.max() * 1.15) if len(values) else (0.5, 2.0)
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    return {"scale": scale, "axis": alt.Axis(values=_ticks(low, high), format=PLAIN)}


def _ticks(low: float, high: float) -> list[float]:
    """Return three to ten ticks between two ends: powers of ten, or 1, 2 and 5 times these, or finer ones."""
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
    """Return an axis of the texts in the column `row`, by length and then in their order, with its title above."""
    above = alt.Axis(title=title, titleAngle=0, titleAlign="right", titleAnchor="end", titleX=-8, titleY=-8)
    rows = frame.sort_values("length", kind="stable")["row"].drop_duplicates()
    return alt.Y("row:N", sort=list(rows), axis=above)


def constant(axis: str, value: float) -> alt.Chart:
    """Return a line across each panel where an axis ("x" or "y") has a value."""
    panel = alt.Chart().transform_aggregate(rows="count()", groupby=["panel"])
    line: alt.Chart = panel.mark_rule(strokeWidth=1).encode(**{axis: alt.datum(value)})
    return line
