"""Where the figures are from: machine, workers, runs, settings, and the command that repeats each cell."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from bench.analysis.selection import Row, Selection, Table, axes
from bench.plan.cells import Cell, by_cell
from bench.plan.files import PROFILES
from bench.records.schema import Header, Worker
from bench.records.store import Run

MOST_RUNS = 50
AXES = ("--backend", "--model", "--length")


def origin_tables(chosen: Selection) -> dict[str, Table]:
    """Return the tables that say how all was made, by name."""
    workers = {worker.side: worker for run in chosen.runs for worker in run.header.workers}
    return {
        "machine": _machine(chosen.runs[-1].header),
        "workers": Table("Workers: what each backend's process proved", pd.DataFrame(map(_worker, workers.values()))),
        "environment": Table("Environment of the workers", _environment(workers)),
        "runs": _runs(chosen.runs),
        "settings": Table("Settings", _settings(chosen.runs[-1].header)),
        "commands": _commands(chosen),
    }


def _machine(header: Header) -> Table:
    machine = header.machine
    rows = {
        "processor": machine.cpu,
        "cores": f"{machine.cores}",
        "memory": f"{machine.memory_bytes / 2**30:.1f} GiB",
        "system": machine.system,
        "frequency governor": machine.governor,
        "GPUs": ", ".join(machine.gpus) or "none",
    }
    return Table("Machine", pd.DataFrame({"what": list(rows), "value": list(rows.values())}))


def _worker(worker: Worker) -> Row:
    return {
        "backend": worker.side,
        "device": f"{worker.device} ({worker.device_name})",
        "threads": f"{worker.threads}" if worker.threads else "not told",
        "float32": worker.float32_precision,
        "deterministic": "yes" if worker.deterministic else "no",
        "Python": worker.python,
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(worker.versions.items())),
    }


def _environment(workers: Mapping[str, Worker]) -> pd.DataFrame:
    names = sorted({name for worker in workers.values() for name in worker.environment})
    columns = {
        backend: [worker.environment.get(name, "") for name in names] for backend, worker in sorted(workers.items())
    }
    return pd.DataFrame({"variable": names, **columns})


def _runs(runs: Iterable[Run]) -> Table:
    headers = [run.header for run in runs]
    rows = [
        {
            "run": header.run,
            "began": header.started_at,
            "command": header.command,
            "load": header.load_average,
            "seqsum": header.seqsum_version,
            "commit": header.commit,
            "protocol": f"{header.protocol_version}",
            "schema": f"{header.schema_version}",
        }
        for header in headers[-MOST_RUNS:]
    ]
    older = len(headers) - len(rows)
    notes = (f"And {older} older ones.",) if older else ()
    return Table("Runs", pd.DataFrame(rows), ("Load: running processes in the minute before the run.", *notes))


def _settings(header: Header) -> pd.DataFrame:
    pairs = dict(_flat(header.sweep.model_dump(mode="json")))
    return pd.DataFrame({"setting": list(pairs), "value": list(pairs.values())})


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Name every setting by its path, as a sweep file does."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{before}{name}", {"True": "yes", "False": "no", "None": "not set"}.get(text, text)


def _commands(chosen: Selection) -> Table:
    rows: dict[str, Row] = {}
    for run, records in zip(chosen.runs, chosen.by_run, strict=True):
        for cell, _ in by_cell(record for record in records if hasattr(record, "cell")):
            rows[str(cell)] = axes(cell) | {"command": repeat_command(run.header, cell)}
    frame = pd.DataFrame(list(rows.values()))
    if not frame.empty:
        frame = frame.sort_values(["length", "model", "backend"], kind="stable", ignore_index=True)
    note = "With the same machine, versions and settings. A cell measured alone takes turns with its control only."
    return Table("The command that repeats each cell", frame, (note,))


def repeat_command(header: Header, cell: Cell) -> str:
    """Return the command that measures one cell again as its run did.

    Args:
        header: of the run.
        cell: which.
    """
    words = iter(shlex.split(header.command) if header.harness == "seqsum run" else _profile_command(header))
    kept: list[str] = []
    for word in words:
        if word in AXES:
            next(words, None)
        elif word.partition("=")[0] not in AXES:
            kept.append(word)
    kept += ["--backend", cell.backend, "--model", cell.model, "--length", str(cell.length)]
    return shlex.join([*kept, *(["--python", f"{cell.side}=PATH"] if cell.side != cell.backend else [])])


def _profile_command(header: Header) -> list[str]:
    """Return what `seqsum run` is told to measure the cells of a pytest run."""
    profile = ["--profile", header.profile] if header.profile in PROFILES else []
    return ["seqsum", "run", *profile]
