"""Tables of accuracy: over seeds, by true length, in pairs, time to a target, memory and single outputs."""

from collections.abc import Callable, Mapping
from math import isnan

import numpy as np
import pandas as pd

from bench.analysis import accuracy as figures
from bench.analysis.memory import LEAST_ROWS, curves
from bench.analysis.select import Selection
from bench.analysis.statistics import LEAST_SEEDS, RATE_MARGIN, RATIO_MARGIN
from bench.analysis.targets import agreement, target_epochs, targeted_losses, time_to_target
from bench.names import say_count
from bench.output.names import Metric, metric_of
from bench.output.tables.table import (
    Column,
    Table,
    add_status,
    cell_table,
    missing_notes,
    sort_rows,
    texts,
    with_interval,
)
from bench.records.frame import CELL
from seqsum_core.tasks import Task

BASELINES = {
    "linear_regression": "linear fit",
    "logistic_regression": "logistic fit",
    "class_shares": "class shares",
}
"""What a baseline is called where its name in the records is long."""
ENOUGH_SEEDS = 10
"""Seeds from which on a share of misses says something."""
PATIENCE = Column("patiences", "patience", kind="axis")
MEANING = "Ratio: geometric mean of A / B; points: mean of A - B."
VERDICTS = (
    f"equal: shown to lie within {RATIO_MARGIN:g} of ratio 1 and within {100 * RATE_MARGIN:g} points; different: "
    "significant, corrected for all rows (Holm); open: neither is shown, more seeds would tell."
)


LINEAR = (
    "The linear fit solves the task, since a sum is linear in the digits. The error of a recurrent model depends "
    "on how far training got as well as on its memory."
)


def accuracy_table(selection: Selection) -> Table:
    """Tabulate errors over seeds, and below them what models without recurrence get."""
    trainings = selection.frames.trainings
    frame = add_status(_sorted(figures.accuracy(trainings)), selection, "accuracy")
    baselines = selection.frames.baselines
    baselines = baselines[baselines["length"].isin(frame["length"])]
    baselines = baselines.assign(
        model=baselines["name"].replace(BASELINES), environment="none", device="cpu", threads="1", variant="default"
    )
    frame = pd.concat([frame, baselines.reindex(columns=frame.columns)], ignore_index=True)
    frame = frame.sort_values("length", kind="stable", ignore_index=True).astype({"seeds": "Int64"})
    task, metric = selection.header.sweep.task, metric_of(trainings)
    frame["seen_share"] = [figures.seen_share(task, int(length)) for length in frame["length"]]
    columns = [
        PATIENCE,
        Column("seeds", "seeds", kind="count"),
        with_interval("test_error", f"test {metric.error}", level=0.95),
        Column("test_error_median", "median"),
        with_interval("right_rate", f"{metric.right} %", 100, level=0.95),
        Column("split_test_error", f"split: {metric.error}"),
        Column("split_right_rate", f"split: {metric.right} %", 100),
        Column("seen_share", "split: seen rows %", 100),
        Column("epochs", "epochs", kind="count"),
        Column("stopped_early", "stopped early %", 100),
        *texts("status"),
    ]
    notes = (
        _scope(selection),
        _stopping(trainings),
        "Split: the test rows of the data set itself. Seen rows: the share of them that are equal to a fitted row.",
        LINEAR if task.name == "sum" else "",
        *_other_losses(trainings),
        *missing_notes(selection, "accuracy"),
    )
    return cell_table("accuracy", "Accuracy", frame, columns, *notes)


def _other_losses(trainings: pd.DataFrame) -> list[str]:
    """Name the models that are trained with another loss than their task's."""
    other = trainings[trainings["loss_name"] != trainings["judge"].map(lambda judge: Task(judge).loss)]
    names = other.drop_duplicates(["model", "loss_name"])
    return [
        f"{row.model} is trained with another loss, {row.loss_name}: it has no target." for row in names.itertuples()
    ]


def _sorted(frame: pd.DataFrame, *others: str) -> pd.DataFrame:
    """Sort rows by their cells, then by patience, never stopping last, then by other columns."""
    return sort_rows(frame.sort_values(["patience", *others], key=_order, kind="stable"))


def _order(column: pd.Series) -> pd.Series:
    return figures.patience_order(column) if column.name == "patience" else column


def _means(trainings: pd.DataFrame) -> str:
    """Describe what the means are over."""
    counts = trainings.groupby(CELL)["seed"].nunique()
    few, most = counts.agg(["min", "max"]).fillna(0).astype(int).tolist()
    seeds = say_count(most, "seed") if few == most else f"{few} to {most} seeds"
    return f"Means over {seeds}, from {LEAST_SEEDS} on with 95 % intervals"


