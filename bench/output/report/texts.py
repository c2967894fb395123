"""Texts of records as a page may show them: nothing in them is a command to a terminal, a browser or Plotly."""

from collections.abc import Iterable
from html import escape
from math import isnan

from bench.analysis.intervals import Interval
from bench.output.plots.figures import NAMES
from bench.output.printing.escaping import visible
from bench.output.printing.output import format_value


def plotly_text(text: str) -> str:
    """Return a text as Plotly shows it unchanged, which takes some tags and entities for formatting."""
    return escape(visible(text).replace("\n", " "), quote=False).replace("$", "&#36;")


def model_name(model: str) -> str:
    """Return a model's name as it is read."""
    return visible(NAMES.get(model, model))


def say_interval(interval: Interval, *, scale: float = 1.0) -> str:
    """Return "low to high", or nothing where too few were measured to say."""
    if isnan(interval.low):
        return ""
    return f"{format_value(scale * interval.low)} to {format_value(scale * interval.high)}"


def join_words(words: Iterable[str]) -> str:
    """Join words by commas and "and"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
