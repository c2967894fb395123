"""Plan: which cells and trials a sweep holds, in which order, and what it refuses."""

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from factories import make_cell, make_sweep, make_trial
from pydantic import ValidationError

from bench.names import check_choice
from bench.plan.cells import BACKENDS, REPLICA_BYTES, REPLICAS, Cell, Trial, check_model, replica_bytes
from bench.plan.sweep import Sweep
from seqsum_core.settings import VariantSettings


def full_sweep(*, control: str = "none", **fields: Any) -> Sweep:
    timing = {"processes": 4, "control": control}
    return make_sweep(models=("simple_rnn", "lstm"), lengths=(12, 4), seeds=3, timing=timing, **fields)


def waves(sweep: Sweep) -> dict[tuple[int, int], list[Trial]]:
    """Return the trials by process and length, in their order."""
    found: dict[tuple[int, int], list[Trial]] = {}
    for trial in sweep.speed_trials():
        found.setdefault((trial.index, trial.cell.length), []).append(trial)
    return found


def twins(sweep: Sweep, block: list[Cell], *, process: int = 0) -> list[Cell]:
    return [trial.cell for trial in sweep.turns(block, process=process) if trial.twin]


def test_a_block_holds_all_cells_of_a_length() -> None:
    blocks = full_sweep(threads=(1, "default")).blocks()
    assert [len(block) for block in blocks] == [12, 12]
    for block in blocks:
        places = {(cell.backend, cell.model, cell.threads) for cell in block}
        assert places == set(product(BACKENDS, ("simple_rnn", "lstm"), (1, "default")))
        assert len({(cell.length, cell.device, cell.variant) for cell in block}) == 1


def test_a_second_installation_takes_turns_with_the_first_but_is_neither_trained_nor_a_control() -> None:
    sweep = make_sweep(lengths=(4,), backends=("jax", "torch"), models=("lstm",), seeds=1, rivals=("jax@old",))
    assert [cell.side for cell in sweep.blocks()[0]] == ["jax", "jax@old", "torch"]
    assert {group.cell.side for group in sweep.accuracy_groups()} == {"jax", "torch"}
    assert {trial.cell.side for trial in sweep.speed_trials() if trial.twin} == {"jax"}
    assert str(sweep.blocks()[0][1]) == "jax@old lstm 4"


@pytest.mark.parametrize("rival", ["jax", "theano@old", "jax@", "jax@a/b", "tensorflow@old"])
def test_what_is_no_second_installation_of_a_measured_backend_is_refused(rival: str) -> None:
    with pytest.raises(ValidationError, match="rivals"):
        make_sweep(lengths=(4,), backends=("jax", "torch"), rivals=(rival,))


def test_blocks_come_shortest_first() -> None:
    assert [block[0].length for block in full_sweep().blocks()] == [4, 12]
    assert full_sweep().cells() == [cell for block in full_sweep().blocks() for cell in block]


def test_device_and_variant_reach_every_cell() -> None:
    sweep = full_sweep(device="gpu", variant={"unroll": True})
    cells = [cell for block in sweep.blocks() for cell in block]
    assert all(cell.device == "gpu" and cell.variant.unroll for cell in cells)


def test_every_cell_is_timed_once_in_every_process() -> None:
    sweep = full_sweep()
    counted = Counter((trial.cell, trial.index) for trial in sweep.speed_trials())
    cells = [cell for block in sweep.blocks() for cell in block]
    assert counted == Counter((cell, process) for cell in cells for process in range(4))
    assert {trial.kind for trial in sweep.speed_trials()} == {"speed"}


def test_every_cell_is_trained_once_from_every_seed() -> None:
    sweep = full_sweep()
    counted = Counter((trial.cell, trial.index) for trial in sweep.accuracy_trials())
    cells = [cell for block in sweep.blocks() for cell in block]
    assert counted == Counter((cell, seed) for cell in cells for seed in range(3))
    assert {trial.kind for trial in sweep.accuracy_trials()} == {"accuracy"}


@pytest.mark.parametrize("threads", [("default",), (4, 1), (2, "default")])
def test_training_always_has_one_thread_and_is_done_once(threads: tuple[Any, ...]) -> None:
    trials = full_sweep(threads=threads).accuracy_trials()
    assert trials == full_sweep().accuracy_trials()
    assert {trial.cell.threads for trial in trials} == {1}


def test_no_seeds_mean_timing_only() -> None:
    sweep = make_sweep(seeds=0)
    assert sweep.accuracy_trials() == [] and sweep.speed_trials() != []


def test_all_cells_of_a_length_take_turns_with_each_other() -> None:
    trials = full_sweep().speed_trials()
    for first in range(0, len(trials), 6):
        turn = trials[first : first + 6]
        assert len({trial.cell for trial in turn}) == 6
        assert len({(trial.index, trial.cell.length) for trial in turn}) == 1


def test_all_cells_are_timed_once_before_any_is_timed_again() -> None:
    indices = [trial.index for trial in full_sweep().speed_trials()]
    assert indices == sorted(indices) and set(indices) == {0, 1, 2, 3}


