"""The table of energy: what a GPU draws while a cell is trained, where NVML counts it."""

import pandas as pd

from bench.analysis.selection import Row, Selection, Table, cell_frame
from bench.analysis.statistics import median
from bench.records.speed import Speed


def energy_table(chosen: Selection) -> Table:
    """Tabulate power and energy of the GPU for each cell; without rows where none was counted."""
    counted = {
        cell: known
        for cell, trials in chosen.timed.items()
        if (known := [trial for trial in trials if all(turn.energy_j is not None for turn in trial.slices)])
    }

    def row(trials: list[Speed]) -> Row:
        joules = [sum(turn.energy_j or 0.0 for turn in trial.slices) for trial in trials]
        epochs = [sum(len(turn.epochs_s) for turn in trial.slices) for trial in trials]
        seconds = [sum(sum(turn.epochs_s) for turn in trial.slices) for trial in trials]
        used = [used_j / count for used_j, count in zip(joules, epochs, strict=True)]
        rates = [trial.rows_per_epoch / one if one else None for trial, one in zip(trials, used, strict=True)]
        return {
            "power W": median(used_j / second for used_j, second in zip(joules, seconds, strict=True)),
            "epoch J": median(used),
            "sequences per J": median(rates),
        }

    notes = (
        "Of the whole GPU, idle power included, over all turns with their warm-up: medians over fresh processes. "
        "Counted by the GPU itself (NVML), whose counter moves every few tens of milliseconds.",
    )
    return Table("Energy of the GPU", cell_frame(chosen, "speed", counted, row) if counted else pd.DataFrame(), notes)
