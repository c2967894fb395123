"""A chart of versions: what an epoch takes relative to an environment that took turns with each of them."""

import altair as alt

from bench.analysis.history import history
from bench.analysis.select import Selection
from bench.output.charts.marks import add_text, constant, log_scale, name_panels, name_series, panels, series, tooltips
from bench.records.frame import Frames


def draw_history(selection: Selection) -> alt.FacetChart | None:
    """Draw epochs of versions relative to their anchor, oldest first; rings are steps."""
    frame = history(Frames(selection.runs).turns)
    if frame.empty:
        return None
    order = list(dict.fromkeys(frame["version"]))
    frame = name_panels(add_text(name_series(frame, "backend"), "ratio"), "model", "length")
    frame["step"] = [any(step[0] == "epoch" for step in steps) for steps in frame.pop("steps")]
    look = series(frame)
    chart = alt.Chart().encode(
        x=alt.X("version:N", title=None, sort=order, axis=alt.Axis(labelAngle=-45, labelOverlap=False)),
        y=alt.Y("ratio:Q", title="epoch / anchor", **log_scale(frame, "ratio", "ratio_low", "ratio_high", include=[1])),
        color=look["color"],
    )
    tips = {"series": "backend", "version": "version", "text": "ratio", "processes": "processes"}
    layers = [
        constant("y", 1),
        chart.mark_rule(strokeWidth=1.5).encode(y=alt.Y("ratio_low:Q"), y2="ratio_high:Q"),
        chart.mark_line().encode(strokeDash=look["strokeDash"]),
        chart.mark_point().encode(shape=look["shape"], tooltip=tooltips(tips)),
        chart.transform_filter("datum.step").mark_point(size=160, filled=False, strokeWidth=1.5),
    ]
    note = "Ratios in turns of the same rounds; bars: intervals over the processes. Rings: steps."
    return panels(frame, layers, title="Versions beside their anchor", note=note)
