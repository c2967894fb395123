"""Make a run: prove the site where it is measured, write the header, and measure; or go on with one.

Never imports a framework.
"""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from bench.analysis.differences import differences
from bench.errors import UserError
from bench.measure.executor import Proved, Site
from bench.measure.progress import Progress
from bench.plan.sweep import Sweep
from bench.records.missing import missing_trials, stale_lines
from bench.records.schema import Harness, Header, Resumed
from bench.records.store import RunWriter, check_writable, load_resumable, new_run_name, reopen_run, start_run
from seqsum_core import __version__
from seqsum_core.settings import MODELS


def run_sweep(sweep: Sweep, *, profile: str, command: str, results: Path, site: Site, progress: Progress) -> RunWriter:
    """Measure all cells of a sweep and write a run.

    Args:
        sweep: what to measure.
        profile: its name, which becomes part of the run's name.
        command: what the user typed, for the record.
        results: folder of all runs.
        site: where.
        progress: told what happens.

    Returns:
        The finished run.

    Raises:
        UserError: if anything the user gave is wrong; nothing was measured then.
    """
    with site:
        proved = site.prove(sweep, progress)
        check_writable(results)
        if sweep.seeds > 1 and (own := [model for model in sweep.models if model not in MODELS]):
            progress.say(
                f"{', '.join(own)}: trained one seed after another; only this project's models can be replicas."
            )
        writer = start_run(results, new_header(sweep, proved, profile=profile, command=command, harness="seqsum run"))
        with closing(writer):
            site.measure(sweep, writer, progress, begun_s=monotonic())
    return writer


def resume_run(folder: Path, *, command: str, site: Site, progress: Progress, retry: bool = False) -> RunWriter:
    """Measure what a run that was interrupted still lacks.

    Args:
        folder: of the run.
        command: what the user typed, for the record.
        site: where.
        progress: told what happens.
        retry: measure again what failed.

    Returns:
        The run, finished.

    Raises:
        UserError: if the run cannot be read or written, or machine, versions or code are not those it began with.
    """
    begun = load_resumable(folder)
    sweep, header = begun.header.sweep, begun.header
    if header.harness != "seqsum run":
        raise UserError(f"{folder}: was made by {header.harness}; only those of seqsum run can go on. Begin a new one.")
    with site:
        proved = site.prove(sweep, progress, like=header)
        now = new_header(sweep, proved, profile=header.profile, command=command, harness="seqsum run")
        if changed := differences(header, now):
            raise UserError(
                f"{folder}: cannot go on, since its figures would not be comparable: {'; '.join(map(str, changed))}. "
                "Restore that, or begin a new run."
            )
        writer, run = reopen_run(folder)
        with closing(writer):
            dropped = stale_lines(run, retry=retry)
            writer.records = [
                record for line, record in zip(run.lines, run.records, strict=True) if line not in dropped
            ]
            if not missing_trials(sweep, writer.records) and sweep.timing.precision is None:
                progress.say(f"Nothing is missing in {folder}.")
                return writer
            writer.note(
                Resumed(
                    at=now.started_at,
                    command=command,
                    load_average=now.load_average,
                    dropped=dropped,
                    nodes=proved.nodes,
                )
            )
            begun_s = monotonic() - (datetime.now(UTC) - datetime.fromisoformat(header.started_at)).total_seconds()
            site.measure(sweep, writer, progress, begun_s=begun_s)
    return writer


def new_header(sweep: Sweep, proved: Proved, *, profile: str, command: str, harness: Harness) -> Header:
    """Write down what is true of the whole run, before it begins."""
    return Header(
        run=new_run_name(profile if harness == "seqsum run" else f"{profile}-{sweep.backends[0]}"),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seqsum_version=__version__,
        commit=proved.commit,
        harness=harness,
        profile=profile,
        command=command,
        load_average=proved.load_average,
        machine=proved.machine,
        sweep=sweep,
        workers=proved.workers,
        nodes=proved.nodes,
    )
