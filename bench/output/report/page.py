"""Put the page together and write it: one HTML file that asks for nothing, with Plotly packed inside."""

import gzip
from base64 import b64encode
from functools import cache
from importlib.resources import files
from math import inf
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from plotly.offline import get_plotlyjs

from bench.analysis.accuracy_lines import lines_over_lengths, loss_lines, memory_lines
from bench.analysis.findings import Findings
from bench.analysis.patience import most_patient, patience_note
from bench.analysis.selection import Selection, Table, provenance
from bench.output.files import write_whole
from bench.output.printing.escaping import visible
from bench.output.report import doubts, headlines
from bench.output.report.charts import Learning, make_charts
from bench.output.report.origin import origin_tables
from bench.output.report.shown_tables import Filters, ShownTable, find_filters, show_table
from bench.output.report.texts import join_words, model_name
from bench.output.tables.catalog import TABLES

PARTS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "speed": ("Speed", ("speed", "ratios"), ("overview", "speed", "ratios", "model-ratios", "thread-ratios")),
    "start": ("Starting, and when it pays", ("start", "break-even"), ("start", "breakeven")),
    "limits": (
        "What limits it: the framework, settings, length",
        ("tax",),
        ("tax", "variants", "batching", "devices", "epoch-cost", "length-cost", "crossings"),
    ),
    "learning": (
        "What was learned",
        ("accuracy", "target", "loss", "memory"),
        ("accuracy", "target", "lengths", "models", "backends", "predictions", "memory", "gradients"),
    ),
    "doubts": ("Doubts: controls, noise, failures", ("samples",), ("controls", "noise", "failures")),
}
"""The parts of the page: title, groups of plots, tables. Tables that none names stand at the end of the first."""


def write_page(chosen: Selection, path: Path) -> None:
    """Write the page, whole or not at all.

    Args:
        chosen: records that may stand together.
        path: an HTML file.

    Raises:
        UserError: if it cannot be written.
    """
    write_whole(path, build_page(chosen).encode())


def build_page(chosen: Selection) -> str:
    """Return the page as HTML.

    Args:
        chosen: records that may stand together.
    """
    found, trained = Findings(chosen), most_patient(chosen)
    learning = Learning(
        mse=lines_over_lengths(trained, lambda trial: trial.test.mse, inf),
        exact=lines_over_lengths(trained, lambda trial: 100 * trial.test.exact_sum_rate, 100.0),
        losses=loss_lines(chosen),
        memory=memory_lines(chosen),
    )
    tables = {name: table for name, make in TABLES.items() if not (table := make(chosen)).frame.empty}
    charts = make_charts(chosen, found, learning)
    filters = find_filters(chosen)
    said = headlines.answers(found)
    return _template().render(
        title=headlines.main_title(said),
        subtitle=headlines.subtitle(said),
        answers=said,
        facts=doubts.doubts(chosen, found, said),
        learned=headlines.learned(learning.mse, learning.exact),
        learned_note=patience_note(trained) if trained else "",
        alike=headlines.say_backends_alike(_verdicts(tables.get("backends"))),
        measured=_say_measured(chosen, filters),
        origin=[visible(line) for line in provenance(chosen)],
        filters=filters,
        parts=_parts(tables, charts, filters),
        origin_tables=[show_table(name, table, filters) for name, table in origin_tables(chosen).items()],
        figures=[chart.figure for chart in charts],
        plotly=_packed_plotly(),
        newest=chosen.runs[-1].header,
    )


def _parts(tables: dict[str, Table], charts: list[Any], filters: Filters) -> list[dict[str, Any]]:
    """Return what each part of the page shows; a part without anything is left out."""
    shown = {name: show_table(name, table, filters) for name, table in tables.items()}
    named = {name for _, _, names in PARTS.values() for name in names}
    numbered = list(enumerate(charts))
    parts = []
    for key, (title, groups, names) in PARTS.items():
        rest = [name for name in shown if name not in named] if key == "speed" else []
        inside: list[ShownTable] = [shown[name] for name in [*names, *rest] if name in shown]
        plots = [(number, chart) for number, chart in numbered if chart.group in groups]
        if inside or plots:
            parts.append({"key": key, "title": title, "charts": plots, "tables": inside})
    return parts


def _verdicts(table: Table | None) -> list[str]:
    return [] if table is None else [str(verdict) for verdict in table.frame["verdict"]]


def _say_measured(chosen: Selection, filters: Filters) -> str:
    """Say in a sentence what was measured."""
    header = chosen.runs[-1].header
    if not filters.backend:
        return "Nothing was measured."
    models = join_words(model_name(model) for model in filters.model)
    lengths = join_words(filters.length)
    return (
        f"{models} at length{'' if len(filters.length) == 1 else 's'} {lengths} under "
        f"{join_words(filters.backend)}, on {visible(header.machine.cpu)} ({header.machine.cores} cores, "
        f"{header.sweep.device}). The task: read a sequence of digits and output their sum."
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("bench.output.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = files("bench.output.report") / "templates"
    environment.globals |= {name: (folder / f"page.{name}").read_text("utf-8") for name in ("css", "js")}
    environment.filters |= {"model_name": model_name, "visible": visible}
    return environment.get_template("page.html.j2")


@cache
def _packed_plotly() -> str:
    """Return Plotly's JavaScript, gzip in base64: a third of its size, the same bytes each time."""
    return b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
