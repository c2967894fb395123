"""A sweep: which cells, variants and trials it holds, in which order, and what it refuses."""

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.plan.cells import BACKENDS, REPLICA_BYTES, REPLICAS, Cell, Settings, Trial, check_environment, replica_bytes
from bench.plan.sweep import Axes, Sweep
from bench.plan.timing import Runtime, Timing
from seqsum_core.settings import VariantSettings

DEFAULT = VariantSettings()


def sweep_of(**fields: Any) -> Sweep:
    known = {"models": ("simple_rnn", "lstm"), "lengths": (12, 4), "seeds": 3, "timing": {"processes": 4}}
    return Sweep.model_validate(known | fields)


def small(**fields: Any) -> Sweep:
    """Return a sweep of one cell."""
    return sweep_of(**{"models": ("lstm",), "lengths": (4,), "backends": ("jax",)} | fields)


def controls(sweep: Sweep) -> list[list[Cell]]:
    """Return the cells of each block that are timed twice in a process."""
    return [[trial.cell for trial in sweep.turns(block, process=0) if trial.is_control] for block in sweep.blocks()]


def test_block() -> None:
    """A block holds every combination at one length; the shortest comes first."""
    blocks = sweep_of(threads=(1, "default")).blocks()
    assert [block[0].length for block in blocks] == [4, 12]
    for block in blocks:
        assert len(block) == 12 and len({cell.length for cell in block}) == 1
        axes = {(cell.environment, cell.model, cell.threads) for cell in block}
        assert axes == set(product(BACKENDS, ("simple_rnn", "lstm"), (1, "default")))


def test_device_and_variant_reach_every_cell() -> None:
    cells = sweep_of(device="gpu", variant={"unroll": True}).cells()
    assert all(cell.device == "gpu" and cell.variant.unroll for cell in cells)


def test_duplicates_are_measured_once() -> None:
    sweep = sweep_of(backends=("tf", "jax", "tensorflow"), models=("gru", "gru"), lengths=(4, 12, 4), threads=(1, 1))
    cells = [(cell.backend, cell.length) for cell in sweep.cells()]
    assert cells == [("tensorflow", 4), ("jax", 4), ("tensorflow", 12), ("jax", 12)]


def test_speed_trials() -> None:
    """Every cell is timed once in every process, and all blocks come before the next process."""
    sweep = sweep_of(timing={"processes": 4, "control": "none"})
    trials = sweep.speed_trials()
    assert Counter((trial.cell, trial.index) for trial in trials) == Counter(product(sweep.cells(), range(4)))
    waves = [(trial.index, trial.cell.length) for trial in trials]
    assert waves == sorted(waves) and {trial.kind for trial in trials} == {"speed"}


def test_accuracy_trials() -> None:
    """Every cell is trained once from every seed, with one thread, the long ones first."""
    sweep = sweep_of()
    trials = sweep.accuracy_trials()
    assert Counter((trial.cell, trial.index) for trial in trials) == Counter(product(sweep.cells(), range(3)))
    assert [trial.cell.length for trial in trials] == 18 * [12] + 18 * [4]
    assert sweep_of(threads=(4, "default")).accuracy_trials() == trials
    assert sweep_of(seeds=0).accuracy_trials() == []


def test_second_installation() -> None:
    """It takes turns with the first; it is not trained, and no control where there is another candidate."""
    sweep = small(backends=("jax", "jax@old", "torch"), timing={"control": "each"})
    assert [cell.environment for cell in sweep.cells()] == ["jax", "jax@old", "torch"]
    assert {cell.environment for cell in sweep.trained_cells()} == {"jax", "torch"}
    assert [cell.environment for cell in controls(sweep)[0]] == ["jax", "torch"]
    assert [cell.environment for cell in controls(small(backends=("jax@old",)))[0]] == ["jax@old"]


@pytest.mark.parametrize(
    ("name", "environment"),
    [("tf", "tensorflow"), ("tf@new", "tensorflow@new"), ("torch@keras==3.13.2", "torch@keras==3.13.2")],
)
def test_environment(name: str, environment: str) -> None:
    assert check_environment(name) == environment
    assert Cell(environment=name, device="cpu", model="lstm", length=4).backend == environment.partition("@")[0]


@pytest.mark.parametrize("name", ["theano", "theano@old", "jax@", "jax@a/b", "@old", "jax old"])
def test_unknown_environment(name: str) -> None:
    with pytest.raises(ValidationError, match=r"`backend` must be .* Received: "):
        small(backends=(name,))


