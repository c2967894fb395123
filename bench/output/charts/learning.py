"""Charts of what was learned: errors by length, losses, predictions, time to a target, memory and gradients.

A seed is the same work in every environment, so its environments are averaged and the seeds are the sample.
"""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from bench.analysis import memory, speed
from bench.analysis.accuracy import accuracy, average_environments, by_length, longest, loss_curves
from bench.analysis.select import Selection
from bench.analysis.targets import target_epochs, targeted_losses
from bench.output.charts.marks import (
    count_axis,
    line_chart,
    log_scale,
    name_panels,
    name_series,
    panels,
    series,
    tooltips,
)
from bench.output.names import loss_title, metric_of
from bench.output.numbers import number
from bench.records.frame import CELL

MOST_POINTS = 120
"""Points of a curve; of a longer one as many are drawn, evenly spaced."""
CONSTANTS = {"mean": "mean of the training rows", "class_shares": "shares of the classes"}
SMALLEST_GRADIENT = 1e-9
SEEDS = "Means over seeds, each averaged over its backends; bars: 95 % intervals over the seeds."
BANDS = SEEDS.replace("bars", "bands")
STEPS_BACK = count_axis("steps_back", "steps before the end")


def draw_accuracy(selection: Selection) -> alt.FacetChart | None:
    """Draw the test errors by length, for each model and patience."""
    frame = _accuracy(selection)
    baselines = selection.frames.baselines
    means = baselines[baselines["name"].isin(CONSTANTS)].drop_duplicates("length", keep="last")
    means = means.assign(series=means["name"].map(CONSTANTS))
    references = [means.assign(panel=panel) for panel in frame["panel"].unique()]
    y = f"test {metric_of(selection.frames.trainings).title}"
    tips = {"series": "model", "length": "length", "text": y, "seeds": "seeds", "epochs": "epochs (median)"}
    title = "Errors on the test rows, by sequence length"
    return line_chart(pd.concat([frame, *references]), "test_error", y, tips, title=title, note=SEEDS)


def draw_exact_sums(selection: Selection) -> alt.FacetChart | None:
    """Draw the share of rows that are right, by length, for each model and patience; None where nothing says so."""
    frame, metric = _accuracy(selection), metric_of(selection.frames.trainings)
    if frame["right_rate"].isna().all():
        return None
    frame[["right_rate", "right_rate_low", "right_rate_high"]] *= 100
    scale, y = alt.Scale(domain=[0, 100]), f"{metric.right} (%)"
    tips = {"series": "model", "length": "length", "text": y, "seeds": "seeds"}
    title = f"{metric.rows.capitalize()}, by sequence length"
    return line_chart(frame, "right_rate", y, tips, scale=scale, title=title, note=SEEDS)


def _accuracy(selection: Selection) -> pd.DataFrame:
    """Return a row for each model, length and patience; patiences that ended alike are one row of the analysis."""
    frame = accuracy(average_environments(selection.frames.trainings))
    frame = name_series(frame, "model").sort_values("length", kind="stable")
    frame = frame.assign(patience=frame["patiences"].str.split(", ")).explode("patience", ignore_index=True)
    return frame.assign(panel="patience " + frame["patience"]).sort_values("panel", kind="stable")


def draw_losses(selection: Selection) -> alt.FacetChart | None:
    """Draw the loss on the validation rows after each epoch."""
    curves = loss_curves(average_environments(selection.frames.losses))
    kept = np.unique(np.linspace(1, curves["epoch"].max(), MOST_POINTS).round())
    frame = _by_length(curves[curves["epoch"].isin(kept)])
    y = f"validation {loss_title(selection.frames.trainings)}"
    tips = {"series": "model", "epoch": "epoch", "text": f"{y} (quartiles)"}
    title = "Loss on the validation rows, by epoch"
    note = "Medians over the seeds, bands: quartiles. A seed whose training has stopped keeps its last loss."
    x = count_axis("epoch", "epoch")
    return line_chart(frame, "val_loss", y, tips, x=x, title=title, note=note)


def _by_length(frame: pd.DataFrame) -> pd.DataFrame:
    """Give each model a series and each length a panel."""
    return name_panels(name_series(frame, "model"), "length")


def draw_errors(selection: Selection) -> alt.FacetChart | None:
    """Draw the test errors by the true length of the rows."""
    summary = by_length(longest(average_environments(selection.frames.lengths)), most_bands=None)
    frame = _by_length(summary[summary["error"] > 0])
    y = f"test {metric_of(selection.frames.trainings).title}"
    tips = {"series": "model", "longest": "timesteps", "rows": "test rows", "text": y}
    x, title = count_axis("longest", "timesteps of the row"), "Errors by the true length of the rows"
    return line_chart(frame, "error", y, tips, x=x, title=title, note=BANDS, free=("x",))