def test_no_backend_is_always_started_first() -> None:
    assert {wave[0].cell.backend for wave in waves(full_sweep()).values()} == set(BACKENDS)


def test_the_order_of_cells_differs_between_processes_of_a_block() -> None:
    found = waves(full_sweep())
    for length in (4, 12):
        orders = {tuple(trial.cell for trial in found[process, length]) for process in range(4)}
        assert len(orders) > 1


def test_without_controls_every_cell_is_timed_once() -> None:
    assert not any(trial.twin for trial in full_sweep(control="none").speed_trials())


def test_one_control_is_of_the_first_model_on_another_backend_each_length() -> None:
    sweep = make_sweep(models=("gru", "lstm"), lengths=(50, 4, 25, 12))
    assert sweep.timing.control == "one", "so it is unless a sweep says otherwise"
    found = [twins(sweep, block) for block in sweep.blocks()]
    assert [len(cells) for cells in found] == [1, 1, 1, 1]
    assert [cells[0].backend for cells in found] == ["jax", "torch", "tensorflow", "jax"]
    assert {cells[0].model for cells in found} == {"gru"}


def test_each_control_is_of_every_backend_and_thread_of_the_first_model() -> None:
    sweep = make_sweep(models=("gru", "lstm"), threads=(1, 2), timing={"control": "each"})
    for block in sweep.blocks():
        assert set(twins(sweep, block)) == {cell for cell in block if cell.model == "gru"}
        assert len(twins(sweep, block)) == 6


@pytest.mark.parametrize("control", ["one", "each"])
def test_a_cell_with_a_control_is_measured_twice_in_each_process(control: str) -> None:
    sweep = full_sweep(control=control)
    counted = Counter((trial.cell, trial.index, trial.twin) for trial in sweep.speed_trials())
    assert set(counted.values()) == {1}
    for cell, process, _ in (place for place in counted if place[2]):
        assert counted[cell, process, False] == 1
    processes = Counter(cell for cell, _, twin in counted if twin)
    assert set(processes.values()) == {4}, "a control is the same cell in every process"


def test_a_control_has_no_fixed_place() -> None:
    sweep = make_sweep(models=("lstm",), lengths=(4,), timing={"processes": 12, "control": "one"})
    places = {[trial.twin for trial in wave].index(True) for wave in waves(sweep).values()}
    assert places == {0, 1, 2, 3}


def test_what_is_expected_reaches_every_timed_trial() -> None:
    sweep = full_sweep(expect="scan", control="each")
    assert {trial.expect for trial in sweep.speed_trials()} == {"scan"}
    assert {trial.expect for trial in sweep.accuracy_trials()} == {None}


def test_the_order_is_the_same_each_time_it_is_asked_for() -> None:
    assert full_sweep().speed_trials() == full_sweep().speed_trials()


def test_long_sequences_are_trained_first() -> None:
    lengths = [trial.cell.length for trial in full_sweep().accuracy_trials()]
    assert lengths == sorted(lengths, reverse=True)


def test_seeds_are_trained_in_groups_as_large_as_asked_for() -> None:
    groups = make_sweep(models=("lstm",), lengths=(4,), seeds=7, training={"replicas": 3}).accuracy_groups()
    assert [group.seeds for group in groups if group.cell.backend == "jax"] == [(0, 1, 2), (3, 4, 5), (6,)]
    assert [group.together for group in groups[:3]] == [True, True, False]


def test_of_the_axes_only_that_of_batches_is_trained_for_accuracy() -> None:
    axes = {"batching": ("padded", "exact"), "batch_size": (10, 20), "implementation": ("keras", "ceiling")}
    sweep = make_sweep(models=("lstm",), lengths=(4,), backends=("jax",), seeds=3, axes=axes, network={"mask": True})
    groups = sweep.accuracy_groups()
    assert [group.cell.variant.batching for group in groups] == ["exact"] * 3 + ["padded"], "alone, and together"
    assert {replace(group.cell.variant, batching="padded") for group in groups} == {VariantSettings()}
    assert {group.settings.training.batch_size for group in groups} == {sweep.training.batch_size}


def test_the_users_own_model_is_trained_one_seed_after_another() -> None:
    groups = make_sweep(models=("x:y",), lengths=(4,), seeds=3, backends=("jax",)).accuracy_groups()
    assert [group.seeds for group in groups] == [(0,), (1,), (2,)]
    assert not any(group.together for group in groups)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_groups_are_as_large_as_measured_and_fit_into_memory(device: Any) -> None:
    def largest(**fields: Any) -> int:
        sweep = make_sweep(models=("lstm",), seeds=3000, device=device, backends=("jax",), **fields)
        return max(len(group.seeds) for group in sweep.accuracy_groups())

    assert largest(lengths=(4,)) == REPLICAS[device]
    long = largest(lengths=(4000,))
    assert 1 <= long < REPLICAS[device]
    group = make_sweep(models=("lstm",), seeds=1, device=device, lengths=(4000,)).accuracy_groups()[0]
    assert long * replica_bytes(group.cell, group.settings) <= REPLICA_BYTES[device]
    assert largest(lengths=(4,), network={"units": 20_000}) == 1


