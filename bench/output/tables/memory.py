"""Tables of what the trained models keep of earlier digits, and how far back their gradient reaches."""

import numpy as np
import pandas as pd

from bench.analysis.intervals import LEAST_SEEDS, mean_interval
from bench.analysis.memory import memory_of, relative_gradient, with_memory
from bench.analysis.patience import most_patient, patience_note
from bench.analysis.selection import Row, Selection, Table, axes, sort_rows
from bench.plan.cells import by_cell
from bench.records.schema import Memory


def memory_table(chosen: Selection) -> Table:
    """Tabulate how much the output moves when the digit k steps before the end grows by one."""
    rows: list[Row] = []
    for cell, memories in _cells(chosen):
        for place, k in _shown(memories[0]):
            moved = [memory.moved[place] for memory in memories]
            interval = mean_interval(moved)
            figures = {"moved": float(np.mean(moved)), "low": interval.low, "high": interval.high}
            rows.append(cell | {"k": k, "test rows": memories[0].rows[place]} | figures)
    notes = (
        "Change of the output when the digit k steps before the end grows by one: 1 is perfect memory, 0 is forgotten. "
        f"Means over seeds with their 95 % interval, from {LEAST_SEEDS} seeds on.",
        patience_note(most_patient(chosen)),
    )
    return Table("Memory", _sorted(rows), notes)


def gradients_table(chosen: Selection) -> Table:
    """Tabulate the size of the loss gradient with respect to the hidden state k steps back."""
    rows: list[Row] = []
    for cell, memories in _cells(chosen):
        medians = {
            f"{state} {when}": np.median(
                [relative_gradient(memory, state, when == "trained") for memory in memories], axis=0
            )
            for state in memories[0].gradient
            for when in ("start", "trained")
        }
        for place, k in _shown(memories[0]):
            rows.append(cell | {"k": k} | {name: float(sizes[place]) for name, sizes in medians.items()})
    notes = (
        "Norm of the loss gradient with respect to the states h and c k steps back, relative to that of h at k = 0, "
        "with the starting and with the trained weights. Medians over seeds.",
        patience_note(most_patient(chosen)),
    )
    return Table("Gradients through time", _sorted(rows), notes)


def _cells(chosen: Selection) -> list[tuple[Row, list[Memory]]]:
    """Group by cell what has a memory."""
    cells = by_cell(with_memory(most_patient(chosen)))
    return [(axes(cell), [memory_of(trial) for trial in trials]) for cell, trials in cells]


def _shown(memory: Memory) -> list[tuple[int, int]]:
    """Return 0 and the powers of two among the steps back, with their places."""
    return [(place, k) for place, k in enumerate(memory.steps_back) if k & (k - 1) == 0]


def _sorted(rows: list[Row]) -> pd.DataFrame:
    return sort_rows(pd.DataFrame(rows), ["length", "model", "backend", "k"])
