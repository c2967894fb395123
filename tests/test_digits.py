"""Digits: as many as the interval bears out, and a figure always stands inside its printed interval."""

from math import inf, nan
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.output.printing.digits import MOST, as_text, format_value, with_interval


def number(text: str) -> float:
    return float(text.replace(",", ""))


def digits(text: str) -> int:
    """Count the digits that count."""
    plain = text.lower().partition("e")[0].replace(",", "").replace(".", "").lstrip("-").lstrip("0")
    return len(plain)


@pytest.mark.parametrize(
    ("row", "written"),
    [
        ((10.04, 9.63, 10.84), ("10.0", "9.63", "10.8")),
        ((142.0, 61.8, 145.3), ("140", "61.8", "145")),
        ((145.2, 62.0, 145.3), ("145", "62.0", "145")),  # 150 would stand outside
        ((1.02368, 1.0235, 1.0239), ("1.024", "1.024", "1.024")),
        ((1.02368, 1.02, 1.03), ("1.024", "1.020", "1.030")),
        ((1.34, 1.02, 1.58), ("1.3", "1.02", "1.58")),
        ((9.996, 9.9, 10.1), ("10", "9.90", "10.1")),
        ((0.00464, 0.00301, 0.00712), ("0.0046", "0.00301", "0.00712")),
        ((0.000464, 0.000301, 0.000712), ("4.6e-04", "3.01e-04", "7.12e-04")),
        ((-0.5, -1.24, 0.31), ("-0.50", "-1.24", "0.310")),
        ((99.9, 99.7, 100.0), ("99.9", "99.7", "100.0")),
        ((12345.6, 11000.0, 14000.0), ("12,000", "11,000", "14,000")),
        ((0.0, -1.0, 1.0), ("0", "-1.00", "1.00")),
        ((1.5, nan, nan), ("1.50", "", "")),
        ((1.5, None, None), ("1.50", "", "")),
        ((1.5, 1.5, 1.5), ("1.50", "1.50", "1.50")),
        ((2.5, 1.0, inf), ("2.50", "1.00", "inf")),
        ((nan, nan, nan), ("", "", "")),
    ],
)
def test_a_figure_has_the_digits_that_its_interval_bears_out(row: Any, written: tuple[str, str, str]) -> None:
    assert with_interval(*row) == written


FIGURES = st.floats(-1e7, 1e7, allow_subnormal=False).filter(lambda value: value == 0 or abs(value) > 1e-12)


@given(st.lists(FIGURES, min_size=3, max_size=3).map(sorted))
def test_a_printed_figure_stands_inside_its_printed_interval(ends: list[float]) -> None:
    low, value, high = ends
    texts = with_interval(value, low, high)
    printed_low, printed, printed_high = (number(texts[place]) for place in (1, 0, 2))
    assert printed_low <= printed <= printed_high


@given(st.floats(1e-6, 1e7), st.floats(1e-6, 10), st.floats(1e-6, 10))
def test_a_printed_figure_is_off_by_less_than_its_interval(value: float, below: float, above: float) -> None:
    """By a quarter of its width, or by half a unit of the fourth digit."""
    low, high = value * (1 - below / 10), value * (1 + above)
    printed = number(with_interval(value, low, high)[0])
    assert abs(printed - value) <= max((high - low) / 4, 0.5001 * value * 10.0 ** (1 - MOST)) * (1 + 1e-9)


@given(st.floats(1e-6, 1e7), st.floats(1e-4, 1))
def test_a_figure_in_the_middle_of_its_interval_has_two_to_four_digits(value: float, half: float) -> None:
    written = with_interval(value, value * (1 - half / 2), value * (1 + half / 2))[0]
    shown = digits(written) if "." in written or "e" in written else 2  # zeros before the point may be places only
    assert 2 <= shown <= MOST + 1  # rounding up to the next power of ten adds one


def test_the_columns_behind_a_figure_are_its_interval() -> None:
    frame = pd.DataFrame(
        {
            "model": ["lstm", "gru"],
            "epoch ms": [142.0, 1.5],
            "low ms": [61.8, nan],
            "high ms": [145.3, nan],
            "sd": [0.5, 2],
        }
    )
    texts = as_text(frame)
    assert list(texts.loc[0]) == ["lstm", "140", "61.8", "145", "0.500"]
    assert list(texts.loc[1]) == ["gru", "1.50", "", "", "2.00"]
    assert list(texts.columns) == list(frame.columns)


def test_an_empty_frame_stays_empty() -> None:
    assert as_text(pd.DataFrame()).empty
    assert list(as_text(pd.DataFrame({"a": [], "low": [], "high": []})).columns) == ["a", "low", "high"]


def test_a_name_cannot_steer_the_terminal() -> None:
    assert format_value("\x1b[31mred\x1b[0m\a") == r"\x1b[31mred\x1b[0m\x07"
