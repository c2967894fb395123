"""Accuracy over seeds: errors of a cell, by the true length of the rows, and compared seed by seed.

Frames in, frames out. A training is a cell trained from one seed and judged where one patience ended it; several
patiences of a seed are one training judged several times. The sample is the seeds: every interval is of seeds on one
data set, unless each seed has its own (`redraw`). docs/methodology.md, "Accuracy over seeds", gives the reasons.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import inf, nan
from typing import Any, Literal

import numpy as np
import pandas as pd

from bench.analysis import statistics
from bench.records.frame import CELL
from seqsum_core.settings import TaskSettings
from seqsum_core.tasks import draw, split

MOST_BANDS = 6
"""Bands that the true lengths of the test rows are put into, at most."""
MOST_ROWS = 100_000
"""Rows up to which a task is drawn again, to look for test rows that are also fitted rows."""

OBSERVATION = ["seed", "patience", "epoch", "true_length", "steps_back", "row"]
"""Columns that tell the rows of a cell apart, in the frames that have them."""
BOUNDS = {"error": (0.0, inf), "test_error": (0.0, inf), "right_rate": (0.0, 1.0)}
"""Smallest and largest possible value of a figure."""
SIDES = ("_first", "_second")
PAIRED = [f"{figure}{side}" for figure in ("test_error", "right_rate") for side in SIDES]
"""Figures of the two that are compared."""


def patience_order(patience: pd.Series) -> pd.Series:
    """Return what patiences are sorted by: a negative one never stops a training, so it is the largest."""
    return patience.where(patience >= 0, inf)


def longest(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the largest patience of each cell: of `trainings`, `losses`, `lengths` or `memory`."""
    order = patience_order(frame["patience"])
    return frame[order == order.groupby([frame[column] for column in CELL]).transform("max")]


def average_environments(frame: pd.DataFrame) -> pd.DataFrame:
    """Average each seed over its environments, where it is the same work; their environment is "all" from then on.

    What is made of the result (`accuracy`, `loss_curves`, `bench.analysis.memory.curves`) has a figure for each model
    and length, and the sample is still the seeds. A frame with one environment keeps its name.
    """
    names = frame["environment"].unique()
    keys = [column for column in [*CELL, *OBSERVATION] if column in frame and column != "environment"]
    figures = frame.drop(columns=keys).select_dtypes(["number", "bool"]).columns.difference(["protocol_version"])
    averaged = frame.groupby(keys, sort=False)[list(figures)].mean().reset_index()
    return averaged.assign(environment="all" if len(names) > 1 else names[0] if len(names) else "")


def merge_patiences(frame: pd.DataFrame, figures: list[str], *, by: Sequence[str] = CELL) -> pd.DataFrame:
    """Keep one of several patiences whose trainings ended alike, seed by seed and figure by figure: the largest.

    Returns:
        The rows that are kept, with a column `patiences`, which names all that ended so: "0, 20".
    """
    by = list(by)
    rows = pd.util.hash_pandas_object(frame[["seed", *figures]], index=False)
    ends = frame[[*by, "patience"]].assign(end=rows).groupby([*by, "patience"], sort=False)["end"].sum().reset_index()
    ends = ends.sort_values("patience", key=patience_order, kind="stable")
    alike = ends.groupby([*by, "end"], sort=False)["patience"]
    kept = alike.agg(patience="last", patiences=_name_patiences).reset_index().drop(columns="end")
    return frame.merge(kept, on=[*by, "patience"])


def _name_patiences(patiences: pd.Series) -> str:
    return ", ".join(["never" if patience < 0 else str(patience) for patience in patiences])


def accuracy(trainings: pd.DataFrame) -> pd.DataFrame:
    """Summarise the seeds of each cell and patience.

    Returns:
        The cell's columns, `patience` and `patiences` (`merge_patiences`), and: `seeds`; the means `test_error` and
        `right_rate` with the ends of their 95 % intervals in `_low` and `_high`, NaN below 5 seeds;
        `test_error_median`, `test_error_sd`; `test_rows`: how many the test rows are; the means `split_test_error` and
        `split_right_rate` on the test rows of the split, NaN where these are the test rows; `epochs`, the median
        that ran; `stopped_early`, the share of seeds that patience stopped, where all others ran to the limit of
        epochs.
    """
    merged = merge_patiences(trainings, ["epochs", "test_error", "right_rate"])
    by = [*CELL, "patience", "patiences"]
    others = merged.groupby(by, sort=False).agg(
        seeds=("seed", "nunique"),
        test_error_median=("test_error", "median"),
        test_error_sd=("test_error", "std"),
        test_rows=("test_rows", "first"),
        split_test_error=("split_test_error", "mean"),
        split_right_rate=("split_right_rate", "mean"),
        epochs=("epochs", "median"),
        stopped_early=("stopped_early", "mean"),
    )
    return _means(merged, by, ["test_error", "right_rate"]).join(others, on=by)


