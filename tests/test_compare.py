"""Two runs compared: figures by hand, what differs, tables, and the gate with its exit codes."""

import io
import json
from collections.abc import Sequence
from math import isnan
from typing import Any

import pytest
from factories import (
    MACHINE,
    make_accuracy,
    make_cell,
    make_errors,
    make_failure,
    make_header,
    make_processes,
    make_sweep,
    make_worker,
    select_all,
)
from rich.console import Console

from bench.analysis.compare import Comparison, changed_settings, compare, differences
from bench.errors import UserError
from bench.output import comparison as output
from bench.plan.cells import Cell
from bench.plan.gate import parse_gate
from bench.records.schema import Accuracy, ExecutionPath, Record, Speed

STEADY = [0.010, 0.0101, 0.0099, 0.01005, 0.00995, 0.0102, 0.0098]


def timed(factor: float = 1.0, cell: Cell | None = None, processes: int = 7, **fields: Any) -> list[Speed]:
    return make_processes(cell, seconds=[factor * epoch_s for epoch_s in STEADY[:processes]], **fields)


def compared(base: Sequence[Record], new: Sequence[Record]) -> Comparison:
    return compare(select_all(*base, run="base"), select_all(*new, run="new"))


@pytest.mark.parametrize(("factor", "verdict"), [(1.5, "slower"), (0.5, "faster"), (1.0, "open"), (1.001, "open")])
def test_speed(factor: float, verdict: str) -> None:
    row = compared(timed(), timed(factor)).speed.iloc[0]
    assert (row["base_processes"], row["new_processes"], row["verdict"]) == (7, 7, verdict)
    assert (row["base_s"], row["new_s"], row["ratio"]) == pytest.approx((0.01, 0.01 * factor, factor))
    assert row["ratio_low"] < row["ratio"] < row["ratio_high"]


def test_few_processes_have_no_verdict() -> None:
    row = compared(timed(), timed(2.0, processes=5)).speed.iloc[0]
    assert isnan(row["ratio_low"])
    assert row["verdict"] is None


def test_controls_are_not_compared() -> None:
    """Only cells that both runs timed are; the others are named."""
    base = [*timed(), *timed(cell=make_cell(length=4)), *timed(cell=make_cell("torch"))]
    new: list[Record] = [
        *timed(2.0),
        *timed(9.0, is_control=True),
        make_accuracy(),
        *timed(cell=make_cell("torch@old")),
    ]
    comparison = compared(base, new)
    assert comparison.speed["ratio"].tolist() == pytest.approx([2])
    only = comparison.only[["trial", "environment", "length", "only_in"]].to_numpy().tolist()
    assert only == [
        ["speed", "jax", 4, "BASE"],
        ["speed", "torch", 12, "BASE"],
        ["speed", "torch@old", 12, "NEW"],
        ["accuracy", "jax", 12, "NEW"],
    ]


def trained(mses: Sequence[float], rate: float = 0.5, **fields: Any) -> list[Accuracy]:
    tests = [make_errors(mse, right_rate=rate) for mse in mses]
    return [make_accuracy(seed=seed, test=test, **fields) for seed, test in enumerate(tests)]


def test_accuracy() -> None:
    """Seeds that both runs have are pairs."""
    mses = [1.0, 2.0, 4.0, 1.0, 2.0, 4.0]
    row = compared(trained(mses), trained([2 * mse for mse in mses[:5]], rate=0.25)).accuracy.iloc[0]
    assert (row["pairs"], row["verdict"]) == (5, "different")
    assert (row["error_ratio"], row["right_difference"]) == pytest.approx((2, -0.25))
    same = compared(trained(mses), trained(mses)).accuracy.iloc[0]
    assert (same["error_ratio"], same["verdict"]) == (1, "equal")


def test_starts_drawn_by_keras_are_no_pairs() -> None:
    keras = trained([1.0] * 6, start="keras")
    assert compared([*timed(), *keras], [*timed(), *keras]).accuracy.empty


def test_failures() -> None:
    """How many in each run, and the first of NEW."""
    base: list[Record] = [
        *timed(),
        make_failure(reason="base"),
        make_failure(make_cell(length=4), trial="accuracy", reason="old"),
    ]
    new: list[Record] = [*timed(), make_failure(reason="new"), make_failure(index=1, reason="later")]
    frame = compared(base, new).failures.set_index("trial")
    assert frame[["base", "new", "reason"]].T.to_dict("list") == {"speed": [1, 2, "new"], "accuracy": [1, 0, "old"]}


def test_refusals() -> None:
    with pytest.raises(UserError, match=r"must be of one protocol\. Received: protocol 2 and 3"):
        compare(select_all(*timed(), protocol_version=2), select_all(*timed()))
    with pytest.raises(UserError, match=r"must have a cell in common\. Received: base and new"):
        compared(timed(), timed(cell=make_cell(length=4)))


