"""Escaping: nothing steers a terminal, runs in a spreadsheet or in LaTeX, and nothing is lost."""

import unicodedata
from io import StringIO

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.output.printing.escaping import LATEX, UNSEEN, for_latex, for_spreadsheet, frame_for_spreadsheet, visible

ANY_TEXT = st.text(st.characters(), max_size=30)
"""Every character there is, control characters and lone surrogates too."""


@given(ANY_TEXT)
def test_what_is_shown_holds_nothing_that_is_not_seen(text: str) -> None:
    shown = visible(text)
    assert not [letter for letter in shown if letter != "\n" and unicodedata.category(letter) in UNSEEN]
    shown.encode("utf-8")  # no lone surrogate, which cannot be written


@given(ANY_TEXT)
def test_making_visible_twice_changes_nothing(text: str) -> None:
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("lstm", "lstm"),
        ("größe 5 µs", "größe 5 µs"),
        ("a\nb", "a\nb"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\rb\tc", r"a\rb\tc"),
        ("\u202eevil", r"\u202eevil"),
        ("\x9b31m", r"\x9b31m"),
    ],
)
def test_control_characters_are_seen(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANY_TEXT)
def test_no_cell_begins_like_a_formula(text: str) -> None:
    assert not for_spreadsheet(text).lstrip().startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", " =1", "\n=1", "=cmd|' /C calc'!A0"])
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert for_spreadsheet(text) == f"'{text}"


def test_figures_and_plain_names_stay_in_a_spreadsheet() -> None:
    frame = pd.DataFrame({"model": ["lstm", "=x()"], "moved": [-1.25, 0.1], "seeds": pd.array([3, None], "Int64")})
    text = frame_for_spreadsheet(frame).to_csv(index=False)
    assert text.splitlines() == ["model,moved,seeds", "lstm,-1.25,3", "'=x(),0.1,"]
    assert pd.read_csv(StringIO(text))["moved"].tolist() == [-1.25, 0.1]


def test_headings_are_escaped_too() -> None:
    assert list(frame_for_spreadsheet(pd.DataFrame({"=a": ["x"]})).columns) == ["'=a"]


@given(ANY_TEXT)
def test_latex_can_be_read_back(text: str) -> None:
    """Every special character is a command, and every other one is itself."""
    back = for_latex(text)
    for letter, command in sorted(LATEX.items(), key=lambda item: -len(item[1])):
        if letter != "\\":
            back = back.replace(command, {"{": "\x01", "}": "\x02"}.get(letter, letter))
    back = back.replace(r"\textbackslash{}", "\\").replace("\x01", "{").replace("\x02", "}")
    assert back == " ".join(visible(text).splitlines())


@pytest.mark.parametrize(
    ("text", "written"), [("25 % ms", r"25 \% ms"), ("simple_rnn", r"simple\_rnn"), ("a\nb", "a b")]
)
def test_latex_special_characters_are_escaped(text: str, written: str) -> None:
    assert for_latex(text) == written
