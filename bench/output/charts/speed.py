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
    line_chart,
    log_scale,
    name_panels,
    name_series,
    panels,
    row_axis,
    series,
    tooltips,
)
from bench.output.names import display_name, sort_cells
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


def draw_speed(selection: Selection) -> alt.FacetChart | None:
    """Draw the time of an epoch by length."""
    times = speed.epoch_times(selection.main_turns)
    times[["epoch_s", "epoch_s_low", "epoch_s_high"]] *= 1e3
    frame = name_panels(name_series(times, "environment"), "model")
    tips = {"series": "backend", "length": "length", "text": "ms per epoch", "processes": "processes"}
    title = "Time of a training epoch by sequence length"
    return line_chart(frame, "epoch_s", "milliseconds per epoch", tips, title=title, note=PROCESSES)


def draw_ratios(selection: Selection) -> alt.FacetChart | None:
    """Draw the ratios of epoch times between environments, and those of the controls."""
    turns = selection.main_turns
    compared, controls = speed.ratios(turns, by="environment"), speed.controls(turns)
    names = compared["first"].map(display_name) + " / " + compared["second"].map(display_name)
    frames = [
        compared.assign(kind=_kind(compared), row=names),
        controls.assign(kind="control", row="control: " + controls["environment"].map(display_name)),
    ]
    return _draw_ratios(
        pd.concat([frame for frame in frames if len(frame)] or frames[:1]),
        "length · backends",
        title="Ratio of epoch times, by length",
        note="Above 1 the first takes longer. Ratios of turns of the same round; bars: intervals over the processes.\n"
        "Control: a cell timed against itself, which should give 1.",
    )


def draw_variants(selection: Selection) -> alt.FacetChart | None:
    """Draw how long each variant takes, relative to the first one of the run."""
    turns = selection.frames.turns
    baseline = str(selection.header.sweep.variants[0])
    compared = speed.ratios(turns[turns["implementation"] != "ceiling"], by="variant", second=baseline)
    names = compared["environment"].map(display_name) + ", " + compared["first"]
    return _draw_ratios(
        compared.assign(row=names, kind=_kind(compared)),
        "length · backend, variant",
        title=f"Epoch time of variants / {baseline}",
        note="Below 1 the variant is faster. Ratios of turns of the same round; bars: intervals over the processes.",
    )


def _kind(ratios: pd.DataFrame) -> NDArray[np.str_]:
    """Return what each ratio shows: the name of its mark."""
    no_interval, is_open = ratios["verdict"].isna(), ratios["verdict"] == "open"
    return np.select([no_interval, is_open], ["no interval", "no difference shown"], "difference")


def _draw_ratios(frame: pd.DataFrame, row_title: str, *, title: str, note: str) -> alt.FacetChart | None:
    """Draw a row for each ratio, with a line at 1."""
    if frame.empty:
        return None
    frame = name_panels(add_text(frame, "ratio"), "model")
    frame = frame.assign(
        row=frame["length"].astype(str) + " · " + frame["row"],
        figure=frame["ratio"].map(number),
        end=frame["ratio_high"].fillna(frame["ratio"]),
    )
    chart = alt.Chart().encode(y=row_axis(frame, row_title))
    x = alt.X("ratio:Q", title="ratio", **log_scale(frame, "ratio", "ratio_low", "ratio_high", include=[1]))
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
    return panels(frame, layers, title=title, note=note, height=alt.Step(ROW), free=("y",))


def draw_start(selection: Selection) -> alt.FacetChart | None:
    """Draw the seconds from starting a process to the end of its first epoch, in stages."""
    times = speed.start_times(selection.main_turns)
    if times.empty:
        return None
    times = name_panels(name_series(times, "environment"), "model")
    times["row"] = times["length"].astype(str) + " · " + times["series"]
    stages = times.melt([*CELL, "panel", "row"], list(STAGES), var_name="stage", value_name="seconds")
    frame = stages.assign(
        order=stages["stage"].map(list(STAGES).index),
        text=stages["seconds"].map(number),
        stage=stages["stage"].map(STAGES),
    )
    scale = alt.Scale(domain=list(STAGES.values()), range="ordinal")
    bars = alt.Chart().mark_bar(height={"band": 0.75}).encode(
        y=row_axis(times, "length · backend"),
        x=alt.X("sum(seconds):Q", title="seconds to the end of the first epoch"),
        color=alt.Color("stage:N", scale=scale, legend=alt.Legend(symbolType="square")),
        order="order:O",
        tooltip=tooltips({"row": "", "stage": "stage", "text": "seconds"}),
    )  # fmt: skip
    note = "Medians over fresh processes. The first epoch holds tracing and compilation."
    return panels(frame, [bars], title="Start of a training, by length", note=note, height=alt.Step(ROW), free=("y",))


