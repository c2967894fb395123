"""Backends, environments and models as they are read, and their order."""

from collections.abc import Iterable

import pandas as pd

from bench.output.numbers import visible
from bench.plan.cells import BACKENDS
from seqsum_core.settings import MODELS

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
