"""Printing: whole figures in 80 columns, names as they are, CSV with every digit."""

import re
from collections import Counter
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import (
    make_accuracy,
    make_baseline,
    make_cell,
    make_errors,
    make_failure,
    make_processes,
    make_run,
    make_slice,
    make_speed,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.analysis.selection import Selection, Table, select
from bench.errors import UserError
from bench.output.printing import digits
from bench.output.printing.output import format_value, print_tables, print_text, to_csv, to_markdown
from bench.output.tables.catalog import TABLES
from bench.output.tables.speed import speed_table
from bench.plan.cells import BACKENDS, Cell
from bench.records.schema import Record

TRICKY_NAMES = ["[red]x[/red]", "a|b:c", "[/]", "tail\\", "\\[bold]x", "a:smile:b", "<b>x</b>", "**x**"]


@pytest.fixture(autouse=True)
def plain_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a caller's wish for colours out of what is compared."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def chosen(*records: Record) -> Selection:
    return select([make_run(records)])


def timed(cell: Cell, epoch_s: float = 0.01, **known: Any) -> list[Record]:
    """Make what one cell leaves: enough processes for an interval, and a control."""
    noise = (0.95, 1.0, 1.05, 1.02, 0.98)
    return [
        record
        for twin in (False, True)
        for record in make_processes(cell, seconds=[epoch_s * one for one in noise], twin=twin, rounds=2, **known)
    ]


def everything() -> Selection:
    cells = [make_cell(), make_cell("tensorflow"), make_cell(model="gru")]
    trained = [make_accuracy(cell) for cell in cells]
    lengths = [make_cell(backend, length=length) for backend in ("jax", "tensorflow") for length in (4, 25)]
    others = [make_cell(threads="default"), make_cell(implementation="ceiling"), make_cell(batching="exact")]
    timings = [record for cell in (*cells, *lengths, *others) for record in timed(cell)]
    timings += timed(make_cell(devices=2))
    timings.append(make_speed(make_cell(length=7), slices=[make_slice(energy_j=3.0)]))
    for batch_size, steps in ((25, 65), (50, 33), (400, 5)):
        timings += timed(make_cell(batch_size=batch_size), steps_per_epoch=steps)
    return chosen(*timings, *trained, make_baseline(), make_failure(make_cell("torch")))


def as_text(table: Table) -> str:
    text = StringIO()
    print_text(table, Console(file=text, width=80, highlight=False))
    return text.getvalue()


def as_csv(table: Table) -> pd.DataFrame:
    return pd.read_csv(StringIO(to_csv(table)))


def broken_figures(table: Table, text: str, *, names: bool) -> Counter[str]:
    """Return the figures and names of a table that do not stand whole in a text."""
    frame = table.frame if names else table.frame.select_dtypes("number")
    words = Counter(
        word for value in digits.as_text(table.frame)[frame.columns].to_numpy().ravel() for word in value.split()
    )
    return words - Counter(text.split())


def assert_whole_in_80_columns(table: Table, *, names: bool = True) -> None:
    text = as_text(table)
    assert max(map(len, text.splitlines())) <= 80, text
    assert not broken_figures(table, text, names=names), text


@pytest.mark.parametrize("epoch_s", [0.001, 0.00987, 0.1234, 1.0, 9.99])
def test_speed_figures_stand_whole_in_80_columns(epoch_s: float) -> None:
    cells = [make_cell(backend, "simple_rnn", length) for backend in BACKENDS for length in (4, 25, 200)]
    trials = [make_speed(cell, steady_s=(0.95 * epoch_s, epoch_s, 1.05 * epoch_s)) for cell in cells]
    assert_whole_in_80_columns(speed_table(chosen(*trials)))


@pytest.mark.parametrize("epoch_s", [0.001, 9.99])
def test_speed_figures_stand_whole_beside_a_failed_cell(epoch_s: float) -> None:
    cells = [make_cell(backend, "simple_rnn", 200) for backend in BACKENDS]
    trials = [make_speed(cell, steady_s=(epoch_s,)) for cell in cells[:2]]
    assert_whole_in_80_columns(speed_table(chosen(*trials, make_failure(cells[2]))))


@pytest.mark.parametrize("threads", [1, "default"])
@pytest.mark.parametrize("epoch_s", [0.001, 0.00987, 9.99])
@pytest.mark.parametrize("name", ["speed", "ratios", "model-ratios", "controls", "breakeven", "noise"])
def test_tables_of_turns_stand_whole_in_80_columns(name: str, epoch_s: float, threads: Any) -> None:
    cells = [
        make_cell(backend, model, length, threads)
        for backend in BACKENDS
        for model in ("lstm", "simple_rnn")
        for length in (4, 200)
    ]
    records = [record for place, cell in enumerate(cells) for record in timed(cell, epoch_s * (1 + place))]
    table = TABLES[name](chosen(*records, *timed(make_cell(length=4), epoch_s)))
    assert not table.frame.empty
    assert_whole_in_80_columns(table)


@pytest.mark.parametrize("import_s", [0.987, 12.34, 123.4])
def test_start_figures_stand_whole_in_80_columns(import_s: float) -> None:
    fields: dict[str, Any] = {
        "import_s": import_s,
        "build_s": 0.0123,
        "process_start_s": 0.0456,
        "peak_rss_bytes": 12_345 * 2**20,
    }
    cells = [make_cell(backend, "simple_rnn", length) for backend in BACKENDS for length in (4, 200)]
    trials = [make_speed(cell, validation_s=(9.0, import_s / 100), **fields) for cell in cells]
    assert_whole_in_80_columns(TABLES["start"](chosen(*trials)))


@pytest.mark.parametrize("mse", [128.4, 3.29, 0.111, 0.0506, 0.00506])
def test_accuracy_figures_stand_whole_in_80_columns(mse: float) -> None:
    cells = [make_cell(backend, "simple_rnn", length) for backend in BACKENDS for length in (4, 200)]
    test = make_errors(1.01 * mse, mae=0.8 * mse**0.5, exact_sum_rate=0.955)
    trials = [
        make_accuracy(cell, seed=seed, val_loss=63 * (noise * mse,), test=test)
        for cell in cells
        for seed, noise in enumerate((0.9, 1.0, 1.1))
    ]
    baselines = [make_baseline(name, 4, 1.2e-29) for name in ("mean", "linear_regression")]
    # Where every figure has the most digits, names may be folded; figures may not.
    assert_whole_in_80_columns(TABLES["accuracy"](chosen(*trials, *baselines)), names=mse > 0.01)


@pytest.mark.parametrize("name", ["lengths", "predictions"])
def test_the_other_tables_stand_whole_in_80_columns(name: str) -> None:
    cells = [make_cell(backend, "simple_rnn", length) for backend in BACKENDS for length in (4, 200)]
    outputs = (312.4, -0.0874, 7.8, -12.34, 6.7, 5.1)
    trials = [make_accuracy(cell, predictions=outputs, sums=(312, 0, 8, 0, 7, 5)) for cell in cells]
    assert_whole_in_80_columns(TABLES[name](chosen(*trials)))


def test_nothing_that_is_printed_is_wider_than_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(chosen(*everything().records, make_failure(make_cell("tensorflow"), reason=300 * "x")), ["all"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_the_tables_that_matter_most_are_printed_unless_others_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(chosen(*timed(make_cell()), *timed(make_cell("torch")), make_accuracy()), [])
    out = capsys.readouterr().out
    titles = (
        "Speed",
        "Backends compared by speed",
        "Controls",
        "Start, validation and memory",
        "Break-even",
        "Accuracy",
    )
    places = [out.index(f"\n{title}\n") for title in titles]
    assert places == sorted(places)
    assert "Predictions" not in out and "Failures" not in out and "Noise" not in out


def test_a_table_without_rows_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """One backend and no control: there is nothing to compare."""
    print_tables(chosen(make_speed()), [])
    out = capsys.readouterr().out
    assert "\nSpeed\n" in out
    for title in ("Backends compared by speed", "Controls", "Break-even"):
        assert title not in out


def test_failures_are_printed_without_being_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(chosen(make_speed(), make_failure(make_cell("torch"), reason="gone")), ["speed"])
    out = capsys.readouterr().out
    assert "\nFailures\n" in out and "gone" in out
    assert out.index("torch") < out.index("\nFailures\n"), "the cell keeps its row among the others"


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_all_prints_every_table_and_where_the_figures_are_from(form: Any, capsys: pytest.CaptureFixture[str]) -> None:
    selection = everything()
    print_tables(selection, ["all"], form=form)
    out = capsys.readouterr().out
    for make in TABLES.values():
        assert make(selection).title in out
    assert "Test CPU" in out and "jax 0.9.0" in out


def test_notes_stand_below_the_table_whole(capsys: pytest.CaptureFixture[str]) -> None:
    selection = everything()
    print_tables(selection, ["speed"])
    out = " ".join(capsys.readouterr().out.split())
    for note in speed_table(selection).notes:
        assert note in out


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"`--show` must be one of overview, .*\. Received: 'sped'\. Did you mean speed\?"
    ):
        print_tables(everything(), ["sped"])


@pytest.mark.parametrize("names", [["speed", "start"], ["all"]])
def test_csv_of_several_tables_is_refused(names: list[str]) -> None:
    with pytest.raises(UserError, match="CSV holds one table"):
        print_tables(everything(), names, form="csv")


def named(name: str) -> Table:
    return Table("Names", pd.DataFrame({"model": [name, "lstm"], "epoch ms": [1.5, 2.5]}), (f"Note on {name}",))


@pytest.mark.parametrize("name", TRICKY_NAMES)
def test_names_come_out_as_they_are_in_text(name: str) -> None:
    text = as_text(named(name))
    assert re.search(rf"^{re.escape(name)} +1\.50 *$", text, re.MULTILINE), text
    assert f"Note on {name}" in text


@pytest.mark.parametrize("name", TRICKY_NAMES)
def test_names_come_out_as_they_are_in_markdown(name: str) -> None:
    text = to_markdown(named(name))
    (row,) = (line for line in text.splitlines() if "1.50" in line)
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
    assert [cell.replace("\\|", "|") for cell in cells] == [name, "1.50"]


@pytest.mark.parametrize("name", TRICKY_NAMES)
def test_names_come_out_as_they_are_in_csv(name: str) -> None:
    assert as_csv(named(name))["model"].tolist() == [name, "lstm"]


@pytest.mark.parametrize("name", TRICKY_NAMES)
def test_names_come_out_as_they_are_on_the_whole_way(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(chosen(make_failure(make_cell(model=name), reason=name)), ["failures"])
    (row,) = (line for line in capsys.readouterr().out.splitlines() if " fit " in line)
    assert (row.split()[0], row.split()[-1]) == (name, name)


def test_a_value_of_two_lines_stays_in_one_row_of_markdown() -> None:
    text = to_markdown(named("first\nsecond"))
    (row,) = (line for line in text.splitlines() if line.startswith("| first"))
    assert "second" in row and "1.50" in row


def test_markdown_has_one_line_for_each_row_and_notes_below() -> None:
    table = speed_table(everything())
    lines = to_markdown(table).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert lines[0] == "### Speed"
    assert len(rows) == 2 + len(table.frame)
    assert all(row.count("|") == 1 + len(table.frame.columns) for row in rows)
    assert [line.strip() for line in lines[-len(table.notes) :]] == list(table.notes)


def test_csv_has_full_digits(capsys: pytest.CaptureFixture[str]) -> None:
    selection = chosen(make_speed(steady_s=(0.012345678,)))
    print_tables(selection, ["speed"], form="csv")
    read = pd.read_csv(StringIO(capsys.readouterr().out), dtype=str)
    assert [float(text) for text in read["epoch ms"]] == [1e3 * 0.012345678]
    assert [float(text) for text in read["sequences per s"]] == [1620 / 0.012345678]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_comes_back_from_csv(name: str) -> None:
    frame = TABLES[name](everything()).frame
    read = as_csv(TABLES[name](everything()))
    assert list(read.columns) == list(frame.columns)
    assert len(read) == len(frame)


def test_csv_holds_nothing_but_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(everything(), [], form="csv")
    assert capsys.readouterr().out == to_csv(speed_table(everything()))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (0.0, "0"),
        (-0.0, "0"),
        (float("nan"), ""),
        (None, ""),
        (pd.NA, ""),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (np.float64("inf"), "inf"),
        (7, "7"),
        (1234567, "1,234,567"),
        (np.int64(1234), "1,234"),
        (1.0, "1.00"),
        (12.3456, "12.3"),
        (123.456, "123"),
        (1234.56, "1,230"),
        (-1234.56, "-1,230"),
        (0.0123456, "0.0123"),
        (0.001, "0.00100"),
        (0.000123, "1e-04"),
        (np.float32(0.5), "0.500"),
        ("text", "text"),
        ("", ""),
    ],
)
def test_values_are_written_as_people_read_them(value: Any, written: str) -> None:
    assert format_value(value) == written


@pytest.mark.parametrize(("value", "written"), [(0.9996, "1.00"), (9.996, "10.0"), (99.96, "100"), (999.6, "1,000")])
def test_rounding_up_to_the_next_power_of_ten_keeps_three_digits(value: float, written: str) -> None:
    assert format_value(value) == written


def test_huge_values_stay_short() -> None:
    """The loss of a training that diverged is a figure too: a column is at most 20 wide."""
    for value in (1.234e20, -1.234e38, 1.7e308):
        assert len(format_value(value)) <= 10


@settings(deadline=None)  # a busy machine is no failure
@given(st.floats(-1e300, 1e300))
def test_written_values_are_near_the_value(value: float) -> None:
    near = float(format_value(value).replace(",", ""))
    tolerance = 0.5 if abs(value) < 1e-3 else 0.006  # one digit below a thousandth, three above
    assert near == pytest.approx(value, rel=tolerance)