def test_single_control() -> None:
    """Another model and another backend at each length."""
    sweep = sweep_of(models=("gru", "lstm"), lengths=(50, 4, 25, 12))
    cells = [cell for (cell,) in controls(sweep)]
    assert [cell.backend for cell in cells] == ["jax", "torch", "tensorflow", "jax"]
    assert [cell.model for cell in cells] == ["gru", "lstm", "gru", "lstm"]


def test_each_control() -> None:
    """Every backend and number of threads of the first model, with the first variant."""
    axes = {"implementation": ("keras", "ceiling")}
    sweep = sweep_of(models=("gru", "lstm"), threads=(1, 2), timing={"control": "each"}, axes=axes)
    for block, cells in zip(sweep.blocks(), controls(sweep), strict=True):
        assert cells == [cell for cell in block if cell.model == "gru" and cell.variant == DEFAULT]
        assert len(cells) == 6
    assert controls(sweep_of(timing={"control": "none"})) == [[], []]


@pytest.mark.parametrize("control", ["one", "each"])
def test_control_of_every_process(control: str) -> None:
    sweep = sweep_of(timing={"processes": 4, "control": control})
    timed = Counter((trial.cell, trial.index, trial.is_control) for trial in sweep.speed_trials())
    assert set(timed.values()) == {1}
    processes = Counter(cell for cell, _, is_control in timed if is_control)
    assert set(processes.values()) == {4}


def test_expected_path_reaches_timed_trials() -> None:
    sweep = sweep_of(expect="scan", timing={"control": "each"})
    assert {trial.expected_path for trial in sweep.speed_trials()} == {"scan"}
    assert {trial.expected_path for trial in sweep.accuracy_trials()} == {None}


def test_groups_of_seeds() -> None:
    groups = small(seeds=7, training={"replicas": 3}).accuracy_groups()
    assert [group.seeds for group in groups] == [(0, 1, 2), (3, 4, 5), (6,)]
    assert [group.together for group in groups] == [True, True, False]


def test_own_model_is_trained_alone() -> None:
    groups = small(models=("x:y",)).accuracy_groups()
    assert [(group.seeds, group.together) for group in groups] == [((0,), False), ((1,), False), ((2,), False)]


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_groups_fit_into_memory(device: Any) -> None:
    def largest(**fields: Any) -> int:
        return max(len(group.seeds) for group in small(seeds=3000, device=device, **fields).accuracy_groups())

    assert largest() == REPLICAS[device]
    long = largest(lengths=(4000,))
    assert 1 <= long < REPLICAS[device]
    group = small(device=device, lengths=(4000,)).accuracy_groups()[0]
    assert long * replica_bytes(group.cell, group.settings) <= REPLICA_BYTES[device]
    assert largest(network={"units": 20_000}) == 1


AXES = st.builds(
    Axes,
    implementation=st.lists(st.sampled_from(["keras", "fused", "ceiling"]), max_size=3).map(tuple),
    unroll=st.lists(st.booleans(), max_size=2).map(tuple),
    steps_per_execution=st.lists(st.integers(1, 40), max_size=2).map(tuple),
    units=st.lists(st.integers(1, 64), max_size=2).map(tuple),
)


def test_variants() -> None:
    """Axes are crossed and the first values come first; without axes there is the variant of the sweep."""
    variants = Axes(unroll=(False, True), units=(16, 64)).variants(DEFAULT)
    assert [str(variant) for variant in variants] == [
        "units 16",
        "units 64",
        "unroll true, units 16",
        "unroll true, units 64",
    ]
    assert sweep_of(variant={"unroll": True}).variants == (VariantSettings(unroll=True),)


@given(AXES)
def test_no_variant_is_timed_twice(axes: Axes) -> None:
    """What only Keras is set to does not make two ceilings of one."""
    variants = axes.variants(DEFAULT)
    assert len(set(variants)) == len(set(map(str, variants))) == len(variants) >= 1
    ceilings = Counter(variant.units for variant in variants if variant.implementation == "ceiling")
    assert set(ceilings.values()) <= {1}


