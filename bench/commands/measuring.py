"""Commands that measure: `run`, `replicas`, `overhead`."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.analysis import selection
from bench.commands.app import Json, Pythons, Results, app, errors, say, screen
from bench.errors import UserError
from bench.host import typed_command
from bench.measure import environments as interpreters
from bench.measure import overhead, replica_speed
from bench.measure import run as runner
from bench.measure.cluster.executor import OnCluster
from bench.measure.cluster.ray_cluster import RayCluster
from bench.measure.executor import Site
from bench.measure.local import ThisMachine
from bench.measure.progress import Progress
from bench.names import choose_name
from bench.output.printing import output
from bench.plan import files as sweeps
from bench.plan import variants
from bench.records import store
from bench.records.schema import Failure


@app.command()
def run(
    context: typer.Context,
    profile: Annotated[str, typer.Option(help="smoke, standard or full.")] = "standard",
    sweep: Annotated[Path | None, typer.Option(help="A sweep file (TOML) instead of a profile.")] = None,
    backend: Annotated[list[str], typer.Option(help="jax, torch or tensorflow (tf). Default: all that are here.")] = [],
    device: Annotated[str | None, typer.Option(help="cpu or gpu.")] = None,
    model: Annotated[list[str], typer.Option(help="simple_rnn, lstm, gru or package.module:function.")] = [],
    length: Annotated[list[int], typer.Option(help="Longest sequence, in timesteps.")] = [],
    seeds: Annotated[int | None, typer.Option(help="Seeds of the accuracy trials; 0: time only.")] = None,
    processes: Annotated[int | None, typer.Option(help="Fresh processes a cell is timed in.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Turns of each process.")] = None,
    rigorous: Annotated[
        bool, typer.Option("--rigorous", help="20 processes of 5 turns, each backend with a control.")
    ] = False,
    precision: Annotated[
        str | None, typer.Option(help="Go on until no interval is wider to either side: 5%.", metavar="SHARE")
    ] = None,
    budget: Annotated[float | None, typer.Option(help="Seconds for that, at most.")] = None,
    expect: Annotated[str | None, typer.Option(help="Recurrent path that must run: scan, cudnn, ...")] = None,
    axis: Annotated[
        list[str], typer.Option(metavar="NAME=VALUES", help="Time each of these: unroll=false,true, units=16,64.")
    ] = [],
    ceilings: Annotated[
        bool, typer.Option("--ceilings", help="Also time the same training without Keras: Keras / ceiling is its tax.")
    ] = False,
    devices: Annotated[
        int, typer.Option(min=1, help="Also time trainings whose rows so many devices share (keras.distribution).")
    ] = 1,
    results: Results = Path("results"),
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with a run that was interrupted: its folder.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="With --resume: measure again what failed.")] = False,
    executor: Annotated[str, typer.Option(help="Where: local, or ray for the nodes of a cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of a running Ray cluster: HOST:PORT or auto. Default: a Ray of this machine.")
    ] = None,
    python: Pythons = [],
) -> None:
    """Measure speed and accuracy, and print the tables.

    Example: seqsum run --profile smoke --backend jax --model lstm --length 12
    """
    pythons = interpreters.parse_pythons(python, rivals=True)
    site = _site(executor, address, pythons)
    if resume is not None:
        _only_with_resume(context)
        with _measuring(resume, executor) as progress:
            written = runner.resume_run(
                resume, command=typed_command("seqsum"), site=site, progress=progress, retry=retry
            )
        return _show(written)
    if retry:
        raise UserError("`--retry` needs `--resume`. Received: --retry alone. Add --resume RUN.")
    changes = _changes(backend, device, model, length, seeds, expect)
    if rivals := interpreters.rivals_of(pythons):
        changes["rivals"] = rivals
    named = [*axis, *(["implementation=keras,ceiling"] if ceilings else [])]
    if devices != 1:
        named.append(f"devices=1,{devices}")
    if axes := variants.parse_axes(named):
        changes["axes"] = axes
    changes["timing"] = _timing_changes(rigorous, processes, rounds, precision, budget)
    measured = sweeps.read_sweep(sweep, changes) if sweep else sweeps.read_profile(profile, changes)
    if not backend and not address and not (sweep and "backends" in measured.model_fields_set):
        found = interpreters.available_backends(device=measured.device, pythons=pythons)
        measured = measured.model_copy(update={"backends": tuple(found)})
    with _measuring(results, executor) as progress:
        written = runner.run_sweep(
            measured,
            profile=sweep.stem if sweep else profile,
            command=typed_command("seqsum"),
            results=results,
            site=site,
            progress=progress,
        )
    _show(written)


WITH_RESUME = ("resume", "retry", "executor", "address", "python")


def _site(executor: str, address: str | None, pythons: Mapping[str, str]) -> Site:
    """Return where to measure."""
    if choose_name(executor, ("local", "ray"), "executor") == "ray":
        return OnCluster(RayCluster(address), pythons)
    if address is not None:
        raise UserError(f"`--address` is that of a Ray cluster. Received: {address} without it. Add --executor ray.")
    return ThisMachine(pythons)


def _only_with_resume(context: typer.Context) -> None:
    """Refuse what a run has settled already."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    typed = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given := [f"--{name}" for name in typed if name not in WITH_RESUME]:
        raise UserError(
            f"`--resume` takes its cells and settings from the run. Received: {', '.join(given)}. Leave that out."
        )


