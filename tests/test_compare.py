"""Comparing runs: ratios by hand, honest verdicts, what differs, what is lost."""

from collections.abc import Sequence

import numpy as np
import pytest
from factories import (
    MACHINE,
    make_accuracy,
    make_cell,
    make_errors,
    make_failure,
    make_processes,
    make_run,
    make_sweep,
    make_worker,
)

from bench.analysis.compare import Comparison, compare_runs, ratio_of_medians
from bench.analysis.differences import differences, warnings
from bench.errors import UserError
from bench.output.tables.comparison import comparison_tables, heading, one_side_table
from bench.plan.cells import Cell
from bench.records.schema import Record
from bench.records.speed import Witness

SECONDS = (0.0098, 0.0100, 0.0101, 0.0103, 0.0099, 0.0100, 0.0102, 0.0097)


def timed(factor: float = 1.0, cell: Cell | None = None, *, processes: int = 8) -> list[Record]:
    return [*make_processes(cell, seconds=[factor * one for one in SECONDS[:processes]], rounds=2)]


def compared(base: Sequence[Record], new: Sequence[Record]) -> Comparison:
    return compare_runs(make_run(base, "2030-01-01T00-00-00-base"), make_run(new, "2030-01-02T00-00-00-new"))


def test_the_ratio_is_that_of_the_medians_and_stands_in_its_interval() -> None:
    ratio, interval = ratio_of_medians([3.0, 1.0, 2.0, 5.0, 4.0], [2.0, 1.0, 3.0, 1.5, 2.5])
    assert ratio == 1.5
    assert interval.low <= 1.5 <= interval.high


def test_an_interval_does_not_depend_on_the_order_of_processes() -> None:
    assert ratio_of_medians(SECONDS, SECONDS[::-1]) == ratio_of_medians(sorted(SECONDS), SECONDS)


def test_processes_without_any_spread_make_an_interval_without_width() -> None:
    ratio, interval = ratio_of_medians(5 * [2.0], 6 * [1.0])
    assert (ratio, interval.low, interval.high) == (2.0, 2.0, 2.0)


def test_a_ratio_and_its_inverse_agree() -> None:
    """The two calls draw other resamples, so that the ends agree to what resampling leaves."""
    noisy = np.random.default_rng(3).lognormal(sigma=0.05, size=(2, 8))
    (there, forward), (back, backward) = ratio_of_medians(noisy[0], noisy[1]), ratio_of_medians(noisy[1], noisy[0])
    assert there * back == pytest.approx(1)
    assert forward.low * backward.high == pytest.approx(1, abs=0.02)


def test_intervals_hold_the_true_ratio_as_often_as_they_say() -> None:
    """Of 200 comparisons of 8 processes with 8, where nothing changed, about 190 hold 1."""
    draw = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        _, interval = ratio_of_medians(*draw.lognormal(sigma=0.05, size=(2, 8)), resamples=999)
        held += interval.low <= 1 <= interval.high
    assert held >= 180


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.2, "slower"), (0.8, "faster"), (1.0, "no difference"), (1.01, "no difference")]
)
def test_a_verdict_says_what_the_interval_proves(factor: float, verdict: str) -> None:
    (change,) = compared(timed(), timed(factor)).speed
    assert change.verdict == verdict
    assert change.ratio == pytest.approx(factor)


@pytest.mark.parametrize(("base", "new"), [(4, 8), (8, 4), (1, 1)])
def test_too_few_processes_on_a_side_prove_nothing(base: int, new: int) -> None:
    (change,) = compared(timed(processes=base), timed(9.0, processes=new)).speed
    assert change.verdict == "too few processes" and change.ratio > 8


def test_controls_are_no_side_of_a_comparison() -> None:
    (change,) = compared(timed(), [*timed(), *make_processes(seconds=5 * [9.0], twin=True)]).speed
    assert change.ratio == pytest.approx(1)


def test_unequal_protocols_are_refused() -> None:
    with pytest.raises(UserError, match=r"must be of one protocol. Received: protocol 1 and 2"):
        compare_runs(make_run(timed(), protocol_version=1), make_run(timed()))


def test_accuracy_is_paired_by_seed() -> None:
    """Seeds differ by a factor of ten, sides by 1 %: only pairs can tell that they are equal."""
    base = [make_accuracy(seed=seed, test=make_errors(10.0**seed)) for seed in range(6)]
    new = [make_accuracy(seed=seed, test=make_errors(1.01 * 10.0**seed)) for seed in range(1, 8)]
    (change,) = compared(base, new).accuracy
    assert (change.mse.pairs, change.verdict) == (5, "equal")
    assert change.mse.value == pytest.approx(1.01)


def test_worse_accuracy_is_different() -> None:
    base = [make_accuracy(seed=seed, test=make_errors(1.0 + seed / 100)) for seed in range(8)]
    new = [make_accuracy(seed=seed, test=make_errors(2.0 + seed / 90, exact_sum_rate=0.5)) for seed in range(8)]
    (change,) = compared(base, new).accuracy
    assert change.verdict == "different" and change.exact.value == pytest.approx(-0.25)