def test_differences() -> None:
    """Conditions differ by name; names of runs, times and axes are no conditions."""
    sweep = make_sweep(lengths=(50,), training={"batch_size": 50}, timing={"processes": 3})
    worker = make_worker("torch", version="2.14.0")
    base = make_header(workers=(make_worker("torch"),))
    new = make_header("other", sweep=sweep, workers=(worker,), machine=MACHINE.model_copy(update={"gpus": ("A", "B")}))
    frame = differences(base, new)
    assert frame.set_index("what").T.to_dict("list") == {
        "machine.gpus": ["none", "A, B"],
        "training.batch_size": [str(make_sweep().training.batch_size), "50"],
        "timing.processes": ["9", "3"],
        "torch.versions.torch": ["2.13.0", "2.14.0"],
    }
    assert changed_settings(base, new) == ["training.batch_size"]
    assert differences(base, base).empty


def test_environment_of_a_single_run() -> None:
    base, new = make_header(workers=()), make_header(workers=(make_worker("jax"),))
    frame = differences(base, new).set_index("what")
    assert (frame["base"]["jax.versions.jax"], frame["new"]["jax.versions.jax"]) == ("none", "0.9.0")


def test_heading() -> None:
    """It says what the ratios compare besides the code."""
    new = select_all(
        *timed(), machine=MACHINE.model_copy(update={"cpu": "Other"}), sweep=make_sweep(network={"units": 8})
    )
    lines = output.heading(compare(select_all(*timed()), new))
    assert lines[2:] == [
        "These ratios compare more than the code: machine, network.units.",
    ]


@pytest.mark.parametrize(("written", "share"), [("slower:5%", 0.05), (" slower:0% ", 0), ("slower:12.5%", 0.125)])
def test_gate_is_read(written: str, share: float) -> None:
    gate = parse_gate(written)
    assert gate.share == pytest.approx(share)
    assert parse_gate(str(gate)) == gate


@pytest.mark.parametrize(
    "written", ["", "slower", "slower:5", "slower:-5%", "faster:5%", "slower:\u0665%", "slower:1e2%"]
)
def test_gate_is_written_otherwise(written: str) -> None:
    with pytest.raises(UserError, match=r"`--gate` must be slower:SHARE%\. Received: '"):
        parse_gate(written, option="--gate")


@pytest.mark.parametrize(
    ("new", "verdict", "code", "line"),
    [
        (timed(1.5), "slower", 1, "Slower, beyond slower:5%: jax lstm 12, ratio 1.50 (1.4"),
        (timed(1.0), "within", 0, ""),
        (timed(0.5), "within", 0, ""),
        (timed(1.05), "undecided", 3, "Undecided, slower:5%: jax lstm 12, ratio 1.05 (1."),
        (
            timed(0.5, processes=5),
            "undecided",
            3,
            "Undecided, slower:5%: jax lstm 12, ratio 0.500 (no interval: measure",
        ),
        (
            [*timed(1.0), make_failure(reason="a\x1b")],
            "slower",
            1,
            r"Failed in NEW only: speed jax lstm 12, in turn: a\x1b",
        ),
        ([make_failure()], "slower", 1, "Failed in NEW only"),
    ],
)
def test_gate(new: list[Record], verdict: str, code: int, line: str) -> None:
    """A cell is slower if its whole interval is beyond the share, within if none of it is."""
    judgement = output.judge(compared(timed(), new), parse_gate("slower:5%"))
    assert (judgement.verdict, judgement.exit_code) == (verdict, code)
    assert len(judgement.lines) == bool(line)
    assert all(shown.startswith(line) for shown in judgement.lines)


def test_gate_without_a_common_cell() -> None:
    judgement = output.judge(compared([make_accuracy()], [make_accuracy()]), parse_gate("slower:5%"))
    assert judgement.exit_code == 3
    both = compared([*timed(), make_failure()], [make_failure()])
    assert output.judge(both, parse_gate("slower:5%")).lines == (
        "Undecided, slower:5%: no cell was timed in both runs.",
    )


@pytest.fixture
def comparison() -> Comparison:
    path = ExecutionPath(recurrence="unrolled", xla=False, compilations=1, evidence="")
    base: list[Record] = [*timed(), *trained([1.0] * 6)]
    base += [*timed(cell=make_cell(length=4)), *timed(cell=make_cell(length=25))]
    return compared(base, [*timed(1.5, execution_path=path), *trained([1.0] * 6), make_failure()])


def test_tables(comparison: Comparison) -> None:
    tables = {table.name: table for table in output.comparison_tables(comparison)}
    assert list(tables) == ["speed", "accuracy", "only-in-one", "failures"]
    assert tables["speed"].frame["path"].tolist() == ["scan, XLA -> unrolled"]
    assert tables["only-in-one"].frame["length"].tolist() == ["4, 25"]


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
def test_printing(comparison: Comparison, form: Any, capsys: pytest.CaptureFixture[str]) -> None:
    screen = Console(width=80, file=io.StringIO(), highlight=False)
    judgement = output.judge(comparison, parse_gate("slower:5%"))
    output.print_comparison(comparison, judgement, form=form, console=screen)
    shown = capsys.readouterr().out + screen.file.getvalue()  # type: ignore[attr-defined]
    assert all(name in shown for name in ("base", "1.50", "slower", "unrolled", "4, 25"))
    if form == "json":
        document = json.loads(shown)
        assert document["gate"] == {"gate": "slower:5%", "verdict": "slower", "lines": list(judgement.lines)}
        assert document["tables"][0]["name"] == "speed"