def by_length(lengths: pd.DataFrame, *, most_bands: int | None = MOST_BANDS) -> pd.DataFrame:
    """Summarise errors by the true length of the test rows.

    Args:
        lengths: the frame.
        most_bands: bands that the true lengths of a cell are put into, every row weighing the same; None: each true
            length is its own.

    Returns:
        The cell's columns, `patience` and `patiences`, `shortest` and `longest` true length of the band, `rows`, the
        test rows in it, `seeds`, and the means `error` and `right_rate` with their 95 % intervals.
    """
    merged = merge_patiences(lengths, ["true_length", "error", "right_rate"])
    names = ["length", "true_length", "shortest", "longest"]
    bands = pd.DataFrame(list(_bands(merged, most_bands)), columns=names, dtype=int)
    figures, by = ["error", "right_rate"], [*CELL, "patience", "patiences", "shortest", "longest"]
    weighted = merged.assign(**{figure: merged[figure] * merged["rows"] for figure in figures})
    weighted = weighted.merge(bands, on=["length", "true_length"])
    seeds = weighted.groupby([*by, "seed"], sort=False)[["rows", *figures]].sum().reset_index()
    seeds[figures] = seeds[figures].div(seeds["rows"], axis=0)
    counts = seeds.groupby(by, sort=False).agg(rows=("rows", "first"), seeds=("seed", "nunique"))
    return _means(seeds, by, figures).join(counts, on=by)


def _bands(lengths: pd.DataFrame, most_bands: int | None) -> Iterator[tuple[Any, ...]]:
    """Yield length, true length, and the shortest and longest true length of its band."""
    for length, rows in lengths.groupby("length"):
        true_lengths = np.unique(rows["true_length"])
        for band in np.array_split(true_lengths, min(most_bands or len(true_lengths), len(true_lengths))):
            for true_length in band:
                yield length, true_length, band[0], band[-1]


def _means(frame: pd.DataFrame, by: list[str], figures: list[str]) -> pd.DataFrame:
    """Return the mean of each figure in each group, with the ends of its interval."""
    groups = frame.groupby(by, sort=False)
    means = groups[figures].mean()
    for figure in figures:
        ends = [statistics.mean_interval(values, bounds=BOUNDS[figure]) for _, values in groups[figure]]
        means[f"{figure}_low"], means[f"{figure}_high"] = [end.low for end in ends], [end.high for end in ends]
    return means.reset_index()


def paired(trainings: pd.DataFrame) -> pd.DataFrame:
    """Return the trainings whose seed is the same start on every backend."""
    return trainings[trainings["start"] != "keras"]


def seed_ratios(trainings: pd.DataFrame, second: str) -> pd.DataFrame:
    """Return a row for each seed of each cell that the same cell of an environment has, too, trained longest.

    Returns:
        run, the cell's columns, process (the seed), log_ratio: the logarithm of the test error / that of `second`.
    """
    names = ["run", *CELL, "seed", "start_hash"]
    errors = paired(longest(trainings))[[*names, "test_error"]]
    is_second = errors["environment"] == second
    on = [name for name in names if name != "environment"]
    pairs = errors[~is_second].merge(errors[is_second].drop(columns="environment"), on=on, suffixes=SIDES)
    logs = np.log(pairs["test_error_first"]) - np.log(pairs["test_error_second"])
    return pairs[["run", *CELL]].assign(process=pairs["seed"], log_ratio=logs)


