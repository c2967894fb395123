"""The report: answers rest on intervals, doubts are named, and the page loads nothing and obeys no record."""

import json
import shlex
from html.parser import HTMLParser
from typing import Any

import pytest
from factories import (
    MACHINE,
    make_accuracy,
    make_cell,
    make_failure,
    make_header,
    make_processes,
    make_run,
    make_speed,
    make_turn,
    select_all,
)
from whole_runs import NOISE, SHUFFLED, controls, timings, trainings, versions, whole_selection

from bench.analysis.accuracy import contrasts
from bench.analysis.select import select
from bench.output.charts import CHARTS
from bench.output.checks import checks
from bench.output.headline import Answer, answers, headline, learn_the_same, learned, margin, training_note
from bench.output.report import build_page
from bench.output.report.page import DOORS
from bench.output.report.provenance import repeat_command
from bench.output.tables import TABLES
from bench.records.schema import Record

VOID = {"meta", "input", "br", "link", "img", "hr"}
NASTY = "</script><script>alert(1)</script>:<img src=x onerror=alert(1)>\x1b[31m=cmd()&amp;{{ 7*7 }}"


# ---- answers in words


def answered(*records: Record) -> list[Answer]:
    return answers(select_all(*records).main_turns)


def of(backend: str, factor: float = 1, noise: Any = NOISE, length: int = 12, **fields: Any) -> list[Record]:
    return [*make_processes(make_cell(backend, length=length), seconds=[factor * s for s in noise], **fields)]


def test_fastest_backend() -> None:
    (answer,) = answered(*of("torch"), *of("jax", 0.1))
    assert (answer.certainty, answer.text, answer.title) == ("clear", "JAX is fastest.", "LSTM, length 12")
    assert answer.closest == pytest.approx(10)
    jax, torch = answer.standings
    assert (jax.name, jax.epoch, jax.comparison) == ("JAX", "100 ms", "") and jax.share == pytest.approx(0.1)
    assert torch.comparison.startswith("ratio to JAX: 10.0 (10.0 to 10.0)")


def test_order_of_names() -> None:
    """Ratios are stored later name / earlier name: here the later is the faster."""
    (answer,) = answered(*of("jax", 4), *of("torch"))
    assert answer.leaders == ("PyTorch",) and answer.closest == pytest.approx(4)
    assert answer.standings[1].comparison == "ratio to PyTorch: 4.00 (4.00 to 4.00)"


def test_tie() -> None:
    (answer,) = answered(*of("jax"), *of("torch", noise=SHUFFLED), *of("tensorflow", 9))
    assert (answer.certainty, answer.text) == ("tie", "No difference is shown between JAX and PyTorch.")
    shown = [standing.comparison.endswith("no difference shown") for standing in answer.standings]
    assert shown == [False, True, False]


def test_open_answers() -> None:
    (few,) = answered(*of("jax", noise=[1.0, 1.1]), *of("torch", noise=[2.0, 2.1]))
    assert (few.certainty, few.text) == ("open", "JAX had the shortest epochs, but that is not shown.")
    assert few.standings[1].comparison == "ratio to JAX: 1.95, from 1.91 to 2.00, no interval"
    runs = [
        make_run(of("torch", 2), "2030-01-01T00-00-00-old", started_at="2030-01-01T00:00:00+00:00"),
        make_run(of("jax"), "2030-01-02T00-00-00-new", started_at="2030-01-02T00:00:00+00:00"),
    ]
    (answer,) = answers(select(runs).main_turns)
    assert answer.certainty == "open" and answer.standings[1].comparison == "not timed in the same run"


def test_break_even() -> None:
    (answer,) = answered(*timings(["lstm"], [4], ["jax", "torch"]))
    assert answer.standings[1].overtaken.startswith("start included, JAX is ahead from epoch 29 on (")
    (answer,) = answered(*of("jax", import_s=1.0), *of("torch", 2, import_s=2.0))
    assert answer.standings[1].overtaken == "JAX is ahead from the start"


def test_threads_and_ceilings() -> None:
    wide = [make_speed(make_cell(threads="default"), counted_s=(0.5,), process=number) for number in range(6)]
    titles = [answer.title for answer in answered(*of("jax"), *wide)]
    assert titles == ["LSTM, length 12, threads: 1", "LSTM, length 12, threads: default"]
    assert len(answers(whole_selection().main_turns)) == 4


