"""Resuming: what is missing, what must be measured again, and what forbids to go on."""

from collections.abc import Sequence
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from factories import make_accuracy, make_baseline, make_failure, make_header, make_speed, make_sweep, make_worker
from fake_worker import fake_python
from rich.console import Console
from test_runner import TIMING, run, sweep

from bench.analysis.differences import differences
from bench.analysis.selection import select
from bench.errors import UserError
from bench.measure.local import ThisMachine
from bench.measure.progress import Progress
from bench.measure.run import resume_run
from bench.output.tables.catalog import TABLES
from bench.plan.cells import Group, Trial
from bench.records.missing import count_missing, missing_trials, stale_lines
from bench.records.schema import Accuracy, Record
from bench.records.speed import Speed
from bench.records.store import HEADER, TRIALS, Run, load_run
from bench.records.verify import verify_run

SWEEP = make_sweep(
    backends=("jax", "torch"),
    models=("lstm",),
    lengths=(4,),
    seeds=2,
    timing={"processes": 2},
    training={"patience": [0, 5]},
)


def complete() -> list[Record]:
    """Return what a finished run of SWEEP holds."""
    speeds = [make_speed(trial.cell, process=trial.index, twin=trial.twin) for trial in SWEEP.speed_trials()]
    trained = [
        make_accuracy(trial.cell, seed=trial.index, patience=patience)
        for trial in SWEEP.accuracy_trials()
        for patience in (0, 5)
    ]
    return [*speeds, make_baseline(length=4), *trained]


def as_run(records: Sequence[Record]) -> Run:
    lines = tuple(range(1, len(records) + 1))
    return Run(make_header(sweep=SWEEP), tuple(records), lines=lines)


def test_a_complete_run_lacks_nothing_and_nothing_of_it_is_stale() -> None:
    assert missing_trials(SWEEP, complete()) == [] and stale_lines(as_run(complete()), retry=True) == ()


def test_an_empty_run_lacks_everything() -> None:
    assert missing_trials(SWEEP, []) == [*SWEEP.speed_trials(), *SWEEP.accuracy_groups()]
    assert count_missing(SWEEP, []) == 2 * 3 + 2 * 2, "two cells and a control, twice; two seeds of two cells"


@pytest.mark.parametrize("place", range(6))
def test_without_one_of_them_all_that_took_turns_with_it_are_measured_again(place: int) -> None:
    records = complete()
    lost = records.pop(place)
    assert isinstance(lost, Speed)
    again = {records[line - 1] for line in stale_lines(as_run(records), retry=False)}
    assert again == {one for one in records if isinstance(one, Speed) and one.process == lost.process}


def test_a_seed_without_one_of_its_patiences_is_trained_again() -> None:
    records = complete()
    lost = records.pop()
    assert isinstance(lost, Accuracy)
    (line,) = stale_lines(as_run(records), retry=False)
    assert records[line - 1] == lost.model_copy(update={"patience": 0})
    kept = [record for number, record in enumerate(records, 1) if number != line]
    (group,) = missing_trials(SWEEP, kept)
    assert isinstance(group, Group) and (group.cell, group.seeds) == (lost.cell, (lost.seed,))


@pytest.mark.parametrize("retry", [False, True])
def test_what_failed_is_done_unless_it_shall_be_tried_again(retry: bool) -> None:
    records = complete()
    first, last = records[0], records[-1]
    assert isinstance(first, Speed) and isinstance(last, Accuracy)
    records[0] = make_failure(first.cell, index=first.process, twin=first.twin)
    records = [
        one for one in records if not (isinstance(one, Accuracy) and (one.cell, one.seed) == (last.cell, last.seed))
    ]
    records.append(make_failure(last.cell, trial="accuracy", index=last.seed))
    assert missing_trials(SWEEP, records) == []
    stale = stale_lines(as_run(records), retry=retry)
    assert stale == ((1, 2, 3, len(records)) if retry else ())


def test_what_changed_is_named_with_both_values() -> None:
    then = make_header()
    machine = then.machine.model_copy(update={"cpu": "Other CPU"})
    now = make_header(machine=machine, commit="fedcba987654", workers=(make_worker("jax", version="9.9"),))
    assert differences(then, then.model_copy(update={"load_average": 9.0, "started_at": "later"})) == []
    assert [str(one) for one in differences(then, now)] == [
        "commit was 0123456789ab, is fedcba987654",
        "machine.cpu was Test CPU, is Other CPU",
        "jax.versions.jax was 0.9.0, is 9.9",
    ]


def resume(folder: Path, written: Path, *, retry: bool = False, behaviour: str = "good") -> None:
    pythons = {backend: fake_python(folder, behaviour) for backend in ("jax", "torch", "tensorflow")}
    quiet = Progress(Console(quiet=True))
    resume_run(written, command="seqsum run --resume", site=ThisMachine(pythons), progress=quiet, retry=retry)


def content(records: Sequence[Record]) -> set[Any]:
    """Return what was measured, without its times."""
    return {
        (record.kind, *(getattr(record, name, None) for name in ("cell", "process", "twin", "seed", "name", "length")))
        for record in records
    }


SMALL: dict[str, Any] = {"backends": ("jax", "torch"), "models": ("lstm",), "lengths": (4,), "seeds": 1}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measure a small run with a control."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        patch.delenv("KERAS_BACKEND", raising=False)
        return run(folder, timing=TIMING.model_copy(update={"control": "one"}), **SMALL).folder


@pytest.mark.usefixtures("own_lock")
@pytest.mark.parametrize("kept", [0, 2, 6])
def test_a_run_cut_anywhere_is_completed_and_holds_what_an_undisturbed_one_does(
    tmp_path: Path, undisturbed: Path, kept: int
) -> None:
    folder = Path(copytree(undisturbed, tmp_path / "cut"))
    before, path = load_run(undisturbed), folder / TRIALS
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:kept]) + b'{"kind": "spe')
    resume(tmp_path, folder)
    after = load_run(folder)
    assert content(after.records) == content(before.records) and len(after.records) == len(before.records)
    assert verify_run(folder).holds and len(after.resumed) == 1
    for name, make in TABLES.items():
        then, now = make(select([before])).frame, make(select([after])).frame
        assert (then.columns.tolist(), len(then)) == (now.columns.tolist(), len(now)), name


@pytest.mark.usefixtures("own_lock")
def test_a_complete_run_is_left_alone(tmp_path: Path, undisturbed: Path) -> None:
    before = {path.name: path.read_bytes() for path in undisturbed.iterdir()}
    resume(tmp_path, undisturbed)
    assert {path.name: path.read_bytes() for path in undisturbed.iterdir()} == before


@pytest.mark.usefixtures("own_lock")
def test_another_version_cannot_go_on(tmp_path: Path, undisturbed: Path) -> None:
    folder = Path(copytree(undisturbed, tmp_path / "other"))
    header = folder / HEADER
    header.write_text(header.read_text("utf-8").replace('"seqsum_version": "', '"seqsum_version": "9'), "utf-8")
    before = (folder / TRIALS).read_bytes()
    with pytest.raises(UserError, match=r"cannot go on, since .*: seqsum was 9.*, is .*Restore that"):
        resume(tmp_path, folder)
    assert (folder / TRIALS).read_bytes() == before


def test_the_place_of_a_trial_is_that_of_its_record() -> None:
    trials = sweep().speed_trials()
    speeds = [make_speed(one.cell, process=one.index, twin=one.twin) for one in trials]
    assert not [one for one in missing_trials(sweep(seeds=0), speeds) if isinstance(one, Trial)]
