"""Tables of what the trained models keep of earlier digits, and how far back their gradient reaches."""

from collections.abc import Iterable
from math import inf, nan

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.cells import by_cell
from bench.intervals import LEAST_SEEDS, mean_interval
from bench.records import Accuracy, Memory
from bench.selection import Row, Selection, Table, axes, sort_rows


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


def most_patient(chosen: Selection) -> list[Accuracy]:
    """Return the accuracy records of the largest patience of each cell; never stopping is the largest."""
    trials = chosen.usually_trained
    kept: set[int] = set()
    for _, of_cell in by_cell(trials):
        most = max(patience_order(patience) for patience in {trial.patience for trial in of_cell})
        kept |= {id(trial) for trial in of_cell if patience_order(trial.patience) == most}
    return [trial for trial in trials if id(trial) in kept]


def patience_order(patience: int) -> float:
    """Return what patiences are sorted by."""
    return inf if patience < 0 else patience


def with_memory(trials: Iterable[Accuracy]) -> list[Accuracy]:
    """Return the records that have a memory; that of rows whose digits cannot grow is empty."""
    return [trial for trial in trials if trial.memory and trial.memory.steps_back]


def memory_of(trial: Accuracy) -> Memory:
    """Return the memory of a record that has one."""
    assert trial.memory is not None
    return trial.memory


def patience_note(trials: Iterable[Accuracy]) -> str:
    """Say when the training of some records ended."""
    return f"Trained with {' or '.join(map(say_patience, sorted({trial.patience for trial in trials})))}."


def say_patience(patience: int) -> str:
    """Name a patience."""
    return "no early stopping" if patience < 0 else f"patience {patience}"


def relative_gradient(memory: Memory, state: str, trained: bool) -> NDArray[np.float64]:
    """Return gradient norms in units of that of h at the end, shape (steps back,); NaN if that one is zero."""
    gradient = memory.gradient if trained else memory.gradient_start
    at_end = gradient["h"][0]
    return np.array(gradient[state]) / (at_end or nan)


def _cells(chosen: Selection) -> list[tuple[Row, list[Memory]]]:
    """Group by cell what has a memory."""
    cells = by_cell(with_memory(most_patient(chosen)))
    return [(axes(cell), [memory_of(trial) for trial in trials]) for cell, trials in cells]


def _shown(memory: Memory) -> list[tuple[int, int]]:
    """Return 0 and the powers of two among the steps back, with their places."""
    return [(place, k) for place, k in enumerate(memory.steps_back) if k & (k - 1) == 0]


def _sorted(rows: list[Row]) -> pd.DataFrame:
    return sort_rows(pd.DataFrame(rows), ["length", "model", "backend", "k"])
