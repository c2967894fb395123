"""What trained models keep of earlier digits: the memories of the records."""

from collections.abc import Iterable
from math import nan

import numpy as np
from numpy.typing import NDArray

from bench.records.schema import Accuracy, Memory


def with_memory(trials: Iterable[Accuracy]) -> list[Accuracy]:
    """Return the records that have a memory; that of rows whose digits cannot grow is empty."""
    return [trial for trial in trials if trial.memory and trial.memory.steps_back]


def memory_of(trial: Accuracy) -> Memory:
    """Return the memory of a record that has one."""
    assert trial.memory is not None
    return trial.memory


def relative_gradient(memory: Memory, state: str, trained: bool) -> NDArray[np.float64]:
    """Return gradient norms in units of that of h at the end, shape (steps back,); NaN if that one is zero."""
    gradient = memory.gradient if trained else memory.gradient_start
    at_end = gradient["h"][0]
    return np.array(gradient[state]) / (at_end or nan)
