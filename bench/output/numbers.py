"""How values are written: figures with three digits, names so that they cannot steer a terminal."""

import unicodedata
from collections.abc import Callable
from math import floor, inf, isfinite, log10
from typing import Any

import numpy as np
import pandas as pd

UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of what steers a terminal or the direction of text and is not seen itself."""


def number(value: Any) -> str:
    """Write a figure with three digits: 5.47, 12,300, 0.0012; counts in full, "never" for infinity, "" for none."""
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if not isfinite(value):
        return "never" if value > 0 else "-inf"
    rounded = float(f"{value:.2e}")
    if rounded == 0:
        return "0"
    exponent = floor(log10(abs(rounded)))
    if not -5 < exponent < 9:
        return f"{rounded:.2e}"
    return f"{rounded:,.{max(0, 2 - exponent)}f}"


def count(value: Any) -> str:
    """Write a figure that is a whole number wherever it is known: 276, "never" for infinity, "" for none."""
    return number(int(value)) if not pd.isna(value) and isfinite(value) and int(value) == value else number(value)


def interval(low: Any, high: Any, write: Callable[[Any], str] = number) -> str:
    """Write an interval: "5.30 to 5.61"; "" if it is not known, or both of its ends are never."""
    return "" if pd.isna(low) or pd.isna(high) or low == inf else f"{write(low)} to {write(high)}"


def visible(text: str) -> str:
    r"""Write control characters so that they are seen: a name cannot colour a terminal, move its cursor or ring.

    Line ends stay. A backslash stays too, so that `\x1b` in a table may have been written so.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode()
        if letter != "\n" and unicodedata.category(letter) in UNSEEN
        else letter
        for letter in text
    )


def value_text(value: Any, write: Callable[[Any], str] = number) -> str:
    """Write any value of a table; figures by a function."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return write(value)
