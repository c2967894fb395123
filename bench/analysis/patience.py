"""Patiences of the records: which is the largest, and how one is said."""

from collections.abc import Iterable
from math import inf

from bench.analysis.selection import Selection
from bench.plan.cells import by_cell
from bench.records.schema import Accuracy


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


def patience_note(trials: Iterable[Accuracy]) -> str:
    """Say when the training of some records ended."""
    return f"Trained with {' or '.join(map(say_patience, sorted({trial.patience for trial in trials})))}."


def say_patience(patience: int) -> str:
    """Name a patience."""
    return "no early stopping" if patience < 0 else f"patience {patience}"
