"""Charts of what was learned: errors by length, losses, predictions, time to a target, memory and gradients.

A seed is the same work in every environment, so its environments are averaged and the seeds are the sample.
"""

import altair as alt
import numpy as np
import pandas as pd

from bench.analysis import memory, speed
from bench.analysis.accuracy import accuracy, average_environments, by_length, longest, loss_curves
from bench.analysis.select import Selection
from bench.analysis.targets import target_epochs
from bench.output.charts.marks import (
    add_text,
    constant,
    count_axis,
    curve_layers,
    length_axis,
    line_layers,
    log_scale,
    name_panels,
    name_series,
    panels,
    series,
    sort_cells,
    tooltips,
)
from bench.output.numbers import number
from bench.records.frame import CELL

MOST_POINTS = 120
"""Points of a curve; of a longer one as many are drawn, evenly spaced."""
SMALLEST_GRADIENT = 1e-9
SEEDS = "Means over seeds, each averaged over its backends; bars: 95 % intervals over the seeds."


def draw_accuracy(selection: Selection) -> alt.FacetChart | None:
    """Draw the test errors by length, for each model and patience."""
    frame = _accuracy(selection)
    if frame is None:
        return None
    frame = add_text(frame, "test_mse")
    baselines = selection.frames.baselines
    means = baselines[baselines["name"] == "mean"].drop_duplicates("length", keep="last")
    references = [means.assign(series="mean of the training rows", panel=panel) for panel in frame["panel"].unique()]
    whole = pd.concat([frame, *(add_text(part, "test_mse") for part in references)])
    y = alt.Y("test_mse:Q", title="test MSE", **log_scale(whole, "test_mse", "test_mse_low", "test_mse_high"))
    tips = {"series": "model", "length": "length", "text": "test MSE", "seeds": "seeds", "epochs": "epochs (median)"}
    layers = line_layers(whole, length_axis(whole), y, "test_mse", tips)
    return panels(whole, layers, title="Errors on the test rows, by sequence length", note=SEEDS)


def draw_exact_sums(selection: Selection) -> alt.FacetChart | None:
    """Draw the share of sums that are exactly right once rounded, by length, for each model and patience."""
    frame = _accuracy(selection)
    if frame is None:
        return None
    rates = ["exact_sum_rate", "exact_sum_rate_low", "exact_sum_rate_high"]
    frame = add_text(frame.assign(**{rate: 100 * frame[rate] for rate in rates}), "exact_sum_rate")
    y = alt.Y("exact_sum_rate:Q", title="exact sums (%)", scale=alt.Scale(domain=[0, 100]))
    tips = {"series": "model", "length": "length", "text": "exact sums (%)", "seeds": "seeds"}
    layers = line_layers(frame, length_axis(frame), y, "exact_sum_rate", tips)
    return panels(frame, layers, title="Sums that are exactly right, by sequence length", note=SEEDS)


def _accuracy(selection: Selection) -> pd.DataFrame | None:
    trainings = selection.frames.trainings
    if trainings.empty:
        return None
    frame = name_series(accuracy(average_environments(trainings)), "model").sort_values("length", kind="stable")
    patiences = frame["patiences"].str.split(", ")  # several that ended alike are one row, and a point in each panel
    frame = frame.assign(patience=patiences).explode("patience")
    return frame.assign(panel="patience " + frame["patience"]).sort_values("panel", kind="stable")


def draw_losses(selection: Selection) -> alt.FacetChart | None:
    """Draw the loss on the validation rows after each epoch."""
    losses = selection.frames.losses
    if losses.empty:
        return None
    curves = loss_curves(average_environments(losses))
    kept = np.unique(np.linspace(1, curves["epoch"].max(), MOST_POINTS).round())
    frame = add_text(_by_length(curves[curves["epoch"].isin(kept)]), "val_mse")
    y = alt.Y("val_mse:Q", title="validation MSE", **log_scale(frame, "val_mse", "val_mse_low", "val_mse_high"))
    tips = {"series": "model", "epoch": "epoch", "text": "validation MSE (quartiles)"}
    layers = curve_layers(frame, count_axis("epoch", "epoch"), y, "val_mse", tips)
    note = "Medians over the seeds, bands: quartiles. A seed whose training has stopped keeps its last loss."
    return panels(frame, layers, title="Loss on the validation rows, by epoch", note=note)


def draw_errors(selection: Selection) -> alt.FacetChart | None:
    """Draw the test errors by the true length of the rows."""
    lengths = selection.frames.lengths
    if lengths.empty:
        return None
    summary = by_length(longest(average_environments(lengths)), most_bands=None)
    frame = add_text(_by_length(summary[summary["mse"] > 0]), "mse")
    x = count_axis("longest", "digits in the row")
    y = alt.Y("mse:Q", title="test MSE", **log_scale(frame, "mse"))
    tips = {"series": "model", "longest": "digits", "rows": "test rows", "text": "test MSE"}
    layers = curve_layers(frame, x, y, "mse", tips)
    return panels(
        frame,
        layers,
        title="Errors by the true length of the rows",
        note=SEEDS.replace("bars", "bands"),
        x="independent",
    )


def draw_predictions(selection: Selection) -> alt.FacetChart | None:
    """Draw the outputs for six test rows beside their sums, a point for each seed."""
    predictions = selection.frames.predictions
    if predictions.empty:
        return None
    frame = name_panels(name_series(longest(average_environments(predictions)), "model"))
    frame = frame.assign(text=frame["prediction"].map(number))
    marks = series(frame)
    x, y = alt.X("true_sum:Q", title="true sum"), alt.Y("prediction:Q", title="output")
    tips = tooltips({"series": "model", "seed": "seed", "true_sum": "true sum", "text": "output"})
    chart = alt.Chart()
    layers = [
        chart.mark_line(style="guide").encode(x=x, y="true_sum:Q"),
        chart.mark_point(opacity=0.5, size=30).encode(
            x=x, y=y, color=marks["color"], shape=marks["shape"], tooltip=tips
        ),
    ]
    note = "Outputs for the first six test rows, a point for each seed. On the line the output is the sum."
    return panels(frame, layers, title="Outputs and true sums", note=note, height=150, x="independent", y="independent")