@pytest.mark.parametrize(
    ("records", "title", "by"),
    [
        ([], "What was learned; speed was not measured", ""),
        (of("jax"), "Only JAX was measured", ""),
        ([*of("jax"), *of("torch", 2)], "JAX trains fastest", "takes 2.00 times the fastest backend's time."),
        ([*of("jax"), *of("torch", noise=SHUFFLED)], "No backend is shown to be faster than all others", "too close"),
        (
            [*of("jax", noise=[1.0]), *of("torch", noise=[2.0])],
            "Not decided: JAX had the shortest epochs in 1 of 1 comparison",
            "Intervals need 6 processes",
        ),
        (
            [*of("jax", noise=[1.0] * 4), *of("torch", noise=[2.0] * 4)],
            "JAX was fastest in every turn",
            "It was so in all 4 turns of each; intervals need 6 processes.",
        ),
        (
            [
                *[*of("jax", length=4), *of("torch", 2, length=4), *of("jax", 3, length=12), *of("torch", length=12)],
                *[*of("jax", length=25), *of("torch", noise=SHUFFLED, length=25)],
            ],
            "It depends: of 3 comparisons JAX is fastest in 1, PyTorch is fastest in 1 and 1 is not decided",
            "In 2 of 3 comparisons (a model at a length), an epoch on the next fastest backend takes 2.00 to 3.00",
        ),
    ],
    ids=["nothing", "alone", "clear", "tie", "few", "every turn", "depends"],
)
def test_headline(records: list[Record], title: str, by: str) -> None:
    assert headline(answered(*records)) == title
    assert by in margin(answered(*records))


def test_learned() -> None:
    frame = select_all(*trainings()).frames.trainings
    assert list(learned(frame)) == [
        f"Length {length}, sums that are exactly right: LSTM 90.0 % (MSE 0.120) and SimpleRNN 60.0 % (MSE 1.20)."
        for length in (4, 12)
    ]
    assert training_note(frame) == (
        "Means over 5 seeds, each averaged over its backends, on one data set. "
        "Of 40 trainings 40 were stopped by patience."
    )


def test_learn_the_same() -> None:
    frame = contrasts(select_all(*trainings()).frames.trainings, by="environment")
    assert learn_the_same(frame).startswith("All backends learn the same: 4 comparisons")
    few = contrasts(select_all(*trainings(seeds=2)).frames.trainings, by="environment")
    assert learn_the_same(few).endswith("at most 0 points apart (2 seeds; a verdict needs 5).")
    assert learn_the_same(frame.iloc[:0]) == ""


# ---- checks


def checked(*records: Record, **fields: Any) -> dict[str, bool]:
    selection = select_all(*records, **fields)
    return {check.text: check.ok for check in checks(selection, answers(selection.main_turns))}


def test_sound_run() -> None:
    sound = checked(*timings(backends=["jax", "torch"]), *controls())
    assert all(sound.values()), sound
    begins = ("Every answer is decided: the intervals of 4", "1 control (a cell timed against itself) gave 1")
    for begin in (*begins, "No other process disturbed any of the 126 turns", "No trial failed"):
        assert any(text.startswith(begin) for text in sound), begin


@pytest.mark.parametrize(
    ("records", "fields", "part"),
    [
        ([*of("jax"), *of("torch", 2), *of("jax", 1.5, is_control=True)], {}, "1 of 1 control (a cell timed"),
        ([make_speed(), make_speed(make_cell("torch"))], {}, "0 of 1 comparison is decided, 1 has no interval."),
        ([make_speed()], {}, "A cell has only 1 process; an interval needs 6."),
        ([make_speed()], {}, "No cell was timed against itself in 6 processes"),
        ([make_speed(others_cpu_s=9.0, rounds=2)], {}, "Other processes disturbed 2 of 2 turns"),
        ([make_failure()], {}, "1 trial failed"),
        ([make_speed()], {"load_average": 1.86}, "load 1.86"),
        ([make_speed()], {"protocol_version": 2}, "Measured by protocol 2"),
        ([make_speed()], {"machine": MACHINE.model_copy(update={"governor": "powersave"})}, "governor was powersave"),
    ],
)
def test_doubts(records: list[Record], fields: dict[str, Any], part: str) -> None:
    bad = [text for text, ok in checked(*records, **fields).items() if not ok]
    assert any(part in text for text in bad), bad


def test_few_disturbed_turns() -> None:
    turns = [make_turn(number=number, others_cpu_s=9.0 * (number < 1)) for number in range(40)]
    (ok,) = (ok for text, ok in checked(make_speed(turns=turns)).items() if "disturbed 1 of 40 turns" in text)
    assert ok


def test_left_out_runs() -> None:
    old = make_run([make_speed()], "old", protocol_version=1, started_at="2029-01-01T00:00:00+00:00")
    selection = select([old, make_run([make_speed()], "2030-01-02T00-00-00-new")])
    assert any("1 older run" in check.text for check in checks(selection, []))


# ---- the page


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
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}
        return [known for name, known in self.elements if name == tag and wanted.items() <= known.items()]

    def shown(self) -> str:
        return " ".join(text for tag, texts in self.texts.items() if tag not in ("script", "style") for text in texts)


@pytest.fixture(scope="module")
def html() -> str:
    return build_page(whole_selection(*versions()))


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture(scope="module")
def nasty() -> Page:
    failure = make_failure(make_cell(model=NASTY), reason=f"{NASTY}\nsecond")
    command = f"seqsum run --model {shlex.quote(NASTY)}"
    return Page(build_page(select_all(*timings([NASTY]), *trainings([NASTY]), failure, command=command)))