def _scope(selection: Selection) -> str:
    """Describe what the means and their intervals are of."""
    trainings, task = selection.frames.trainings, selection.header.sweep.task
    rows = int(trainings["test_rows"].max()) if len(trainings) else 0
    means = f"{_means(trainings)}, on {rows:,} test rows"
    if trainings["split_test_error"].isna().all():
        return f"{means}, the split's own: other rows can change a figure by more than other seeds."
    if task.redraw:
        return f"{means} of the same law, drawn apart. Each seed has a data set of its own: intervals are of both."
    return f"{means} of the same law, drawn apart. Intervals are of seeds on this data set."


def _stopping(trainings: pd.DataFrame) -> str:
    """Describe what ended the trainings of each patience."""
    parts = []
    for patience, count, stopped, limit in figures.stopping(trainings).itertuples(index=False):
        name = "No early stopping" if patience < 0 else f"Patience {patience}"
        limited = "" if isnan(limit) else f", {count - stopped:,} by the limit of {limit:,.0f} epochs"
        parts.append(f"{name}: {stopped:,} of {say_count(count, 'training')} were ended by patience{limited}.")
    return " ".join([*parts, "The weights are those of the last epoch."])


def by_length_table(selection: Selection) -> Table:
    """Tabulate errors by the true length of the test rows."""
    frame = _sorted(figures.by_length(selection.frames.lengths), "shortest")
    metric = metric_of(selection.frames.trainings)
    frame["true_length"] = _spans(frame["shortest"], frame["longest"])
    columns = [
        PATIENCE,
        Column("true_length", "true length", kind="text"),
        Column("rows", "test rows", kind="count"),
        with_interval("error", f"test {metric.error}", level=0.95),
        with_interval("right_rate", f"{metric.right} %", 100, level=0.95),
    ]
    bands = f"The true lengths are put into at most {figures.MOST_BANDS} bands."
    return cell_table("accuracy-by-length", "Accuracy by true length", frame, columns, _scope(selection), bands)


def _spans(first: pd.Series, last: pd.Series) -> pd.Series:
    """Write "2 to 10", and "2" where both are the same."""
    return first.astype(str).where(first == last, first.astype(str) + " to " + last.astype(str))


def by_model_table(selection: Selection) -> Table:
    """Compare every two models at each length, seed by seed."""
    frame = figures.contrasts(selection.frames.trainings, by="model")
    note = f"Pairs of seeds, averaged over the backends that both models have. {MEANING}"
    metric = metric_of(selection.frames.trainings)
    return _contrast_table("accuracy-by-model", "Accuracy of the models compared", frame, note, metric)


def by_backend_table(selection: Selection) -> Table:
    """Compare every two backends for each model and length, seed by seed."""
    frame = figures.contrasts(selection.frames.trainings, by="environment")
    note = f"Pairs of seeds: the same starting weights and batches on both. {MEANING}"
    metric = metric_of(selection.frames.trainings)
    return _contrast_table("accuracy-by-backend", "Accuracy of the backends compared", frame, note, metric)


def _contrast_table(name: str, title: str, frame: pd.DataFrame, note: str, metric: Metric) -> Table:
    frame = _sorted(frame.assign(pair=frame["first"] + " / " + frame["second"]), "first", "second")
    columns = [
        PATIENCE,
        Column("pair", "A / B", kind="axis"),
        Column("pairs", "pairs", kind="count"),
        with_interval("error_ratio", f"{metric.error} ratio", level=0.95),
        with_interval("right_difference", f"{metric.right} points", 100, level=0.95),
        *texts("verdict"),
    ]
    scope = "Intervals and verdicts are of seeds on one data set and its test rows."
    return cell_table(name, title, frame, columns, note, VERDICTS, scope)


def target_table(selection: Selection) -> Table:
    """Tabulate the epochs and seconds until val_loss reaches the target."""
    frames, target = selection.frames, selection.target
    of_training = [*CELL, "patience", "seed"]
    trainings = frames.trainings[[*of_training, "start", "stopped_early"]]
    losses = targeted_losses(frames)
    epochs = target_epochs(losses if target else losses.head(0), target or 0.0).merge(trainings, on=of_training)
    same = agreement(figures.paired(epochs))
    frame = time_to_target(frames.turns, epochs)
    frame = sort_rows(
        frame.merge(same, on=[name for name in CELL if name != "environment"], how="left", suffixes=("", "_shared"))
    )
    frame["reached_of"] = _of(frame["reached"], frame["seeds"])
    frame["same_of"] = _of(frame["same"], frame["seeds_shared"])
    columns = [
        Column("reached_of", "reached", kind="text"),
        with_interval("epochs", "epochs", kind="count"),
        Column("train_s", "training s"),
        Column("total_s", "from start s"),
        Column("same_of", "same epoch", kind="text"),
    ]
    notes = (
        f"First epoch at whose end val_loss is at most {target or 0:g} (--target): medians over seeds, with intervals "
        "by their order, from 6 seeds on. A seed that does not reach it counts as never.",
        *_misses(epochs),
        "Accuracy trials are not timed. Training s: epochs times the steady epoch of the same cell where it was timed. "
        "From start s: process start, import, build and first epoch too, and a validation after every epoch.",
        *_agreement(same),
        *missing_notes(selection, "accuracy"),
    )
    return cell_table("target", f"Time to a val_loss of {target or 0:g}", frame, columns, *notes)


