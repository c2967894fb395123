"""Commands that measure: `run`, `advise`."""

import shlex
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.commands.app import (
    Backends,
    GroupedOptions,
    Json,
    Pythons,
    Results,
    app,
    errors,
    how,
    interruptible,
    say,
    screen,
    show,
    what,
    where,
)
from bench.errors import UserError
from bench.host import typed_command
from bench.measure.environments import (
    add_named,
    available_backends,
    check_own_variables,
    parse_pythons,
    parse_variables,
)
from bench.names import choose_name
from bench.plan.cells import Device, backend_of
from bench.plan.files import read_profile, read_sweep
from bench.plan.gate import QUANTITIES, parse_gate
from bench.plan.sweep import Axes, Sweep

if TYPE_CHECKING:
    from bench.analysis.select import Selection
    from bench.measure.executor import Executor
    from bench.records.store import RunWriter


Env = Annotated[list[str], where(metavar="NAME[=VALUE]", help="An environment variable that reaches the workers.")]


def parse_share(text: str) -> float:
    """Read a share like 5% or 0.05; a UserError if it is none, or not between 0 and 1."""
    number = text.strip()
    try:
        share = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise UserError(f"`--precision` must be a share above 0 and below 100 %. Received: {text!r}. Write 5%, say.")
    return share


