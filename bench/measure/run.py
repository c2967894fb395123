"""Make a run: prepare the place where it is measured, write the header, and measure; or go on with a run.

Never imports a framework.
"""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom

from bench.analysis.compare import differences
from bench.errors import UserError
from bench.measure.executor import Executor, Prepared
from bench.measure.progress import Progress
from bench.plan.sweep import Sweep
from bench.records.missing import missing_trials, stale_lines
from bench.records.schema import Harness, Header, Resumed
from bench.records.store import RunWriter, check_writable, load_resumable, new_run_name, reopen_run, start_run
from seqsum_core import __version__
from seqsum_core.settings import MODELS


def run_sweep(
    sweep: Sweep, *, profile: str, command: str, results: Path, executor: Executor, progress: Progress
) -> RunWriter:
    """Measure all cells of a sweep and write a run.

        run_sweep(sweep, profile="smoke", command="seqsum run", results=Path("results"), executor=ThisMachine({}),
                  progress=Progress())

    Args:
        sweep: what to measure.
        profile: its name, which becomes part of the run's name.
        command: what the user typed, for the record.
        results: folder of all runs.
        executor: where.
        progress: told what happens.

    Raises:
        UserError: if anything the user gave is wrong; nothing was measured then.
    """
    with executor:
        prepared = executor.prepare(sweep, progress)
        check_writable(results)
        if sweep.seeds > 1 and (own := [model for model in sweep.models if model not in MODELS]):
            progress.say(
                f"{', '.join(own)}: trained one seed after another; only this project's models can be replicas."
            )
        header = new_header(sweep, prepared, profile=profile, command=command, harness="seqsum run")
        writer = start_run(results, header)
        with closing(writer):
            executor.measure(header, writer, progress)
    return writer


def resume_run(folder: Path, *, command: str, executor: Executor, progress: Progress, retry: bool = False) -> RunWriter:
    """Measure what a run that was interrupted still lacks; `retry` measures again what failed.

    Raises:
        UserError: if the run cannot be read or written, or machine, versions or code are not those it began with.
    """
    header = load_resumable(folder).header
    if header.harness != "seqsum run":
        raise UserError(f"{folder}: made by {header.harness}; only a run of seqsum run can go on. Begin a new one.")
    with executor:
        prepared = executor.prepare(header.sweep, progress, like=header)
        now = new_header(header.sweep, prepared, profile=header.profile, command=command, harness=header.harness)
        _check_comparable(folder, header, now)
        writer, run = reopen_run(folder)
        with closing(writer):
            dropped = stale_lines(run, retry=retry)
            kept = [record for line, record in zip(run.lines, run.records, strict=True) if line not in dropped]
            writer.records[:] = kept
            timing = header.sweep.timing
            if not missing_trials(header.sweep, kept) and timing.precision is None and not timing.gates:
                progress.say(f"Nothing is missing in {folder}.")
                return writer
            writer.note(
                Resumed(
                    at=now.started_at,
                    command=command,
                    load_average=now.load_average,
                    dropped=dropped,
                    nodes=prepared.nodes,
                )
            )
            executor.measure(header, writer, progress)
    return writer


def _check_comparable(folder: Path, begun: Header, now: Header) -> None:
    """Raise `UserError` where figures would not be comparable, naming everything that has changed."""
    changed = differences(begun, now)
    if len(changed):
        names = [f"{row.what} was {row.base}, is {row.new}" for row in changed.itertuples()]
        raise UserError(
            f"{folder}: cannot go on, since its figures would not be comparable: {'; '.join(names)}. "
            "Restore that, or begin a new run."
        )


def new_header(sweep: Sweep, prepared: Prepared, *, profile: str, command: str, harness: Harness) -> Header:
    """Write down what is true of the whole run, before it begins."""
    return Header(
        run=new_run_name(profile if harness != "pytest" else f"{profile}-{sweep.backends[0]}"),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seqsum_version=__version__,
        commit=prepared.commit,
        harness=harness,
        profile=profile,
        command=command,
        load_average=prepared.load_average,
        order_seed=SystemRandom().randrange(2**31),
        machine=prepared.machine,
        sweep=sweep,
        workers=prepared.workers,
        nodes=prepared.nodes,
        own=prepared.own,
    )
