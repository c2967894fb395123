"""The command that recommends: `advise`."""

import json
from typing import Annotated, Any

import typer

from bench.commands.app import Json, Pythons, app, say, screen
from bench.measure import advice
from bench.measure import environments as interpreters
from bench.output import advice as advice_text
from bench.output.printing import output


@app.command()
def advise(
    model: Annotated[str, typer.Option(help="simple_rnn, lstm or gru.")] = "lstm",
    length: Annotated[int, typer.Option(help="Longest sequence, in timesteps.")] = 12,
    units: Annotated[int, typer.Option(help="Width of the recurrent layer.")] = 16,
    epochs: Annotated[int, typer.Option(help="Of the training; a long one pays for a slow start.")] = 100,
    device: Annotated[str, typer.Option(help="cpu or gpu.")] = "cpu",
    backend: Annotated[list[str], typer.Option(help="jax, torch or tensorflow (tf). Default: all that are here.")] = [],
    budget: Annotated[float, typer.Option(help="Seconds, about.")] = 120.0,
    python: Pythons = [],
    json_: Json = False,
) -> None:
    """Find the fastest backend and settings for a training, start included, and print code to paste.

    Example: seqsum advise --model lstm --length 100 --epochs 50 --budget 180
    """
    task = advice.Task(
        model=interpreters.parse_model(model),
        length=length,
        units=units,
        device=interpreters.parse_device(device),
        epochs=epochs,
    )
    found = advice.advise(
        task,
        [interpreters.parse_backend(name) for name in backend],
        budget_s=budget,
        pythons=interpreters.parse_pythons(python),
        say=say,
    )
    if json_:
        print(json.dumps(_document(found), indent=1))
    else:
        _show(found)
    if found.best is None:
        raise typer.Exit(1)


def _show(found: advice.Advice) -> None:
    print(*advice_text.sentences(found), sep="\n")
    output.print_text(advice_text.candidates_table(found), screen())
    if code := advice_text.snippet(found):
        print(f"\n{code}")


def _document(found: advice.Advice) -> dict[str, Any]:
    return {
        "task": vars(found.task),
        "recommended": None if found.best is None else found.best.name,
        "sentences": advice_text.sentences(found),
        "candidates": [
            {"backend": one.cell.backend, "variant": str(one.cell.variant), "failed": one.failed}
            | {"totals_s": list(one.totals_s.values()), "records": [r.model_dump(mode="json") for r in one.records]}
            for one in found.candidates
        ],
        "untried": list(found.untried),
        "code": advice_text.snippet(found),
        "spent_s": found.spent_s,
    }
