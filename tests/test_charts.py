"""Charts: their rows are the figures of the analysis, each is drawn for any records, and is readable without colour."""

from pathlib import Path
from typing import Any

import pytest
from factories import make_accuracy, make_cell, make_failure, make_processes, make_speed, select_all
from whole_runs import BACKENDS, timings, trainings, versions, whole_selection

from bench.analysis.select import Selection
from bench.errors import UserError
from bench.output.charts import CHARTS, draw_picture, write_charts
from bench.output.charts.theme import DARK, LIGHT, PAGE
from bench.output.names import display_name
from bench.records.schema import Record

NASTY = "<script>:a\x1b[31m$x$"


def spec_of(name: str, *records: Record, selection: Selection | None = None) -> dict[str, Any]:
    chart = CHARTS[name](selection or select_all(*records))
    assert chart is not None
    return chart.to_dict()


def rows_of(name: str, *records: Record, selection: Selection | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = spec_of(name, *records, selection=selection)["data"]["values"]
    return rows


def encodings(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [layer["encoding"] for layer in spec["spec"]["layer"]]


@pytest.fixture(scope="module")
def whole() -> Selection:
    return whole_selection()


def test_every_chart_is_written(tmp_path: Path) -> None:
    written, missing = write_charts(whole_selection(*versions()), tmp_path, "svg")
    assert missing == []
    assert [path.stem for path in written] == list(CHARTS)
    for path in written:
        assert path.read_text("utf-8").startswith("<svg")


@pytest.mark.parametrize(("form", "begins"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_other_forms(form: Any, begins: bytes, tmp_path: Path) -> None:
    (path,), _ = write_charts(select_all(make_speed()), tmp_path / "new", form, ["speed"])
    assert path.name == f"speed.{form}" and path.read_bytes().startswith(begins)


def test_same_picture(whole: Selection) -> None:
    chart = CHARTS["speed"](whole)
    assert chart and draw_picture(chart, "svg") == draw_picture(chart, "svg")


def test_missing_chart_has_a_reason(tmp_path: Path) -> None:
    written, missing = write_charts(select_all(make_speed()), tmp_path, "svg", ["tax", "start", "loss"])
    assert [path.name for path in written] == ["start.svg"]
    assert missing == [
        "tax: needs a cell timed with Keras and without it (implementation ceiling)",
        "loss: needs trainings for accuracy",
    ]


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"`--show` must be one of .*Did you mean speed\?"):
        write_charts(select_all(make_speed()), tmp_path, "svg", ["sped"])


@pytest.mark.parametrize(
    "records",
    [
        [make_failure()],
        [make_speed()],
        [make_speed(is_control=True)],
        [make_accuracy()],
        [make_accuracy(memory=None)],
        [*timings(["lstm"], [4], ["jax"])],
        [*timings(["lstm"], [4], ["torch"], implementation="ceiling")],
    ],
    ids=["failure", "process", "control", "training", "no memory", "backend", "ceiling"],
)
def test_little_is_drawn_or_left_out(records: list[Record]) -> None:
    """Never an error, and never a chart without rows."""
    for make in CHARTS.values():
        chart = make(select_all(*records))
        assert chart is None or chart.to_dict()["data"]["values"]


def test_speed() -> None:
    (row,) = rows_of("speed", *make_processes(make_cell("torch"), seconds=[0.001 * second for second in range(1, 10)]))
    assert (row["epoch_s"], row["epoch_s_low"], row["epoch_s_high"]) == (5, 2, 8)
    assert (row["series"], row["panel"], row["text"]) == ("PyTorch", "LSTM", "5.00 (2.00 to 8.00)")


def test_speed_shows_the_first_variant_only(whole: Selection) -> None:
    rows = rows_of("speed", selection=whole)
    assert len(rows) == 12 and {row["series"] for row in rows} == {"JAX", "PyTorch", "TensorFlow"}


def test_ratios(whole: Selection) -> None:
    rows = {(row["panel"], row["row"]): row for row in rows_of("ratios", selection=whole)}
    assert rows["LSTM", "12 · PyTorch / JAX"]["ratio"] == pytest.approx(10)
    assert rows["LSTM", "12 · PyTorch / JAX"]["kind"] == "difference"
    assert rows["LSTM", "12 · PyTorch / TensorFlow"]["kind"] == "no difference shown"
    assert rows["LSTM", "4 · control: JAX"]["kind"] == "control"
    few = rows_of("ratios", *make_processes(make_cell(), seconds=[1]), *make_processes(make_cell("torch"), seconds=[2]))
    assert [(row["ratio"], row["kind"], row["figure"]) for row in few] == [(2, "no interval", "2.00")]


def test_start_has_a_bar_for_each_stage() -> None:
    rows = rows_of("start", make_speed())
    stages = {"process start": 0.05, "import": 2.5, "build": 0.25, "first epoch": 1.5}
    assert {row["stage"]: row["seconds"] for row in rows} == stages


def test_total_time_marks_the_crossing() -> None:
    """Jax starts 2.5 s later and gains 90 ms in each epoch but the first: ahead from epoch 29 on."""
    rows = rows_of("total-time", *timings(["lstm"], [4], ["jax", "torch"]))
    (ring,) = (row for row in rows if row["crossing"])
    assert (ring["crossing"], ring["text"]) == ("29", "JAX overtakes PyTorch")
    assert ring["seconds"] == pytest.approx(0.05 + 5 + 0.25 + 1.5 + 28 * 0.01)


def test_turns(whole: Selection) -> None:
    rows = rows_of("turns", selection=whole)
    assert sum(row["state"] == "disturbed" for row in rows) == 1
    assert [row["panel"] for row in rows if row["state"] == "disturbed"] == ["JAX"]
    assert all(0.9 < row["relative"] < 1.1 for row in rows if row["state"] == "undisturbed")


def test_very_many_turns_are_thinned() -> None:
    speeds = [make_speed(process=number, rounds=40) for number in range(100)]
    assert len(rows_of("turns", *speeds)) == 3000


def test_tax_and_variants(whole: Selection) -> None:
    assert {(row["length"], row["series"], round(row["ratio"], 3)) for row in rows_of("tax", selection=whole)} == {
        (4, "PyTorch", 2.0), (4, "PyTorch, unroll true", 2.0), (12, "PyTorch", 2.0)
    }  # fmt: skip
    (row,) = rows_of("variants", selection=whole)
    assert (row["row"], row["ratio"]) == ("4 · PyTorch, unroll true", 1)


def test_accuracy(whole: Selection) -> None:
    rows = rows_of("accuracy", selection=whole)
    assert {row["panel"] for row in rows} == {"patience 20"}
    assert {row["series"] for row in rows} == {"LSTM", "SimpleRNN", "mean of the training rows"}
    alike = [make_accuracy(patience=patience, seed=seed) for patience in (0, 20) for seed in range(3)]
    assert [row["panel"] for row in rows_of("accuracy", *alike)] == ["patience 0", "patience 20"]
    assert {row["right_rate"] for row in rows_of("exact-sums", *alike)} == {75}


def test_target() -> None:
    losses = {0: (1.0, 0.1), 1: (0.2, 0.1), 2: (1.0, 1.0)}
    trained = [make_accuracy(seed=seed, val_loss=val_loss) for seed, val_loss in losses.items()]
    rows = rows_of("target", *make_processes(seconds=[0.01] * 5), *trained)
    shares = [(row["epoch"], round(row["share"])) for row in rows]
    assert shares == [(1, 33), (2, 67)]
    start_s = 0.05 + 2.5 + 0.25 + 1.5
    assert [row["seconds"] for row in rows] == pytest.approx([start_s + 0.003, start_s + 0.01 + 2 * 0.003], abs=1e-5)


def test_memory_and_gradients_by_steps_back(whole: Selection) -> None:
    memory = [row for row in rows_of("memory", selection=whole) if row["series"] == "SimpleRNN" and row["length"] == 4]
    assert [row["moved"] for row in memory] == pytest.approx([0.8**k for k in range(4)], rel=1e-4)
    gradients = rows_of("gradients", selection=whole)
    assert {row["panel"] for row in gradients} >= {"length 4, starting weights", "length 4, trained weights"}


def test_looks_of_backends() -> None:
    for backends in (BACKENDS, ("torch", "tensorflow"), ("tensorflow",)):
        spec = spec_of("speed", *timings(["lstm"], [4, 12], backends))
        for channel in ("color", "shape", "strokeDash"):
            look = next(layer[channel] for layer in encodings(spec) if channel in layer)
            assert look["scale"]["domain"][:3] == ["JAX", "PyTorch", "TensorFlow"]
            assert look["legend"]["values"] == [display_name(backend) for backend in backends]
    assert len({*LIGHT.marks}) == len({*DARK.marks}) == len(PAGE.marks) == len(LIGHT.marks)


def test_nasty_names(tmp_path: Path) -> None:
    assert display_name("torch@old") == "PyTorch (old)"
    assert display_name(NASTY) == r"a\x1b[31m$x$"
    assert len(display_name("module:" + 500 * "f")) == 41
    selection = select_all(*timings([NASTY]), *trainings([NASTY]))
    written, _ = write_charts(selection, tmp_path, "svg", ["speed", "start", "accuracy"])
    assert not any("\x1b" in path.read_text("utf-8") or "<script" in path.read_text("utf-8") for path in written)


def luminance(color: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast(palette: Any) -> None:
    """Marks need 3 to 1 with the background, text 4.5 to 1."""
    for color, least in [*((mark, 3) for mark in palette.marks), (palette.ink, 4.5), (palette.soft, 4.5)]:
        low, high = sorted([luminance(color), luminance(palette.paper)])
        assert (high + 0.05) / (low + 0.05) >= least, color
