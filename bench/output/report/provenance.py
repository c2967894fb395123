"""Where the figures are from: machine, workers, runs, settings, and the command that repeats each cell."""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.analysis.select import Selection
from bench.output.names import sort_cells
from bench.output.tables.table import Table, cell_table, texts
from bench.plan.files import PROFILES
from bench.records.frame import CELL, cell_columns
from bench.records.schema import Header, Worker

MOST_RUNS = 50
AXES = ("--backend", "--model", "--length")


def provenance_tables(selection: Selection) -> list[Table]:
    """Return the tables that say how all was made."""
    header, machine, workers = selection.header, selection.header.machine, selection.workers
    facts = {
        "processor": machine.cpu,
        "cores": f"{machine.cores}",
        "memory": f"{machine.memory_bytes / 2**30:.1f} GiB",
        "system": machine.system,
        "frequency governor": machine.governor,
        "GPUs": ", ".join(machine.gpus) or "none",
    }
    variables = [
        {"variable": name} | {worker.environment: worker.variables.get(name, "") for worker in workers.values()}
        for name in sorted({name for worker in workers.values() for name in worker.variables})
    ]
    return [
        _pairs("machine", "Machine", facts),
        _texts("workers", "Workers: what the process of each backend found out", map(_worker, workers.values())),
        _texts("variables", "Environment variables of the workers", variables),
        _runs([run.header for run in selection.runs]),
        _pairs("settings", "Settings", dict(_flat(header.sweep.model_dump(mode="json")))),
        _commands(selection),
    ]


def _texts(name: str, title: str, rows: Iterable[Mapping[str, str]], *notes: str) -> Table:
    """Return a table of texts under their own names."""
    frame = pd.DataFrame(list(rows))
    return Table(name, title, frame, texts(*map(str, frame)), notes)


def _pairs(name: str, title: str, pairs: Mapping[str, str]) -> Table:
    return _texts(name, title, [{"what": what, "value": value} for what, value in pairs.items()])


def _worker(worker: Worker) -> dict[str, str]:
    return {
        "environment": worker.environment,
        "device": f"{worker.device} ({worker.device_name})",
        "threads": f"{worker.threads}" if worker.threads else "not known",
        "float32": worker.float32_precision,
        "deterministic": "yes" if worker.deterministic else "no",
        "Python": worker.python,
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(worker.versions.items())),
    }


def _runs(headers: Sequence[Header]) -> Table:
    rows = [
        {
            "run": header.run,
            "began": header.started_at,
            "command": header.command,
            "load": f"{header.load_average:g}",
            "seqsum": header.seqsum_version,
            "commit": header.commit,
            "protocol": f"{header.protocol_version}",
        }
        for header in headers[-MOST_RUNS:]
    ]
    older = [f"And {len(headers) - len(rows)} older runs."] if len(headers) > len(rows) else []
    return _texts("runs", "Runs", rows, "Load: running processes in the minute before the run.", *older)


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Name every setting by its path, as a sweep file does."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{before}{name}", {"True": "yes", "False": "no", "None": "not set", "": "none"}.get(text, text)


def _commands(selection: Selection) -> Table:
    cells = {record.cell: run.header for run in selection.runs for record in run.records if hasattr(record, "cell")}
    rows = [
        cell_columns(cell) | {"command": repeat_command(header, cell.environment, cell.model, cell.length)}
        for cell, header in cells.items()
    ]
    frame = sort_cells(pd.DataFrame(rows, columns=[*CELL, "command"]))
    note = (
        "With the same machine, versions and settings. A cell that is measured alone takes turns with its control only."
    )
    return cell_table("commands", "The command that repeats each cell", frame, texts("command"), note)


def repeat_command(header: Header, environment: str, model: str, length: int) -> str:
    """Return the command that measures one cell again as its run did."""
    profile = ["--profile", header.profile] if header.profile in PROFILES else []
    task = [] if header.sweep.task.name == "sum" else ["--task", header.sweep.task.name]
    by_command = (
        header.harness == "seqsum run"
    )  # a run of pytest measures the cells of a profile, advice has no profile
    words = iter(shlex.split(header.command) if by_command else ["seqsum", "run", *profile, *task])
    kept: list[str] = []
    for word in words:
        if word in AXES:
            next(words, None)
        elif word.partition("=")[0] not in AXES:
            kept.append(word)
    kept += ["--backend", environment, "--model", model, "--length", str(length)]
    return shlex.join([*kept, *(["--python", f"{environment}=PATH"] if "@" in environment else [])])
