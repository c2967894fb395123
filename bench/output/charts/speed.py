"""Charts of time: epochs, ratios, start, total time, every turn, the price of the framework and of settings."""

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis import speed
from bench.analysis.select import Selection
from bench.output.charts.marks import (
    add_text,
    constant,
    length_axis,
    line_layers,
    log_scale,
    name_panels,
    name_series,
    panels,
    row_axis,
    series,
    sort_cells,
    tooltips,
)
from bench.output.charts.theme import display_name
from bench.output.numbers import number
from bench.records.frame import CELL

ROW = 19
"""Pixels of a row in a chart of rows."""
RING = "M-1,0a1,1 0 1,0 2,0a1,1 0 1,0 -2,0M-.6,0a.6,.6 0 1,1 1.2,0a.6,.6 0 1,1 -1.2,0"
HOLLOW_DIAMOND = "M0,-1.3L1.1,0L0,1.3L-1.1,0ZM0,-.7L-.6,0L0,.7L.6,0Z"
"""SVG paths of shapes from about -1 to 1; the inner line runs the other way round, which leaves a hole."""
MOST_TURNS = 3_000
"""Turns that are drawn; of more of them as many, evenly spaced."""
STAGES = {
    "process_start_s": "process start",
    "import_s": "import",
    "build_s": "build",
    "first_epoch_s": "first epoch",
}
PROCESSES = "Medians over fresh processes; bars: intervals by the order of the processes, of at least 95 %."


def main_turns(selection: Selection) -> pd.DataFrame:
    """Return the turns of the variant with which others are compared; all turns if there is none."""
    turns = selection.frames.turns
    main = turns[turns["variant"] == str(selection.header.sweep.variants[0])]
    return main if len(main) else turns


def draw_speed(selection: Selection) -> alt.FacetChart | None:
    """Draw the time of an epoch by length."""
    times = speed.epoch_times(main_turns(selection))
    if times.empty:
        return None
    ends = ["epoch_s", "epoch_s_low", "epoch_s_high"]
    times[ends] *= 1e3
    frame = add_text(_by_model(name_series(times, "environment")), "epoch_s")
    y = alt.Y("epoch_s:Q", title="milliseconds per epoch", **log_scale(frame, *ends))
    tips = {"series": "backend", "length": "length", "text": "ms per epoch", "processes": "processes"}
    layers = line_layers(frame, length_axis(frame), y, "epoch_s", tips)
    return panels(frame, layers, title="Time of a training epoch by sequence length", note=PROCESSES)


def draw_ratios(selection: Selection) -> alt.FacetChart | None:
    """Draw the ratios of epoch times between environments, and those of the controls."""
    turns = main_turns(selection)
    compared = speed.ratios(turns, by="environment")
    controls = speed.controls(turns)
    names = compared["first"].map(display_name) + " / " + compared["second"].map(display_name)
    frames = [
        compared.assign(kind=_kind(compared), pair=names),
        controls.assign(kind="control", pair="control: " + controls["environment"].map(display_name)),
    ]
    frame = pd.concat([part for part in frames if len(part)]) if any(map(len, frames)) else compared
    if frame.empty:
        return None
    frame["row"] = frame["length"].astype(str) + " · " + frame["pair"]
    return _draw_ratios(
        _by_model(frame),
        "length · backends",
        title="Ratio of epoch times, by length",
        note="Above 1 the first takes longer. Ratios of turns of the same round; bars: intervals over the processes.\n"
        "Control: a cell timed against itself, which should give 1.",
    )


def draw_variants(selection: Selection) -> alt.FacetChart | None:
    """Draw how long each variant takes, relative to the first one of the run."""
    turns = selection.frames.turns
    baseline = str(selection.header.sweep.variants[0])
    compared = speed.ratios(turns[turns["implementation"] != "ceiling"], by="variant")
    compared = compared[compared["second"] == baseline]
    if compared.empty:
        return None
    names = compared["environment"].map(display_name)
    rows = compared["length"].astype(str) + " · " + names + ", " + compared["first"]
    frame = compared.assign(row=rows, kind=_kind(compared))
    return _draw_ratios(
        _by_model(frame),
        "length · backend, variant",
        title=f"Epoch time of variants / {baseline}",
        note="Below 1 the variant is faster. Ratios of turns of the same round; bars: intervals over the processes.",
    )


def _kind(ratios: pd.DataFrame) -> NDArray[np.str_]:
    """Return what each ratio shows: the name of its mark."""
    decided = (ratios["ratio_low"] > 1) | (ratios["ratio_high"] < 1)
    return np.select([ratios["ratio_low"].isna(), decided], ["no interval", "difference"], "no difference shown")