def _of(count: pd.Series, total: pd.Series) -> pd.Series:
    """Write "9 of 10", and nothing where nothing was counted."""
    counts, totals = (numbers.astype("Int64").astype("string") for numbers in (count, total))
    return (counts + " of " + totals).fillna("").astype(str)


def _misses(epochs: pd.DataFrame) -> list[str]:
    """Describe how many trainings missed the target, and whether they or the seeds were too few."""
    if epochs.empty:
        return []
    missed = ~np.isfinite(epochs["epoch"])
    stopped = int((missed & epochs["stopped_early"].astype(bool)).sum())
    ended = f", {stopped:,} of them stopped early: they might have reached it later" if stopped else ""
    limit = say_count(int(epochs["epochs"].max()), "epoch")
    notes = [f"{missed.sum():,} of {say_count(len(epochs), 'training')} did not reach it within {limit}{ended}."]
    few = int(epochs.groupby(CELL)["seed"].nunique().min())
    return notes + [f"{say_count(few, 'seed')} are too few: train at least {ENOUGH_SEEDS}."] * (few < ENOUGH_SEEDS)


def _agreement(same: pd.DataFrame) -> list[str]:
    """Describe how often a seed reached the target in the same epoch on all backends."""
    if same.empty:
        return []
    apart, some_only = same["most_apart"].max(), int(same["some_only"].sum())
    others = f" Others are at most {say_count(int(apart), 'epoch')} apart." if apart > 0 else ""
    others += f" {say_count(some_only, 'seed')} reached it on some backends only." if some_only else ""
    return [
        "Same epoch: seeds that reached it in the same epoch on all backends, of those that reached it on any, where "
        f"start and batches are the same: {same['same'].sum():,} of {same['seeds'].sum():,}.{others}"
    ]


def memory_table(selection: Selection) -> Table:
    """Tabulate the change of the output with the digit k steps before the end, and the gradient there."""
    memory = selection.frames.memory
    k = memory["steps_back"].astype(int)
    frame = _sorted(curves(memory[k & (k - 1) == 0]), "steps_back")
    for name in ("moved", "moved_low", "moved_high"):
        frame[name] = frame[name].mask(frame["few_rows"])
    columns = [
        Column("steps_back", "steps back", kind="axis"),
        Column("rows", "test rows", kind="count"),
        with_interval("moved", "output change", level=0.95),
        Column("gradient_start_h", "gradient of h at start"),
        Column("gradient_h", "of h trained"),
        Column("gradient_start_c", "gradient of c at start"),
        Column("gradient_c", "of c trained"),
    ]
    notes = (
        "Output change: how far the output moves when the digit so many steps before the end grows by one; 1: it is "
        f"added, 0: it is not. Means over the test rows where it can grow, of seeds; empty below {LEAST_ROWS} rows.",
        "Where the output cannot grow as far as the sum, it changes little at any step, whatever the states hold.",
        "Gradient: the norm of the loss gradient with respect to the states h and c there, relative to that of h at "
        "the end, with the starting and the trained weights: medians over seeds.",
        f"{_means(selection.frames.trainings)}.",
        _stopping(figures.longest(selection.frames.trainings)),
    )
    return cell_table("memory", "Memory and gradients through time", frame, columns, *notes)


def predictions_table(selection: Selection) -> Table:
    """Tabulate the outputs for the first test rows below their true values: lowest seed, largest patience."""
    rows = figures.longest(selection.frames.predictions)
    rows = rows[rows["seed"] == rows.groupby(CELL)["seed"].transform("min")]
    sums = rows.drop_duplicates(["length", "row"]).assign(
        model="true value", environment="", device="cpu", threads="1", variant="default"
    )
    outputs = rows.pivot(index=CELL, columns="row", values="prediction").reset_index()
    true_sums = sums.pivot(index=CELL, columns="row", values="true_value").reset_index()
    frame = pd.concat([true_sums, sort_rows(outputs)]).sort_values("length", kind="stable", ignore_index=True)
    frame.columns = pd.Index([name if isinstance(name, str) else f"row_{name}" for name in frame.columns])
    columns = [*(Column(name, name.replace("_", " ")) for name in frame.columns if name not in CELL)]
    notes = ("Outputs for the first test rows, of the lowest seed with the largest patience.",)
    return cell_table("predictions", "Predictions of the first test rows", frame, columns, *notes)


TABLES: Mapping[str, Callable[[Selection], Table]] = {
    "accuracy": accuracy_table,
    "accuracy-by-length": by_length_table,
    "accuracy-by-model": by_model_table,
    "accuracy-by-backend": by_backend_table,
    "target": target_table,
    "memory": memory_table,
    "predictions": predictions_table,
}