def contrasts(trainings: pd.DataFrame, by: Literal["environment", "model"]) -> pd.DataFrame:
    """Compare every two environments or models seed by seed, where all else is equal.

    Only seeds that have the same start and batches in every environment are compared: `paired`.
    Models are averaged over the environments that both have. Patiences that ended alike are one comparison, so that
    Holm's correction, over all rows, counts it once.

    Returns:
        What `judge_pairs` returns for the other columns of the cell, `first` and `second` (by name, the later first).
    """
    same = [column for column in CELL if column not in (by, "environment")]
    equal = [*same, "patience", "seed", *(["environment"] if by == "model" else ["start_hash"])]
    sides = paired(trainings)[[*equal, by, "test_error", "right_rate"]]
    pairs = sides.merge(sides, on=equal, suffixes=SIDES)
    pairs = pairs.rename(columns={f"{by}_first": "first", f"{by}_second": "second"})
    pairs = pairs[pairs["first"] > pairs["second"]]
    same = [*same, "first", "second"]
    return judge_pairs(pairs.groupby([*same, "patience", "seed"])[PAIRED].mean().reset_index(), same)


def judge_pairs(pairs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Compare first and second by their pairs of seeds: a row for each seed and patience, with `by` and `PAIRED`.

    Returns:
        The columns of `by`, `patience` and `patiences`, `pairs`: how many; `error_ratio`: the geometric mean of first /
        second, and `right_difference`: the mean of first - second, each with its 95 % interval, of this row alone;
        `verdict`: "equal" if both are shown to be within the margins of `bench.analysis.statistics`, "different" if
        either is significant, else "open".
    """
    rows, judged = [], []
    for keys, group in merge_patiences(pairs, PAIRED, by=by).groupby([*by, "patience", "patiences"]):
        ratio = statistics.paired_ratio(group["test_error_first"], group["test_error_second"])
        points = statistics.paired_difference(group["right_rate_first"], group["right_rate_second"])
        rows.append((*keys, len(group), ratio.value, ratio.low, ratio.high, points.value, points.low, points.high))
        judged.append((ratio, points) if points.pairs else (ratio,))
    columns = [*by, "patience", "patiences", "pairs", "error_ratio", "error_ratio_low", "error_ratio_high"]
    columns += ["right_difference", "right_difference_low", "right_difference_high"]
    return pd.DataFrame(rows, columns=columns).assign(verdict=statistics.verdicts(judged))


def stopping(trainings: pd.DataFrame) -> pd.DataFrame:
    """Count what ended the trainings of each patience, the smallest first.

    Returns:
        `patience`, `trainings`, `stopped_early` (by patience) and `limit`: the epochs of those that patience did not
        stop; NaN if it stopped all.
    """
    ran_out = trainings["epochs"].where(~trainings["stopped_early"].astype(bool))
    groups = trainings.assign(limit=ran_out).groupby("patience")
    counts = groups.agg(trainings=("seed", "size"), stopped_early=("stopped_early", "sum"), limit=("limit", "max"))
    return counts.reset_index().sort_values("patience", key=patience_order, ignore_index=True)


def loss_curves(losses: pd.DataFrame) -> pd.DataFrame:
    """Summarise the val_loss after each epoch of each cell's longest trainings: medians and quartiles over seeds.

    Returns:
        The cell's columns, `epoch` from 1, `seeds`, `val_loss` (median), `val_loss_low`, `val_loss_high` (quartiles).
        A seed whose training has stopped keeps its last loss.
    """
    columns = [*CELL, "epoch", "seeds", "val_loss", "val_loss_low", "val_loss_high"]
    curves = [pd.DataFrame(columns=columns)]
    for cell, rows in longest(losses).groupby(CELL, sort=False):
        seeds = rows.pivot(index="epoch", columns="seed", values="val_loss").ffill()
        low, middle, high = np.quantile(seeds, [0.25, 0.5, 0.75], axis=1)
        figures = {"epoch": seeds.index, "seeds": seeds.shape[1], "val_loss": middle, "val_loss_low": low}
        curves.append(pd.DataFrame(dict(zip(CELL, cell, strict=True)) | figures | {"val_loss_high": high}))
    return pd.concat(curves[1:] or curves, ignore_index=True)


@lru_cache(maxsize=64)
def seen_share(task: TaskSettings, length: int) -> float:
    """Return the share of the split's test rows that are also fitted, with padding; NaN for more than 100,000 rows.

    NaN also for a user's own task, whose rows only a worker makes.
    """
    if task.rows is None or task.rows > MOST_ROWS:
        return nan
    rows = split(draw(task, length=length), task)
    fitted = {row.tobytes() for row in rows.fitted.x}
    return float(np.mean([row.tobytes() in fitted for row in rows.test.x]))
