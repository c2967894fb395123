"""Whose training went on longest, and what it kept of earlier digits: patiences and memories of the records."""

from collections.abc import Iterable
from math import inf, nan

import numpy as np
from numpy.typing import NDArray

from bench.analysis.selection import Selection
from bench.cells import by_cell
from bench.records import Accuracy, Memory


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
