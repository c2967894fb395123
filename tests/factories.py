"""Records, runs and frames made by hand, for the tests of what reads them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from bench.analysis.select import Selection, select
from bench.host import Machine
from bench.plan.cells import Cell, Group, Trial, backend_of
from bench.plan.sweep import Sweep
from bench.plan.timing import Threads
from bench.records.frame import Frames
from bench.records.schema import (
    Accuracy,
    Baseline,
    ExecutionPath,
    Failure,
    Header,
    Memory,
    Record,
    Speed,
    Turn,
    Worker,
)
from bench.records.store import Run
from seqsum_core.metrics import Errors
from seqsum_core.settings import VariantSettings

RUN = "2030-01-01T00-00-00-test"
MACHINE = Machine(cpu="Test CPU", cores=2, memory_bytes=8 * 2**30, system="Linux 6 x86_64", governor="performance")
VERSIONS = {"keras": "3.15.1", "jax": "0.9.0", "torch": "2.13.0", "tensorflow": "2.21.0"}
PATH = ExecutionPath(recurrence="scan", xla=True, compilations=1, evidence="the compiled program holds a loop")


def make_cell(
    environment: str = "jax", model: str = "lstm", length: int = 12, threads: Threads = 1, **variant: Any
) -> Cell:
    settings = VariantSettings(**variant)
    return Cell(environment=environment, device="cpu", model=model, length=length, threads=threads, variant=settings)


def make_sweep(**fields: Any) -> Sweep:
    return Sweep.model_validate({"lengths": (4, 12), **fields})


def make_worker(environment: str = "jax", *, version: str | None = None) -> Worker:
    backend = backend_of(environment)
    return Worker(
        environment=environment,
        device="cpu",
        device_name="cpu",
        threads=1,
        float32_precision="float32",
        python="3.13.0",
        versions={"keras": VERSIONS["keras"], backend: version or VERSIONS[backend]},
        variables={"KERAS_BACKEND": backend},
    )


def make_header(run: str = RUN, **fields: Any) -> Header:
    known: dict[str, Any] = {
        "run": run,
        "started_at": "2030-01-01T00:00:00+00:00",
        "seqsum_version": "0.1.0",
        "commit": "0123456789ab",
        "harness": "seqsum run",
        "profile": "test",
        "command": "seqsum run",
        "load_average": 0.1,
        "order_seed": 1,
        "machine": MACHINE,
        "sweep": make_sweep(),
        "workers": (make_worker("jax"),),
    }
    return Header(**(known | fields))


def make_run(records: Sequence[Record], run: str = RUN, **fields: Any) -> Run:
    """Make a run of some records, the other arguments are fields of its header."""
    return Run(make_header(run, **fields), tuple(records), lines=tuple(range(1, len(records) + 1)))


def make_turn(
    counted_s: Sequence[float] = (0.01, 0.01, 0.01), *, number: int = 0, others_cpu_s: float = 0.0, **fields: Any
) -> Turn:
    """Make a turn with one epoch of warm-up, which is too slow to be taken for a counted one."""
    known: dict[str, Any] = {"started_after_s": 10.0 * number, "steal_s": 0.0, "involuntary_switches": 0}
    known |= {"epochs_s": (0.5, *counted_s), "warmup_epochs": 1}
    return Turn(round=number, others_cpu_s=others_cpu_s, **(known | fields))


def make_speed(
    cell: Cell | None = None,
    *,
    counted_s: Sequence[float] = (0.01, 0.01, 0.01),
    process: int = 0,
    is_control: bool = False,
    others_cpu_s: float = 0.0,
    rounds: int = 1,
    turns: Sequence[Turn] | None = None,
    **fields: Any,
) -> Speed:
    """Make a process whose turns are all alike, or those that are given."""
    known: dict[str, Any] = {
        "process_start_s": 0.05,
        "import_s": 2.5,
        "build_s": 0.25,
        "start_epochs_s": (1.5, 0.75, 0.75),
        "validation_s": (0.5, 0.002, 0.003, 0.004),
        "steps_per_epoch": 17,
        "rows_per_epoch": 1620,
        "padding_share": 0.25,
        "peak_rss_bytes": 512 * 2**20,
        "peak_device_bytes": None,
        "execution_path": PATH,
        "python_calls": 1000,
    }
    alike = [make_turn(counted_s, number=number, others_cpu_s=others_cpu_s) for number in range(rounds)]
    return Speed(
        cell=cell or make_cell(),
        process=process,
        is_control=is_control,
        turns=tuple(alike if turns is None else turns),
        **(known | fields),
    )


def make_processes(cell: Cell | None = None, *, seconds: Sequence[float], **fields: Any) -> list[Speed]:
    """Make a process for each of the seconds that its epochs take."""
    return [make_speed(cell, counted_s=(epoch_s,), process=number, **fields) for number, epoch_s in enumerate(seconds)]


def make_turns(
    cells: Mapping[Cell, Sequence[Sequence[float]]], controls: Mapping[Cell, Sequence[Sequence[float]]] | None = None
) -> pd.DataFrame:
    """Make the turns frame of one run.

    Args:
        cells: seconds of an epoch by cell, process and round: `{make_cell("jax"): [[0.1, 0.2, 0.1], ...]}`.
        controls: the same of the controls.
    """
    records = [
        make_speed(
            cell,
            process=process,
            is_control=is_control,
            turns=[make_turn((epoch_s,), number=number) for number, epoch_s in enumerate(rounds)],
        )
        for group, is_control in ((cells, False), (controls or {}, True))
        for cell, processes in group.items()
        for process, rounds in enumerate(processes)
    ]
    return Frames([make_run(records)]).turns


def make_errors(error: float = 0.5, *, rows: int = 200, mae: float = 0.25, right_rate: float = 0.75) -> Errors:
    return Errors(rows=rows, error=error, mae=mae, right_rate=right_rate)


def make_memory(moved: Sequence[float] = (1.0, 0.8, 0.5), **fields: Any) -> Memory:
    sizes = tuple(0.5**k for k in range(len(moved)))
    known: dict[str, Any] = {"gradient_start": {"h": sizes}, "gradient": {"h": sizes}}
    return Memory(
        steps_back=tuple(range(len(moved))),
        rows=tuple(200 - 10 * k for k in range(len(moved))),
        moved=tuple(moved),
        **(known | fields),
    )


def make_accuracy(
    cell: Cell | None = None,
    *,
    seed: int = 0,
    patience: int = 0,
    val_loss: Sequence[float] = (2.0, 1.0),
    test: Errors | None = None,
    **fields: Any,
) -> Accuracy:
    known: dict[str, Any] = {
        "start": "numpy",
        "stopped_early": True,
        "test_by_length": {2: make_errors(0.25, rows=90), 12: make_errors(0.75, rows=110)},
        "predictions": (3.7, -0.09, 7.8, -0.09, 6.7, 5.1),
        "targets": (4, 0, 8, 0, 7, 5),
        "trained_as": "replica",
        "memory": make_memory(),
    }
    return Accuracy(
        cell=cell or make_cell(),
        seed=seed,
        patience=patience,
        loss=tuple(2 * loss for loss in val_loss),
        val_loss=tuple(val_loss),
        test=test or make_errors(),
        **(known | fields),
    )


def make_baseline(name: str = "mean", length: int = 12, error: float = 9.0) -> Baseline:
    return Baseline(name=name, length=length, test=make_errors(error))


def make_failure(
    cell: Cell | None = None,
    *,
    trial: Literal["speed", "accuracy"] = "speed",
    reason: str = "ended with exit code -9",
    **fields: Any,
) -> Failure:
    known: dict[str, Any] = {
        "index": 0,
        "is_control": False,
        "phase": "turn",
        "fault": "killed",
        "exit_code": -9,
        "printed": (),
    }
    return Failure(trial=trial, cell=cell or make_cell(), reason=reason, **(known | fields))


def make_trial(
    cell: Cell | None = None,
    *,
    kind: Literal["speed", "accuracy"] = "speed",
    index: int = 0,
    is_control: bool = False,
    **fields: Any,
) -> Trial:
    known: dict[str, Any] = {"settings": make_sweep().settings}
    return Trial(kind=kind, cell=cell or make_cell(), index=index, is_control=is_control, **(known | fields))


def make_group(cell: Cell | None = None, *, seeds: Sequence[int] = (0,)) -> Group:
    return Group(cell=cell or make_cell(), seeds=tuple(seeds), settings=make_sweep().settings)


def select_all(*records: Record, **fields: Any) -> Selection:
    """Select a run of some records."""
    return select([make_run(records, **fields)])
