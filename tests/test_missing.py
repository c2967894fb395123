"""What a run lacks, and what of it must be measured again."""

from collections.abc import Sequence

import pytest
from factories import make_accuracy, make_baseline, make_failure, make_header, make_speed, make_sweep

from bench.plan.cells import Group
from bench.records.missing import count_missing, missing_trials, stale_lines
from bench.records.schema import Accuracy, Record, Speed
from bench.records.store import Run

SWEEP = make_sweep(
    backends=("jax", "torch"),
    models=("lstm",),
    lengths=(4,),
    seeds=2,
    timing={"processes": 2},
    training={"patience": [0, 5]},
)


def complete() -> list[Record]:
    """Return what a finished run of SWEEP holds: two cells and a control, twice; two seeds of two cells."""
    speeds = [
        make_speed(trial.cell, process=trial.index, is_control=trial.is_control) for trial in SWEEP.speed_trials()
    ]
    trained = [
        make_accuracy(trial.cell, seed=trial.index, patience=patience)
        for trial in SWEEP.accuracy_trials()
        for patience in (0, 5)
    ]
    return [*speeds, make_baseline(length=4), *trained]


def as_run(records: Sequence[Record]) -> Run:
    return Run(make_header(sweep=SWEEP), tuple(records), lines=tuple(range(1, len(records) + 1)))


def test_complete_run_lacks_nothing() -> None:
    assert missing_trials(SWEEP, complete()) == [] and stale_lines(as_run(complete()), retry=True) == ()


def test_empty_run_lacks_everything() -> None:
    assert missing_trials(SWEEP, []) == [*SWEEP.speed_trials(), *SWEEP.accuracy_groups()]
    assert count_missing(SWEEP, []) == 2 * 3 + 2 * 2


@pytest.mark.parametrize("place", range(6))
def test_lost_record_of_a_block(place: int) -> None:
    records = complete()
    lost = records.pop(place)
    assert isinstance(lost, Speed)
    stale = {records[line - 1] for line in stale_lines(as_run(records), retry=False)}
    assert stale == {record for record in records if isinstance(record, Speed) and record.process == lost.process}


def test_lost_patience_of_a_seed() -> None:
    records = complete()
    lost = records.pop()
    assert isinstance(lost, Accuracy)
    (line,) = stale_lines(as_run(records), retry=False)
    assert records.pop(line - 1) == lost.model_copy(update={"patience": 0})
    (group,) = missing_trials(SWEEP, records)
    assert isinstance(group, Group) and (group.cell, group.seeds) == (lost.cell, (lost.seed,))


@pytest.mark.parametrize("retry", [False, True])
def test_failed_trials(retry: bool) -> None:
    first, *between, _, last = complete()
    assert isinstance(first, Speed) and isinstance(last, Accuracy)
    records = [
        make_failure(first.cell, index=first.process, is_control=first.is_control),
        *between,
        make_failure(last.cell, trial="accuracy", index=last.seed),
    ]
    assert missing_trials(SWEEP, records) == []
    assert stale_lines(as_run(records), retry=retry) == ((1, 2, 3, len(records)) if retry else ())


def test_lost_node() -> None:
    first, *rest = complete()
    assert isinstance(first, Speed)
    lost = make_failure(first.cell, index=first.process, is_control=first.is_control, fault="lost")
    assert count_missing(SWEEP, [lost, *rest]) == 1 and len(stale_lines(as_run([lost, *rest]), retry=False)) == 3
