"""Put the page together and write it: one HTML file that loads nothing, with Vega-Lite inside."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from bench.analysis import accuracy
from bench.analysis.select import Selection
from bench.output import headline
from bench.output.charts import CHARTS
from bench.output.charts.marks import ABOUT
from bench.output.charts.theme import DARK, LIGHT, PAGE, config
from bench.output.checks import checks
from bench.output.files import write_atomically
from bench.output.formats import printed
from bench.output.names import display_name, join_words
from bench.output.numbers import visible
from bench.output.report.provenance import provenance_tables
from bench.output.tables import TABLES
from bench.output.tables.table import Table
from bench.output.text import sources
from bench.plan.cells import BACKENDS

MOST_ROWS = 400
LONGEST_TEXT = 600
IN_PAGE = ("$schema", "config", "title")
"""What a chart does not need on a page, which has its title as text and its colours as variables."""


class Part(NamedTuple):
    """A part of the page: its address, its title, its charts, each with the table of its figures, and its tables."""

    key: str
    title: str
    charts: dict[str, str]
    tables: tuple[str, ...]


SPEED = ("overview", "speed", "speed-by-backend", "speed-by-model", "speed-by-threads", "growth")
COMPARED = ("accuracy", "accuracy-by-length", "accuracy-by-model", "accuracy-by-backend")
LEARNED = {"accuracy": "accuracy", "exact-sums": "accuracy", "target": "target", "loss": ""} | {
    "errors": "accuracy-by-length", "predictions": "predictions", "memory": "memory", "gradients": "memory"
}  # fmt: skip
PARTS = (
    Part("speed", "Speed", {"speed": "speed", "ratios": "speed-by-backend"}, SPEED),
    Part(
        "start", "Start, and when it pays off", {"start": "start", "total-time": "break-even"}, ("start", "break-even")
    ),
    Part("settings", "Framework and settings", {"tax": "tax", "variants": "variants"}, ("tax", "variants")),
    Part("versions", "Versions", {"history": "history"}, ("history", "attribution", "gate")),
    Part("learning", "What was learned", LEARNED, (*COMPARED, "target", "memory", "predictions")),
    Part("noise", "Noise, controls and failures", {"turns": "noise"}, ("controls", "noise", "failures")),
)
DOORS = {
    "Choose a backend or settings": ("speed", "start", "settings"),
    "Watch what got slower": ("versions",),
    "Learn what a model keeps": ("learning",),
}
"""What readers come for, and the parts that answer them."""


def write_report(selection: Selection, path: Path) -> None:
    """Write the page of runs that are comparable into an HTML file, whole or not at all.

    Raises:
        UserError: if it cannot be written.
    """
    write_atomically(path, build_page(selection).encode())


def build_page(selection: Selection) -> str:
    """Return the page as HTML."""
    turns, trainings = selection.main_turns, selection.frames.trainings
    answers = headline.answers(turns)
    specs = {name: chart.to_dict() for name, make in CHARTS.items() if (chart := make(selection))}
    tables = {name: table for name, make in TABLES.items() if len((table := make(selection)).frame)}
    parts = _parts(specs, tables)
    contrasts = accuracy.contrasts(trainings, by="environment") if len(trainings) else pd.DataFrame()
    return _template().render(
        headline=headline.headline(answers),
        margin=headline.margin(answers),
        scope=_scope(selection),
        answers=answers,
        checks=checks(selection, answers),
        learned=list(headline.learned(trainings)),
        same=headline.learn_the_same(contrasts),
        training_note=headline.training_note(trainings),
        filters=_filters(selection),
        doors=_doors(parts),
        parts=parts,
        origin=sources(selection),
        origin_tables=[page_table(table) for table in provenance_tables(selection)],
        version=selection.header.seqsum_version,
        specs={name: {key: spec[key] for key in spec if key not in IN_PAGE} for name, spec in specs.items()},
    )


def _parts(specs: dict[str, dict[str, Any]], tables: dict[str, Table]) -> list[dict[str, Any]]:
    """Return what each part of the page shows; a part with nothing to show is left out."""
    shown = {name: page_table(table) for name, table in tables.items()}
    parts = []
    for part in PARTS:
        charts = [
            {"name": name, "table": table if table in shown else ""}
            | {"title": specs[name]["title"]["text"], "note": " ".join(specs[name]["title"]["subtitle"])}
            for name, table in part.charts.items()
            if name in specs
        ]
        inside = [shown[name] for name in part.tables if name in shown]
        if charts or inside:
            parts.append({"key": part.key, "title": part.title, "charts": charts, "tables": inside})
    return parts


def _doors(parts: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return for each reader the parts of this page that answer."""
    doors = {reader: [part for part in parts if part["key"] in keys] for reader, keys in DOORS.items()}
    return {reader: inside for reader, inside in doors.items() if inside}


