"""What was measured as other tools read it: CSV, Parquet, pytest-benchmark, github-action-benchmark.

The figure of a cell is that of the tables: the median over processes of the median over rounds.
"""

import json
import sys
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from bench.analysis import speed
from bench.analysis.select import Selection
from bench.errors import UserError
from bench.output.files import write_atomically
from bench.output.formats import frame_to_csv
from bench.output.numbers import interval
from bench.output.tables.table import cell_name
from bench.records.frame import CELL

ExportFormat = Literal["pytest-benchmark", "github-action", "csv", "parquet"]


def write_export(selection: Selection, form: ExportFormat, kind: str, path: Path | None) -> None:
    """Write what was measured into a file, or on standard output; CSV and Parquet hold rows of a kind (`bench.load`).

    Raises:
        UserError: if there is no such kind, pyarrow is missing, or the file cannot be written.
    """
    match form:
        case "csv":
            content = frame_to_csv(selection.frames.of(kind)).encode()
        case "parquet":
            content = _parquet(selection.frames.of(kind))
        case "github-action":
            content = json.dumps(_github_action(selection), indent=1).encode() + b"\n"
        case "pytest-benchmark":
            content = json.dumps(_pytest_benchmark(selection), indent=1).encode() + b"\n"
    if path:
        write_atomically(path, content)
    else:
        sys.stdout.write(content.decode())


def _parquet(frame: pd.DataFrame) -> bytes:
    if find_spec("pyarrow") is None:
        raise UserError("`--format parquet` needs pyarrow. Received: none. Install it: pip install pyarrow")
    content = BytesIO()
    frame.to_parquet(content, index=False, engine="pyarrow")
    return content.getvalue()


def _github_action(selection: Selection) -> list[dict[str, Any]]:
    """Return what github-action-benchmark reads as `customSmallerIsBetter`: milliseconds of an epoch.

    Source:
        https://github.com/benchmark-action/github-action-benchmark, "Custom benchmark"
    """
    points = []
    cells: Any = speed.epoch_times(selection.frames.turns).itertuples()
    for cell in cells:
        point = {"name": f"{cell_name(cell)} epoch", "unit": "ms", "value": 1e3 * cell.epoch_s}
        if text := interval(1e3 * cell.epoch_s_low, 1e3 * cell.epoch_s_high):
            point["range"] = text
        points.append(point | {"extra": f"{cell.processes} processes"})
    return points


def _pytest_benchmark(selection: Selection) -> dict[str, Any]:
    """Return a storage file of pytest-benchmark: a benchmark for each cell, a round for each process.

    Source:
        pytest_benchmark.plugin.pytest_benchmark_generate_json, version 5
    """
    from pytest_benchmark import __version__ as version

    header, machine = selection.header, selection.header.machine
    system, release, architecture = [*machine.system.split(" "), "", ""][:3]
    python = header.workers[0].python if header.workers else ""
    commit, edited, _ = header.commit.partition("+")
    cells = speed.processes(selection.frames.turns).groupby(CELL, sort=False)
    return {
        "machine_info": {
            **{"node": "", "processor": machine.cpu, "machine": architecture, "release": release, "system": system},
            **{"python_version": python, "python_implementation": "CPython"},
            "cpu": {"brand_raw": machine.cpu, "count": machine.cores},
        },
        "commit_info": {
            **{"id": commit, "dirty": bool(edited), "project": "seqsum", "branch": "(unknown)"},
            **{"time": None, "author_time": None},
        },
        "benchmarks": [_benchmark(processes) for _, processes in cells],
        "datetime": header.started_at,
        "version": version,
    }


def _benchmark(processes: pd.DataFrame) -> dict[str, Any]:
    """Return the benchmark of a cell, whose rounds are the figures of its processes in seconds."""
    from pytest_benchmark.stats import Stats

    stats: Any = Stats()  # type: ignore[no-untyped-call]
    for epoch_s in processes["epoch_s"]:
        stats.update(epoch_s)
    cell = next(processes[CELL].itertuples())
    name = cell_name(cell)
    return {
        "group": f"{cell.model} length {cell.length}",
        **{"name": f"epoch[{name}]", "fullname": f"seqsum::epoch[{name}]", "params": {"cell": name}, "param": name},
        "extra_info": {"cell": {column: str(getattr(cell, column)) for column in CELL}},
        "options": {"timer": "time.perf_counter", "warmup": True},
        "stats": stats.as_dict() | {"data": stats.data, "iterations": 1},
    }
