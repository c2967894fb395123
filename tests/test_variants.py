"""Axes of a sweep: which variants they make, what is trained for accuracy, and what is refused."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from factories import make_cell, make_sweep
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UserError
from bench.plan.cells import Settings
from bench.plan.files import read_profile, read_sweep
from bench.plan.variants import Axes, parse_axes
from seqsum_core.settings import VariantSettings

DEFAULT = VariantSettings()
AXES = st.builds(
    Axes,
    implementation=st.lists(st.sampled_from(["keras", "fused", "ceiling"]), max_size=3).map(tuple),
    unroll=st.lists(st.booleans(), max_size=2).map(tuple),
    steps_per_execution=st.lists(st.integers(1, 40), max_size=2).map(tuple),
    units=st.lists(st.integers(1, 64), max_size=2).map(tuple),
)


def test_without_axes_there_is_the_variant_of_the_sweep_alone() -> None:
    assert make_sweep(variant={"unroll": True}).variants == (VariantSettings(unroll=True),)


def test_axes_are_crossed_and_the_first_values_come_first() -> None:
    variants = Axes(unroll=(False, True), units=(16, 64)).variants(DEFAULT)
    assert [str(variant) for variant in variants] == [
        "units 16",
        "units 64",
        "unroll true, units 16",
        "unroll true, units 64",
    ]


@given(AXES)
def test_no_variant_is_timed_twice(axes: Axes) -> None:
    variants = axes.variants(DEFAULT)
    assert len(set(variants)) == len(variants) >= 1
    ceilings = [variant for variant in variants if variant.implementation == "ceiling"]
    assert all(one.units != other.units for one, other in combinations(ceilings, 2)), "Keras' settings do not reach it"


def test_names_tell_all_variants_apart() -> None:
    every = Axes(
        implementation=("keras", "fused"),
        unroll=(False, True),
        jit_compile=("auto", True, False),
        steps_per_execution=(1, 2),
        dtype=("float32", "mixed_bfloat16"),
        batch_size=(10, 100),
        units=(16, 32),
        mask=(False, True),
    ).variants(DEFAULT)
    assert len({str(variant) for variant in every}) == len(every) == 2 * 2 * 3 * 2 * 2 * 2 * 2 * 2


def test_sizes_of_a_variant_reach_its_trials_and_no_others() -> None:
    sweep = make_sweep(axes={"units": (16, 64), "batch_size": (50,), "mask": (True,)})
    trials = sweep.speed_trials()
    assert {(trial.cell.variant.units, trial.settings.network.units) for trial in trials} == {(16, 16), (64, 64)}
    assert {(trial.settings.training.batch_size, trial.settings.network.mask) for trial in trials} == {(50, True)}
    assert sweep.settings == make_sweep().settings, "records of both runs may stand in one table"


def test_axes_are_timed_and_not_trained_for_accuracy() -> None:
    sweep = make_sweep(axes={"implementation": ("keras", "ceiling"), "units": (16, 64)})
    assert len(sweep.cells()) == 4 * len(make_sweep().cells())
    assert {trial.cell.variant for trial in sweep.accuracy_trials()} == {DEFAULT}
    assert sweep.accuracy_trials() == make_sweep().accuracy_trials()


def test_the_control_is_one_of_the_first_variant() -> None:
    sweep = make_sweep(axes={"implementation": ("keras", "ceiling")}, timing={"control": "each"})
    twins = [trial.cell for block in sweep.blocks() for trial in sweep.turns(block, process=0) if trial.twin]
    assert {cell.variant for cell in twins} == {DEFAULT}
    assert len(twins) == 3 * len(sweep.blocks()), "each backend once"


def test_settings_stay_where_a_variant_says_nothing() -> None:
    settings = Settings()
    assert settings.of(VariantSettings(unroll=True)) == settings
    assert settings.of(VariantSettings(units=3)).network.units == 3


def test_variant_stands_in_the_name_of_a_cell() -> None:
    assert str(make_cell(implementation="fused", units=8)) == "jax lstm 12 (fused, units 8)"
    assert str(make_cell()) == "jax lstm 12"


def test_the_command_line_writes_axes_as_words_and_numbers() -> None:
    axes = parse_axes(["unroll=false,true", "jit_compile=auto,true", "units=16,64", "implementation=keras,fused"])
    assert axes == {
        "unroll": [False, True],
        "jit_compile": ["auto", True],
        "units": [16, 64],
        "implementation": ["keras", "fused"],
    }
    assert len(read_profile("smoke", {"axes": axes}).variants) == 2 * 2 * 2 * 2


def test_an_axis_given_twice_loses_nothing() -> None:
    """As `--axis implementation=keras,fused --ceilings` gives it."""
    axes = parse_axes(["implementation=keras,fused", "implementation=keras,ceiling"])
    variants = read_profile("smoke", {"axes": axes}).variants
    assert [variant.implementation for variant in variants] == ["keras", "fused", "ceiling"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unrol=true", r"^`--axis` must be one of .* Received: 'unrol'\. Did you mean unroll\?$"),
        ("unroll", r"^`--axis` must be NAME=VALUE,VALUE\. Received: 'unroll'\. Write unroll=false,true, say\.$"),
    ],
)
def test_an_axis_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_axes([text])


@pytest.mark.parametrize(
    ("axes", "named"),
    [
        ({"unroll": ["maybe"]}, "axes.unroll"),
        ({"implementation": ["theano"]}, "axes.implementation"),
        ({"steps_per_execution": [0]}, "steps_per_execution"),
        ({"units": [-1]}, "units"),
        ({"batch_size": [100_000]}, "batch_size"),
        ({"dtype": ["float8"]}, "axes.dtype"),
    ],
)
def test_a_value_that_no_axis_has_is_one_line_with_its_remedy(axes: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError) as raised:
        read_profile("smoke", {"axes": axes})
    assert named in str(raised.value) and "Received: " in str(raised.value) and "\n" not in str(raised.value)


def test_an_unknown_axis_of_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text("lengths = [4]\n[axes]\nunrol = [true]\n", "utf-8")
    with pytest.raises(UserError, match=r"line 3: `axes\.unrol`: there is no such key"):
        read_sweep(file, {})