@contextmanager
def _measuring(place: Path, executor: str) -> Iterator[Progress]:
    """Show progress; Ctrl-C ends with a line that says how to go on."""
    progress = Progress(errors)
    before = set(place.glob(f"*/{store.HEADER}"))
    try:
        yield progress
    except KeyboardInterrupt:
        progress.close()
        begun = [header.parent for header in {*place.glob(f"*/{store.HEADER}")} - before] or [place]
        kept = (begun[0] / store.HEADER).exists()
        where = "" if executor == "local" else f"--executor {executor} "
        how = (
            f"what was measured is kept. Go on: seqsum run {where}--resume {begun[0]}"
            if kept
            else "nothing was measured."
        )
        say(f"seqsum: interrupted; {how}")
        raise typer.Exit(130) from None
    finally:
        progress.close()


def _show(written: store.RunWriter) -> None:
    output.print_tables(selection.select([store.load_run(written.folder)]), [])
    place = written.folder.parent
    say(f"Next: seqsum report --results {place}, or all tables: seqsum table --show all --results {place}")
    if any(isinstance(record, Failure) and record.fault != "not available" for record in written.records):
        raise typer.Exit(1)


def _changes(
    backend: list[str], device: str | None, model: list[str], length: list[int], seeds: int | None, expect: str | None
) -> dict[str, Any]:
    """Collect what the command line says against the profile or sweep file."""
    backends = [interpreters.parse_backend(name) for name in backend]
    given = {
        "backends": backends,
        "device": device and interpreters.parse_device(device),
        "models": model,
        "lengths": length,
        "seeds": seeds,
        "expect": expect,
    }
    return {name: value for name, value in given.items() if value not in (None, [])}


def _timing_changes(
    rigorous: bool, processes: int | None, rounds: int | None, precision: str | None, budget: float | None
) -> dict[str, Any]:
    """Collect what the command line says against the table `timing`."""
    given = {
        "processes": processes or (20 if rigorous and processes is None else processes),
        "rounds": rounds or (5 if rigorous and rounds is None else rounds),
        "precision": None if precision is None else sweeps.parse_share(precision, "--precision"),
        "budget_s": budget,
        "control": "each" if rigorous else None,
    }
    return {name: value for name, value in given.items() if value is not None}


@app.command()
def replicas(
    backend: Annotated[list[str], typer.Option(help="jax, torch or tensorflow (tf). Default: all that are here.")] = [],
    device: Annotated[str, typer.Option(help="cpu or gpu.")] = "cpu",
    model: Annotated[list[str], typer.Option(help="simple_rnn, lstm or gru. Default: the first two.")] = [],
    length: Annotated[int, typer.Option(help="Longest sequence, in timesteps.")] = 12,
    seeds: Annotated[int, typer.Option(help="How many are trained.")] = 20,
    epochs: Annotated[int, typer.Option(help="Of each training.")] = 30,
    at_once: Annotated[list[int], typer.Option("--replicas", help="Seeds at once; may be given several times.")] = [],
    loop: Annotated[bool, typer.Option(help="Time the loops to compare with, too.")] = True,
    python: Pythons = [],
    json_: Json = False,
) -> None:
    """Time many seeds trained as one Keras model against a loop of fit and plain PyTorch.

    Example: seqsum replicas --backend jax --replicas 1 --replicas 10 --replicas 20
    """
    plan = replica_speed.Plan(
        models=tuple(interpreters.parse_model(name) for name in dict.fromkeys(model or ["simple_rnn", "lstm"])),
        device=interpreters.parse_device(device),
        length=length,
        seeds=seeds,
        epochs=epochs,
        replicas=tuple(at_once),
        loop=loop,
    )
    times = replica_speed.time_replicas(
        plan,
        [interpreters.parse_backend(name) for name in backend],
        pythons=interpreters.parse_pythons(python),
        command=typed_command("seqsum"),
        say=say,
    )
    if json_:
        print(json.dumps(times.model_dump(mode="json"), indent=1))
    else:
        output.print_text(replica_speed.replicas_table(times), screen())
    if any(one.failed for one in times.timed):
        raise typer.Exit(1)


@app.command("overhead")
def weigh(
    backend: Annotated[list[str], typer.Option(help="jax, torch or tensorflow (tf). Default: all that are here.")] = [],
    model: Annotated[list[str], typer.Option(help="simple_rnn, lstm or gru. Default: simple_rnn.")] = [],
    length: Annotated[list[int], typer.Option(help="Longest sequence, in timesteps. Default: 4 and 50.")] = [],
    processes: Annotated[int, typer.Option(help="Fresh processes a cell is weighed in.")] = 8,
    pairs: Annotated[int, typer.Option(help="Pairs of fits in each process, one bare and one timed.")] = 8,
    python: Pythons = [],
    json_: Json = False,
) -> None:
    """Measure what timing adds to a bare model.fit.

    Example: seqsum overhead --backend jax --length 4 --length 50
    """
    found = overhead.measure_overhead(
        [interpreters.parse_backend(name) for name in backend],
        models=[interpreters.parse_model(name) for name in dict.fromkeys(model or ["simple_rnn"])],
        lengths=sorted(set(length or [4, 50])),
        processes=processes,
        pairs=pairs,
        pythons=interpreters.parse_pythons(python),
        command=typed_command("seqsum"),
        say=say,
    )
    if json_:
        print(json.dumps(found.model_dump(mode="json"), indent=1))
    else:
        output.print_text(overhead.overhead_table(found), screen())
    if any(one.failed for one in found.weighed):
        raise typer.Exit(1)
