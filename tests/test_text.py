"""Tables as text: digits, filters, widths, and what other programs read."""

import csv
import io
import json
from math import inf, nan
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import make_accuracy, make_cell, make_failure, make_processes, make_worker, select_all
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.errors import UserError
from bench.output import formats, numbers, text
from bench.output.tables.table import Column, Table, with_interval
from bench.output.text import Wanted

FRAME = pd.DataFrame(
    {
        "model": ["lstm", "gru"],
        "environment": ["jax", "torch"],
        "length": [4, 400],
        "epoch_s": [0.0123456, 1.5],
        "epoch_s_low": [0.01, nan],
        "epoch_s_high": [0.02, nan],
        "level": [0.9609, nan],
        "empty": [nan, nan],
        "consistent": pd.array([True, pd.NA], dtype="boolean"),
    }
)
TABLE = Table(
    "speed",
    "Speed",
    FRAME,
    [
        Column("model", "model", kind="axis"),
        Column("length", "length", kind="axis"),
        with_interval("epoch_s", "epoch ms", 1e3),
        Column("empty", "GPU ms"),
        Column("consistent", "consistent with 1", kind="text"),
    ],
    ("A note.",),
    frozenset({(0, "epoch_s")}),
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (5.5, "5.50"),
        (0.9996, "1.00"),
        (999.6, "1,000"),
        (12345.0, "12,300"),
        (0.00123456, "0.00123"),
        (0.000012, "1.20e-05"),
        (3.2e12, "3.20e+12"),
        (-41.27, "-41.3"),
        (0.0, "0"),
        (1620, "1,620"),
        (np.int64(7), "7"),
        (inf, "never"),
        (nan, ""),
        (None, ""),
        (pd.NA, ""),
    ],
)
def test_number(value: Any, shown: str) -> None:
    assert numbers.number(value) == shown


@given(st.tuples(*[st.floats(-1e9, 1e9)] * 3))
def test_printed_intervals(values: tuple[float, ...]) -> None:
    low, value, high = (float(numbers.number(value).replace(",", "")) for value in sorted(values))
    assert low <= value <= high


@given(st.floats(1e-12, 1e12))
def test_numbers_have_three_digits(value: float) -> None:
    assert float(numbers.number(value).replace(",", "")) == pytest.approx(value, rel=0.00501)


def test_whole_numbers() -> None:
    assert [numbers.count(value) for value in (17.0, 2.5, inf, nan)] == ["17", "2.50", "never", ""]
    assert numbers.interval(1.0, inf, numbers.count) == "1 to never"
    assert numbers.interval(nan, nan) == ""


@pytest.mark.parametrize(
    ("name", "shown"), [("lstm", "lstm"), ("\x1b[31m", r"\x1b[31m"), ("a\u202eb", r"a\u202eb"), ("é\n", "é\n")]
)
def test_names_cannot_steer_a_terminal(name: str, shown: str) -> None:
    assert numbers.visible(name) == shown


def headings(table: Table) -> list[str]:
    return [column.heading for column in formats.printed(table)]


def test_columns_without_figures_are_left_out() -> None:
    assert headings(TABLE) == ["model", "length", "epoch ms", "96 % interval", "consistent with 1"]


def test_heading_of_intervals() -> None:
    """It names their levels; without any, the range is shown as one, if there is more than one process."""
    frame = FRAME.assign(epoch_s_low=0.01, epoch_s_high=0.02, level=[0.9609, 0.984])
    assert headings(Table("", "", frame, [with_interval("epoch_s", "epoch s")])) == ["epoch s", "96 to 98 % interval"]
    fixed = with_interval("epoch_s", "epoch s", level=0.95)
    assert headings(Table("", "", FRAME, [fixed])) == ["epoch s", "95 % interval"]
    frame = FRAME.assign(epoch_s_low=nan, epoch_s_least=0.01, epoch_s_greatest=0.0123456)
    assert headings(Table("", "", frame, [fixed])) == ["epoch s", "range"]
    same = frame.assign(epoch_s_greatest=0.01)
    assert headings(Table("", "", same, [fixed])) == ["epoch s"]


