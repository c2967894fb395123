"""Where the figures are from: machine, workers, runs, settings, and the command that repeats each cell."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from bench.analysis.select import Selection
from bench.output.charts.marks import sort_cells
from bench.output.tables.table import Column, Table, axes
from bench.plan.files import PROFILES
from bench.records.frame import cell_columns
from bench.records.schema import Header, Worker
from bench.records.store import Run

MOST_RUNS = 50
AXES = ("--backend", "--model", "--length")


def provenance_tables(selection: Selection) -> list[Table]:
    """Return the tables that say how all was made."""
    header, workers = selection.header, selection.workers
    return [
        _pairs("machine", "Machine", _machine(header)),
        text_table("workers", "Workers: what the process of each backend found out", map(_worker, workers.values())),
        _variables(workers),
        _runs(selection.runs),
        _pairs("settings", "Settings", dict(_flat(header.sweep.model_dump(mode="json")))),
        _commands(selection),
    ]


def text_table(name: str, title: str, rows: Iterable[Mapping[str, Any]], notes: tuple[str, ...] = ()) -> Table:
    """Return a table of texts under their own names."""
    frame = pd.DataFrame(list(rows))
    return Table(name, title, frame, [Column(name, name, kind="text") for name in map(str, frame)], notes)


def _pairs(name: str, title: str, pairs: Mapping[str, str]) -> Table:
    return text_table(name, title, [{"what": what, "value": value} for what, value in pairs.items()])


def _machine(header: Header) -> dict[str, str]:
    machine = header.machine
    return {
        "processor": machine.cpu,
        "cores": f"{machine.cores}",
        "memory": f"{machine.memory_bytes / 2**30:.1f} GiB",
        "system": machine.system,
        "frequency governor": machine.governor,
        "GPUs": ", ".join(machine.gpus) or "none",
    }


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


def _variables(workers: Mapping[str, Worker]) -> Table:
    names = sorted({name for worker in workers.values() for name in worker.variables})
    rows = [
        {"variable": name} | {worker.environment: worker.variables.get(name, "") for worker in workers.values()}
        for name in names
    ]
    return text_table("variables", "Environment variables of the workers", rows)


def _runs(runs: Iterable[Run]) -> Table:
    headers = [run.header for run in runs]
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
    older = (f"And {len(headers) - len(rows)} older runs.",) if len(headers) > len(rows) else ()
    return text_table("runs", "Runs", rows, ("Load: running processes in the minute before the run.", *older))


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Name every setting by its path, as a sweep file does."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{before}{name}", {"True": "yes", "False": "no", "None": "not set", "": "none"}.get(text, text)


def _commands(selection: Selection) -> Table:
    commands = {}
    for run in selection.runs:
        for cell in dict.fromkeys(record.cell for record in run.records if hasattr(record, "cell")):
            commands[cell] = {"command": repeat_command(run.header, cell.environment, cell.model, cell.length)}
    if not commands:
        return text_table("commands", "", [])
    frame = sort_cells(pd.DataFrame([cell_columns(cell) | command for cell, command in commands.items()]))
    note = (
        "With the same machine, versions and settings. A cell that is measured alone takes turns with its control only."
    )
    columns = [*axes(frame), Column("command", "command", kind="text")]
    return Table("commands", "The command that repeats each cell", frame, columns, (note,))


def repeat_command(header: Header, environment: str, model: str, length: int) -> str:
    """Return the command that measures one cell again as its run did."""
    words = iter(shlex.split(header.command) if header.harness == "seqsum run" else _profile_command(header))
    kept: list[str] = []
    for word in words:
        if word in AXES:
            next(words, None)
        elif word.partition("=")[0] not in AXES:
            kept.append(word)
    kept += ["--backend", environment, "--model", model, "--length", str(length)]
    return shlex.join([*kept, *(["--python", f"{environment}=PATH"] if "@" in environment else [])])


def _profile_command(header: Header) -> list[str]:
    """Return what `seqsum run` needs to measure the cells of a pytest run."""
    profile = ["--profile", header.profile] if header.profile in PROFILES else []
    return ["seqsum", "run", *profile]
