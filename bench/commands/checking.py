"""Commands that check: `doctor`, `replay`, `parity`, `verify`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.app import Json, Pythons, app, errors, say, screen
from bench.measure import doctor as doctoring
from bench.measure import environments as interpreters
from bench.measure import local
from bench.measure import parity as sides
from bench.measure import replay as replays
from bench.measure.progress import Progress
from bench.output.files import check_target
from bench.output.tables import certificate as certificate_tables
from bench.output.tables import replays as replay_tables
from bench.records import verify as verifying
from seqsum_core.article.reference import CASES


@app.command()
def doctor(
    json_: Json = False,
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
        doctoring.show(diagnosis, screen())
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
        check_target(plot, "--plot", (".png", ".svg"))
    if csv:
        check_target(csv, "--csv", (".csv",))
    found, missing = interpreters.find_interpreters(asked, device="cpu", pythons=pythons)
    interpreters.check_keras_backend([*found, *missing])
    progress = Progress(errors)
    for reason in missing.values():
        progress.say(reason)
    with local.machine_lock():
        result = replays.replay_all(chosen, found, missing, progress)
    if json_:
        print(json.dumps(replay_tables.document(result), indent=2))
    else:
        replay_tables.print_replays(result)
    for written in replay_tables.write_csv(result, csv) if csv else []:
        progress.say(f"Wrote {written}")
    if plot:
        from bench.output.plots.replays import write_plot  # Matplotlib takes half a second to import

        write_plot(result, plot)
        progress.say(f"Wrote {plot}")
    if not result.passed:
        raise typer.Exit(1)


@app.command()
def parity(
    backend: Annotated[list[str], typer.Option(help="jax, torch or tensorflow (tf). Default: all that are here.")] = [],
    python: Pythons = [],
    json_: Json = False,
) -> None:
    """Certify that the backends compute the same: loss, gradients, optimizer, training curve.

    Example: seqsum parity --backend jax --backend torch
    """
    certificate = sides.certify_backends(
        [interpreters.parse_backend(name) for name in backend],
        pythons=interpreters.parse_pythons(python),
        say=say,
    )
    if json_:
        print(json.dumps(certificate.model_dump(), indent=2))
    else:
        certificate_tables.show(certificate, screen())
    if certificate.verdict == "fail":
        raise typer.Exit(1)


@app.command()
def verify(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
) -> None:
    """Check that runs are complete, and that no byte of them was altered since they were written.

    Example: seqsum verify results/2030-01-01T00-00-00-standard
    """
    found = [(folder, verifying.verify_run(folder)) for folder in runs]
    for folder, verified in found:
        for problem in verified.problems:
            say(problem)
        print(f"{folder}: {verified}")
    if not all(verified.holds for _, verified in found):
        raise typer.Exit(1)
