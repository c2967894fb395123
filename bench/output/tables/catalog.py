"""All tables by name, and the two that belong to neither speed nor accuracy. `printing` prints them."""

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pandas as pd

from bench.analysis.patience import most_patient, patience_note
from bench.analysis.selection import Row, Selection, Table, axes, name_usual
from bench.analysis.winners import MARKED, fastest
from bench.output.tables.accuracy import (
    accuracy_table,
    backends_table,
    lengths_table,
    models_table,
    predictions_table,
    seeds,
)
from bench.output.tables.batching import batching_table
from bench.output.tables.devices import devices_table
from bench.output.tables.energy import energy_table
from bench.output.tables.epoch_costs import epoch_cost_table
from bench.output.tables.lengths import crossings_table, length_cost_table
from bench.output.tables.memory import gradients_table, memory_table
from bench.output.tables.speed import (
    controls_table,
    model_ratios_table,
    noise_table,
    overtaking_table,
    ratios_table,
    speed_table,
    start_table,
    thread_ratios_table,
)
from bench.output.tables.targets import target_table
from bench.output.tables.variants import tax_table, variants_table
from bench.records.schema import Accuracy, Failure
from bench.records.speed import Speed


def overview_table(chosen: Selection) -> Table:
    """Tabulate how fast each backend is beside what was learned."""
    trained = most_patient(chosen)
    way = chosen.runs[-1].header.sweep.variants[0]
    cells = list(chosen.timed)
    shown = {cell for cell in cells if (cell.threads, cell.variant) == (cells[0].threads, way)}
    rows: dict[tuple[str, int], Row] = {}
    for cell in sorted(shown, key=lambda cell: (cell.length, cell.model, cell.side)):
        row = rows.setdefault((cell.model, cell.length), {"model": cell.model, "length": cell.length})
        row[f"{cell.side} ms"] = 1e3 * chosen.epoch_time(cell).median_s
    learned: dict[tuple[str, int], list[Accuracy]] = defaultdict(list)
    for trial in trained:
        learned[trial.cell.model, trial.cell.length].append(trial)
    for place, row in rows.items():
        if alike := learned[place]:
            row["test mse"] = float(np.mean([trial.test.mse for trial in alike]))
            row["exact sums %"] = 100 * float(np.mean([trial.test.exact_sum_rate for trial in alike]))
    sizes = {
        f"{trial.rows_per_epoch:,} sequences in {trial.steps_per_epoch} steps"
        for trials in chosen.timed.values()
        for trial in trials
    }
    notes = (
        f"Milliseconds of a steady epoch, {' or '.join(sorted(sizes))}: medians. "
        f"Errors on the test rows: means over all backends and {seeds(chosen)} each."
        + (f" {patience_note(trained)}" if trained else ""),
        *controls_table(chosen).notes[: bool(chosen.of(Speed))],
    )
    best = {(list(rows).index((cell.model, cell.length)), f"{cell.side} ms") for cell in fastest(chosen) & shown}
    return Table("Overview", pd.DataFrame(list(rows.values())), (*notes, *([MARKED] if best else [])), frozenset(best))


def failures_table(chosen: Selection) -> Table:
    """Tabulate the trials that left no numbers."""
    rows = [
        axes(failure.cell)
        | {"trial": failure.trial, "phase": failure.phase, "fault": failure.fault, "reason": failure.reason}
        for failure in chosen.of(Failure)
    ]
    return Table("Failures", name_usual(pd.DataFrame(rows)))


TABLES: dict[str, Callable[[Selection], Table]] = {
    "overview": overview_table,
    "speed": speed_table,
    "ratios": ratios_table,
    "model-ratios": model_ratios_table,
    "thread-ratios": thread_ratios_table,
    "tax": tax_table,
    "variants": variants_table,
    "batching": batching_table,
    "devices": devices_table,
    "controls": controls_table,
    "start": start_table,
    "breakeven": overtaking_table,
    "noise": noise_table,
    "energy": energy_table,
    "epoch-cost": epoch_cost_table,
    "length-cost": length_cost_table,
    "crossings": crossings_table,
    "accuracy": accuracy_table,
    "target": target_table,
    "lengths": lengths_table,
    "models": models_table,
    "backends": backends_table,
    "predictions": predictions_table,
    "memory": memory_table,
    "gradients": gradients_table,
    "failures": failures_table,
}
