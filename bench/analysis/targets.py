"""Time to accuracy: after how many epochs and seconds a training first reaches a target.

Frames in, frames out. A training that does not reach it is a miss and counts as infinite: leaving it out would reward
the environment whose hard seeds fail. Accuracy trials are packed densely and not timed, so their seconds are those of
the same cell where it was timed, validation included, without which nobody sees that the target is reached.
"""

from math import inf

import numpy as np
import pandas as pd

from bench.analysis import speed, statistics
from bench.analysis.accuracy import longest
from bench.errors import UserError
from bench.records.frame import CELL, Frames
from seqsum_core.tasks import Task


def parse_target(value: float | None) -> float | None:
    """Return a target that a training can reach; a UserError if it is not positive and finite."""
    if value is None or 0 < value < inf:
        return value
    raise UserError(f"`--target` must be a val_loss, positive and finite. Received: {value:g}. Use 0.25, say.")


def targeted_losses(frames: Frames) -> pd.DataFrame:
    """Return the losses of the trainings whose loss is that of their task: a target has its unit."""
    trainings = frames.trainings
    of_task = trainings["judge"].map(lambda judge: Task(judge).loss) == trainings["loss_name"]
    key = [*CELL, "patience", "seed"]
    return frames.losses.merge(trainings.loc[of_task, key], on=key)


def target_epochs(losses: pd.DataFrame, target: float) -> pd.DataFrame:
    """Return when the longest training of each cell and seed reached a val_loss.

    Returns:
        The cell's columns, `patience`, `seed`, and `epoch`: the first, counted from 1, at whose end val_loss is at most
        the target, infinite for a miss; `epochs`: all that ran.
    """
    rows = longest(losses)
    reached = rows.assign(reached=rows["epoch"].where(rows["val_loss"] <= target, inf))
    trainings = reached.groupby([*CELL, "patience", "seed"], sort=False)
    return trainings.agg(epoch=("reached", "min"), epochs=("epoch", "max")).reset_index()


def time_to_target(turns: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """Summarise the time to a val_loss over the seeds of each cell.

    Example: time_to_target(frames.turns, target_epochs(frames.losses, 0.25))

    Returns:
        The cell's columns, `seeds`, `reached`: the seeds that reached it, and over all seeds:
        `epochs`: the median, infinite if half of them missed, with the interval `epochs_low`, `epochs_high` by the
        order of the seeds and its true `level`; NaN below 6 seeds;
        `train_s`: seconds of so many steady epochs; `total_s`: from the start of the process to the end of the median
        epoch, each validated; both NaN where the cell was not timed.
    """
    rows = []
    for cell, reached in epochs.groupby(CELL, sort=False)["epoch"]:
        interval = statistics.order_interval(reached)
        rows.append((*cell, len(reached), np.isfinite(reached).sum(), reached.median(), *interval))
    timed = speed.start_times(turns)[[*CELL, "epoch_s", "start_s", "validation_s"]]
    columns = [*CELL, "seeds", "reached", "epochs", "epochs_low", "epochs_high", "level"]
    frame = pd.DataFrame(rows, columns=columns).merge(timed, on=CELL, how="left")
    frame["train_s"] = frame["epochs"] * frame["epoch_s"]
    steady_s = (frame["epochs"] - 1) * frame["epoch_s"]  # the start has the first epoch in it
    frame["total_s"] = frame["start_s"] + steady_s + frame["epochs"] * frame["validation_s"]
    return frame.drop(columns=["epoch_s", "start_s", "validation_s"])


def agreement(epochs: pd.DataFrame) -> pd.DataFrame:
    """Compare the environments of a cell seed by seed: a seed is the same start and the same batches in each.

    Args:
        epochs: what `target_epochs` returns, of trainings whose start was drawn in NumPy.

    Returns:
        The cell's other columns, and of the seeds that all environments trained and any brought to the target:
        `seeds`, how many; `same`: those that needed the same epoch in all; `most_apart`: the most epochs between two
        environments that both reached it; `some_only`: seeds that reached it in some environments only.
    """
    others = [column for column in CELL if column != "environment"]
    seeds = epochs.groupby([*others, "seed"])["epoch"].agg(["min", "max", "size"]).reset_index()
    environments = epochs.groupby(others)["environment"].nunique().rename("environments").reset_index()
    seeds = seeds.merge(environments, on=others)
    shared = seeds[(seeds["size"] == seeds["environments"]) & (seeds["size"] > 1) & np.isfinite(seeds["min"])]
    apart = shared["max"] - shared["min"]
    compared = shared.assign(same=apart == 0, apart=apart.where(np.isfinite(apart)), some_only=~np.isfinite(apart))
    cells = compared.groupby(others)
    counts: pd.DataFrame = cells.agg(
        seeds=("seed", "size"), same=("same", "sum"), most_apart=("apart", "max"), some_only=("some_only", "sum")
    )
    return counts.reset_index()