def test_sizes_of_a_variant_reach_its_trials() -> None:
    sweep = sweep_of(axes={"units": (16, 64), "batch_size": (50,), "mask": (True,)})
    trials = sweep.speed_trials()
    assert {(trial.cell.variant.units, trial.settings.network.units) for trial in trials} == {(16, 16), (64, 64)}
    assert {(trial.settings.training.batch_size, trial.settings.network.mask) for trial in trials} == {(50, True)}
    assert sweep.settings == sweep_of().settings, "records of both may be compared"


def test_trained_axes() -> None:
    axes = {"batching": ("padded", "exact"), "batch_size": (10, 20), "implementation": ("keras", "ceiling")}
    groups = small(axes=axes, network={"mask": True}).accuracy_groups()
    assert [group.cell.variant.batching for group in groups] == ["exact"] * 3 + ["padded"], "alone, and together"
    assert {replace(group.cell.variant, batching="padded") for group in groups} == {DEFAULT}
    assert {group.settings.training.batch_size for group in groups} == {100}


def test_settings() -> None:
    """They are the sweep without its axes; a variant changes what it sets and no more."""
    assert sweep_of(lengths=(4,), models=("gru",)).settings == sweep_of(lengths=(25,)).settings
    assert sweep_of(network={"units": 8}).settings != sweep_of().settings
    assert Settings().of(VariantSettings(unroll=True)) == Settings()
    assert Settings().of(VariantSettings(units=3)).network.units == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"models": ("lstn",)},
            r"`model` must be one of simple_rnn, lstm, gru\. Received: 'lstn'\. Did you mean lstm\?",
        ),
        ({"models": ("zzz",)}, r"Choose one of them\. A model of your own is written package\.module:function"),
        ({"training": {"batch_size": 1621}}, r"`batch_size` must be at most .*, 1620\. Received: 1621\. Lower it"),
        (
            {"task": {"source": "generated", "sequences": 3, "test_share": 0.9}, "training": {"batch_size": 1}},
            r"`sequences` must leave rows to fit and to validate\. Received: 3",
        ),
        ({"lengths": (4, 1)}, r"`min_length`, which is 2\. Received: 1\."),
        ({"expect": "skan"}, r"`expect` must be one of .* Received: 'skan'\. Did you mean scan\?"),
        ({"expect": "cudnn"}, r"`expect` cannot be cudnn on a CPU\. .* Use --device gpu\."),
        ({"threads": (0,)}, "threads"),
        ({"lengths": ()}, "lengths"),
    ],
)
def test_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        sweep_of(**fields)


@pytest.mark.parametrize(
    ("name", "value"), [("warmup_epochs", -1), ("validations", 1), ("precision", 1.0), ("budget_s", float("nan"))]
)
def test_refused_timing(name: str, value: float) -> None:
    with pytest.raises(ValidationError, match=name):
        Timing.model_validate({name: value})


@pytest.mark.parametrize(("flags", "named"), [("foo", "foo"), ("--xla_a=1 -b", "-b"), ("--xla", "--xla")])
def test_xla_flags(flags: str, named: str) -> None:
    assert Runtime(xla_flags="--xla_a=1  --xla_b").xla_flags and Runtime().xla_flags == ""
    with pytest.raises(ValidationError, match=f"Received: '{named}'. Begin each with --xla_"):
        Runtime(xla_flags=flags)


def test_accepted() -> None:
    """The nearest values to those that are refused."""
    assert sweep_of(training={"batch_size": 1620}).training.batch_size == 1620
    assert sweep_of(expect="cudnn", device="gpu").expect == "cudnn"
    assert sweep_of(models=("my_package.models:wide",)).models == ("my_package.models:wide",)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "jax lstm 12"),
        ({"threads": 4}, "jax lstm 12 4 threads"),
        ({"threads": "default"}, "jax lstm 12 default threads"),
        ({"environment": "jax@old"}, "jax@old lstm 12"),
        ({"variant": VariantSettings(implementation="fused", units=8)}, "jax lstm 12 (fused, units 8)"),
    ],
)
def test_name_of_a_cell(fields: dict[str, Any], name: str) -> None:
    cell = Cell(environment="jax", device="cpu", model="lstm", length=12).model_copy(update=fields)
    assert str(cell) == name
    assert str(Trial(kind="speed", cell=cell, index=1, settings=Settings(), is_control=True)) == (
        f"speed {name} process 2 (control)"
    )
    assert str(Trial(kind="accuracy", cell=cell, index=0, settings=Settings())) == f"accuracy {name} seed 0"
