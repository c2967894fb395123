"""Tables of accuracy: over seeds, by true length, and single outputs. Derived from raw records, as pandas frames."""

import numpy as np
import pandas as pd

from bench.records import Accuracy, Baseline
from bench.selection import Row, Selection, Table, axes, by_cell, cell_frame, without_figures


def accuracy_table(chosen: Selection) -> Table:
    """Tabulate accuracy over seeds, with what models without recurrence get."""

    def row(trials: list[Accuracy]) -> Row:
        val_mse = [trial.val_loss[-1] for trial in trials]
        return {
            "val mse": float(np.mean(val_mse)),
            "best": min(val_mse),
            "worst": max(val_mse),
            "test mse": float(np.mean([trial.test.mse for trial in trials])),
            "mean abs. error": float(np.mean([trial.test.mae for trial in trials])),
            "exact sums %": 100 * float(np.mean([trial.test.exact_sum_rate for trial in trials])),
            "stop epoch": float(np.mean([trial.epochs for trial in trials])),
        }

    frame = cell_frame(chosen, "accuracy", chosen.of(Accuracy), row)
    baselines = [
        {
            "model": "linear fit" if baseline.name == "linear_regression" else baseline.name,
            "length": baseline.length,
            "backend": "none",
            "test mse": baseline.test.mse,
            "mean abs. error": baseline.test.mae,
            "exact sums %": 100 * baseline.test.exact_sum_rate,
        }
        for baseline in chosen.of(Baseline)
    ]
    if baselines and not frame.empty:
        rows = pd.concat([frame, pd.DataFrame(baselines)], ignore_index=True)
        frame = rows.sort_values("length", kind="stable", ignore_index=True)
    patience = chosen.runs[-1].header.sweep.training.patiences[0]
    stop = (
        "Training never stops early"
        if patience < 0
        else f"Training stops {'at the first epoch' if patience < 2 else f'after {patience} epochs'} without a better"
        " val mse"
    )
    notes = (
        f"Means over {seeds(chosen)}; of val mse also the best and the worst one. A seed is the same start and the "
        "same batches on every backend.",
        f"{stop}; the weights are those of the last epoch.",
        "The linear fit (linear regression on the padded digits) solves the task: a sum is linear in the digits. "
        "What is measured is what a recurrent model keeps of its past.",
        *without_figures(chosen, "accuracy"),
    )
    return Table("Accuracy", frame, notes)


def seeds(chosen: Selection) -> str:
    """Count the seeds of a cell, from the fewest to the most."""
    counts = {len(trials) for _, trials in by_cell(chosen.of(Accuracy))} or {0}
    few, many = min(counts), max(counts)
    return f"{few} seed{'' if few == 1 else 's'}" if few == many else f"{few} to {many} seeds"


def lengths_table(chosen: Selection) -> Table:
    """Tabulate test errors by the true length of the rows."""
    rows = []
    for cell, trials in by_cell(chosen.of(Accuracy)):
        for length in sorted({length for trial in trials for length in trial.test_by_length}):
            errors = [trial.test_by_length[length] for trial in trials if length in trial.test_by_length]
            rows.append(
                axes(cell)
                | {
                    "true length": length,
                    "test rows": errors[0].rows,
                    "test mse": float(np.mean([error.mse for error in errors])),
                    "exact sums %": 100 * float(np.mean([error.exact_sum_rate for error in errors])),
                }
            )
    frame = pd.DataFrame(rows)
    if not frame.empty:
        frame = frame.sort_values(["length", "model", "backend"], kind="stable", ignore_index=True)
    return Table("Accuracy by true length", frame, ("Means over seeds.",))


def predictions_table(chosen: Selection) -> Table:
    """Tabulate the outputs for the first six test rows beside their sums, lowest seed only."""
    rows = []
    for cell, trials in by_cell(chosen.of(Accuracy)):
        first = min(trials, key=lambda trial: trial.seed)
        outputs = {f"row {place}": value for place, value in enumerate(first.predictions, 1)}
        rows.append(axes(cell) | outputs)
        rows.append(axes(cell) | {"backend": "true sum"} | {f"row {n}": s for n, s in enumerate(first.sums, 1)})
    frame = pd.DataFrame(rows).drop_duplicates(ignore_index=True)
    if not frame.empty:
        frame["true"] = frame["backend"] == "true sum"
        frame = frame.sort_values(["length", "model", "true"], kind="stable").drop(columns="true")
    return Table("Predictions of the first six test rows", frame.reset_index(drop=True), ("Lowest seed.",))
