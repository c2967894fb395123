"""Say what is recommended: a sentence, the evidence as a table, and code to paste."""

from math import isnan
from typing import Any

import pandas as pd

from bench.analysis.selection import Table
from bench.measure.advice import Advice, Candidate
from seqsum_core.settings import VariantSettings

LAYERS = {"simple_rnn": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}


def sentences(advice: Advice) -> list[str]:
    """Say which candidate is the fastest, by how much, and what was not tried."""
    best = advice.best
    if best is None:
        return [f"No candidate could be measured for {advice.task}."]
    found = [f"Fastest for {advice.task}: {best.name}, {_seconds(best)}."]
    others = [one for one in advice.candidates if one.usable and one is not best]
    if others:
        found.append(f"Runner-up: {others[0].name}, {_seconds(others[0])}{_margin(others[0], best)}.")
    if advice.untried:
        found.append(f"Not tried, no time was left: {'; '.join(advice.untried)}. A larger --budget tries them.")
    found.append(f"Measured in {advice.spent_s:.0f} s, start of the process included in every training.")
    return found


def _seconds(one: Candidate) -> str:
    return f"{one.total_s:.3g} s"


def _margin(other: Candidate, best: Candidate) -> str:
    ratio = other.ratio_to(best)
    if isnan(ratio.interval.low):
        return f", {ratio.value:.3g} times as long (too few processes for an interval)"
    low, high = ratio.interval.low, ratio.interval.high
    doubt = ": no difference is shown" if ratio.undecided else ""
    return f", {ratio.value:.3g} times as long (95 % interval {low:.3g} to {high:.3g}{doubt})"


def candidates_table(advice: Advice) -> Table:
    """Tabulate every candidate, the fastest first."""
    rows = [_row(one, advice.best) for one in advice.candidates]
    notes = (
        f"Seconds of {advice.task.epochs} epochs: process start, import, build and first epoch, then steady epochs; "
        "medians over fresh processes. Validation is not counted. Each worker has one core and one thread.",
    )
    return Table("Candidates", pd.DataFrame(rows), notes)


def _row(one: Candidate, best: Candidate | None) -> dict[str, Any]:
    row: dict[str, Any] = {"backend": one.cell.backend, "variant": str(one.cell.variant)}
    if one.records:
        medians = pd.DataFrame({"start s": [r.start_s for r in one.records], "ms": [r.median_s for r in one.records]})
        row |= {
            "start s": float(medians["start s"].median()),
            "epoch ms": 1e3 * float(medians["ms"].median()),
            "together s": one.total_s,
            "processes": len(one.records),
        }
        if best is not None and best is not one:
            row["times as long"] = one.ratio_to(best).value
    return row | ({"status": one.failed} if one.failed else {})


def snippet(advice: Advice) -> str:
    """Return code that trains what was asked for with the settings that are recommended."""
    best = advice.best
    if best is None:
        return ""
    variant, task = best.cell.variant, advice.task
    fused = variant.implementation == "fused"
    lines = [
        "import os",
        f'os.environ["KERAS_BACKEND"] = "{best.cell.backend}"  # before keras is imported',
        "import keras",
        *(["from seqsum_core import fused"] if fused else []),
        "",
        f"model = {'fused' if fused else 'keras'}.Sequential([",
        f"    keras.Input(({task.length}, 1)),",
        f"    {_layer(task.model, task.units, variant)},",
        "    keras.layers.Dense(1),",
        "])",
        f"model.compile({', '.join(_compile(best.cell.backend, variant))})",
    ]
    return "\n".join(lines)


def _layer(model: str, units: int, variant: VariantSettings) -> str:
    home = "fused" if variant.implementation == "fused" else "keras.layers"
    unroll = ", unroll=True" if variant.unroll else ""
    return f"{home}.{LAYERS[model]}({units}{unroll})"


def _compile(backend: str, variant: VariantSettings) -> list[str]:
    default = VariantSettings()
    settings = {"jit_compile": variant.jit_compile, "steps_per_execution": variant.steps_per_execution}
    changed = [f"{name}={value!r}" for name, value in settings.items() if value != getattr(default, name)]
    own = [f'**fused.settings_for("{backend}")'] if variant.implementation == "fused" else []
    return ['optimizer="rmsprop"', 'loss="mean_squared_error"', *changed, *own]
