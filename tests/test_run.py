"""Runs: what is started, in which order, what is kept when workers fail, what resuming completes, who is refused."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from factories import make_sweep
from fake_worker import fake_python
from rich.console import Console

from bench.analysis.select import select
from bench.errors import UserError
from bench.measure.executor import ThisMachine
from bench.measure.progress import Progress
from bench.measure.run import resume_run, run_sweep
from bench.plan.cells import BACKENDS
from bench.plan.timing import Limits, Runtime, Timing
from bench.records.schema import Accuracy, Baseline, Failure, Record, Speed
from bench.records.store import HEADER, TRIALS, RunWriter, load_run, seal_header
from bench.records.verify import verify_run

pytestmark = pytest.mark.usefixtures("own_lock")

TIMING = Timing(processes=1, rounds=2, warmup_epochs=1, warmup_s=0, turn_epochs=3, turn_s=0, control="none")
SMALL: dict[str, Any] = {"backends": ("jax", "torch"), "models": ("lstm",), "lengths": (4,), "seeds": 1}


def run(
    folder: Path, behaviours: dict[str, str] | None = None, *, progress: Progress | None = None, **changes: Any
) -> RunWriter:
    fields = {"models": ("simple_rnn", "lstm"), "seeds": 2, "timing": TIMING, "limits": Limits.all_phases(60.0)}
    workers = dict.fromkeys(BACKENDS, "good") | (behaviours or {})
    return run_sweep(
        make_sweep(**(fields | changes)),
        profile="test",
        command="seqsum run",
        results=folder / "results",
        executor=ThisMachine({name: fake_python(folder, behaviour) for name, behaviour in workers.items()}),
        progress=progress or Progress(Console(quiet=True)),
    )


def test_records(tmp_path: Path) -> None:
    written = run(tmp_path)
    loaded = load_run(written.folder)
    assert loaded.records == tuple(written.records) and not loaded.problems
    kinds = [type(record) for record in loaded.records]
    assert kinds[:12] == [Speed] * 12, "speed comes first"
    assert kinds.count(Accuracy) == 3 * 2 * 2 * 2 and kinds.count(Baseline) == 2 * 2 and Failure not in kinds
    assert [worker.environment for worker in loaded.header.workers] == list(BACKENDS)
    seeds: dict[str, set[Any]] = {backend: set() for backend in BACKENDS}
    for record in loaded.records:
        if isinstance(record, Accuracy):
            seeds[record.cell.backend].add((record.cell.model, record.cell.length, record.seed))
    assert seeds["jax"] == seeds["torch"] == seeds["tensorflow"]


def test_own_models(tmp_path: Path) -> None:
    shown = StringIO()
    written = run(tmp_path, models=("lstm", "x:y"), lengths=(4,), progress=Progress(Console(file=shown, width=200)))
    assert "x:y: trained one seed after another" in shown.getvalue()
    assert "seeds 0 to 1" in shown.getvalue() and "x:y 4 seed 1" in shown.getvalue()
    starts = [record.start for record in written.records if isinstance(record, Accuracy) if ":" in record.cell.model]
    assert starts == ["shared"] * 6
    assert [path.name for path in (written.folder / "starts").iterdir()] == ["x.y-4.npz"]
    assert list(load_run(written.folder).header.own) == ["x:y"]


def test_own_model_with_other_weights_on_one_backend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x:y must have the same weights .* 8 numbers on jax, .* 16 numbers on torch"):
        run(tmp_path, {"torch": "other model"}, models=("x:y",), lengths=(4,))
    assert not (tmp_path / "results").exists()


def test_edited_model_does_not_go_on(tmp_path: Path) -> None:
    """Nor are runs of both pooled."""
    settings: dict[str, Any] = {**SMALL, "models": ("x:y",), "backends": ("jax",)}
    folder = run(tmp_path, **settings).folder
    edited = ThisMachine({"jax": fake_python(tmp_path, "edited model")})
    with pytest.raises(UserError, match=r"own\.x:y was \w+, is \w+"):
        resume_run(folder, command="", executor=edited, progress=Progress(Console(quiet=True)))
    other = run(tmp_path, {"jax": "edited model"}, **settings).folder
    assert [each.header.run for each in select([load_run(folder), load_run(other)]).runs] == [other.name]


def test_crashing_cell(tmp_path: Path) -> None:
    records = run(tmp_path, {"torch": "crashes at 12"}).records
    failures = [record for record in records if isinstance(record, Failure)]
    assert {(record.cell.backend, record.cell.length) for record in failures} == {("torch", 12)}
    assert sorted(record.trial for record in failures) == ["accuracy"] * 4 + ["speed"] * 2
    measured = [record for record in records if isinstance(record, Speed | Accuracy)]
    assert len(measured) + len(failures) == 12 + 24


def test_runtime_and_order(tmp_path: Path, undisturbed: Path) -> None:
    """The runtime reaches every worker; each run draws the order of its turns."""
    header = load_run(run(tmp_path, **(SMALL | {"seeds": 0}), runtime=Runtime(deterministic=True)).folder).header
    assert [worker.deterministic for worker in header.workers] == [True, True]
    assert header.order_seed != load_run(undisturbed).header.order_seed


@pytest.mark.parametrize(
    ("behaviours", "changes", "message"),
    [
        ({"jax": "no gpu"}, {}, "Use --device cpu"),
        ({"jax": "dies at import"}, {}, "Environment jax does not start: ended with exit code 3"),
        ({"jax": "wrong model"}, {"models": ("lstm", "x:y")}, "must return a keras.Model"),
        ({}, {"backends": ("jax", "jax@old")}, "Add --python jax@old=PATH"),
    ],
)
def test_wrong_input(tmp_path: Path, behaviours: dict[str, str], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(tmp_path, behaviours, **changes)
    assert not (tmp_path / "results").exists()


def test_wrong_results(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match="must be a folder that can be written"):
        run(tmp_path, **SMALL)


def test_contradicting_keras_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(UserError, match="KERAS_BACKEND is set to 'torch'"):
        run(tmp_path, backends=("jax",))


def test_gpu_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.measure.executor.other_gpu_users", lambda: [7, 12])
    with pytest.raises(UserError, match="one that process 7, 12 uses"):
        run(tmp_path, device="gpu")


def test_more_devices_than_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.measure.executor.usable_cores", lambda: [0, 1])
    with pytest.raises(UserError, match="`devices` must be at most 2"):
        run(tmp_path, **SMALL, axes={"devices": (1, 4)})


def resume(folder: Path, written: Path, *, retry: bool = False) -> None:
    pythons: dict[str, str] = {backend: fake_python(folder) for backend in BACKENDS}
    quiet = Progress(Console(quiet=True))
    resume_run(written, command="seqsum run --resume", executor=ThisMachine(pythons), progress=quiet, retry=retry)


def places(records: Sequence[Record]) -> list[str]:
    """Return what was measured, without its figures."""
    names = ("kind", "cell", "process", "is_control", "seed", "patience", "name", "length")
    return sorted(str([getattr(record, name, None) for name in names]) for record in records)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measure a small run with a control."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        patch.delenv("KERAS_BACKEND", raising=False)
        return run(folder, timing=TIMING.model_copy(update={"control": "one"}), **SMALL).folder


@pytest.mark.parametrize("kept", [0, 2, 6])
def test_cut_run(tmp_path: Path, undisturbed: Path, kept: int) -> None:
    """A torn last line is dropped, and a block without one of its records is measured again."""
    folder = Path(copytree(undisturbed, tmp_path / "cut"))
    lines = folder / TRIALS
    lines.write_bytes(b"".join(lines.read_bytes().splitlines(keepends=True)[:kept]) + b'{"kind": "spe')
    resume(tmp_path, folder)
    after = load_run(folder)
    assert places(after.records) == places(load_run(undisturbed).records)
    assert verify_run(folder).holds and len(after.resumed) == 1
    assert len(after.resumed[0].dropped) == (2 if kept == 2 else 0)


def test_complete_run(tmp_path: Path, undisturbed: Path) -> None:
    before = {path.name: path.read_bytes() for path in undisturbed.iterdir()}
    resume(tmp_path, undisturbed)
    assert {path.name: path.read_bytes() for path in undisturbed.iterdir()} == before


def test_another_version_or_machine(tmp_path: Path, undisturbed: Path) -> None:
    folder = Path(copytree(undisturbed, tmp_path / "other"))
    header = load_run(folder).header
    machine = header.machine.model_copy(update={"cpu": "Other CPU"})
    (folder / HEADER).write_bytes(
        seal_header(header.model_copy(update={"seqsum_version": "9", "machine": machine, "commit": "unknown-0"}))
    )
    before = (folder / TRIALS).read_bytes()
    with pytest.raises(
        UserError,
        match=r"cannot go on.* commit was unknown-0, is .*seqsum was 9, is .*cpu was Other CPU, is.*Restore that",
    ):
        resume(tmp_path, folder)
    assert (folder / TRIALS).read_bytes() == before