def test_trials_carry_the_settings_of_the_sweep() -> None:
    sweep = full_sweep(training={"epochs": 7})
    assert {trial.settings.training.epochs for trial in [*sweep.speed_trials(), *sweep.accuracy_trials()]} == {7}


def test_settings_of_two_sweeps_over_other_axes_are_equal() -> None:
    assert make_sweep(lengths=(4,), models=("gru",), seeds=1).settings == make_sweep(lengths=(25,)).settings
    assert make_sweep(network={"units": 8}).settings != make_sweep().settings


def test_tf_is_short_for_tensorflow() -> None:
    assert make_sweep(backends=("tf", "jax")).backends == ("tensorflow", "jax")


def test_duplicates_are_measured_once() -> None:
    sweep = make_sweep(
        backends=("tf", "jax", "tensorflow"),
        models=("gru", "gru"),
        lengths=(4, 12, 4),
        threads=(1, 1),
        seeds=1,
        timing={"processes": 1, "control": "none"},
    )
    cells = [(cell.backend, cell.length) for block in sweep.blocks() for cell in block]
    assert cells == [("tensorflow", 4), ("jax", 4), ("tensorflow", 12), ("jax", 12)]
    assert len(sweep.speed_trials()) == len(sweep.accuracy_trials()) == 4


@pytest.mark.parametrize("name", ["lstm", "gru", "simple_rnn", "my_package.models:wide"])
def test_known_models_and_functions_are_accepted(name: str) -> None:
    assert check_model(name) == name


def test_unknown_model_suggests_the_nearest_name_and_a_function() -> None:
    with pytest.raises(ValueError, match=r"`model` must be one of simple_rnn, lstm, gru\. Received: 'lstn'\. Did you "):
        check_model("lstn")
    with pytest.raises(ValidationError, match=r"Did you mean simple_rnn\? .*package\.module:function"):
        make_sweep(models=("simplernn",))


def test_a_choice_near_to_none_is_told_to_choose() -> None:
    with pytest.raises(ValueError, match=r"`backend` must be one of a, b\. Received: 'zzz'\. Choose one of them\."):
        check_choice("zzz", ("a", "b"), "backend")


def test_batch_larger_than_the_data_is_refused() -> None:
    assert make_sweep(training={"batch_size": 1620}).training.batch_size == 1620
    with pytest.raises(ValidationError, match=r"`batch_size` must be at most .*, 1620\. Received: 1621\. Lower it"):
        make_sweep(training={"batch_size": 1621})


def test_data_without_rows_to_fit_are_refused() -> None:
    task = {"source": "generated", "sequences": 3, "test_share": 0.9}
    with pytest.raises(ValidationError, match=r"`sequences` must leave rows to fit and to validate\. Received: 3"):
        make_sweep(task=task, training={"batch_size": 1})


def test_length_below_the_shortest_sequence_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"`min_length`, which is 2\. Received: 1\."):
        make_sweep(lengths=(4, 1))


def test_an_unknown_path_suggests_the_nearest() -> None:
    assert make_sweep(expect="unrolled").expect == "unrolled"
    with pytest.raises(ValidationError, match=r"`expect` must be one of .* Received: 'skan'\. Did you mean scan\?"):
        make_sweep(expect="skan")


def test_cudnn_cannot_be_expected_without_a_gpu() -> None:
    assert make_sweep(expect="cudnn", device="gpu").expect == "cudnn"
    with pytest.raises(ValidationError, match=r"`expect` cannot be cudnn on a CPU\. .* Use --device gpu\."):
        make_sweep(expect="cudnn")


@pytest.mark.parametrize("threads", [(0,), (-1,), ("two",), (1.5,), (True, 0), (None,)])
def test_threads_that_cannot_be_are_refused(threads: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError, match="threads"):
        make_sweep(threads=threads)


@pytest.mark.parametrize("field", ["backends", "models", "lengths", "threads"])
def test_an_empty_axis_is_refused(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        make_sweep(**{field: ()})


def test_a_sweep_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_sweep().seeds = 9


def test_trials_are_named_for_people() -> None:
    cell = make_cell("jax", "lstm", 12)
    assert str(make_trial(cell, kind="speed", index=0)) == "speed jax lstm 12 process 1"
    assert str(make_trial(cell, index=1, twin=True)) == "speed jax lstm 12 process 2 (control)"
    assert str(make_trial(cell, kind="accuracy", index=0)) == "accuracy jax lstm 12 seed 0"


@pytest.mark.parametrize(
    ("threads", "named"), [(1, "jax lstm 12"), (4, "jax lstm 12 4 threads"), ("default", "jax lstm 12 default threads")]
)
def test_a_cell_names_its_threads_where_they_are_not_one(threads: Any, named: str) -> None:
    assert str(make_cell(threads=threads)) == named
