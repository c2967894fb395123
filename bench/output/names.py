"""Backends, environments and models as they are read, and their order."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from bench.output.numbers import visible
from bench.plan.cells import BACKENDS
from seqsum_core.settings import MODELS
from seqsum_core.tasks.rows import CROSS_ENTROPY, MSE

LONGEST_NAME = 40
DISPLAY_NAMES = {
    "jax": "JAX",
    "torch": "PyTorch",
    "tensorflow": "TensorFlow",
    "simple_rnn": "SimpleRNN",
    "lstm": "LSTM",
    "gru": "GRU",
}
KNOWN = (*BACKENDS, *MODELS)
"""The names that come first and have a colour, dash and shape of their own; others share the rest."""


def display_name(name: str) -> str:
    """Return a backend, environment or model as it is read: PyTorch (old) for `torch@old`.

    Of a user's own model `package.module:function` the function is shown, and of a long name the end.
    """
    base, _, installation = (name.rpartition(":")[2], "", "") if ":" in name else name.partition("@")
    shown = visible(DISPLAY_NAMES.get(base, base) + (f" ({installation})" if installation else ""))
    shown = shown.replace("\n", " ")
    return shown if len(shown) <= LONGEST_NAME else f"…{shown[-LONGEST_NAME:]}"


class Metric(NamedTuple):
    """What the errors of a task are called.

    Args:
        error: as a heading; `title`: in a chart; `right`: share of rows that are right; `rows`: these in a sentence.
    """

    error: str
    title: str
    right: str
    rows: str


METRICS = {
    "rounded": Metric("mse", "MSE", "exact sums", "sums that are exactly right"),
    "within 0.04": Metric("mse", "MSE", "within 0.04", "sums that are off by less than 0.04"),
    "class": Metric("cross-entropy", "cross-entropy", "right", "rows whose class is right"),
    "error": Metric("mse", "MSE", "right", "rows that are right"),
}


def metric_of(trainings: pd.DataFrame) -> Metric:
    """Return what the errors of some trainings are called; they are of one task."""
    return METRICS[trainings["judge"].iloc[0] if len(trainings) else "rounded"]


def loss_title(trainings: pd.DataFrame) -> str:
    """Return what the loss of some trainings is called in a chart: MSE, or its name where a model has its own."""
    names = dict.fromkeys(trainings["loss_name"])
    known = {MSE: "MSE", CROSS_ENTROPY: "cross-entropy"}
    return ", ".join(known.get(name, name.replace("_", " ")) for name in names) or "loss"


def join_words(words: Iterable[str]) -> str:
    """Join words by commas and "and"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def sort_cells(frame: pd.DataFrame, *first: str) -> pd.DataFrame:
    """Sort rows by some columns, then by model, length and environment, in the order in which these are named."""
    rank = {name: place for place, name in enumerate(KNOWN)}
    names = dict.fromkeys([*first, "model", "length", "environment", "first", "second"])
    return frame.sort_values(
        [name for name in names if name in frame],
        key=lambda column: column.map(rank).fillna(len(rank)) if column.name != "length" else column,
        kind="stable",
    )
