"""What was measured in the formats of other tools: pytest-benchmark, github-action-benchmark, CSV, Parquet.

The figure of a cell is the same everywhere: the median of its processes' medians.
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pytest_benchmark import __version__ as storage_version
from pytest_benchmark.stats import Stats

from bench.analysis.selection import Selection
from bench.errors import UserError
from bench.output.printing.digits import format_value
from bench.output.printing.escaping import frame_for_spreadsheet
from bench.plan.cells import Cell
from bench.records.frame import Kind, frame_of
from bench.records.speed import Speed

ExportFormat = Literal["pytest-benchmark", "github-action", "csv", "parquet"]


def as_text(chosen: Selection, form: ExportFormat, kind: Kind) -> str:
    """Return what was measured as the text of a file.

    Args:
        chosen: records that may stand together.
        form: any but "parquet", which is no text.
        kind: which rows a CSV file has.
    """
    if form == "pytest-benchmark":
        return json.dumps(pytest_benchmark(chosen), indent=1) + "\n"
    if form == "github-action":
        return json.dumps(github_action(chosen), indent=1) + "\n"
    return frame_for_spreadsheet(frame(chosen, kind)).to_csv(index=False)


def write_parquet(chosen: Selection, path: Path, kind: Kind) -> None:
    """Write the tidy frame into a Parquet file.

    Raises:
        UserError: if pyarrow is missing or the file cannot be written.
    """
    if find_spec("pyarrow") is None:
        raise UserError("`--format parquet` needs pyarrow. Received: none. Install it: pip install pyarrow")
    try:
        frame(chosen, kind).to_parquet(path, index=False, engine="pyarrow")
    except OSError as error:
        raise UserError(f"`--out` must be a file that can be written. Received: {path} ({error.strerror}).") from None


def frame(chosen: Selection, kind: Kind) -> pd.DataFrame:
    """Return the rows of `bench.load` of the records that stand together."""
    return frame_of(zip(chosen.runs, chosen.by_run, strict=True), kind)


def _timed(chosen: Selection) -> list[tuple[Cell, list[Speed]]]:
    """Return the processes of each cell, controls left out, sorted."""
    cells = chosen.timed
    return sorted(cells.items(), key=lambda item: (item[0].length, item[0].model, item[0].backend, str(item[0])))


def github_action(chosen: Selection) -> list[dict[str, Any]]:
    """Return what github-action-benchmark reads as `customSmallerIsBetter`: milliseconds of an epoch.

    Source:
        https://github.com/benchmark-action/github-action-benchmark, "Custom benchmark"
    """
    points = []
    for cell, _ in _timed(chosen):
        time = chosen.epoch_time(cell)
        point: dict[str, Any] = {"name": f"{cell} epoch", "unit": "ms", "value": 1e3 * time.median_s}
        low, high = (format_value(1e3 * end) for end in (time.interval.low, time.interval.high))
        if low:
            point["range"] = f"{low} to {high}"
        points.append(point | {"extra": f"{time.processes} processes"})
    return points


def pytest_benchmark(chosen: Selection) -> dict[str, Any]:
    """Return a storage file of pytest-benchmark: a benchmark for each cell, a round for each process.

    A round is the median epoch of a process, in seconds, so that the deviation is the one between processes.

    Source:
        pytest_benchmark.plugin.pytest_benchmark_generate_json, version 5
    """
    header = chosen.runs[-1].header
    machine = header.machine
    system, release, architecture = [*machine.system.split(" "), "", ""][:3]
    commit, edited = header.commit.removesuffix("+changes"), header.commit.endswith("+changes")
    return {
        "machine_info": {
            "node": "",
            "processor": machine.cpu,
            "machine": architecture,
            "python_version": header.workers[0].python if header.workers else "",
            "python_implementation": "CPython",
            "release": release,
            "system": system,
            "cpu": {"brand_raw": machine.cpu, "count": machine.cores},
        },
        "commit_info": {"id": commit, "time": None, "author_time": None, "dirty": edited, "project": "seqsum"}
        | {"branch": "(unknown)"},
        "benchmarks": [_benchmark(cell, trials) for cell, trials in _timed(chosen)],
        "datetime": header.started_at,
        "version": storage_version,
    }


def _benchmark(cell: Cell, trials: list[Speed]) -> dict[str, Any]:
    make: Any = Stats  # it has no types
    stats = make()
    for trial in trials:
        stats.update(trial.median_s)
    name = f"epoch[{cell}]"
    return {
        "group": f"{cell.model} length {cell.length}",
        "name": name,
        "fullname": f"seqsum::{name}",
        "params": {"cell": str(cell)},
        "param": str(cell),
        "extra_info": {
            "cell": cell.model_dump(mode="json"),
            "path": sorted({str(trial.witness) for trial in trials if trial.witness}),
        },
        "options": {"timer": "time.perf_counter", "warmup": True},
        "stats": stats.as_dict() | {"data": stats.data, "iterations": 1},
    }