def draw_total_time(selection: Selection) -> alt.FacetChart | None:
    """Draw the seconds from starting a process to the end of an epoch, and where environments change places."""
    turns = selection.main_turns
    cells = speed.start_times(turns)[[*CELL, "start_s", "epoch_s"]]
    if cells["environment"].nunique() < 2:
        return None
    crossings = speed.break_even(turns)
    crossings = crossings[np.isfinite(crossings["epoch"]) & (crossings["epoch"] > 1)]
    epochs = np.unique(np.geomspace(1, max([1000, *2 * crossings["epoch"]]), 25).round())
    steps = cells.merge(pd.DataFrame({"epoch": epochs}), how="cross")
    steps["seconds"] = steps["start_s"] + (steps["epoch"] - 1) * steps["epoch_s"]
    steps = name_series(steps, "environment").assign(text=steps["seconds"].map(number))
    keys = [name for name in CELL if name != "environment"]
    crossings = crossings.merge(cells.rename(columns={"environment": "faster"}), on=[*keys, "faster"], how="left")
    crossings = crossings.assign(
        seconds=crossings["start_s"] + (crossings["epoch"] - 1) * crossings["epoch_s"],
        crossing=crossings["epoch"].map("{:,.0f}".format),
        above=crossings.sort_values("epoch").groupby(["model", "length"]).cumcount() % 2 == 0,
        text=crossings["faster"].map(display_name) + " overtakes " + crossings["other"].map(display_name),
    )
    frame = name_panels(pd.concat([steps, crossings]), "model", "length")
    chart = alt.Chart().encode(
        x=alt.X("epoch:Q", title="epochs", **log_scale(steps, "epoch")),
        y=alt.Y("seconds:Q", title="seconds from starting the process", **log_scale(frame, "seconds")),
    )
    lines = chart.transform_filter("isValid(datum.series)")
    tips = tooltips({"series": "backend", "epoch": "epoch", "text": "seconds"})
    rings = chart.transform_filter("isValid(datum.crossing)")
    rings = rings.encode(tooltip=tooltips({"text": "", "crossing": "from epoch"}))
    layers = [
        lines.mark_line().encode(**series(steps, points=False)),
        lines.mark_point(size=120, opacity=0).encode(tooltip=tips),
        rings.mark_point(size=110, filled=False, strokeWidth=1.5),
        rings.transform_filter("datum.above").mark_text(dy=-14).encode(text="crossing:N"),
        rings.transform_filter("!datum.above").mark_text(dy=14).encode(text="crossing:N"),
    ]
    note = (
        "Start and epochs, without validation. Rings: the epoch from which on faster epochs have made up for the start."
    )
    return panels(frame, layers, title="Total time by number of epochs", note=note)


def draw_turns(selection: Selection) -> alt.FacetChart | None:
    """Draw every turn over time, relative to its cell: drift and disturbances are seen."""
    turns = selection.frames.turns.sort_values(["run", "started_after_s"])
    turns["relative"] = turns["epoch_s"] / turns.groupby(CELL)["epoch_s"].transform("median")
    turns = turns.iloc[np.unique(np.linspace(0, len(turns) - 1, min(MOST_TURNS, len(turns))).round().astype(int))]
    turns = sort_cells(turns)
    frame = turns.assign(
        panel=turns["environment"].map(display_name),
        minutes=turns["started_after_s"] / 60,
        state=np.where(turns["disturbed"], "disturbed", "undisturbed"),
        process=turns["process"] + 1,
        text=(1e3 * turns["epoch_s"]).map(number),
    )
    domain = ["undisturbed", "disturbed"]
    titles = {name: name for name in ("model", "length", "variant", "process", "round")} | {"text": "ms per epoch"}
    points = alt.Chart().mark_point(size=22, opacity=0.6).encode(
        x=alt.X("minutes:Q", title="minutes since the run began"),
        y=alt.Y("relative:Q", title="epoch time / median of its cell", **log_scale(frame, "relative")),
        color=alt.Color("state:N", scale=alt.Scale(domain=domain)),
        shape=alt.Shape("state:N", scale=alt.Scale(domain=domain, range=["circle", "triangle-up"])),
        tooltip=tooltips(titles),
    )  # fmt: skip
    note = "A point for each turn. Disturbed: other processes used more than a tenth of a core meanwhile."
    return panels(frame, [constant("y", 1), points], title="Every turn over time", note=note, height=170)


def draw_tax(selection: Selection) -> alt.FacetChart | None:
    """Draw how long an epoch takes with Keras, relative to the same training without it."""
    frame = name_panels(name_series(speed.tax(selection.frames.turns), "environment"), "model")
    tips = {"series": "backend", "length": "length", "text": "ratio", "processes": "processes"}
    title = "What the framework adds, by sequence length"
    note = "Ratio of epoch times in turns of the same round; bars: intervals over the processes."
    return line_chart(frame, "ratio", "Keras / without Keras", tips, constants=(1,), title=title, note=note)
