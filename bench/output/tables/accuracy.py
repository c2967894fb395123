"""Tables of accuracy: over seeds, by true length, pairs of models and backends, single outputs.

Derived from raw records, as pandas frames. The sample is the seeds; what the intervals are and why:
docs/methodology.md, "Accuracy over seeds".
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from math import inf, nan

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.intervals import (
    LEAST_SEEDS,
    RATE_MARGIN,
    RATIO_MARGIN,
    Contrast,
    Interval,
    mean_interval,
    paired_difference,
    paired_ratio,
    verdicts,
)
from bench.analysis.patience import patience_order
from bench.analysis.selection import Row, Selection, Table, axes, name_usual, sort_rows, statuses, without_figures
from bench.plan.cells import Cell
from bench.records.schema import Accuracy, Baseline, Failure

MOST_BANDS = 6
Keys = tuple[str | int, ...]


def accuracy_table(chosen: Selection) -> Table:
    """Tabulate accuracy over seeds, with what models without recurrence get."""
    groups = _alike(chosen)
    tried = {str(trials[0].cell) for trials in groups}
    said = {cell: {"status": status} for cell, status in statuses(chosen, "accuracy").items()}
    rows = [
        axes(trials[0].cell)
        | {"patience": trials[0].patience}
        | _over_seeds(trials)
        | said.get(str(trials[0].cell), {})
        for trials in groups
    ]
    rows += [axes(cell) | said[str(cell)] for cell in _failed_cells(chosen) if str(cell) not in tried]
    frame = _with_patiences(name_usual(pd.DataFrame(rows)))
    if "seeds" in frame:
        frame["seeds"] = frame["seeds"].astype("Int64")  # a cell that failed and a baseline have none
    if rows and (baselines := [_of_baseline(baseline) for baseline in chosen.of(Baseline)]):
        frame = sort_rows(pd.concat([frame, pd.DataFrame(baselines)], ignore_index=True), ["length"])
    notes = (
        f"Means over {seeds(chosen)}; beside them 95 % intervals of the means (low, high; from {LEAST_SEEDS} seeds "
        "on), medians and standard deviations. A seed is the same start and the same batches on every backend.",
        f"{_stopping(chosen)}; the weights are those of the last epoch. Stop epoch: median.",
        "The linear fit (linear regression on the padded digits) solves the task: a sum is linear in the digits. "
        "What is measured is what a recurrent model keeps of its past.",
        *without_figures(chosen, "accuracy"),
    )
    return Table("Accuracy", frame, notes)


def _of_baseline(baseline: Baseline) -> Row:
    return {
        "model": "linear fit" if baseline.name == "linear_regression" else baseline.name,
        "length": baseline.length,
        "backend": "none",
        "test mse": baseline.test.mse,
        "exact sums %": 100 * baseline.test.exact_sum_rate,
    }


def _over_seeds(trials: list[Accuracy]) -> Row:
    mse = [trial.test.mse for trial in trials]
    exact = [100 * trial.test.exact_sum_rate for trial in trials]
    return {
        "seeds": len({trial.seed for trial in trials}),
        "test mse": float(np.mean(mse)),
        **_ends(mean_interval(mse, bounds=(0, inf))),
        "median": float(np.median(mse)),
        "sd": float(np.std(mse, ddof=1)) if len(mse) > 1 else nan,
        "exact sums %": float(np.mean(exact)),
        **_ends(mean_interval(exact, bounds=(0, 100)), " %"),
        "stop epoch": float(np.median([trial.epochs for trial in trials])),
    }


def _ends(interval: Interval, unit: str = "") -> Row:
    return {f"low{unit}": interval.low, f"high{unit}": interval.high}


def _alike(chosen: Selection) -> list[list[Accuracy]]:
    """Group records by cell and patience."""
    groups: list[list[Accuracy]] = []
    for _, trials in chosen.cells(Accuracy):
        by_patience: dict[int, list[Accuracy]] = defaultdict(list)
        for trial in trials:
            by_patience[trial.patience].append(trial)
        groups += by_patience.values()
    return groups


def _failed_cells(chosen: Selection) -> list[Cell]:
    cells = [failure.cell for failure in chosen.of(Failure) if failure.trial == "accuracy"]
    return list({str(cell): cell for cell in cells}.values())


def _with_patiences(frame: pd.DataFrame, *, then: Sequence[str] = ("model", "backend")) -> pd.DataFrame:
    """Sort by length, patience and more, and leave the patience out where there is only one."""
    if "patience" not in frame:
        return sort_rows(frame, ["length", *then])
    frame["patience"] = frame["patience"].astype("Int64")  # a cell that failed has none
    order = [nan if pd.isna(patience) else patience_order(patience) for patience in frame["patience"]]
    frame = sort_rows(frame.assign(order=order), ["length", "order", *then]).drop(columns="order")
    return frame if frame["patience"].nunique() > 1 else frame.drop(columns="patience")


def _stopping(chosen: Selection) -> str:
    """Say after which epochs training ended."""
    patiences = sorted({trial.patience for trial in chosen.of(Accuracy)}, key=patience_order)
    if not any(patience >= 0 for patience in patiences):
        return "Training never stops early"
    epochs = chosen.runs[-1].header.sweep.training.epochs
    ends = [
        f"after {epochs} epochs"
        if patience < 0
        else "at the first epoch"
        if patience < 2
        else f"after {patience} epochs"
        for patience in patiences
    ]
    ends[0] += " without a better val_mse"
    return f"Training stops {' or '.join(ends)}"


def seeds(chosen: Selection) -> str:
    """Count the seeds of a cell, from the fewest to the most."""
    counts = {len({trial.seed for trial in trials}) for _, trials in chosen.cells(Accuracy)} or {0}
    few, many = min(counts), max(counts)
    return f"{few} seed{'' if few == 1 else 's'}" if few == many else f"{few} to {many} seeds"


def lengths_table(chosen: Selection) -> Table:
    """Tabulate test errors by the true length of the rows."""
    rows: list[Row] = []
    for trials in _alike(chosen):
        lengths = sorted({length for trial in trials for length in trial.test_by_length})
        for band in np.array_split(lengths, min(MOST_BANDS, len(lengths))):
            mse, exact = zip(*[_of_band(trial, set(band.tolist())) for trial in trials], strict=True)
            rows.append(
                axes(trials[0].cell)
                | {
                    "patience": trials[0].patience,
                    "true length": f"{band[0]}" if len(band) == 1 else f"{band[0]} to {band[-1]}",
                    "test rows": sum(trials[0].test_by_length[length].rows for length in band.tolist()),
                    "test mse": float(np.mean(mse)),
                    **_ends(mean_interval(mse, bounds=(0, inf))),
                    "exact sums %": float(np.mean(exact)),
                    **_ends(mean_interval(exact, bounds=(0, 100)), " %"),
                }
            )
    notes = (
        f"Means over {seeds(chosen)} with 95 % intervals, from {LEAST_SEEDS} seeds on. "
        f"More than {MOST_BANDS} true lengths are put together into {MOST_BANDS} bands.",
    )
    return Table("Accuracy by true length", _with_patiences(name_usual(pd.DataFrame(rows))), notes)


def _of_band(trial: Accuracy, band: set[int]) -> tuple[float, float]:
    """Return test MSE and exact sums in % of the rows of some true lengths."""
    errors = [error for length, error in trial.test_by_length.items() if length in band]
    rows = sum(error.rows for error in errors)
    mse = sum(error.rows * error.mse for error in errors) / rows
    return mse, 100 * sum(error.rows * error.exact_sum_rate for error in errors) / rows


def models_table(chosen: Selection) -> Table:
    """Compare every two models at each length and patience, seed by seed."""
    rows = _compare(chosen, "model", lambda trial: (trial.cell.length, trial.patience))
    notes = (
        "Pairs of seeds, each averaged over the backends that both models have. mse ratio: geometric mean of "
        "model / against; exact sums: difference in points; 95 % intervals.",
        VERDICTS,
    )
    return Table("Models compared", _with_patiences(rows, then=("model", "against")), notes)


def backends_table(chosen: Selection) -> Table:
    """Compare every two backends for each model, length and patience, seed by seed."""
    rows = _compare(chosen, "backend", lambda trial: (trial.cell.length, trial.patience, trial.cell.model))
    notes = (
        "Pairs of seeds: the same start and batches on both. mse ratio: geometric mean of backend / against; "
        "exact sums: difference in points; 95 % intervals.",
        VERDICTS,
    )
    return Table("Backends compared", _with_patiences(rows, then=("model", "backend", "against")), notes)


VERDICTS = (
    f"equal: shown to be within {RATIO_MARGIN:g} of ratio 1 and within {100 * RATE_MARGIN:g} points; different: not by "
    "chance, corrected for all rows; open: neither is shown, more seeds would tell."
)


def _compare(chosen: Selection, side: str, place: Callable[[Accuracy], Keys]) -> pd.DataFrame:
    """Contrast every two values of an axis where all else is equal; only starts drawn in NumPy are pairs.

    Args:
        chosen: the records.
        side: "model" or "backend".
        place: length, patience, and the model if the sides are backends.
    """
    places: dict[Keys, dict[str, list[Accuracy]]] = defaultdict(lambda: defaultdict(list))
    for trial in chosen.usually_trained:
        if trial.start == "numpy":
            places[place(trial)][getattr(trial.cell, side)].append(trial)
    rows: list[Row] = []
    contrasts: list[tuple[Contrast, Contrast]] = []
    for keys, sides in places.items():
        for first, second in combinations(sorted(sides), 2):
            pairs = _pairs(sides[first], sides[second], over="backend" if side == "model" else None)
            if not len(pairs):
                continue
            ratio = paired_ratio(pairs[:, 0, 0], pairs[:, 1, 0])
            points = paired_difference(pairs[:, 0, 1], pairs[:, 1, 1])
            contrasts.append((ratio, points))
            row: Row = {"model": keys[2]} if len(keys) > 2 else {}
            row |= {"length": keys[0], "patience": keys[1], side: first, "against": second, "pairs": len(pairs)}
            row |= {"mse ratio": ratio.value, **_ends(ratio.interval), "exact sums": 100 * points.value}
            rows.append(row | {"low points": 100 * points.interval.low, "high points": 100 * points.interval.high})
    for row, verdict in zip(rows, verdicts(contrasts), strict=True):
        row["verdict"] = verdict
    return pd.DataFrame(rows)


def _pairs(first: Iterable[Accuracy], second: Iterable[Accuracy], *, over: str | None) -> NDArray[np.float64]:
    """Pair two sides by seed, each averaged over an axis of the cell where both have it.

    Returns:
        Test MSE and exact-sum rate of each seed and side, shape (seeds, 2, 2).
    """

    def figures(trials: Iterable[Accuracy]) -> dict[tuple[int, str | None], tuple[float, float]]:
        return {
            (trial.seed, getattr(trial.cell, over) if over else None): (trial.test.mse, trial.test.exact_sum_rate)
            for trial in trials
        }

    left, right = figures(first), figures(second)
    by_seed: dict[int, list[list[tuple[float, float]]]] = defaultdict(list)
    for key in sorted(left.keys() & right.keys(), key=str):
        by_seed[key[0]].append([left[key], right[key]])
    return np.array([pairs[0] if len(pairs) == 1 else np.mean(pairs, axis=0) for pairs in by_seed.values()])


def predictions_table(chosen: Selection) -> Table:
    """Tabulate the outputs for the first six test rows beside their sums, lowest seed only."""
    rows = []
    for cell, trials in chosen.cells(Accuracy):
        first = min(trials, key=lambda trial: (trial.seed, -patience_order(trial.patience)))
        outputs = {f"row {place}": value for place, value in enumerate(first.predictions, 1)}
        rows.append(axes(cell) | outputs)
        rows.append(axes(cell) | {"backend": "true sum"} | {f"row {n}": s for n, s in enumerate(first.sums, 1)})
    frame = pd.DataFrame(rows).drop_duplicates(ignore_index=True)
    if not frame.empty:
        frame["true"] = frame["backend"] == "true sum"
        frame = frame.sort_values(["length", "model", "true"], kind="stable").drop(columns="true")
    return Table(
        "Predictions of the first six test rows", frame.reset_index(drop=True), ("Lowest seed, largest patience.",)
    )