def test_starts_that_keras_drew_are_no_pairs() -> None:
    trained = [make_accuracy(seed=seed).model_copy(update={"start": "keras"}) for seed in range(6)]
    assert not compared(trained, trained).accuracy


def test_cells_of_one_side_are_listed() -> None:
    base = [*timed(cell=make_cell("jax")), *timed(cell=make_cell("torch"))]
    found = compared(base, [*timed(), make_accuracy()])
    assert found.only_base == (("speed", make_cell("torch")),)
    assert found.only_new == (("accuracy", make_cell()),)


def test_cells_of_one_side_that_differ_in_length_alone_share_a_row() -> None:
    base = [*timed(), *(one for length in (50, 4) for one in timed(cell=make_cell("torch", length=length)))]
    rows = one_side_table(compared(base, [*timed(), make_accuracy()])).frame.to_dict("records")
    assert [(row["only in"], row["measured"], row["backend"], row["length"]) for row in rows] == [
        ("BASE", "speed", "torch", "4, 50"),
        ("NEW", "accuracy", "jax", "12"),
    ]


def test_failures_of_both_sides_are_counted() -> None:
    lost = make_cell("torch")
    found = compared([*timed(), make_failure(lost)], [*timed(), *2 * [make_failure(lost, reason="killed")]])
    (one,) = found.lost
    assert (one.cell, one.base, one.new, one.phase, one.reason) == (lost, 1, 2, "fit", "killed")


def test_what_differs_is_named_with_both_values() -> None:
    base = make_run([], workers=(make_worker("jax", version="0.8.0"), make_worker("torch"))).header
    new = make_run(
        [],
        commit="fedcba987654",
        workers=(make_worker("jax", version="0.9.0"),),
        machine=MACHINE.model_copy(update={"cores": 4}),
        sweep=make_sweep(timing={"rounds": 9}),
    ).header
    found = {one.what: (one.base, one.new) for one in differences(base, new)}
    assert found["commit"] == ("0123456789ab", "fedcba987654")
    assert found["jax.versions.jax"] == ("0.8.0", "0.9.0")
    assert found["machine.cores"] == ("2", "4")
    assert found["timing.rounds"] == ("3", "9")
    assert found["torch.versions.torch"] == ("2.13.0", "none")
    assert not [name for name in found if name.startswith("task.")]
    assert differences(base, base) == []


def test_another_machine_is_said() -> None:
    base, new = make_run([]).header, make_run([], machine=MACHINE.model_copy(update={"cpu": "Other"})).header
    assert warnings(base, new) == ["Other machine: these ratios compare machines."]
    assert warnings(base, base) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"training": {"batch_size": 50}}, "training.batch_size"),
        ({"network": {"units": 32}}, "network.units"),
        ({"runtime": {"tf32": True}}, "runtime.tf32"),
        ({"timing": {"slice_s": 9.0}}, "timing.slice_s"),
        ({"device": "gpu"}, "device"),
    ],
)
def test_settings_that_change_a_figure_are_said(changes: dict[str, object], named: str) -> None:
    found = warnings(make_run([]).header, make_run([], sweep=make_sweep(**changes)).header)
    assert found == [f"Other settings ({named}): these ratios compare settings."]


@pytest.mark.parametrize("name", ["processes", "rounds", "repeats"])
def test_settings_that_say_how_much_is_measured_do_not_matter(name: str) -> None:
    assert warnings(make_run([]).header, make_run([], sweep=make_sweep(timing={name: 4})).header) == []


def test_tables_without_rows_are_left_out() -> None:
    assert [table.title for table in comparison_tables(compared(timed(), timed()))] == ["Speed"]


def test_every_table_is_there_when_it_has_something_to_say() -> None:
    base = [*timed(), *timed(cell=make_cell(length=4)), make_failure(make_cell("torch"))]
    base += [make_accuracy(seed=seed) for seed in range(5)]
    new = make_run([*timed(1.2), *[make_accuracy(seed=seed) for seed in range(5)]], commit="fedcba987654")
    tables = comparison_tables(compare_runs(make_run(base), new))
    assert [table.title for table in tables] == ["What differs", "Speed", "Accuracy", "Only on one side", "Failures"]


def test_another_recurrent_path_is_shown() -> None:
    slow = Witness(recurrence="python_loop", xla=False, compilations=0, evidence="counted")
    new = make_processes(seconds=SECONDS, witness=slow)
    other = timed(cell=make_cell(length=4))
    (table,) = comparison_tables(compared([*timed(), *other], [*new, *other]))
    assert table.frame["path"].tolist() == ["the same", "scan, XLA -> python loop"]
    assert "path" not in comparison_tables(compared(timed(), timed()))[0].frame


def test_the_heading_names_both_runs() -> None:
    lines = heading(compared(timed(), timed()))
    assert lines[0].startswith("BASE: 2030-01-01T00-00-00-base, commit 0123456789ab")
    assert lines[1].startswith("NEW: 2030-01-02T00-00-00-new") and len(lines) == 2
