"""The report: one page that asks for nothing, holds every table, and shows what records say without obeying it."""

import gzip
import json
import shlex
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from factories import (
    make_accuracy,
    make_cell,
    make_failure,
    make_header,
    make_processes,
    make_run,
    make_speed,
    make_sweep,
    select_all,
)
from plotly.offline import get_plotlyjs
from whole_runs import timings, trainings, whole_records, whole_selection

from bench.analysis.findings import Findings
from bench.analysis.selection import select
from bench.output.printing.escaping import visible
from bench.output.report.chart_parts import MOST_POINTS
from bench.output.report.limit_charts import target_charts, tax_charts
from bench.output.report.origin import origin_tables, repeat_command
from bench.output.report.page import build_page, write_page
from bench.output.report.shown_tables import MOST_ROWS, find_filters, show_table
from bench.output.report.speed_charts import sample_charts
from bench.output.report.texts import plotly_text
from bench.output.tables.catalog import TABLES
from bench.plan.cells import Cell
from bench.records import store
from bench.records.schema import Record

VOID = {"meta", "input", "br", "link", "img", "hr", "i"} - {"i"}
NOT_IN_THE_RUN = {
    *("thread-ratios", "tax", "variants", "batching", "devices", "epoch-cost", "energy", "length-cost", "crossings")
}
"""Tables of threads, variants, GPUs and many lengths."""
NASTY = "</script><script>alert(1)</script>:<img src=x onerror=alert(1)>\x1b[31m=cmd()&amp;{{ 7*7 }}"


