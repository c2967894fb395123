"""Run thousands of tiny trials, and read a hundred thousand records: `python tests/soak.py > results/soak.json`.

Played workers take no time, so what is measured is the coordinator and the store: whether memory, open files and the
time of a trial stay what they were, and how long reading takes. Times are seconds of this machine, to be compared with
each other only.
"""

import json
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
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

from bench.analysis.selection import select
from bench.commands.reading import load
from bench.measure.local import ThisMachine
from bench.measure.progress import Progress
from bench.measure.run import run_sweep
from bench.output.printing.output import DEFAULT
from bench.output.tables.catalog import TABLES
from bench.plan.cells import BACKENDS, Group, Trial
from bench.plan.timing import Timing
from bench.records.checksums import checksum, seal
from bench.records.schema import Record
from bench.records.store import HEADER, TRIALS, start_run
from bench.records.verify import verify_run

TIMING = Timing(rounds=1, warmup_epochs=0, warmup_s=0, slice_epochs=1, slice_s=0, control="none")


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
        sweep, profile="soak", command="soak", results=folder / "results", site=ThisMachine(pythons), progress=progress
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
        "first_quarter_rss_mib": median(one[1] for one in first) / 2**20,
        "last_quarter_rss_mib": median(one[1] for one in last) / 2**20,
        "first_quarter_files": median(one[2] for one in first),
        "last_quarter_files": median(one[2] for one in last),
    }


def many_records(results: Path, count: int) -> Path:
    """Write a run of so many records, half of them of speed, half of accuracy, as the store would."""
    models, lengths = ("simple_rnn", "lstm"), (4, 12)
    cells = [make_cell(backend, model, length) for backend in BACKENDS for model in models for length in lengths]
    processes = count // 2 // len(cells)
    sweep = make_sweep(models=models, seeds=processes, timing={"processes": processes})
    writer = start_run(results, make_header(f"soak-{count}", sweep=sweep))
    writer.close()
    after = checksum((writer.folder / HEADER).read_bytes())
    with (writer.folder / TRIALS).open("wb") as lines:
        for number in range(processes):
            for cell in cells:
                records: list[Record] = [
                    make_speed(cell, steady_s=[0.01] * 10, rounds=3, process=number),
                    make_accuracy(cell, seed=number, val_loss=[1.0 / (1 + epoch) for epoch in range(20)]),
                ]
                for record in records:
                    line, after = seal(record.model_dump_json(), after=after)
                    lines.write(line)
    return writer.folder


def read(folder: Path) -> dict[str, Any]:
    """Time reading a run, making the tables that `seqsum table` prints, and then all the others."""
    begin = perf_counter()
    (run,), _ = load([folder], folder)
    loaded = perf_counter()
    chosen = select([run])
    for name in DEFAULT:
        TABLES[name](chosen)
    made = perf_counter()
    for name in TABLES.keys() - set(DEFAULT):
        TABLES[name](chosen)
    return {
        "records": len(run.records),
        "load_s": loaded - begin,
        "usual_tables_s": made - loaded,
        "other_tables_s": perf_counter() - made,
    }


def main() -> None:
    """Print what was measured as one JSON document."""
    with TemporaryDirectory() as folder, patch.object(tempfile, "tempdir", folder):
        found = soak(Path(folder), processes=100, seeds=1000)
        print(found, file=sys.stderr)
    found["read"] = []
    for count in (25_000, 50_000, 100_000):
        with TemporaryDirectory() as folder, ProcessPoolExecutor(1, get_context("spawn")) as fresh:  # as a command is
            found["read"].append(fresh.submit(read, many_records(Path(folder), count)).result())
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
