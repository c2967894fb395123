"""Plan: which cells and trials a sweep holds, in which order, and what it refuses."""

from collections import Counter
from typing import Any

import pytest
from factories import make_cell, make_sweep, make_trial
from pydantic import ValidationError

from bench.plan import BACKENDS, REPLICA_BYTES, REPLICAS, Sweep, Trial, check_choice, check_model, replica_bytes


def full_sweep(**fields: Any) -> Sweep:
    return make_sweep(models=("simple_rnn", "lstm"), lengths=(12, 4), seeds=3, timing={"processes": 4}, **fields)


def turns(trials: list[Trial]) -> dict[tuple[int, str, int], list[str]]:
    """Return the order of backends by process, model and length."""
    found: dict[tuple[int, str, int], list[str]] = {}
    for trial in trials:
        found.setdefault((trial.index, trial.cell.model, trial.cell.length), []).append(trial.cell.backend)
    return found


def test_a_block_holds_the_cells_that_differ_in_backend_only() -> None:
    blocks = full_sweep().blocks()
    assert [len(block) for block in blocks] == [3, 3, 3, 3]
    for block in blocks:
        assert [cell.backend for cell in block] == list(BACKENDS)
        assert len({(cell.model, cell.length, cell.device, cell.variant) for cell in block}) == 1


def test_blocks_come_shortest_first() -> None:
    places = [(block[0].length, block[0].model) for block in full_sweep().blocks()]
    assert places == [(4, "simple_rnn"), (4, "lstm"), (12, "simple_rnn"), (12, "lstm")]


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


def test_the_backends_of_a_block_are_timed_one_after_another() -> None:
    trials = full_sweep().speed_trials()
    for first in range(0, len(trials), 3):
        turn = trials[first : first + 3]
        assert {trial.cell.backend for trial in turn} == set(BACKENDS)
        assert len({(trial.index, trial.cell.model, trial.cell.length) for trial in turn}) == 1


def test_all_cells_are_timed_once_before_any_is_timed_again() -> None:
    indices = [trial.index for trial in full_sweep().speed_trials()]
    assert indices == sorted(indices)


def test_no_backend_is_always_timed_first() -> None:
    orders = turns(full_sweep().speed_trials()).values()
    assert {order[0] for order in orders} == set(BACKENDS)


def test_the_order_of_backends_differs_between_rounds_of_a_block() -> None:
    orders = turns(full_sweep().speed_trials())
    for model, length in {(model, length) for _, model, length in orders}:
        assert len({tuple(orders[process, model, length]) for process in range(4)}) > 1


def test_the_order_is_the_same_each_time_it_is_asked_for() -> None:
    assert full_sweep().speed_trials() == full_sweep().speed_trials()


def test_long_sequences_are_trained_first() -> None:
    lengths = [trial.cell.length for trial in full_sweep().accuracy_trials()]
    assert lengths == sorted(lengths, reverse=True)


def test_seeds_are_trained_in_groups_as_large_as_asked_for() -> None:
    groups = make_sweep(models=("lstm",), lengths=(4,), seeds=7, training={"replicas": 3}).accuracy_groups()
    assert [group.seeds for group in groups if group.cell.backend == "jax"] == [(0, 1, 2), (3, 4, 5), (6,)]
    assert [group.together for group in groups[:3]] == [True, True, False]


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
    sweep = make_sweep(backends=("tf", "jax", "tensorflow"), models=("gru", "gru"), lengths=(4, 12, 4), seeds=1)
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


def test_epochs_that_do_not_fit_the_timing_are_refused() -> None:
    assert make_sweep(timing={"most_epochs": 13}).timing.most_epochs == 13
    with pytest.raises(ValidationError, match=r"`most_epochs` must hold .*, 13\. Received: 12\. Raise it"):
        make_sweep(timing={"most_epochs": 12})


@pytest.mark.parametrize("field", ["backends", "models", "lengths"])
def test_an_empty_axis_is_refused(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        make_sweep(**{field: ()})


def test_a_sweep_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_sweep().seeds = 9


def test_trials_are_named_for_people() -> None:
    cell = make_cell("jax", "lstm", 12)
    assert str(make_trial(cell, kind="speed", index=0)) == "speed jax lstm 12 process 1"
    assert str(make_trial(cell, kind="accuracy", index=0)) == "accuracy jax lstm 12 seed 0"