def parse_axes(texts: list[str]) -> dict[str, list[Any]]:
    """Read axes as the command line writes them: NAME=VALUE,VALUE. What is given of one axis several times adds up."""
    words: dict[str, bool] = {"true": True, "false": False}
    axes: dict[str, list[Any]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        choose_name(name, tuple(Axes.model_fields), "--axis")
        if not values:
            raise UserError(f"`--axis` must be NAME=VALUE,VALUE. Received: {text!r}. Write unroll=false,true, say.")
        for value in map(str.strip, values.split(",")):
            axes.setdefault(name, []).append(words.get(value, int(value) if value.isdecimal() else value))
    return axes


@app.command(cls=GroupedOptions)
def run(
    context: typer.Context,
    profile: Annotated[str, what(help="Cells and numbers: smoke, standard or full.")] = "standard",
    sweep: Annotated[Path | None, what(metavar="FILE", help="A sweep file (TOML) instead.")] = None,
    backend: Backends = [],
    model: Annotated[list[str], what(help="simple_rnn, lstm, gru or package.module:function.")] = [],
    length: Annotated[list[int], what(help="Longest sequence, in timesteps.")] = [],
    task: Annotated[str | None, what(help="sum, adding, digits or package.module:function. Default: sum.")] = None,
    axis: Annotated[
        list[str],
        what(metavar="NAME=VALUES", help="Time each of these: unroll=false,true, units=16,64."),
    ] = [],
    ceilings: Annotated[
        bool,
        what("--ceilings", help="Also time the same training without Keras: Keras / ceiling is its tax."),
    ] = False,
    devices: Annotated[
        int,
        what(min=1, help="Also time trainings whose rows so many devices share (keras.distribution)."),
    ] = 1,
    expect: Annotated[str | None, what(help="Recurrent path that must run: scan, cudnn, ...")] = None,
    seeds: Annotated[int | None, how(help="Seeds of the accuracy trials; 0: time only.")] = None,
    processes: Annotated[int | None, how(help="Fresh processes a cell is timed in.")] = None,
    rounds: Annotated[int | None, how(help="Turns of each process.")] = None,
    rigorous: Annotated[
        bool,
        how("--rigorous", help="20 processes of 5 turns, each backend with a control."),
    ] = False,
    precision: Annotated[
        str | None,
        how(help="Go on until no interval is wider to either side: 5%.", metavar="SHARE"),
    ] = None,
    gate: Annotated[
        list[str],
        how(
            metavar="slower:SHARE%",
            help="Judge environments by the first one of their backend; exit 1 if slower, 3 if undecided. Also "
            "first-epoch:, validation:, memory:, calls:, accuracy:SHARE%, path.",
        ),
    ] = [],
    budget: Annotated[
        float | None, how(metavar="SECONDS", help="Seconds for processes that these add, at most.")
    ] = None,
    env: Env = [],
    device: Annotated[Device | None, where(help="Default: as the sweep says, or cpu.")] = None,
    results: Results = Path("results"),
    resume: Annotated[
        Path | None,
        where(metavar="RUN", help="Go on with a run that was interrupted: its folder."),
    ] = None,
    retry: Annotated[bool, where("--retry", help="With --resume: measure again what failed.")] = False,
    executor: Annotated[
        Literal["local", "ray"],
        where(help="This machine, or the nodes of a Ray cluster."),
    ] = "local",
    address: Annotated[
        str | None,
        where(help="Of a running Ray cluster: HOST:PORT or auto. Default: a Ray of this machine."),
    ] = None,
    python: Pythons = [],
) -> None:
    """Measure speed and accuracy, and say what was found.

    Example: seqsum run --profile smoke --backend jax --model lstm --length 12
    """
    from bench.measure.run import resume_run, run_sweep

    pythons = parse_pythons(python)
    where = _executor(executor, address, pythons)
    command = typed_command("seqsum")
    if resume is not None:
        _refuse_settings(context)
        go_on = partial(resume_run, resume, command=command, executor=where, retry=retry)
        return _measure(resume, executor, go_on)
    if retry:
        raise UserError("`--retry` needs `--resume`. Received: --retry alone. Add --resume RUN.")
    axes = [*axis, *(["implementation=keras,ceiling"] if ceilings else [])]
    if devices != 1:
        axes.append(f"devices=1,{devices}")
    timing = _given(
        processes=20 if rigorous and processes is None else processes,
        rounds=5 if rigorous and rounds is None else rounds,
        control="each" if rigorous else None,
        precision=None if precision is None else parse_share(precision),
        gates=[parse_gate(text, "--gate", QUANTITIES).model_dump() for text in gate],
        budget_s=budget,
    )
    cells = _given(backends=backend, device=device, models=model, lengths=length, seeds=seeds, expect=expect)
    changes = cells | _given(
        timing=timing, task=_given(name=task), axes=parse_axes(axes), runtime=_given(variables=parse_variables(env))
    )
    planned = read_sweep(sweep, changes) if sweep else read_profile(profile, changes)
    check_own_variables([*planned.models, planned.task.name], dict(planned.runtime.variables))
    environments = _environments(planned, pythons, is_here=address is None)
    planned = planned.model_copy(update={"backends": environments})
    check_gates(planned)
    name = sweep.stem if sweep else profile
    start = partial(run_sweep, planned, profile=name, command=command, results=results, executor=where)
    _measure(results, executor, start)


def _given(**fields: Any) -> dict[str, Any]:
    """Return the fields that the command line sets."""
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def check_gates(sweep: Sweep) -> None:
    """Raise `UserError` if a sweep has gates and no environment to judge, or too few seeds to judge accuracy by."""
    from bench.analysis.statistics import LEAST_SEEDS

    if sweep.seeds < LEAST_SEEDS and sweep.judges_accuracy:
        raise UserError(f"`--gate accuracy` needs {LEAST_SEEDS} seeds. Received: {sweep.seeds}. Add --seeds 20.")
    if sweep.timing.gates and len({*map(backend_of, sweep.backends)}) == len({*sweep.backends}):
        raise UserError(
            f"`--gate` needs two environments of a backend. Received: {', '.join(sweep.backends)}. Add the one to "
            "judge after the other: --backend torch@keras==3.15.1"
        )


def _environments(sweep: Sweep, pythons: Mapping[str, str], *, is_here: bool) -> tuple[str, ...]:
    """Return what will be measured: what the sweep names, or all that is here; and what `--python` adds to it."""
    if is_here and "backends" not in sweep.model_fields_set:
        return tuple(available_backends(device=sweep.device, pythons=pythons))
    environments = add_named(sweep.backends, pythons)
    for name in pythons.keys() - set(environments):
        say(f"Not measured, so that its --python is not used: {name}.")
    return tuple(environments)


def _executor(name: str, address: str | None, pythons: Mapping[str, str]) -> "Executor":
    """Return where to measure."""
    if name == "ray":
        from bench.measure.ray.cluster import RayCluster
        from bench.measure.ray.executor import RayExecutor

        return RayExecutor(RayCluster(address), pythons)
    from bench.measure.executor import ThisMachine

    if address is not None:
        raise UserError(f"`--address` is that of a Ray cluster. Received: {address} without it. Add --executor ray.")
    return ThisMachine(pythons)


WITH_RESUME = ("resume", "retry", "executor", "address", "python")


def _refuse_settings(context: typer.Context) -> None:
    """Refuse what a run that goes on has settled already."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    typed = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if settled := [f"--{name}" for name in typed if name not in WITH_RESUME]:
        raise UserError(
            f"`--resume` takes its cells and settings from the run. Received: {', '.join(settled)}. Leave that out."
        )


def _measure(place: Path, executor: str, start: Callable[..., "RunWriter"]) -> None:
    """Start or resume a run with progress, then print its tables and what to do next; exit 1 if a trial failed.

    Ctrl-C ends with a line that says how to go on. The place is the folder of all runs, or of the run that goes on.
    """
    from bench.measure.progress import Progress
    from bench.records.schema import Failure
    from bench.records.store import HEADER, load_run

    progress = Progress(errors)
    before = set(place.glob(f"*/{HEADER}"))
    try:
        written = start(progress=progress)
    except KeyboardInterrupt:
        progress.close()
        begun = [header.parent for header in {*place.glob(f"*/{HEADER}")} - before] or [place]
        option = "" if executor == "local" else f"--executor {executor} "
        is_run = (begun[0] / HEADER).exists()
        how = (
            f"what was measured is kept. Go on: seqsum run {option}--resume {shlex.quote(str(begun[0]))}"
            if is_run
            else ""
        )
        say(f"seqsum: interrupted; {how or 'nothing was measured.'}")
        raise typer.Exit(130) from None
    finally:
        progress.close()

    from bench.analysis.select import select
    from bench.output.summary import print_summary

    selection, code = select([load_run(written.folder)]), 0
    print_summary(selection, written.folder.parent, screen())
    if selection.header.sweep.timing.gates:
        code = _print_gate(selection)
    if code or any(isinstance(record, Failure) and record.fault != "not available" for record in written.records):
        raise typer.Exit(code or 1)


def _print_gate(selection: "Selection") -> int:
    """Print what the gates of a run decide, and return what it exits with by them."""
    from bench.output.tables.watch import gate, gate_lines
    from bench.output.text import print_text

    code, lines = gate_lines(selection)
    if len((table := gate(selection)).frame):
        print_text(table, screen())
    for line in lines:
        say(line)
    return code


@app.command(cls=GroupedOptions)
def advise(
    model: Annotated[str, what(help="simple_rnn, lstm, gru or package.module:function.")] = "lstm",
    task: Annotated[str, what(help="sum, adding, digits or package.module:function.")] = "sum",
    length: Annotated[int, what(help="Longest sequence, in timesteps.")] = 12,
    units: Annotated[int | None, what(help="Width of the recurrent layer of a built-in model. Default: 16.")] = None,
    batch_size: Annotated[int, what(help="Rows of a training step.")] = 100,
    epochs: Annotated[int, what(help="Of the training; a long one pays for a slow start.")] = 100,
    backend: Backends = [],
    budget: Annotated[float, how(metavar="SECONDS", help="Seconds for the search, about.")] = 120.0,
    device: Annotated[Device, where(help="Where it is trained.")] = "cpu",
    env: Env = [],
    results: Results = Path("results"),
    python: Pythons = [],
    json_: Json = False,
) -> None:
    """Find the fastest backend and settings for a training.

    Your own or a built-in one. Example: seqsum advise --model mine:build --task mine:rows --length 50 --epochs 30
    """
    from bench.measure.advise import Training
    from bench.measure.advise import advise as find_advice
    from bench.output import advise as output

    variables = parse_variables(env)
    check_own_variables([model, task], variables)
    training = Training(
        model=model,
        task=task,
        length=length,
        units=units,
        batch_size=batch_size,
        device=device,
        epochs=epochs,
        variables=tuple(variables.items()),
    )
    with interruptible("what was measured is kept."):
        advice = find_advice(
            training,
            backend,
            budget_s=budget,
            pythons=parse_pythons(python),
            say=say,
            results=results,
            command=typed_command("seqsum"),
        )
    show(advice, output.document, output.print_advice, json_=json_)
    if advice.best is None:
        raise typer.Exit(1)
