"""Run thousands of tiny trials, and read a hundred thousand records: `python tests/soak.py > results/soak.json`.

Played workers take no time, so what is measured is the coordinator and the store: whether memory, open files and the
time of a trial stay what they were, and how long reading takes. Times are seconds of this machine, to be compared with
each other only.
"""

import json
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import count, product
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from unittest.mock import patch

import psutil
from factories import make_accuracy, make_cell, make_header, make_speed, make_sweep
from fake_worker import fake_python
from rich.console import Console

from bench.analysis.select import select
from bench.measure.executor import ThisMachine
from bench.measure.progress import Progress
from bench.measure.run import run_sweep
from bench.output.tables import TABLES
from bench.output.text import DEFAULT
from bench.plan.cells import BACKENDS, Group, Trial
from bench.plan.timing import Timing
from bench.records.schema import Record
from bench.records.store import TRIALS, load_run, seal, start_run
from bench.records.verify import verify_run

TIMING = Timing(rounds=1, warmup_epochs=0, warmup_s=0, turn_epochs=1, turn_s=0, control="none")


class Watched(Progress):
    """Notes after every trial how long it took, and what this process holds."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
        self._me = psutil.Process()
        self.seen: list[tuple[float, int, int]] = []

    def trial_ends(self, trial: Trial | Group, *records: Record) -> None:
        """Note the time, the memory and the open files."""
        super().trial_ends(trial, *records)
        self.seen.append((perf_counter(), self._me.memory_info().rss, self._me.num_fds()))


def soak(folder: Path, *, processes: int, seeds: int) -> dict[str, Any]:
    """Run many trials and compare the last quarter of them with the first."""
    sweep = make_sweep(
        lengths=(4,),
        models=("a:model",),  # no replicas: each seed is asked for on its own
        seeds=seeds,
        timing=TIMING.model_copy(update={"processes": processes}),
    )
    progress = Watched()
    pythons: dict[str, str] = {backend: fake_python(folder) for backend in BACKENDS}
    written = run_sweep(
        sweep,
        profile="soak",
        command="soak",
        results=folder / "results",
        executor=ThisMachine(pythons),
        progress=progress,
    )
    timed = processes * len(BACKENDS)
    return {
        "timed": _quarters(progress.seen[:timed]),
        "trained": _quarters(progress.seen[timed:]),
        "holds": verify_run(written.folder).holds,
    }


def _quarters(seen: list[tuple[float, int, int]]) -> dict[str, Any]:
    quarter = len(seen) // 4
    first, last = seen[:quarter], seen[-quarter:]

    def seconds(part: list[tuple[float, int, int]]) -> float:
        return (part[-1][0] - part[0][0]) / (len(part) - 1)

    return {
        "trials": len(seen),
        "first_quarter_s": seconds(first),
        "last_quarter_s": seconds(last),
        "first_quarter_rss_mib": median(rss for _, rss, _ in first) / 2**20,
        "last_quarter_rss_mib": median(rss for _, rss, _ in last) / 2**20,
        "first_quarter_files": median(files for _, _, files in first),
        "last_quarter_files": median(files for _, _, files in last),
    }


def many_records(results: Path, size: int) -> Path:
    """Write a run of so many records, half of them of speed, half of accuracy, as the store would."""
    models, lengths = ("simple_rnn", "lstm"), (4, 12)
    cells = [make_cell(*axes) for axes in product(BACKENDS, models, lengths)]
    processes = size // 2 // len(cells)
    sweep = make_sweep(models=models, seeds=processes, timing={"processes": processes})
    writer = start_run(results, make_header(f"soak-{size}", sweep=sweep))
    writer.close()
    losses = [1.0 / (1 + epoch) for epoch in range(20)]
    lines = count(1)
    with (writer.folder / TRIALS).open("wb") as file:
        for number, cell in product(range(processes), cells):
            speed = make_speed(cell, counted_s=[0.01] * 10, rounds=3, process=number)
            for record in (speed, make_accuracy(cell, seed=number, val_loss=losses)):
                file.write(seal(record.model_dump_json(), next(lines), writer.folder.name))
    return writer.folder


def read(folder: Path) -> dict[str, Any]:
    """Time reading a run, making the tables that `seqsum table` prints, and then all the others."""
    begin = perf_counter()
    run = load_run(folder)
    loaded = perf_counter()
    selection = select([run])
    for name in DEFAULT:
        TABLES[name](selection)
    made = perf_counter()
    for name in TABLES.keys() - set(DEFAULT):
        TABLES[name](selection)
    return {
        "records": len(run.records),
        "load_s": loaded - begin,
        "usual_tables_s": made - loaded,
        "other_tables_s": perf_counter() - made,
    }


def main() -> None:
    """Print what was measured as one JSON document."""
    with TemporaryDirectory() as folder, patch.object(tempfile, "tempdir", folder):
        document = soak(Path(folder), processes=100, seeds=1000)
        print(document, file=sys.stderr)
    document["read"] = []
    for size in (25_000, 50_000, 100_000):
        with TemporaryDirectory() as folder, ProcessPoolExecutor(1, get_context("spawn")) as fresh:  # as a command is
            document["read"].append(fresh.submit(read, many_records(Path(folder), size)).result())
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
