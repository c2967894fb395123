"""Commands that watch versions: `history`, `bisect`, `environments`."""

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bench.commands.app import (
    GroupedOptions,
    Json,
    Pythons,
    app,
    checked,
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
from bench.measure.environments import parse_pythons
from bench.plan.cells import Device, check_environment
from bench.plan.files import read_profile
from bench.plan.gate import Quantity
from bench.plan.sweep import Sweep

SURE = {"processes": 5, "rounds": 4, "budget_s": 300.0}
"""How sure a bisection is unless it is told."""
SHORT = {"warmup_epochs": 1, "turn_epochs": 1}
"""Turns of long epochs: a host changes its pace meanwhile, so that many short turns tell more than a few long ones."""
GO_ON = "what was measured is kept. Go on: the same command again"
History = Annotated[Path, where("--results", help="Folder of the runs of histories.")]
Models = Annotated[list[str], what("--model", help="simple_rnn, lstm, gru or package.module:function.")]
Lengths = Annotated[list[int], what("--length", help="Longest sequence, in timesteps.")]
Bases = Annotated[
    list[str],
    what("--backend", metavar="BACKEND", parser=checked(check_environment), help="jax, torch or tensorflow."),
]
Devices = Annotated[Device, where("--device", help="Where it is trained.")]


@app.command(cls=GroupedOptions)
def history(
    backend: Bases = [],
    model: Models = [],
    length: Lengths = [],
    versions: Annotated[list[str], what(metavar="PACKAGE=VERSIONS", help="Of a package: keras=3.9.2,3.10.0.")] = [],
    last: Annotated[int | None, what(min=1, help="The newest N releases.")] = None,
    nightlies: Annotated[
        Literal["daily", "weekly", "monthly"] | None, what(help="A nightly version of each; with --since.")
    ] = None,
    since: Annotated[str | None, what(metavar="YYYY-MM", help="The month of the first one.")] = None,
    package: Annotated[str, what(help="With --last and --nightlies.")] = "keras",
    over_time: Annotated[
        bool, what("--over-time", help="Measure nothing: how runs of --results changed from night to night.")
    ] = False,
    processes: Annotated[int | None, how(help="Fresh processes a version is timed in.")] = None,
    rounds: Annotated[int | None, how(help="Turns of each process.")] = None,
    device: Devices = "cpu",
    results: History = Path("results/history"),
    plot: Annotated[Path | None, typer.Option(help="Draw it into this PNG, SVG or PDF file.")] = None,
    python: Pythons = [],
    json_: Json = False,
) -> None:
    """Compare versions of a package, in turns with an anchor.

    What the folder has already is not measured again. Example: seqsum history --backend torch --model lstm
    --length 50 --versions keras=3.9.2,3.12.0,3.15.1
    """
    from bench.measure.progress import Progress
    from bench.output import watch as output
    from bench.output.files import check_target
    from bench.watch.history import measure_history
    from bench.watch.versions import base_of, environments_of, newest_releases, parse_versions, sample_nightlies

    if plot:
        check_target(plot, "--plot", (".png", ".svg", ".pdf"))
    if sum((bool(versions), last is not None, nightlies is not None, over_time)) != 1:
        forms = "--versions, --last, --nightlies, --over-time"
        raise UserError(f"`history` needs one of {forms}. Received: none or several. Name one.")
    if over_time:
        others = [since, plot, processes, rounds, *([package] if package != "keras" else [])]
        others += [device] if device != "cpu" else []
        if ignored := [*backend, *model, *length, *python, *(each for each in others if each is not None)]:
            raise UserError(f"`--over-time` goes with --results and --json. Received: {ignored[0]}. Leave it out.")
        output.show_levels(results, screen(), json_=json_)
        return
    if (nightlies is None) != (since is None):
        raise UserError("`--nightlies` and `--since` go together. Received: one of them. Add --since 2025-06, say.")
    pythons = parse_pythons(python)
    sweep = plan_versions(backend, model, length, device, processes=processes, rounds=rounds)
    base = base_of(sweep.backends[0], pythons, device)
    if versions:
        requirements = [each for text in versions for each in parse_versions(text)]
    elif last is not None:
        requirements = newest_releases(package, last, base=base)
    else:
        assert nightlies is not None and since is not None
        requirements = sample_nightlies(package, nightlies, since, base=base)
    progress = Progress(errors)
    with interruptible(GO_ON), closing(progress):
        measure_history(
            sweep,
            environments_of(sweep.backends, requirements),
            command=typed_command("seqsum"),
            results=results,
            pythons=pythons,
            progress=progress,
        )
    failed = output.show_history(results, screen(), plot=plot, json_=json_)
    if plot:
        say(f"Wrote {plot}")
    if failed:
        raise typer.Exit(1)


def plan_versions(backends: list[str], models: list[str], lengths: list[int], device: Device, **timing: Any) -> Sweep:
    """Return the sweep of a history or a bisection, whose backends are anchors.

    Raises:
        UserError: if a setting does not fit, or a backend is named with an installation.
    """
    if named := [backend for backend in backends if "@" in backend]:
        raise UserError(
            f"`--backend` must be a backend here: its versions are named otherwise. Received: {named[0]}. "
            f"Write {named[0].partition('@')[0]}."
        )
    cells = {"backends": backends or ["torch"], "models": models or ["lstm"], "lengths": lengths or [50]}
    given = {name: value for name, value in timing.items() if value is not None}
    return read_profile("standard", {**cells, "device": device, "seeds": 0, "timing": given})


@app.command(cls=GroupedOptions)
def bisect(
    good: Annotated[str, what(metavar="PACKAGE==VERSION", help="The older version.")],
    bad: Annotated[str, what(metavar="PACKAGE==VERSION", help="A newer one that is slower, or faster.")],
    backend: Bases = [],
    model: Models = [],
    length: Lengths = [],
    nightly: Annotated[bool, what("--nightly", help="Search the nightly versions between two releases, too.")] = False,
    quantity: Annotated[Quantity, what(help="What is compared.")] = "epoch",
    processes: Annotated[
        int | None, how(min=2, help=f"Fresh processes of each version, at least: {SURE['processes']}.")
    ] = None,
    rounds: Annotated[int | None, how(help=f"Turns of each process: {SURE['rounds']}.")] = None,
    budget: Annotated[
        float | None, how(metavar="SECONDS", help=f"For more processes where undecided: {SURE['budget_s']:g}.")
    ] = None,
    device: Devices = "cpu",
    results: Annotated[Path, where(help="Folder of the runs of bisections.")] = Path("results/bisect"),
    diff: Annotated[Path | None, typer.Option(help="Write all that changed in the executed files here.")] = None,
    python: Pythons = [],
    json_: Json = False,
) -> None:
    """Find the version that made a training slower, or faster.

    Each candidate takes turns with both ends until it is decided. Example: seqsum bisect --backend torch
    --model lstm --length 50 --good keras==3.9.2 --bad keras==3.12.0 --nightly
    """
    from bench.measure.progress import Progress
    from bench.output import bisect as output
    from bench.output.files import check_target
    from bench.watch.bisect import SEEDS, TIMELESS, Searcher
    from bench.watch.bisect import bisect as search
    from bench.watch.changes import find_changes
    from bench.watch.versions import parse_requirement

    if diff:
        check_target(diff, "--diff", (".diff", ".patch"))
    if max(len(backend), len(model), len(length)) > 1:
        raise UserError("`bisect` searches on one backend, model and length. Received: several. Name one of each.")
    (package, older), (name, newer) = parse_requirement(good, "--good"), parse_requirement(bad, "--bad")
    if package != name:
        raise UserError(f"`--good` and `--bad` must be of one package. Received: {package} and {name}. Name it twice.")
    sure = {"processes": processes, "rounds": rounds, "budget_s": budget}
    if quantity in TIMELESS and (given := [name for name, value in sure.items() if value is not None]):
        option, why = (
            f"--{given[0].removesuffix('_s')}",
            f"takes {SEEDS} seeds" if quantity == "accuracy" else "is exact",
        )
        raise UserError(f"`{option}` is for times. Received: --quantity {quantity}, which {why}. Leave it out.")
    timing = (
        {name: SURE[name] if value is None else value for name, value in sure.items()} | SHORT | {"control": "none"}
    )
    sweep = plan_versions(backend, model, length, device, **timing)
    sweep = sweep.model_copy(update={"seeds": SEEDS if quantity == "accuracy" else 0})
    progress = Progress(errors)
    pythons = parse_pythons(python)
    command = typed_command("seqsum")
    searcher = Searcher(sweep, quantity, results=results, pythons=pythons, command=command, progress=progress)
    with interruptible(GO_ON), closing(progress):
        found = search(searcher, package, older, newer, nightly=nightly)
    changes = []
    if found.verdict == "found":
        changes = find_changes(searcher.trial(found.last_good), searcher.trial(found.first_bad), searcher.base)
    show((found, changes), output.document, output.print_bisection, json_=json_)
    if diff and changes:
        output.write_diff(changes, diff)
        say(f"Wrote {diff}")
    if found.verdict != "found":
        raise typer.Exit(3)


@app.command(cls=GroupedOptions)
def environments(
    remove: Annotated[list[str], typer.Option(metavar="NAME", help="Remove these: keras==3.13.2, say, or all.")] = [],
) -> None:
    """List environments that were made by name, or remove some.

    Example: seqsum environments --remove keras==3.13.2
    """
    from bench.measure.overlays import cache_folder, list_overlays, remove_overlays

    for folder in remove_overlays(remove):
        say(f"Removed {folder.name}")
    for folder, overlay in list_overlays().items():
        mib = sum(path.lstat().st_size for path in folder.rglob("*")) / 2**20
        print(f"{overlay}  {mib:.0f} MiB, based on {overlay.base}")
    say(f"Folder: {cache_folder()}")