def on_terminal(table: Table, width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    formats.print_text(table, console)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_terminal() -> None:
    """The best figure has a mark; an unknown value is left out."""
    lines = on_terminal(TABLE)
    assert lines[1] == "Speed"
    assert lines[-3].split() == ["lstm", "4", "12.3", "*", "10.0", "to", "20.0", "yes"]
    assert lines[-2].split() == ["gru", "400", "1,500"]
    assert lines[-1] == "A note."


def test_wide_tables_are_split() -> None:
    """Each part begins with the axes, no line is too long, and no figure is cut."""
    columns = [Column("model", "model", kind="axis"), *(Column(f"f{n}", f"figure {n}") for n in range(30))]
    frame = pd.DataFrame({"model": ["my_models:wide"], **{f"f{n}": [1e6 + n * 1e4] for n in range(30)}})
    lines = on_terminal(Table("", "", frame, columns))
    assert max(map(len, lines)) <= 80
    words = " ".join(lines).split()
    assert [word for word in words if word.startswith("1,")] == [numbers.number(1e6 + n * 1e4) for n in range(30)]
    assert words.count("my_models:wide") > 1


def test_wide_tables_say_once_what_is_the_same() -> None:
    """An axis with one value, above the figures; long texts below them, each with its row."""
    columns = [Column("model", "model", kind="axis"), Column("length", "length", kind="axis")]
    columns += [*(Column(f"f{n}", f"figure {n}") for n in range(8)), Column("why", "why", kind="text")]
    figures = {f"f{n}": [1.0, 2.0] for n in range(8)}
    frame = pd.DataFrame({"model": ["lstm"] * 2, "length": [4, 12], **figures, "why": ["", "a long reason " * 3]})
    lines = on_terminal(Table("", "", frame, columns))
    assert "model lstm" in lines and lines[-2:] == ["why:", "  12: " + ("a long reason " * 3).strip()]
    assert sum("figure" in line for line in lines) == 1 and max(map(len, lines)) <= 80
    assert any(line.split() == ["12", *["2.00"] * 8] for line in lines)


def test_markdown() -> None:
    lines = formats.to_markdown(TABLE).splitlines()
    assert [cell.strip() for cell in lines[4].split("|")[1:-1]] == ["lstm", "4", "**12.3**", "10.0 to 20.0", "yes"]
    assert lines[0] == "### Speed"
    piped = Table("", "", FRAME.assign(model="a|b\nc"), TABLE.columns)
    assert r"a\|b c" in formats.to_markdown(piped)


def test_latex() -> None:
    """Names are escaped, the best figure is bold, and notes are inside of the table."""
    odd = Table("", "5 % & more_", FRAME.assign(model="my_model:f{$}"), TABLE.columns, ("A_note",), TABLE.best)
    latex = formats.to_latex(odd)
    assert r"\caption{5 \% \& more\_}" in latex
    assert r"my\_model:f\{\$\} & 4 & \textbf{12.3} & 10.0 to 20.0 & yes \\" in latex
    assert latex.endswith("\\par\\footnotesize A\\_note\n\\end{table}")
    assert r"{lrrrl}" in latex


def test_csv_has_all_digits() -> None:
    """A cell that a spreadsheet would run as a formula gets an apostrophe."""
    rows = list(csv.DictReader(io.StringIO(formats.to_csv(Table("", "", FRAME.assign(model="=1+1"), TABLE.columns)))))
    assert rows[0]["model"] == "'=1+1"
    assert float(rows[0]["epoch ms"]) == pytest.approx(12.3456)
    assert float(rows[0]["epoch ms low"]) == 10
    assert rows[1]["epoch ms high"] == ""


def test_json_knows_neither_nan_nor_infinity() -> None:
    document = formats.table_document(
        Table("speed", "", FRAME.assign(epoch_s=[inf, 2.0]), TABLE.columns, (), TABLE.best)
    )
    json.dumps(document, allow_nan=False)
    assert document["columns"] == ["model", "length", "epoch ms", "epoch ms low", "epoch ms high", "consistent with 1"]
    assert document["rows"] == [["lstm", 4, "never", 10, 20, True], ["gru", 400, 2000, None, None, None]]
    assert document["best"] == [[0, "epoch ms"]]


@pytest.fixture
def selection() -> Any:
    cells = [
        make_cell(name, model, length) for name in ("jax", "torch") for model in ("lstm", "gru") for length in (4, 12)
    ]
    speeds = [record for cell in cells for record in make_processes(cell, seconds=[0.01 * (1 + len(cell.model))] * 6)]
    return select_all(
        *speeds,
        *(make_accuracy(make_cell("jax"), seed=seed) for seed in range(5)),
        make_failure(make_cell("torch", "lstm", 4, implementation="fused"), reason="ended\x1b[31m"),
        workers=(make_worker("jax"), make_worker("torch")),
    )


def printed(capsys: pytest.CaptureFixture[str], *arguments: Any, **options: Any) -> str:
    text.print_tables(*arguments, **options)
    return capsys.readouterr().out


def tables_of(capsys: pytest.CaptureFixture[str], *arguments: Any, **wanted: Any) -> dict[str, Any]:
    document = json.loads(printed(capsys, *arguments, form="json", wanted=Wanted(**wanted)))
    return {table["name"]: table for table in document["tables"]}


def test_failures_are_printed_too(selection: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tables_of(capsys, selection, ["start"])) == ["start", "failures"]
    assert "\x1b" not in printed(capsys, selection, ["failures"])


def test_default_and_all(selection: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Without names those that matter most; tables without rows are left out."""
    assert list(tables_of(capsys, selection, [])) == [
        "speed",
        "speed-by-backend",
        "start",
        "break-even",
        "accuracy",
        "failures",
    ]
    assert {"overview", "growth"} < tables_of(capsys, selection, ["all"]).keys()


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "csv", "json"])
def test_all_forms(selection: Any, capsys: pytest.CaptureFixture[str], form: Any) -> None:
    names = ["speed"] if form == "csv" else ["all"]
    output = printed(capsys, selection, names, form=form)
    assert "torch" in output
    assert ("Test CPU" in output) == (form != "csv")


def test_filters(selection: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A row that compares two models or backends is kept if both are wanted."""
    names = ["speed", "speed-by-backend", "speed-by-model", "growth", "overview"]
    tables = tables_of(capsys, selection, names, backends=("jax",))
    assert {row[2] for row in tables["speed"]["rows"]} == {"jax"}
    assert "speed-by-backend" not in tables
    assert "torch ms" not in tables["overview"]["columns"]
    tables = tables_of(capsys, selection, names, models=("lstm",), lengths=(12,))
    assert {tuple(row[:2]) for row in tables["speed"]["rows"]} == {("lstm", 12)}
    assert not {"speed-by-model", "growth"} & tables.keys()


def test_columns(selection: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order in which they are asked for, each with its interval."""
    columns = text.parse_columns("ratio, backend,epoch ms")
    tables = tables_of(capsys, selection, ["speed", "speed-by-backend", "failures"], columns=columns)
    assert tables["speed"]["columns"] == ["backend", "epoch ms", "epoch ms low", "epoch ms high"]
    assert tables["speed-by-backend"]["columns"] == ["ratio", "ratio low", "ratio high"]
    assert "failures" not in tables


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["sped"], {}, r"`--show` must be one of .* Did you mean speed\?"),
        (["all"], {"form": "csv"}, "`--format csv` holds one table"),
        ([], {"wanted": Wanted(backends=("tensorflow",))}, "`--backend` must be one of jax, torch"),
        ([], {"wanted": Wanted(models=("lst",))}, r"`--model` .* Did you mean lstm\?"),
        ([], {"wanted": Wanted(lengths=(5,))}, "`--length` must be one of 4, 12"),
        (["speed"], {"wanted": Wanted(columns=("epoch",))}, r"`--columns` .* Did you mean epoch ms\?"),
    ],
)
def test_wrong_names(selection: Any, names: list[str], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        text.print_tables(selection, names, **options)


def test_provenance() -> None:
    """Where the figures are from, and what is doubtful about them."""
    loud = make_processes(seconds=[0.01] * 6, others_cpu_s=9.0)
    old, nightly = make_worker("torch@old", version="2.0"), make_worker("torch@keras-nightly==9.0.dev2026010104")
    lines = text.provenance(select_all(*loud, load_average=2.5, workers=(make_worker("torch"), old, nightly)))
    assert lines[0] == "cpu: Test CPU, 2 cores, 8 GiB, Linux 6 x86_64"
    assert "torch 2.0 (torch@old)" in lines[1] and "nightly" not in lines[1]
    assert " torch 2.0, " in text.provenance(select_all(*loud, workers=(old,)))[1]  # the only one
    assert "disturbed 6 of 6 turns" in lines[3]
    assert "load 2.5" in lines[4]
