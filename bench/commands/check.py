"""Commands that check: `doctor`, `replay`, `parity`, `verify`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.commands.app import Backends, GroupedOptions, Json, Pythons, app, errors, say, show, what
from bench.errors import UserError
from bench.measure.environments import parse_pythons
from bench.plan.cells import Device


@app.command(cls=GroupedOptions)
def doctor(
    device: Annotated[Device, typer.Option(help="Where would be measured.")] = "cpu",
    results: Annotated[Path, typer.Option(help="Runs, the newest of which tells what could be found.")] = Path(
        "results"
    ),
    python: Pythons = [],
    json_: Json = False,
) -> None:
    """Tell what can be measured here, and what is in the way.

    Example: seqsum doctor
    """
    from bench.measure.doctor import examine
    from bench.output import doctor as output

    diagnosis = examine(device=device, pythons=parse_pythons(python), results=results)
    show(diagnosis, output.document, output.print_diagnosis, json_=json_)
    if not diagnosis.workers:
        raise typer.Exit(1)


@app.command(cls=GroupedOptions)
def replay(
    case: Annotated[list[str], typer.Option(help="rnn-4, lstm-12, ...: a run of 2017. Default: all.")] = [],
    reference: Annotated[Path | None, typer.Option(help="A reference file (.npz) instead of a case.")] = None,
    backend: Backends = [],
    dtype: Annotated[Literal["float32", "float64"], typer.Option(help="Precision of the replays.")] = "float32",
    python: Pythons = [],
    json_: Json = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the losses into this PNG, SVG or PDF file.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the losses of each epoch into this CSV file.")] = None,
) -> None:
    """Check that each backend retraces the article's runs of 2017.

    Example: seqsum replay --case rnn-4 --case lstm-4 --plot losses.png
    """
    from bench.measure.progress import Progress
    from bench.measure.replay import replay_runs
    from bench.output import replay as output
    from bench.output.files import check_target

    if plot:
        check_target(plot, "--plot", (".png", ".svg", ".pdf"))
    if csv:
        check_target(csv, "--csv", (".csv",))
    pythons = parse_pythons(python)
    replays = replay_runs(backend, cases=case, file=reference, dtype=dtype, pythons=pythons, progress=Progress(errors))
    show(replays, output.document, output.print_replays, json_=json_)
    for path in output.write_csv(replays, csv) if csv else ():
        say(f"Wrote {path}")
    if plot:
        output.write_chart(replays, plot)
        say(f"Wrote {plot}")
    if not replays.passed:
        raise typer.Exit(1)


@app.command(cls=GroupedOptions)
def parity(
    backend: Backends = [],
    model: Annotated[str | None, what(help="Only this model, such as mine:build: backends against each other.")] = None,
    task: Annotated[str, what(help="With --model: what it is trained on.")] = "sum",
    length: Annotated[int, what(help="With --model: timesteps.")] = 12,
    epochs: Annotated[int, what(min=1, help="With --model: epochs of the curve.")] = 5,
    python: Pythons = [],
    json_: Json = False,
) -> None:
    """Check that the backends compute the same.

    Built-in models against NumPy, or with --model a training of your own against the first backend. Example:
    seqsum parity --model mine:build --task mine:rows --length 50
    """
    from bench.measure.advise import Training
    from bench.measure.parity import check_parity, check_training
    from bench.output import parity as output

    if model is None:
        if (task, length, epochs) != ("sum", 12, 5):
            raise UserError(
                "`--task`, `--length` and `--epochs` need `--model`. Received: none. Add --model lstm, say."
            )
        result = check_parity(backend, pythons=parse_pythons(python), say=say)
    else:
        training = Training(model=model, task=task, length=length)
        result = check_training(training, backend, pythons=parse_pythons(python), say=say, epochs=epochs)
    show(result, output.document, output.print_parity, json_=json_)
    if not result.passed:
        raise typer.Exit(1)


@app.command(cls=GroupedOptions)
def verify(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
) -> None:
    """Check that runs are complete and unaltered.

    Example: seqsum verify results/2030-01-01T00-00-00-standard
    """
    from bench.records.verify import verify_run

    results = [(folder, verify_run(folder)) for folder in runs]
    for folder, verified in results:
        for problem in verified.problems:
            say(problem)
        print(f"{folder}: {verified}")
    if not all(verified.holds for _, verified in results):
        raise typer.Exit(1)