class Page(HTMLParser):
    """What a browser would see of a page: elements with their attributes, texts, and whether all is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def of(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(key.rstrip("_")) == value for key, value in attributes.items())
        ]

    def script(self, number: int) -> str:
        return self.texts["script"][number]


@pytest.fixture(scope="module")
def html() -> str:
    return build_page(whole_selection())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture(scope="module")
def nasty() -> Page:
    cell = make_cell(model=NASTY)
    records: list[Record] = [
        *timings(models=[NASTY]),
        *trainings(models=[NASTY]),
        make_failure(cell, reason=f"{NASTY}\nsecond"),
    ]
    return Page(build_page(select_all(*records, command=f"seqsum run --model {shlex.quote(NASTY)}")))


def test_the_page_is_whole_small_and_asks_for_nothing(html: str, page: Page) -> None:
    assert page.open == [] and html.count("<html") == 1
    assert len(html.encode()) < 3 * 2**20
    for tag, attributes in page.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "audio", "video"), tag
        for name in ("src", "srcset", "action", "formaction", "data", "poster", "background"):
            assert name not in attributes, (tag, name)
        assert not (attributes.get("href") or "#").startswith("http"), attributes
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    (css,) = page.texts["style"]
    assert "url(" not in css and "@import" not in css


def test_the_page_forbids_connections(page: Page) -> None:
    (policy,) = (found["content"] for found in page.of("meta") if found.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'")
    assert "connect-src" not in policy and "http" not in policy and "*" not in policy


def test_every_table_that_is_not_empty_stands_on_the_page_whole(page: Page) -> None:
    chosen = whole_selection()
    filters = find_filters(chosen)
    ids = {found["id"] for found in page.of("details") if found.get("id")}
    cells = {text.strip() for tag in ("td", "th", "button") for text in page.texts[tag]}
    for name, make in TABLES.items():
        table = make(chosen)
        assert (f"table-{name}" in ids) == (not table.frame.empty), name
        for row in show_table(name, table, filters).rows:
            assert {cell.strip() for cell in row.cells if cell.strip()} <= cells, name
        assert not table.frame.empty or name in NOT_IN_THE_RUN, name


def test_tables_can_be_read_by_a_screen_reader(page: Page) -> None:
    tables = len(page.of("table"))
    assert tables > 15 and len(page.of("caption")) == tables
    rows = len(page.of("tr")) - tables
    assert len(page.of("th", scope="row")) == rows and len(page.of("th", scope="col")) > tables
    assert page.of("html", lang="en") and page.of("main") and page.of("header") and page.of("nav") and page.of("footer")
    assert page.of("a", class_="skip")[0]["href"] == "#answer"
    assert len(page.of("h1")) == 1


def test_every_plot_has_a_text_and_a_table(page: Page) -> None:
    plots = page.of("div", class_="plot")
    ids = {found.get("id") for _, found in page.elements}
    assert len(plots) == len(json.loads(page.script(0)))
    assert all(found["role"] == "img" and len(found["aria-label"] or "") > 20 for found in plots)
    for link in page.of("a"):
        assert (link["href"] or "").removeprefix("#") in ids, link


def test_plots_of_every_kind_are_valid_for_plotly(page: Page) -> None:
    figures = json.loads(page.script(0))
    for figure in figures:
        go.Figure(figure)  # raises for a property that there is not
        assert figure["data"]
    titles = " ".join(page.texts["figcaption"])
    for part in ("a steady epoch by length", "how many times as long", "to the end of the first epoch"):
        assert part in titles
    for part in ("until an epoch has ended", "val_loss", "Exact sums", "kept of a digit", "every turn"):
        assert part in titles


def test_plotly_is_packed_inside_and_comes_out_as_it_was(page: Page) -> None:
    assert gzip.decompress(b64decode(page.script(2))).decode() == get_plotlyjs()


def test_the_answer_comes_first(html: str) -> None:
    assert html.index("jax trains fastest</h1>") < html.index("How sure is that?") < html.index("<table")


def test_nothing_in_a_record_becomes_part_of_the_page(nasty: Page) -> None:
    assert nasty.open == []
    assert len(nasty.of("script")) == 4 and not nasty.of("img")
    shown = " ".join(text for tag, texts in nasty.texts.items() if tag != "script" for text in texts)
    assert "</script><script>alert(1)</script>:<img src=x onerror=alert(1)>\\x1b[31m=cmd()&amp;{{ 7*7 }}" in shown
    assert "\x1b" not in shown and "49" not in " ".join(nasty.texts["h3"])
    filters = json.loads(nasty.script(1))
    assert filters["model"] == [NASTY], "a script reads it as it is"
    for number in (0, 1):
        assert "<" not in nasty.script(number), "no markup within JSON"


def test_names_in_plots_are_escaped_for_plotly(nasty: Page) -> None:
    names = {trace["name"] for figure in json.loads(nasty.script(0)) for trace in figure["data"] if "name" in trace}
    assert any("&lt;script&gt;" in name for name in names)
    assert not any("<" in name or "$" in name or "\x1b" in name for name in names)
    assert plotly_text("a<b>$x$&\x07") == "a&lt;b&gt;&#36;x&#36;&amp;\\x07"


def test_control_characters_are_written_out() -> None:
    assert visible("a\x1b[31mb\x00\u202ec\nd") == "a\\x1b[31mb\\x00\\u202ec\nd"


def test_rows_say_what_they_belong_to() -> None:
    chosen = whole_selection()
    filters = find_filters(chosen)
    assert (filters.backend, filters.length) == (("jax", "torch", "tensorflow"), ("4", "12"))
    ratios = show_table("ratios", TABLES["ratios"](chosen), filters)
    lstm = str(filters.model.index("lstm"))
    assert {"backend": "0 1", "model": lstm, "length": "0"} in [row.belongs for row in ratios.rows]
    baselines = [row for row in show_table("accuracy", TABLES["accuracy"](chosen), filters).rows if "mean" in row.cells]
    assert all("backend" not in row.belongs and "model" not in row.belongs for row in baselines)


def test_a_very_long_table_is_cut_and_says_so() -> None:
    failures = [make_failure(make_cell(length=length), reason=700 * "x") for length in range(1, MOST_ROWS + 50)]
    chosen = select_all(*failures)
    shown = show_table("failures", TABLES["failures"](chosen), find_filters(chosen))
    assert (len(shown.rows), shown.left_out) == (MOST_ROWS, 49)
    assert len(shown.rows[0].cells[-1]) == 601 and shown.rows[0].cells[-1].endswith("x…")
    page = build_page(chosen)
    assert "49 more" in page and "seqsum table --show failures --format csv" in page
    assert len(page.encode()) < 3 * 2**20


def test_very_many_turns_are_drawn_as_few_points() -> None:
    speeds = [make_speed(process=number, rounds=20) for number in range(100)]
    (chart,) = sample_charts(Findings(select_all(*speeds)))
    (trace,) = chart.figure["data"]
    assert len(trace["x"]) == MOST_POINTS and trace["y"][0] == pytest.approx(10.0)


def test_the_tax_is_drawn_against_length_and_stands_in_a_part_of_its_own() -> None:
    records = [
        record
        for length, tax in ((4, 3.0), (12, 2.0))
        for way, epoch_s in (("keras", tax * 0.01), ("ceiling", 0.01))
        for record in make_processes(make_cell(length=length, implementation=way), seconds=[epoch_s] * 5)
    ]
    chosen = select_all(*records)
    (chart,) = tax_charts(chosen)
    (trace,) = chart.figure["data"]
    assert (trace["x"], trace["y"]) == ([4, 12], [3, 2]) and "3.00 at length 4" in chart.summary
    assert 'id="limits"' in build_page(chosen)


def test_shares_of_seeds_rise_over_time_and_misses_keep_them_below_all() -> None:
    losses = {0: (1.0, 0.1), 1: (0.2, 0.1), 2: (1.0, 1.0)}
    trained = [make_accuracy(seed=seed, val_loss=val_loss) for seed, val_loss in losses.items()]
    (chart,) = target_charts(select_all(*make_processes(make_cell(), seconds=[0.01] * 5), *trained))
    (trace,) = chart.figure["data"]
    assert trace["y"][-1] == pytest.approx(100 * 2 / 3, rel=1e-3) and trace["y"] == sorted(trace["y"])
    assert "2 of 3 seeds" in chart.summary


@pytest.mark.parametrize(
    "records",
    [[], [make_failure()], [make_speed()], [make_accuracy()], [make_speed(twin=True)], trainings(seeds=1)],
    ids=["none", "failure", "speed", "accuracy", "control", "trainings"],
)
def test_a_page_can_be_made_of_little(records: list[Any]) -> None:
    page = Page(build_page(select_all(*records)))
    assert page.open == [] and page.texts["h1"]


def test_where_all_is_from_is_told(page: Page) -> None:
    shown = " ".join(text for texts in page.texts.values() for text in texts)
    for part in ("Test CPU", "0123456789ab", "keras 3.15.1", "KERAS_BACKEND", "timing.processes", "8.0 GiB", "3.13.0"):
        assert part in shown, part
    assert set(origin_tables(whole_selection())) == {
        "machine", "workers", "environment", "runs", "settings", "commands"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"command": "seqsum run --length 4 --length 12"}, "seqsum run"),
        ({"command": "seqsum run --profile full --model=gru --seeds 3"}, "seqsum run --profile full --seeds 3"),
        ({"command": "seqsum run --sweep docs/sweeps/repeat.toml"}, "seqsum run --sweep docs/sweeps/repeat.toml"),
        ({"command": "pytest --benchmark-only", "harness": "pytest", "profile": "smoke"}, "seqsum run --profile smoke"),
        ({"command": "pytest", "harness": "pytest", "profile": "own"}, "seqsum run"),
    ],
)
def test_the_command_repeats_one_cell_as_its_run_did(fields: dict[str, Any], expected: str) -> None:
    command = repeat_command(make_header(**fields), make_cell("torch", "lstm", 25))
    assert command == f"{expected} --backend torch --model lstm --length 25"


def test_a_second_installation_of_a_backend_stands_beside_the_first() -> None:
    other = make_cell().model_copy(update={"installation": "old"})
    chosen = select_all(make_speed(), make_speed(other, steady_s=(0.02,)))
    filters = find_filters(chosen)
    assert filters.backend == ("jax", "jax@old")
    (row,) = show_table("ratios", TABLES["ratios"](chosen), filters).rows
    assert row.belongs["backend"] == "0 1"
    assert repeat_command(make_header(), other).endswith("--length 12 --python jax@old=PATH")
    assert "12 · jax@old / jax" in build_page(chosen)


def test_a_command_can_be_pasted_whatever_the_model_is_called() -> None:
    cell: Cell = make_cell(model="x:$(rm -rf ~)'; y")
    assert shlex.split(repeat_command(make_header(), cell))[-3] == cell.model


def test_the_same_records_give_the_same_page() -> None:
    records: list[Record] = [make_speed(), make_accuracy()]
    assert build_page(select_all(*records)) == build_page(select_all(*records))


def test_a_run_that_was_written_is_read_into_a_page(tmp_path: Path) -> None:
    writer = store.start_run(tmp_path / "results", make_header(sweep=make_sweep()))
    for record in whole_records():
        writer.append(record)
    loaded, problems = store.load_runs(tmp_path / "results")
    write_page(select(loaded), tmp_path / "report.html")
    assert problems == [] and "jax trains fastest" in (tmp_path / "report.html").read_text("utf-8")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [], "no unfinished file is left"


def test_headlines_of_several_runs_are_of_the_newest(tmp_path: Path) -> None:
    old = make_run(timings(models=["lstm"], lengths=[4]), "2030-01-01T00-00-00-old")
    new = make_run([make_speed(make_cell("torch", "lstm", 4), steady_s=(0.001,))], "2030-01-02T00-00-00-new")
    html = build_page(select([old, new]))
    assert "no turns in common" in html and "is not shown" in html
