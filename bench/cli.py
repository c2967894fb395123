"""The command line: parse, call one function, print. Data to stdout, everything else to stderr."""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from bench import (
    certificate_tables,
    interpreters,
    overhead,
    printing,
    replay_tables,
    replays,
    replica_speed,
    runner,
    selection,
    sides,
    store,
    sweeps,
    tables,
)
from bench import doctor as doctoring
from bench.errors import UserError
from bench.machine import typed_command
from bench.progress import Progress
from bench.records import Failure
from seqsum_core import __version__
from seqsum_core.reference import CASES

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
errors = Console(stderr=True)

Results = Annotated[Path, typer.Option(help="Folder of all runs.", show_default=True)]
Pythons = Annotated[list[str], typer.Option("--python", metavar="BACKEND=PATH", help="Interpreter of a backend.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"seqsum {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Benchmark recurrent training in Keras 3 under JAX, PyTorch and TensorFlow."""


@app.command()
def run(
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
    results: Results = Path("results"),
    python: Pythons = [],
) -> None:
    """Measure speed and accuracy, and print the tables.

    Example: seqsum run --profile smoke --backend jax --model lstm --length 12
    """
    pythons = interpreters.parse_pythons(python)
    changes = _changes(backend, device, model, length, seeds, expect)
    changes["timing"] = _timing_changes(rigorous, processes, rounds, precision, budget)
    measured = sweeps.read_sweep(sweep, changes) if sweep else sweeps.read_profile(profile, changes)
    if not backend and not (sweep and "backends" in measured.model_fields_set):
        found = interpreters.available_backends(device=measured.device, pythons=pythons)
        measured = measured.model_copy(update={"backends": tuple(found)})
    progress = Progress(errors)
    try:
        written = runner.run_sweep(
            measured,
            profile=sweep.stem if sweep else profile,
            command=typed_command("seqsum"),
            results=results,
            pythons=pythons,
            progress=progress,
        )
    except KeyboardInterrupt:
        progress.close()
        errors.print(f"seqsum: interrupted; what was measured is kept: seqsum table --results {results}", markup=False)
        raise typer.Exit(130) from None
    finally:
        progress.close()
    printing.print_tables(selection.select([store.load_run(written.folder)]), [])
    if any(isinstance(record, Failure) for record in written.records):
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
def table(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of single runs. Default: all that are alike.")
    ] = None,
    results: Results = Path("results"),
    show: Annotated[list[str], typer.Option(help=f"Which: {', '.join(tables.TABLES)} or all.")] = [],
    format: Annotated[Literal["text", "markdown", "csv"], typer.Option(help="How to print.")] = "text",  # noqa: A002
) -> None:
    """Print tables of what has been measured.

    Example: seqsum table --show accuracy --show lengths --format markdown
    """
    problems: list[str] = []
    if runs:
        loaded = [store.load_run(folder) for folder in sorted(runs)]
    else:
        loaded, problems = store.load_runs(results)
    for problem in [*problems, *(problem for run in loaded for problem in run.problems)]:
        errors.print(problem, markup=False, highlight=False)
    if loaded:
        printing.print_tables(selection.select(loaded), show, form=format)
    if problems or any(run.problems for run in loaded):
        raise typer.Exit(1)


@app.command()
def plot(
    results: Results = Path("results"),
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("plots"),
    format: Annotated[Literal["png", "svg"], typer.Option(help="Of the files.")] = "png",  # noqa: A002
) -> None:
    """Draw what has been measured: memory and gradients k steps back, accuracy against length.

    Example: seqsum plot --out docs/pictures --format svg
    """
    loaded, problems = store.load_runs(results)
    problems += [problem for run in loaded for problem in run.problems]
    written: list[Path] = []
    if loaded:
        from bench import plots  # Matplotlib takes half a second to import

        written, missing = plots.write_plots(selection.select(loaded), out, format)
        problems += [f"Not drawn: {reason}" for reason in missing]
    for path in written:
        print(path)
    for problem in problems:
        errors.print(problem, markup=False, highlight=False)
    if not written:
        raise typer.Exit(1)


@app.command()
def doctor(
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    device: Annotated[str, typer.Option(help="cpu or gpu.")] = "cpu",
    python: Pythons = [],
) -> None:
    """Say whether this machine can measure, with which backends, and what is in the way.

    Example: seqsum doctor
    """
    diagnosis = doctoring.diagnose(device=interpreters.parse_device(device), pythons=interpreters.parse_pythons(python))
    if json_:
        print(json.dumps(diagnosis.model_dump(), indent=2))
    else:
        doctoring.show(diagnosis, Console(highlight=False))
    if not diagnosis.workers:
        raise typer.Exit(1)


@app.command()
def replay(
    case: Annotated[list[str], typer.Option(help=f"{', '.join(CASES)}. Default: all of this precision.")] = [],
    reference: Annotated[Path | None, typer.Option(help="A reference file (.npz) instead of a case.")] = None,
    backend: Annotated[list[str], typer.Option(help="jax, torch or tensorflow (tf). Default: all that are here.")] = [],
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    python: Pythons = [],
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document with everything.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the losses into this PNG or SVG file.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the losses of each epoch into this CSV file.")] = None,
) -> None:
    """Repeat the article's training runs of 2017 and say whether each backend retraces them.

    Example: seqsum replay --case rnn-4 --case lstm-4 --plot losses.png
    """
    asked = [interpreters.parse_backend(name) for name in backend]
    pythons = interpreters.parse_pythons(python)
    chosen = replays.choose(case, reference, replays.parse_dtype(dtype))
    if plot:
        replay_tables.check_target(plot, "--plot", (".png", ".svg"))
    if csv:
        replay_tables.check_target(csv, "--csv", (".csv",))
    found, missing = interpreters.find_interpreters(asked, device="cpu", pythons=pythons)
    interpreters.check_keras_backend([*found, *missing])
    progress = Progress(errors)
    for reason in missing.values():
        progress.say(reason)
    with runner.machine_lock():
        result = replays.replay_all(chosen, found, missing, progress)
    if json_:
        print(json.dumps(replay_tables.document(result), indent=2))
    else:
        replay_tables.print_replays(result)
    for written in replay_tables.write_csv(result, csv) if csv else []:
        progress.say(f"Wrote {written}")
    if plot:
        from bench import replay_plot  # Matplotlib takes half a second to import

        replay_plot.write_plot(result, plot)
        progress.say(f"Wrote {plot}")
    if not result.passed:
        raise typer.Exit(1)


@app.command()
def parity(
    backend: Annotated[list[str], typer.Option(help="jax, torch or tensorflow (tf). Default: all that are here.")] = [],
    python: Pythons = [],
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Certify that the backends compute the same: loss, gradients, optimizer, training curve.

    Example: seqsum parity --backend jax --backend torch
    """
    certificate = sides.certify_backends(
        [interpreters.parse_backend(name) for name in backend],
        pythons=interpreters.parse_pythons(python),
        say=lambda line: errors.print(line, markup=False, highlight=False, soft_wrap=True),
    )
    if json_:
        print(json.dumps(certificate.model_dump(), indent=2))
    else:
        certificate_tables.show(certificate, Console(width=None if sys.stdout.isatty() else 80, highlight=False))
    if certificate.verdict == "fail":
        raise typer.Exit(1)


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
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
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
        say=lambda line: errors.print(line, markup=False, highlight=False, soft_wrap=True),
    )
    if json_:
        print(json.dumps(times.model_dump(mode="json"), indent=1))
    else:
        printing.print_text(replica_speed.replicas_table(times), Console(width=None if sys.stdout.isatty() else 80))
    if any(one.failed for one in times.timed):
        raise typer.Exit(1)


@app.command("overhead")
def weigh(
    backend: Annotated[list[str], typer.Option(help="jax, torch or tensorflow (tf). Default: all that are here.")] = [],
    model: Annotated[list[str], typer.Option(help="simple_rnn, lstm or gru. Default: simple_rnn.")] = [],
    length: Annotated[list[int], typer.Option(help="Longest sequence, in timesteps. Default: 4 and 50.")] = [],
    processes: Annotated[int, typer.Option(help="Fresh processes a cell is weighed in.")] = 8,
    python: Pythons = [],
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure what timing adds to a bare model.fit.

    Example: seqsum overhead --backend jax --length 4 --length 50
    """
    found = overhead.measure_overhead(
        [interpreters.parse_backend(name) for name in backend],
        models=[interpreters.parse_model(name) for name in dict.fromkeys(model or ["simple_rnn"])],
        lengths=sorted(set(length or [4, 50])),
        processes=processes,
        pythons=interpreters.parse_pythons(python),
        command=typed_command("seqsum"),
        say=lambda line: errors.print(line, markup=False, highlight=False, soft_wrap=True),
    )
    if json_:
        print(json.dumps(found.model_dump(mode="json"), indent=1))
    else:
        printing.print_text(overhead.overhead_table(found), Console(width=None if sys.stdout.isatty() else 80))
    if any(one.failed for one in found.weighed):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(prog_name="seqsum")
    except UserError as error:
        errors.print(f"seqsum: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
