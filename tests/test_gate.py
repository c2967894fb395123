"""The gate: closes only where a whole interval lies beyond the share or trials failed anew, and says where."""

import json
import re
from pathlib import Path

import pytest
from calling import Caller, write_run
from factories import MACHINE, make_accuracy, make_cell, make_failure, make_header
from hypothesis import given
from hypothesis import strategies as st
from test_compare import compared, timed

from bench.errors import UserError
from bench.output.gate import Gate, parse_gate, refusals
from bench.output.tables.comparison import comparison_document


@pytest.mark.parametrize(("text", "share"), [("slower:5%", 0.05), ("slower:0%", 0.0), (" slower:12.5% ", 0.125)])
def test_a_gate_is_a_share(text: str, share: float) -> None:
    assert parse_gate(text) == Gate(slower=share)


@pytest.mark.parametrize(
    "text",
    ["", "slower", "slower:5", "slower:%", "slower:-5%", "faster:5%", "slower:5%%", "slower:nan%", "slower:\u0665%"],
)
def test_any_other_gate_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"`--fail-on` must be slower:SHARE%. Received: .* Write slower:5%, say."):
        parse_gate(text)


@given(st.text(max_size=12))
def test_no_text_makes_the_parser_fall(text: str) -> None:
    try:
        assert parse_gate(text).slower >= 0
    except UserError as error:
        assert "Received" in str(error)


def test_the_whole_interval_must_lie_beyond_the_share() -> None:
    slower = compared(timed(), timed(1.1))
    (line,) = refusals(slower, parse_gate("slower:5%"))
    assert re.fullmatch(r"jax lstm 12: 1\.1\d* times as long \(1\.0\d to 1\.1\d+\), beyond slower:5%", line)
    assert refusals(slower, parse_gate("slower:9%")) == []
    assert refusals(compared(timed(), timed(1.01)), parse_gate("slower:0%")) == []


def test_a_faster_cell_is_let_through() -> None:
    assert refusals(compared(timed(), timed(0.5)), parse_gate("slower:0%")) == []


def test_a_cell_that_fails_in_new_only_is_not_let_through() -> None:
    lost = make_failure(make_cell("torch"), reason="killed")
    assert refusals(compared(timed(), [*timed(), lost]), Gate(0.05)) == [
        "speed torch lstm 12: failed in NEW only, in fit: killed"
    ]
    assert refusals(compared([*timed(), lost], [*timed(), lost]), Gate(0.05)) == []
    assert refusals(compared([*timed(), lost], timed()), Gate(0.05)) == []


def test_a_gate_that_sees_nothing_is_no_gate() -> None:
    for base, new in ((timed(processes=4), timed()), ([make_accuracy()], [make_accuracy()])):
        with pytest.raises(UserError, match=r"`--fail-on` needs a cell with 5 processes or more in both runs"):
            refusals(compared(base, new), Gate(0.05))


def test_the_document_has_every_figure_and_is_json() -> None:
    found = compared(
        [*timed(), *timed(cell=make_cell(length=4), processes=2)], [*timed(1.1), *timed(cell=make_cell(length=4))]
    )
    gate = Gate(0.05)
    document = json.loads(json.dumps(comparison_document(found, gate, refusals(found, gate)), allow_nan=False))
    short, long = document["speed"]
    assert (short["low"], short["verdict"], short["base_processes"]) == (None, "too few processes", 2)
    assert long["ratio"] == pytest.approx(1.1) and long["low"] < 1.1 < long["high"]
    assert long["cell"]["backend"] == "jax" and len(document["refused"]) == 1


@pytest.fixture
def seqsum(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(monkeypatch, capsys)


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Return a run, and a folder of two runs whose newer one is slower by a fifth."""
    base = write_run(tmp_path / "base", make_header("2030-01-01T00-00-00-a"), timed())
    write_run(tmp_path / "new", make_header("2030-01-02T00-00-00-b"), timed(9.0))
    write_run(tmp_path / "new", make_header("2030-01-03T00-00-00-c"), timed(1.2))
    return base, tmp_path / "new"


def test_comparing_prints_to_stdout_and_exits_with_0(seqsum: Caller, runs: tuple[Path, Path]) -> None:
    answer = seqsum("compare", *runs)
    assert (answer.code, answer.err) == (0, "")
    assert "2030-01-03T00-00-00-c" in answer.out, "the newest run of a folder is taken"
    assert "slower" in answer.out and max(map(len, answer.out.splitlines())) <= 80


def test_the_gate_exits_with_1_and_names_the_cells(seqsum: Caller, runs: tuple[Path, Path]) -> None:
    answer = seqsum("compare", *runs, "--fail-on", "slower:5%")
    assert answer.code == 1 and "Not let through: jax lstm 12: 1.2" in answer.err
    assert "Speed" in answer.out
    assert seqsum("compare", *reversed(runs), "--fail-on", "slower:0%").code == 0
    assert seqsum("compare", *runs, "--fail-on", "slower:50%").code == 0


def test_markdown_and_json_hold_nothing_else(seqsum: Caller, runs: tuple[Path, Path]) -> None:
    markdown = seqsum("compare", *runs, "--format", "markdown").out
    assert markdown.startswith("- BASE: ") and "### Speed" in markdown
    document = json.loads(seqsum("compare", *runs, "--format", "json", "--fail-on", "slower:5%").out)
    assert document["fail_on"] == "slower:5%" and document["speed"][0]["verdict"] == "slower"


def test_another_machine_is_marked_first(seqsum: Caller, tmp_path: Path, runs: tuple[Path, Path]) -> None:
    other = make_header("2030-01-04T00-00-00-d", machine=MACHINE.model_copy(update={"cpu": "Other CPU"}))
    answer = seqsum("compare", runs[0], write_run(tmp_path / "other", other, timed()))
    assert answer.code == 0 and "Other machine: these ratios compare machines." in " ".join(answer.out.split())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["BASE", "absent"], "`NEW` must be a folder of a run or of runs. Received: absent."),
        (["BASE", "EMPTY"], "`NEW` must hold a run."),
        (["BASE", "OLD"], "`BASE` and `NEW` must be of one protocol."),
        (["BASE", "ELSE"], "`BASE` and `NEW` must have a cell in common."),
        (["BASE", "NEW", "--fail-on", "slower"], "`--fail-on` must be slower:SHARE%. Received: 'slower'."),
        (["BASE", "NEW", "--fail-on", ""], "`--fail-on` must be slower:SHARE%. Received: ''."),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_2(
    seqsum: Caller, tmp_path: Path, runs: tuple[Path, Path], arguments: list[str], expected: str
) -> None:
    places: dict[str, str | Path] = {"BASE": runs[0], "NEW": runs[1], "EMPTY": tmp_path / "empty"}
    (tmp_path / "empty").mkdir()
    places["OLD"] = write_run(tmp_path / "old", make_header("2030-01-01T00-00-00-e", protocol_version=1), timed())
    places["ELSE"] = write_run(tmp_path / "else", make_header("2030-01-01T00-00-00-f"), timed(cell=make_cell(length=4)))
    answer = seqsum("compare", *[places.get(word, word) for word in arguments])
    assert (answer.code, answer.out) == (2, "")
    assert expected in answer.err and len(answer.err.splitlines()) == 1


def test_a_damaged_record_exits_with_1(seqsum: Caller, runs: tuple[Path, Path]) -> None:
    with (runs[0] / "trials.jsonl").open("a") as lines:
        lines.write("{\n")
    answer = seqsum("compare", *runs)
    assert answer.code == 1 and "left out" in answer.err and "Speed" in answer.out
