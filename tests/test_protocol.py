"""Protocol: what may be set of the measuring, and what an XLA flag must look like."""

from typing import Any

import pytest
from pydantic import ValidationError

from bench.analysis.intervals import LEAST_SEEDS
from bench.plan.timing import Runtime, Timing


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("processes", 0),
        ("rounds", 0),
        ("warmup_epochs", -1),
        ("warmup_s", -0.1),
        ("slice_epochs", 0),
        ("slice_s", -0.1),
        ("slice_s", float("nan")),
        ("slice_s", float("inf")),
        ("validations", 1),
        ("repeats", -1),
        ("control", "two"),
        ("precision", 0.0),
        ("precision", 1.0),
        ("precision", -0.05),
        ("budget_s", -1.0),
        ("most_epochs", 1000),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=name):
        Timing.model_validate({name: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"processes": 1, "rounds": 1, "slice_epochs": 1, "slice_s": 0.0},
        {"warmup_epochs": 0, "warmup_s": 0.0, "repeats": 0, "validations": 2},
        {"precision": 0.001, "budget_s": 0.0},
        {"precision": None, "control": "each"},
    ],
)
def test_values_at_the_edge_of_a_rule_are_accepted(changes: dict[str, Any]) -> None:
    timing = Timing.model_validate(changes)
    assert {name: getattr(timing, name) for name in changes} == changes


def test_the_usual_timing_has_intervals_and_a_control() -> None:
    assert Timing().processes >= LEAST_SEEDS
    assert Timing().rounds >= 2 and Timing().control == "one" and Timing().precision is None


@pytest.mark.parametrize("flags", ["", "--xla_cpu_use_thunk_runtime=false", "--xla_a=1  --xla_b=2"])
def test_flags_of_xla_are_accepted(flags: str) -> None:
    assert Runtime(xla_flags=flags).xla_flags == flags


@pytest.mark.parametrize(("flags", "named"), [("foo", "foo"), ("--xla_a=1 -xla_b", "-xla_b"), ("--tf_a", "--tf_a")])
def test_what_is_no_flag_of_xla_is_named(flags: str, named: str) -> None:
    rule = rf"`xla_flags` must hold flags of XLA\. Received: '{named}'\. Begin each with --xla_\."
    with pytest.raises(ValidationError, match=rule):
        Runtime(xla_flags=flags)


def test_neither_can_be_changed() -> None:
    for value, name in ((Timing(), "rounds"), (Runtime(), "tf32")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(value, name, 1)
