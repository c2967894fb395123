"""Measure versions in turns with an anchor, as runs that a folder collects: only what it does not have yet.

A run holds as many versions as fit into memory, and their anchor. Runs of a folder that are comparable are read as one
history (`bench.analysis.history`).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.host import available_bytes, code_commit, describe_machine
from bench.measure.executor import ThisMachine
from bench.measure.progress import Progress
from bench.measure.run import resume_run, run_sweep
from bench.measure.turns import WORKER_BYTES
from bench.plan.cells import Cell
from bench.plan.sweep import Sweep
from bench.records.missing import count_missing, timed_places
from bench.records.schema import Header
from bench.records.store import HEADER, PACKED_TRIALS, Run, RunWriter, load_runs
from bench.watch.versions import base_of, installed_versions

PROFILE = "history"
"""The profile of the runs that make a history."""
COMPARED = ("keras", "jax", "torch", "tensorflow")
LEAST_VERSIONS = 2
"""A run holds at least so many versions beside their anchor, even where memory is short."""


def measure_history(
    sweep: Sweep,
    versions: Mapping[str, Sequence[str]],
    *,
    command: str,
    results: Path,
    pythons: Mapping[str, str],
    progress: Progress,
) -> list[RunWriter]:
    """Measure the versions that a folder of runs lacks, after what an interrupted run of it lacks.

    Args:
        sweep: models, lengths and settings; its backends are replaced.
        versions: the environments of each backend, which is their anchor.
        command: what the user typed, for the record.
        results: the folder of runs.
        pythons: interpreters named on the command line, by environment.
        progress: told what happens.

    Returns:
        The runs that were measured, or went on.

    Raises:
        UserError: if anything the user gave is wrong.
    """
    written = []
    for backend, environments in versions.items():
        runs = _like(sweep, backend, results, pythons)
        for run in runs:
            folder = results / run.header.run
            if is_unfinished(run) and can_go_on(run, folder):
                progress.say(f"Going on with {folder}")
                written.append(resume_run(folder, command=command, executor=ThisMachine(pythons), progress=progress))
        measured = _measured(_like(sweep, backend, results, pythons)) if runs else set()
        missing = [name for name in environments if not set(_cells(sweep, name)) <= measured]
        if not missing:
            progress.say(f"{backend}: every version is in {results} already.")
        for group in _groups(missing, len(sweep.models)):
            written.append(
                run_sweep(
                    sweep.model_copy(update={"backends": (backend, *group)}),
                    profile=PROFILE,
                    command=command,
                    results=results,
                    executor=ThisMachine(pythons),
                    progress=progress,
                )
            )
    return written


def _groups(environments: Sequence[str], models: int) -> Iterator[Sequence[str]]:
    """Cut versions into groups of about equal size whose workers, each model on its own, fit into memory."""
    fitting = int(available_bytes() / (1.5 * WORKER_BYTES)) - 1  # one is the anchor
    most = max(LEAST_VERSIONS, fitting)
    count = -(-len(environments) // most)
    for number in range(count):
        first, last = (round(len(environments) * part / count) for part in (number, number + 1))
        yield environments[first:last]


def _cells(sweep: Sweep, environment: str) -> list[Cell]:
    return sweep.model_copy(update={"backends": (environment,)}).cells()


def _measured(runs: Sequence[Run]) -> set[Cell]:
    """Return the cells of whole runs, if only that they failed."""
    return {cell for run in runs if not is_unfinished(run) for cell, _, _ in timed_places(run.records)}


def is_unfinished(run: Run) -> bool:
    """Tell whether a run lacks trials."""
    return count_missing(run.header.sweep, run.records) > 0


def can_go_on(run: Run, folder: Path) -> bool:
    """Tell whether a run is not packed, and of the code that is here: else it is measured anew."""
    return run.header.commit == code_commit() and not (folder / PACKED_TRIALS).exists()


def _like(sweep: Sweep, backend: str, results: Path, pythons: Mapping[str, str]) -> list[Run]:
    """Return the runs of a folder that belong to the same history: settings, machine and the anchor's versions."""
    if not any(results.glob(f"*/{HEADER}")):
        return []
    installed = installed_versions(base_of(backend, pythons, sweep.device), COMPARED)

    def is_like(header: Header) -> bool:
        anchor = next((worker.versions for worker in header.workers if worker.environment == backend), None)
        same = all(
            getattr(header.sweep, name) == getattr(sweep, name)
            for name in (*type(sweep.settings).model_fields, "device", "variant", "axes", "threads")
        )
        return (
            anchor is not None
            and same
            and (header.profile, header.machine) == (PROFILE, machine)
            and all(_public(anchor[name]) == _public(installed.get(name, "")) for name in COMPARED if name in anchor)
        )

    machine = describe_machine()
    return [run for run in load_runs(results)[0] if is_like(run.header)]


def _public(version: str) -> str:
    return version.partition("+")[0].partition(" ")[0]
