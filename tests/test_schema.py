"""Records: what is written is read back equal, nothing unknown passes, and which turn of a round counts."""

import json
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from factories import make_header, make_speed, make_sweep, make_turn
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.plan.cells import BACKENDS, Cell
from bench.records.schema import LINE, Header, Record, Resumed
from seqsum_core.settings import VariantSettings

VARIANTS = st.builds(
    VariantSettings,
    unroll=st.booleans(),
    jit_compile=st.sampled_from([True, False, "auto"]),
    batch_size=st.none() | st.integers(1, 99),
)
KNOWN: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(0, 2**40),
    float: st.floats(-3.4e38, 3.4e38),
    str: st.text(st.characters(codec="utf-8"), max_size=20),
    type(None): st.none(),
    Cell: st.builds(
        Cell,
        environment=st.sampled_from([*BACKENDS, "torch@old", "torch@keras==3.13.2"]),
        device=st.sampled_from(["cpu", "gpu"]),
        model=st.text(max_size=5),
        length=st.integers(1),
        variant=VARIANTS,
        threads=st.integers(1, 99) | st.just("default"),
    ),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Draw values of a type, of a record with all its fields, too."""
    if kind in KNOWN:
        return KNOWN[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return values(arguments[0])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=5).map(tuple)
    if origin is dict:
        return st.dictionaries(*map(values, arguments), max_size=3)
    if arguments:
        return st.one_of(*map(values, arguments))
    if isinstance(kind, type) and is_dataclass(kind):
        return st.builds(kind, **{field.name: values(field.type) for field in fields(kind)})
    return st.builds(kind, **{name: values(field.annotation) for name, field in kind.model_fields.items()})


@settings(deadline=None)  # a busy machine is no failure
@given(values(Record | Resumed))
def test_round_trip(record: Record | Resumed) -> None:
    """A record is one line of JSON, which is read back equal."""
    line = record.model_dump_json()
    assert "\n" not in line
    assert LINE.validate_json(line) == record


def test_header_round_trip() -> None:
    sweep = make_sweep(task={"source": "generated", "digits": (0, 9)}, variant={"jit_compile": False})
    header = make_header(sweep=sweep, profile="näme [x]")
    assert Header.model_validate_json(header.model_dump_json()) == header


@pytest.mark.parametrize("path", [(), ("cell",), ("turns", 0), ("execution_path",)], ids=str)
def test_unknown_field(path: tuple[str | int, ...]) -> None:
    """A field that the schema does not have is refused, wherever it is."""
    document = json.loads(make_speed().model_dump_json())
    inner = document
    for step in path:
        inner = inner[step]
    inner["colour"] = "red"
    with pytest.raises(ValidationError, match="colour"):
        LINE.validate_json(json.dumps(document))


@pytest.mark.parametrize("run", ["../out", "/abs", "a/b", "", ".", "..", "a\nb"])
def test_run_name_leads_nowhere_else(run: str) -> None:
    with pytest.raises(ValidationError, match="run"):
        make_header(run)


def test_epoch_of_a_turn() -> None:
    """Counted seconds per counted epoch: the warm-up does not count, and a slow epoch does."""
    turn = make_turn((0.1, 0.2, 0.6))
    assert turn.epochs_s == (0.5, 0.1, 0.2, 0.6) and turn.counted_epochs_s == (0.1, 0.2, 0.6)
    assert turn.epoch_s == pytest.approx(0.3)


@pytest.mark.parametrize(("others_cpu_s", "disturbed"), [(0.0, False), (0.1, False), (0.12, True)])
def test_disturbed(others_cpu_s: float, disturbed: bool) -> None:
    """By a tenth of a core during the whole turn, which lasts 1.1 s with its warm-up."""
    assert make_turn((0.1, 0.2, 0.3), others_cpu_s=others_cpu_s).disturbed is disturbed


@pytest.mark.parametrize(
    ("disturbed", "counted"),
    [((0,), 0), ((1, 0), 1), ((0, 1), 0), ((0, 0), 1), ((1, 0, 1), 1), ((1, 1), 1)],
)
def test_counted_turn_of_a_round(disturbed: tuple[int, ...], counted: int) -> None:
    """It is the last undisturbed turn, or the last one if all are disturbed; other rounds have their own."""
    turns = [make_turn((1.0 + number,), others_cpu_s=9.0 * flag) for number, flag in enumerate(disturbed)]
    other = make_turn((7.0,), number=1, others_cpu_s=9.0)
    assert make_speed(turns=[*turns, other]).counted_turns == {0: turns[counted], 1: other}


def test_start() -> None:
    """It ends with the first epoch; a process that had other work before has no start of its own."""
    assert make_speed().start_s == 0.05 + 2.5 + 0.25 + 1.5
    assert make_speed(process_start_s=None).start_s == 2.5 + 0.25 + 1.5


def test_steady_validation() -> None:
    assert make_speed(validation_s=(0.5, 0.002, 0.004, 0.009)).steady_validation_s == 0.004
    assert make_speed(validation_s=(0.5,)).steady_validation_s is None