def _draw_ratios(frame: pd.DataFrame, row_title: str, *, title: str, note: str) -> alt.FacetChart:
    """Draw a row for each ratio, with a line at 1."""
    ends = frame["ratio_high"].fillna(frame["ratio"])
    frame = add_text(frame, "ratio").assign(figure=frame["ratio"].map(number), end=ends)
    chart = alt.Chart().encode(y=row_axis(frame, row_title))
    x = alt.X("ratio:Q", title="ratio", **log_scale(frame.assign(one=1.0), "ratio", "ratio_low", "ratio_high", "one"))
    kinds = {"difference": "circle", "no difference shown": RING, "no interval": "cross", "control": HOLLOW_DIAMOND}
    shown = [kind for kind in kinds if kind in set(frame["kind"])]
    shapes = alt.Scale(domain=shown, range=[kinds[kind] for kind in shown])
    tips = tooltips({"row": "", "text": "ratio", "processes": "processes"})
    layers = [
        constant("x", 1),
        chart.mark_rule(strokeWidth=1.5).encode(x=alt.X("ratio_low:Q"), x2="ratio_high:Q"),
        chart.mark_point(size=60).encode(x=x, shape=alt.Shape("kind:N", scale=shapes), tooltip=tips),
        chart.mark_text(align="left", dx=9).encode(x="end:Q", text="figure:N"),
    ]
    return panels(frame, layers, title=title, note=note, height=alt.Step(ROW), y="independent")


def draw_start(selection: Selection) -> alt.FacetChart | None:
    """Draw the seconds from starting a process to the end of its first epoch, in stages."""
    times = speed.start_times(main_turns(selection))
    if times.empty:
        return None
    times = _by_model(name_series(times, "environment"))
    times["row"] = times["length"].astype(str) + " · " + times["series"]
    stages = times.melt([*CELL, "panel", "row"], list(STAGES), var_name="stage", value_name="seconds")
    frame = stages.assign(
        order=stages["stage"].map(list(STAGES).index),
        text=stages["seconds"].map(number),
        stage=stages["stage"].map(STAGES),
    )
    names = list(STAGES.values())
    color = alt.Color("stage:N", scale=alt.Scale(domain=names, range="ordinal"), legend=alt.Legend(symbolType="square"))
    bars = alt.Chart().mark_bar(height={"band": 0.75}).encode(
        y=row_axis(times, "length · backend"),
        x=alt.X("sum(seconds):Q", title="seconds to the end of the first epoch"),
        color=color,
        order="order:O",
        tooltip=tooltips({"row": "", "stage": "stage", "text": "seconds"}),
    )  # fmt: skip
    note = "Medians over fresh processes. The first epoch holds tracing and compilation."
    return panels(
        frame, [bars], title="Start of a training, by length", note=note, height=alt.Step(ROW), y="independent"
    )


def draw_total_time(selection: Selection) -> alt.FacetChart | None:
    """Draw the seconds from starting a process to the end of an epoch, and where environments change places."""
    turns = main_turns(selection)
    starts = speed.start_times(turns)
    if starts.empty or starts["environment"].nunique() < 2:
        return None
    cells = speed.epoch_times(turns)[[*CELL, "epoch_s"]].merge(starts[[*CELL, "start_s"]], on=CELL)
    crossings = speed.break_even(turns)
    crossings = crossings[np.isfinite(crossings["epoch"]) & (crossings["epoch"] > 1)]
    epochs = np.unique(np.geomspace(1, max([1000, *2 * crossings["epoch"]]), 25).round())
    steps = cells.merge(pd.DataFrame({"epoch": epochs}), how="cross")
    steps["seconds"] = steps["start_s"] + (steps["epoch"] - 1) * steps["epoch_s"]
    steps = name_series(steps, "environment").assign(text=steps["seconds"].map(number))
    crossings["seconds"] = _seconds_at(crossings, cells)
    crossings = crossings.assign(
        crossing=crossings["epoch"].map("{:,.0f}".format),
        above=crossings.sort_values("epoch").groupby(["model", "length"]).cumcount() % 2 == 0,
        text=crossings["faster"].map(display_name) + " overtakes " + crossings["other"].map(display_name),
    )
    frame = name_panels(pd.concat([steps, crossings]))
    x = alt.X("epoch:Q", title="epochs", **log_scale(steps, "epoch"))
    y = alt.Y("seconds:Q", title="seconds from starting the process", **log_scale(frame, "seconds"))
    on_lines, at_crossings = "isValid(datum.series)", "isValid(datum.crossing)"
    tips = tooltips({"series": "backend", "epoch": "epoch", "text": "seconds"})
    tips_of_crossings = tooltips({"text": "", "crossing": "from epoch"})
    chart = alt.Chart()
    line = chart.transform_filter(on_lines).mark_line().encode(x=x, y=y, **series(steps, points=False))
    points = chart.transform_filter(on_lines).mark_point(size=120, opacity=0).encode(x=x, y=y, tooltip=tips)
    ring = chart.transform_filter(at_crossings).encode(x=x, y=y, tooltip=tips_of_crossings)
    rings = ring.mark_point(size=110, filled=False, strokeWidth=1.5)
    above = ring.transform_filter("datum.above").mark_text(dy=-14).encode(text="crossing:N")
    below = ring.transform_filter("!datum.above").mark_text(dy=14).encode(text="crossing:N")
    note = (
        "Start and epochs, without validation. Rings: the epoch from which on faster epochs have made up for the start."
    )
    return panels(frame, [line, points, rings, above, below], title="Total time by number of epochs", note=note)