def draw_target(selection: Selection) -> alt.FacetChart | None:
    """Draw which share of the seeds has reached the target by when."""
    turns, losses = selection.frames.turns, selection.frames.losses
    if turns.empty or losses.empty:
        return None
    starts = speed.start_times(turns)[[*CELL, "start_s", "validation_s"]]
    timed = speed.epoch_times(turns)[[*CELL, "epoch_s"]].merge(starts, on=CELL)
    reached = target_epochs(losses, selection.target).merge(timed, on=CELL)
    if reached.empty:
        return None
    steps = pd.concat([_steps(seeds) for _, seeds in reached.groupby(CELL, sort=False)])
    validating_s = steps["epoch"] * steps["validation_s"].fillna(0)
    steps["seconds"] = steps["start_s"] + (steps["epoch"] - 1) * steps["epoch_s"] + validating_s
    steps = steps.assign(text=steps["seconds"].map(number), percent=steps["share"].map(number))
    frame = name_panels(name_series(steps, "environment"))
    x = alt.X("seconds:Q", title="seconds from starting the process", **log_scale(frame, "seconds"))
    y = alt.Y("share:Q", title="seeds (%)", scale=alt.Scale(domain=[0, 100]))
    tips = tooltips({"series": "backend", "epoch": "epoch", "text": "seconds", "percent": "seeds (%)"})
    line = alt.Chart().mark_line(interpolate="step-after").encode(x=x, y=y, tooltip=tips, **series(frame, points=False))
    note = (
        "Seconds of the start, of the epochs and of a validation after each, as timed where nothing else ran.\n"
        "A curve that ends below 100 %: some seeds did not reach it in the epochs that were trained."
    )
    title = f"Seeds whose validation MSE is at most {selection.target:g}, over time"
    return panels(frame, [line], title=title, note=note)


def _steps(seeds: pd.DataFrame) -> pd.DataFrame:
    """Return the share of a cell's seeds that have reached the target, at each epoch at which it rises."""
    counts = seeds.loc[np.isfinite(seeds["epoch"]), "epoch"].value_counts().sort_index().cumsum()
    ends = {1.0: 0} | counts.to_dict() | {float(seeds["epochs"].max()): int(counts.max()) if len(counts) else 0}
    steps = pd.DataFrame({"epoch": list(ends), "share": [100 * count / len(seeds) for count in ends.values()]})
    return steps.assign(**{name: seeds[name].iloc[0] for name in (*CELL, "epoch_s", "start_s", "validation_s")})


def draw_memory(selection: Selection) -> alt.FacetChart | None:
    """Draw by how much the output changes with the digit k steps before the end."""
    frame = _memory(selection)
    if frame is None:
        return None
    frame = add_text(frame[~frame["few_rows"]], "moved")
    y = alt.Y("moved:Q", title="change of the output", scale=alt.Scale(zero=True))
    tips = {"series": "model", "steps_back": "steps before the end", "rows": "test rows", "text": "change"}
    layers = curve_layers(frame, count_axis("steps_back", "steps before the end"), y, "moved", tips)
    note = (
        "Change of the output when the digit there grows by one: 1 is perfect memory, 0 is forgotten. Points with\n"
        f"fewer than {memory.LEAST_ROWS} test rows are left out. " + SEEDS.replace("bars", "bands")
    )
    layers = [constant("y", 0), constant("y", 1), *layers]
    return panels(frame, layers, title="What a trained model keeps of a digit", note=note, x="independent")


def draw_gradients(selection: Selection) -> alt.FacetChart | None:
    """Draw the size of the loss gradient k steps back, before and after training."""
    frame = _memory(selection)
    if frame is None:
        return None
    parts = []
    for weights, name in (("gradient_start", "starting weights"), ("gradient", "trained weights")):
        for state, suffix in (("h", ""), ("c", ", cell state")):
            part = frame.assign(gradient=frame[f"{weights}_{state}"], panel=frame["panel"] + ", " + name)
            parts.append(part.assign(series=frame["series"] + suffix))
    whole = pd.concat(parts).sort_values("length", kind="stable")
    whole = add_text(whole[whole["gradient"] >= SMALLEST_GRADIENT], "gradient")
    if whole.empty:
        return None
    y = alt.Y("gradient:Q", title="gradient norm, relative", **log_scale(whole, "gradient"))
    tips = {"series": "model", "steps_back": "steps before the end", "text": "gradient norm"}
    layers = curve_layers(whole, count_axis("steps_back", "steps before the end"), y, "gradient", tips)
    note = (
        "Norm of the loss gradient with respect to the state so many steps back, relative to the last hidden state's.\n"
        "Medians over seeds, each averaged over its backends. Norms below one thousand-millionth are left out."
    )
    return panels(whole, layers, title="How far back the gradient reaches", note=note, x="independent")


def _memory(selection: Selection) -> pd.DataFrame | None:
    kept = selection.frames.memory
    return None if kept.empty else _by_length(memory.curves(average_environments(kept)))


def _by_length(frame: pd.DataFrame) -> pd.DataFrame:
    """Give each model a series and each length a panel."""
    frame = sort_cells(name_series(frame, "model")).sort_values("length", kind="stable")
    return frame.assign(panel=[f"length {length}" for length in frame["length"]])
