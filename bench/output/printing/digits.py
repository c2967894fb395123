"""How many digits of a figure are printed: as many as its interval bears out, three where it has none.

Text only; CSV, JSON and `bench.load` keep every digit.
"""

from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from bench.output.printing.escaping import visible

FEWEST, MOST, USUAL = 2, 4, 3
"""Digits of a figure that has an interval, and of one that has none."""
LARGE = 1e8


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Write every value of a frame as a person reads it.

    A figure whose interval stands in the next two columns, `low...` and `high...`, gets the digits that the interval
    bears out.
    """
    texts = {name: [format_value(value) for value in frame[name]] for name in frame.columns}
    for names in _with_intervals(list(frame.columns)):
        rows = [with_interval(*row) for row in frame[names].itertuples(index=False, name=None)]
        texts |= {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return pd.DataFrame(texts, columns=frame.columns, index=frame.index, dtype=object)


def _with_intervals(names: list[str]) -> list[list[str]]:
    """Return the names of each figure that has an interval, with those of its ends."""
    groups = [names[place : place + 3] for place in range(len(names) - 2)]
    return [group for group in groups if group[1].startswith("low") and group[2].startswith("high")]


def format_value(value: Any) -> str:
    """Write a value as a person reads it: three digits that count, nothing for a missing one."""
    if isinstance(value, str):
        return visible(value)
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if value == 0:
        return "0"
    if not np.isfinite(value):
        return f"{value:g}"
    if abs(value) < 1e-3:
        return f"{value:.0e}"
    if abs(value) >= LARGE:
        return f"{value:.2e}"
    return _write(float(value), _decimals(float(value), USUAL))


def with_interval(value: Any, low: Any, high: Any) -> tuple[str, str, str]:
    """Write a figure and the ends of its interval.

    The last digit of the figure stands where half the interval's width has its first: at least two digits and at most
    four, or more where the figure would else be printed outside of its own interval. A figure smaller than half the
    width has the digits of the width. The ends have three, or those of the figure.

    Args:
        value: the figure.
        low: lower end; NaN or None if there is no interval.
        high: upper end.

    Returns:
        The three texts.
    """
    known = all(_is_number(number) for number in (value, low, high))
    if not known or value == 0 or low == high or not low <= value <= high:
        return format_value(value), format_value(low), format_value(high)
    return _rounded(float(value), float(low), float(high))


def _rounded(value: float, low: float, high: float) -> tuple[str, str, str]:
    half = high / 2 - low / 2
    wanted = _exponent(value) - _exponent(half) + 1
    decimals = _decimals(value, min(MOST, max(FEWEST, wanted)))
    if abs(value) < half:  # not even its sign is known
        decimals = _decimals(half, FEWEST)
    while True:
        of_ends: list[int] = [max(decimals, _decimals(end, USUAL)) if end else decimals for end in (low, high)]
        if round(low, of_ends[0]) <= round(value, decimals) <= round(high, of_ends[1]):
            return _write(value, decimals), _write(low, of_ends[0]), _write(high, of_ends[1])
        decimals += 1


def _is_number(value: Any) -> bool:
    return isinstance(value, float) and isfinite(value) and abs(value) < LARGE


def _exponent(value: float) -> int:
    """Return the power of ten of the first digit."""
    return int(f"{value:e}".partition("e")[2])


def _decimals(value: float, digits: int) -> int:
    """Return how many decimals leave so many digits; negative: tens, hundreds, ... are rounded."""
    return digits - 1 - _exponent(float(f"{value:.{digits - 1}e}"))


def _write(value: float, decimals: int) -> str:
    rounded = round(float(value), decimals)
    if rounded == 0:
        return "0"
    if abs(rounded) < 1e-3:
        return f"{rounded:.{max(0, _exponent(rounded) + decimals)}e}"
    return f"{rounded:,.{max(0, decimals)}f}"