def page_table(table: Table) -> dict[str, Any]:
    """Return a table as the page shows it: of a very long one the first rows, each with what it is about."""
    columns = printed(table)
    about = table.frame[[name for name in ABOUT if name in table.frame]].astype(object)
    rows = [
        {
            "about": [str(value) for value in names if not pd.isna(value)],
            "cells": [(_cut(column.texts[row]), column.best[row]) for column in columns],
        }
        for row, (_, *names) in enumerate(about.head(MOST_ROWS).itertuples(name=None))
    ]
    return {
        "name": table.name,
        "title": visible(table.title),
        "headings": [(visible(column.heading), column.to_right) for column in columns],
        "rows": rows,
        "left_out": len(table.frame) - len(rows),
        "notes": [visible(note) for note in table.notes],
    }


def _cut(value: str) -> str:
    return value if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]}…"


def _filters(selection: Selection) -> dict[str, list[tuple[str, str]]]:
    """Return what can be switched off: for each axis the values, and how they are read."""
    frames = selection.frames
    cells = pd.concat([frames.turns, frames.trainings, frames.failures])
    environments = sorted(cells["environment"].unique(), key=lambda name: BACKENDS.index(name.partition("@")[0]))
    return {
        "backend": [(name, display_name(name)) for name in environments],
        "model": [(name, display_name(name)) for name in sorted(cells["model"].unique())],
        "length": [(str(length), f"{length}") for length in sorted(cells["length"].unique())],
    }


TASKS = {
    "sum": "read a sequence of digits and output their sum",
    "adding": "read values and markers, and output the sum of the two marked values",
    "digits": "read an image of a handwritten digit in parts, and name the digit",
}


def _scope(selection: Selection) -> str:
    """Say what was measured, where, and for what it holds."""
    axes, header = _filters(selection), selection.header
    if not axes["backend"]:
        return "Nothing was measured."
    task = header.sweep.task.name
    environments, models, lengths = ([shown for _, shown in values] for values in axes.values())
    return (
        f"{join_words(models)} at length{'' if len(lengths) == 1 else 's'} {join_words(lengths)} on "
        f"{join_words(environments)}; {visible(header.machine.cpu)}, {header.machine.cores} cores, "
        f"{header.sweep.device.upper()}. "
        f"Ratios are those of this machine on that day. The task: {TASKS.get(task, visible(task))}."
    )


@cache
def _template() -> Template:
    """Return the template with everything in it that is the same on every page."""
    environment = Environment(
        loader=PackageLoader("bench.output.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = files("bench.output.report") / "templates"
    environment.globals |= {name: (folder / f"page.{name}").read_text("utf-8") for name in ("css", "js")}
    environment.globals |= {
        "light": LIGHT.css,
        "dark": DARK.css,
        "chart_settings": {"config": config(PAGE), "about": ABOUT},
    }
    environment.globals["vega"] = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub demands a snippet
    return environment.get_template("page.html.j2")