def test_page_loads_nothing(html: str, page: Page) -> None:
    assert page.open == [] and len(page.of("html")) == 1 and page.texts["dt"] == [*DOORS]
    assert len(html.encode()) < 3 * 2**20
    for tag, attributes in page.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "audio", "video"), tag
        for name in ("src", "srcset", "action", "formaction", "data", "poster", "background"):
            assert name not in attributes, (tag, name)
        assert not (attributes.get("href") or "#").startswith("http"), attributes
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    (css,) = page.texts["style"]
    assert "url(" not in css and "@import" not in css
    assert "http" not in "".join(page.texts["script"][:2]), "charts have no address of a schema"
    (policy,) = (meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy and policy.startswith("default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'")
    assert not any(word in policy for word in ("connect-src", "http", "*", "eval"))


def test_tables_and_charts(page: Page) -> None:
    selection = whole_selection(*versions())
    ids = {details.get("id") for details in page.of("details")}
    tables = {name: make(selection).frame for name, make in TABLES.items()}
    assert {f"table-{name}" for name, frame in tables.items() if len(frame)} <= ids
    charts = {chart["data-chart"] for chart in page.of("div", class_="chart")}
    assert charts == {*json.loads(page.texts["script"][0])} == {*CHARTS}


def test_accessibility(page: Page) -> None:
    tables = len(page.of("table"))
    assert tables > 15 and len(page.of("caption")) == tables
    assert len(page.of("th", scope="row")) == len(page.of("tr")) - tables
    assert page.of("html", lang="en") and page.of("main") and page.of("header") and page.of("nav") and page.of("footer")
    assert len(page.of("h1")) == 1 and page.of("a", class_="skip")[0]["href"] == "#answer"
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert all((link["href"] or "").removeprefix("#") in ids for link in page.of("a"))
    for chart in page.of("div", class_="chart"):
        assert chart["role"] == "img" and len(chart["aria-label"] or "") > 20
    about = [json.loads(row["data-about"] or "") for row in page.of("tr") if "data-about" in row]
    assert ["torch", "jax", "lstm", "12"] in about, "a comparison is about both"
    assert ["jax", "lstm", "4"] in about


def test_provenance(page: Page) -> None:
    shown = page.shown()
    for part in ("Test CPU", "0123456789ab", "keras 3.15.1", "KERAS_BACKEND", "timing.processes", "8.0 GiB", "3.13.0"):
        assert part in shown, part


def test_nasty_records(nasty: Page) -> None:
    assert nasty.open == [] and len(nasty.of("script")) == 4 and not nasty.of("img")
    shown = nasty.shown()
    assert "</script><script>alert(1)</script>:<img src=x onerror=alert(1)>\\x1b[31m=cmd()&amp;{{ 7*7 }}" in shown
    assert "\x1b" not in shown and "49" not in " ".join(nasty.texts["h3"])
    assert "<" not in nasty.texts["script"][0], "no markup within JSON"


def test_long_table() -> None:
    failures = [make_failure(make_cell(length=length), reason=700 * "x") for length in range(1, 450)]
    html = build_page(select_all(*failures))
    assert "The first 400 rows; 49 more: <code>seqsum table --show failures --format csv</code>" in html
    assert 601 * "x" not in html and 600 * "x" + "…" in html
    assert len(html.encode()) < 3 * 2**20


@pytest.mark.parametrize(
    "records",
    [[], [make_failure()], [make_speed()], [make_accuracy()], [make_speed(is_control=True)], trainings(seeds=1)],
    ids=["none", "failure", "speed", "accuracy", "control", "trainings"],
)
def test_little(records: list[Any]) -> None:
    page = Page(build_page(select_all(*records)))
    assert page.open == [] and page.texts["h1"]


def test_same_page(html: str) -> None:
    assert build_page(whole_selection(*versions())) == html


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"command": "seqsum run --length 4 --length 12"}, "seqsum run"),
        ({"command": "seqsum run --profile full --model=gru --seeds 3"}, "seqsum run --profile full --seeds 3"),
        ({"command": "pytest --benchmark-only", "harness": "pytest", "profile": "smoke"}, "seqsum run --profile smoke"),
        ({"command": "pytest", "harness": "pytest", "profile": "own"}, "seqsum run"),
    ],
)
def test_command_of_a_cell(fields: dict[str, Any], expected: str) -> None:
    command = repeat_command(make_header(**fields), "torch", "lstm", 25)
    assert command == f"{expected} --backend torch --model lstm --length 25"


def test_command_of_a_nasty_cell() -> None:
    nasty_name = "x:$(rm -rf ~)'; y"
    words = shlex.split(repeat_command(make_header(), "torch@old", nasty_name, 4))
    assert words[-6:] == ["--model", nasty_name, "--length", "4", "--python", "torch@old=PATH"]