def draw_predictions(selection: Selection) -> alt.FacetChart | None:
    """Draw the outputs for six test rows beside their sums, a point for each seed."""
    predictions = longest(average_environments(selection.frames.predictions))
    frame = name_panels(name_series(predictions, "model"), "model", "length")
    frame = frame.assign(text=frame["prediction"].map(number))
    look = series(frame)
    chart = alt.Chart().encode(x=alt.X("true_value:Q", title="true value"))
    line = chart.mark_line(style="guide").encode(y="true_value:Q")
    points = chart.mark_point(opacity=0.5, size=30).encode(
        y=alt.Y("prediction:Q", title="output"),
        color=look["color"],
        shape=look["shape"],
        tooltip=tooltips({"series": "model", "seed": "seed", "true_value": "true value", "text": "output"}),
    )
    return panels(
        frame,
        [line, points],
        title="Outputs and true values",
        note="Outputs for the first six test rows, a point for each seed. On the line the output is right.",
        height=150,
        free=("x", "y"),
    )


def draw_target(selection: Selection) -> alt.FacetChart | None:
    """Draw which share of the seeds has reached the target by when."""
    starts = speed.start_times(selection.frames.turns)[[*CELL, "epoch_s", "start_s", "validation_s"]]
    losses = targeted_losses(selection.frames)
    if selection.target is None or losses.empty:
        return None
    reached = target_epochs(losses, selection.target).merge(starts, on=CELL)
    if reached.empty:
        return None
    steps = pd.concat([_steps(seeds) for _, seeds in reached.groupby(CELL, sort=False)])
    validating_s = steps["epoch"] * steps["validation_s"].fillna(0)
    steps["seconds"] = steps["start_s"] + (steps["epoch"] - 1) * steps["epoch_s"] + validating_s
    steps = steps.assign(text=steps["seconds"].map(number), percent=steps["share"].map(number))
    frame = name_panels(name_series(steps, "environment"), "model", "length")
    line = alt.Chart().mark_line(interpolate="step-after").encode(
        x=alt.X("seconds:Q", title="seconds from starting the process", **log_scale(frame, "seconds")),
        y=alt.Y("share:Q", title="seeds (%)", scale=alt.Scale(domain=[0, 100])),
        tooltip=tooltips({"series": "backend", "epoch": "epoch", "text": "seconds", "percent": "seeds (%)"}),
        **series(frame, points=False),
    )  # fmt: skip
    note = (
        "Seconds of the start, of the epochs and of a validation after each, as timed where nothing else ran.\n"
        "A curve that ends below 100 %: some seeds did not reach it in the epochs that were trained."
    )
    title = f"Seeds whose validation loss is at most {selection.target:g}, over time"
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
    tips = {"series": "model", "steps_back": "steps before the end", "rows": "test rows", "text": "change"}
    title = "What a trained model keeps of a digit"
    note = (
        "Change of the output when the digit there grows by one: 1 is perfect memory, 0 is forgotten. Points with\n"
        f"fewer than {memory.LEAST_ROWS} test rows are left out. {BANDS}"
    )
    more: dict[str, Any] = {"x": STEPS_BACK, "scale": alt.Scale(zero=True), "constants": (0, 1), "free": ("x",)}
    return line_chart(frame[~frame["few_rows"]], "moved", "change of the output", tips, title=title, note=note, **more)


def draw_gradients(selection: Selection) -> alt.FacetChart | None:
    """Draw the size of the loss gradient k steps back, before and after training."""
    frame = _memory(selection)
    parts = []
    for weights, name in (("gradient_start", "starting weights"), ("gradient", "trained weights")):
        for state, suffix in (("h", ""), ("c", ", cell state")):
            part = frame.assign(gradient=frame[f"{weights}_{state}"], panel=frame["panel"] + ", " + name)
            parts.append(part.assign(series=frame["series"] + suffix))
    whole = pd.concat(parts).sort_values("length", kind="stable")
    whole = whole[whole["gradient"] >= SMALLEST_GRADIENT]
    tips = {"series": "model", "steps_back": "steps before the end", "text": "gradient norm"}
    title, y = "How far back the gradient reaches", "gradient norm, relative"
    note = (
        "Norm of the loss gradient with respect to the state so many steps back, relative to the last hidden state's.\n"
        "Medians over seeds, each averaged over its backends. Norms below one thousand-millionth are left out."
    )
    return line_chart(whole, "gradient", y, tips, x=STEPS_BACK, title=title, note=note, free=("x",))


def _memory(selection: Selection) -> pd.DataFrame:
    return _by_length(memory.curves(average_environments(selection.frames.memory)))