def _seconds_at(crossings: pd.DataFrame, cells: pd.DataFrame) -> pd.Series:
    """Return the seconds at which the faster environment of each row overtakes the other one."""
    keys = [column for column in CELL if column in crossings and column != "environment"]
    faster = crossings.merge(cells, left_on=[*keys, "faster"], right_on=[*keys, "environment"], how="left")
    seconds = faster["start_s"] + (faster["epoch"] - 1) * faster["epoch_s"]
    return seconds.set_axis(crossings.index)


def draw_turns(selection: Selection) -> alt.FacetChart | None:
    """Draw every turn over time, relative to its cell: drift and disturbances are seen."""
    turns = selection.frames.turns
    if turns.empty:
        return None
    turns = turns.sort_values(["run", "started_after_s"])
    turns["relative"] = turns["epoch_s"] / turns.groupby(CELL)["epoch_s"].transform("median")
    turns = turns.iloc[np.unique(np.linspace(0, len(turns) - 1, min(MOST_TURNS, len(turns))).round().astype(int))]
    turns = sort_cells(turns)
    frame = pd.DataFrame(
        {
            "panel": turns["environment"].map(display_name),
            "minutes": turns["started_after_s"] / 60,
            "relative": turns["relative"],
            "state": np.where(turns["disturbed"], "disturbed", "undisturbed"),
            **{name: turns[name] for name in ("environment", "model", "length", "variant", "round")},
            "process": turns["process"] + 1,
            "text": (1e3 * turns["epoch_s"]).map(number),
        }
    )
    states = alt.Scale(domain=["undisturbed", "disturbed"], range=["circle", "triangle-up"])
    color = alt.Scale(domain=["undisturbed", "disturbed"])
    titles = {"model": "model", "length": "length", "variant": "variant", "process": "process", "round": "round"}
    points = alt.Chart().mark_point(size=22, opacity=0.6).encode(
        x=alt.X("minutes:Q", title="minutes since the run began"),
        y=alt.Y("relative:Q", title="epoch time / median of its cell", **log_scale(frame, "relative")),
        color=alt.Color("state:N", scale=color),
        shape=alt.Shape("state:N", scale=states),
        tooltip=tooltips(titles | {"text": "ms per epoch"}),
    )  # fmt: skip
    note = "A point for each turn. Disturbed: other processes used more than a tenth of a core meanwhile."
    return panels(frame, [constant("y", 1), points], title="Every turn over time", note=note, height=170)


def draw_tax(selection: Selection) -> alt.FacetChart | None:
    """Draw how long an epoch takes with Keras, relative to the same training without it."""
    taxes = speed.tax(selection.frames.turns)
    if taxes.empty:
        return None
    frame = name_series(taxes, "environment")
    frame = add_text(_by_model(frame), "ratio")
    y = alt.Y(
        "ratio:Q",
        title="Keras / without Keras",
        **log_scale(frame.assign(one=1.0), "ratio", "ratio_low", "ratio_high", "one"),
    )
    tips = {"series": "backend", "length": "length", "text": "ratio", "processes": "processes"}
    layers = [constant("y", 1), *line_layers(frame, length_axis(frame), y, "ratio", tips)]
    note = "Ratio of epoch times in turns of the same round; bars: intervals over the processes."
    return panels(frame, layers, title="What the framework adds, by sequence length", note=note)


def _by_model(frame: pd.DataFrame) -> pd.DataFrame:
    """Give each model a panel."""
    frame = sort_cells(frame)
    return frame.assign(panel=frame["model"].map(display_name))
