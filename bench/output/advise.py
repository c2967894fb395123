"""Show what `seqsum advise` recommends: a sentence, the evidence as a table, and code to paste."""

from math import ceil, exp, isnan, log
from statistics import median
from typing import Any

import pandas as pd
from rich.console import Console

from bench.analysis.statistics import order_interval
from bench.measure.advise import Advice, Candidate, Training
from bench.output.tables import Column, Table, with_interval
from bench.output.text import interval, number, print_text
from seqsum_core.settings import VariantSettings
from seqsum_core.tasks import Task

SHOWN = ("start_s", "epoch_s", "total_s", "peak_bytes")
SAME_LOSS = 1e-3
"""Relative difference up to which two losses after an epoch are the same: far above rounding, docs/methodology.md."""
LAYERS = {"simple_rnn": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}


def print_advice(advice: Advice, console: Console) -> None:
    """Print sentences, table and code."""
    for sentence in sentences(advice):
        console.print(sentence, markup=False, highlight=False)
    print_text(candidates_table(advice), console)
    if advice.run:
        console.print(f"\nRecords: {advice.run}", markup=False, highlight=False, soft_wrap=True)
    if code := snippet(advice):
        console.print(f"\n{code}", markup=False, highlight=False, soft_wrap=True)


def sentences(advice: Advice) -> list[str]:
    """Say which candidate is the fastest, by how much, and what was not tried."""
    best = advice.best
    if best is None:
        return [f"No candidate could be measured for {advice.training}."]
    lines = [f"Fastest for {advice.training}: {best.name}, {number(best.total_s)} s."]
    others = [candidate for candidate in advice.candidates if candidate.usable and candidate is not best]
    if others:
        lines.append(f"Runner-up: {others[0].name}, {number(others[0].total_s)} s, {_margin(others[0], best)}.")
    if others and (epoch := break_even(others[0], best)):
        lines.append(f"They change places at {epoch:,} epochs: {others[0].name} is the faster one of the two beyond.")
    lines += learned(advice)
    if advice.untried:
        lines.append(f"Not tried, no time was left: {'; '.join(advice.untried)}. A larger --budget tries them.")
    return [*lines, f"Measured in {advice.spent_s:.0f} s; each training includes the start of its process."]


def break_even(other: Candidate, best: Candidate) -> int | None:
    """Return from how many epochs on the other candidate would be the faster one, or None."""
    if not other.epoch_s < best.epoch_s:
        return None
    return ceil(1 + (other.start_s - best.start_s) / (best.epoch_s - other.epoch_s))


def learned(advice: Advice) -> list[str]:
    """Say whether the best candidate of each environment has the same loss after one epoch."""
    trained = [candidate for candidate in advice.candidates if not isnan(candidate.first_loss)]
    if len(trained) < 2:
        return []
    losses = [candidate.first_loss for candidate in trained]
    apart = (max(losses) - min(losses)) / max(map(abs, losses))
    names = ", ".join(f"{number(candidate.first_loss)} ({candidate.name})" for candidate in trained)
    verdict = "the same" if apart <= SAME_LOSS else f"{number(100 * apart)} % apart"
    random = "" if apart <= SAME_LOSS else " Layers that draw random numbers, such as dropout, draw others on each."
    return [f"Training loss after one epoch, from the same start and batches: {verdict}, {names}.{random}"]


def _margin(other: Candidate, best: Candidate) -> str:
    """Return the ratio of two candidates with its interval, or with its range where they met too few times."""
    ratio = ratio_to(other, best)
    text = f"{number(ratio['ratio'])} times its time"
    if not isnan(ratio["level"]):
        doubt = ": no difference is shown" if ratio["ratio_low"] <= 1 <= ratio["ratio_high"] else ""
        ends = interval(ratio["ratio_low"], ratio["ratio_high"])
        return f"{text} ({100 * ratio['level']:.0f} % interval {ends}{doubt})"
    if ratio["compared"] > 1:
        return f"{text} (in {ratio['compared']} processes {interval(ratio['ratio_least'], ratio['ratio_greatest'])})"
    return f"{text} (in one process)"


def ratio_to(candidate: Candidate, best: Candidate) -> dict[str, Any]:
    """Return the time of a candidate / that of the best, from processes of the same number, with its interval."""
    shared = sorted(candidate.totals_s.keys() & best.totals_s.keys())
    logs = [log(candidate.totals_s[process] / best.totals_s[process]) for process in shared]
    low, high, level = order_interval(logs)
    return {
        "compared": len(logs),
        "ratio": exp(median(logs)),
        "ratio_low": exp(low),
        "ratio_high": exp(high),
        "level": level,
        "ratio_least": exp(min(logs)),
        "ratio_greatest": exp(max(logs)),
    }


def candidates_table(advice: Advice) -> Table:
    """Tabulate every candidate, the fastest first."""
    rows = []
    for candidate in advice.candidates:
        row: dict[str, Any] = {
            name: getattr(candidate, name) for name in ("start_s", "epoch_s", "total_s", "peak_bytes")
        }
        row |= {"environment": candidate.cell.environment, "variant": str(candidate.cell.variant)}
        row |= {"processes": len(candidate.records), "status": candidate.failure}
        if candidate.records and advice.best not in (None, candidate):
            row |= ratio_to(candidate, advice.best)
        rows.append(row)
    columns = [
        Column("environment", "backend", kind="axis"),
        Column("variant", "variant", kind="axis"),
        Column("start_s", "start s"),
        Column("epoch_s", "epoch ms", 1e3),
        Column("total_s", "total s"),
        Column("peak_bytes", "memory MiB", 2**-20),
        Column("processes", "processes", kind="count"),
        with_interval("ratio", "ratio"),
        Column("status", "status", kind="text"),
    ]
    notes = (
        f"Total: seconds of {advice.training.epochs} epochs: process start, import, build and first epoch, then steady "
        "epochs; medians over fresh processes. Ratio: total / that of the fastest. Validation is not counted. Each "
        "worker has one core and one thread.",
    )
    shown = [name for column in columns for name in (column.name, column.low, column.high) if name]
    return Table("advice", "Candidates", pd.DataFrame(rows).reindex(columns=[*shown, "level"]), columns, notes)


def snippet(advice: Advice) -> str:
    """Return code that builds and compiles what was asked for with the settings that are recommended."""
    if advice.best is None:
        return ""
    cell, variant, training = advice.best.cell, advice.best.cell.variant, advice.training
    fused = variant.implementation == "fused"
    compiled = ['optimizer="rmsprop"', f'loss="{advice.task.loss}"']
    for name in ("jit_compile", "steps_per_execution"):
        if (value := getattr(variant, name)) != getattr(VariantSettings(), name):
            compiled.append(f"{name}={value!r}")
    if fused:
        compiled.append(f'**fused.settings_for("{cell.backend}")')
    lines = [
        "import os",
        f'os.environ["KERAS_BACKEND"] = "{cell.backend}"  # before keras is imported',
        "import keras",
        *(["from seqsum_core.nn import fused"] if fused else []),
        *(_own_lines(training, fused) if training.is_own else _built_in_lines(training, variant, advice.task)),
    ]
    return "\n".join(lines + ([] if advice.compiled else [f"model.compile({', '.join(compiled)})"]))


def _own_lines(training: Training, fused: bool) -> list[str]:
    module, _, function = training.model.partition(":")
    call = f"model = {module}.{function}({training.length})"
    return [f"import {module}", "", *(["with fused.replacing():", f"    {call}"] if fused else [call])]


def _built_in_lines(training: Training, variant: VariantSettings, task: Task) -> list[str]:
    fused = variant.implementation == "fused"
    unroll = ", unroll=True" if variant.unroll else ""
    softmax = ', activation="softmax"' if task.judge == "class" else ""
    return [
        "",
        f"model = {'fused' if fused else 'keras'}.Sequential([",
        f"    keras.Input(({training.length}, {task.features})),",
        f"    {'fused' if fused else 'keras.layers'}.{LAYERS[training.model]}({training.units or 16}{unroll}),",
        f"    keras.layers.Dense({task.outputs}{softmax}),",
        "])",
    ]


def document(advice: Advice) -> dict[str, Any]:
    """Return everything, for JSON."""
    candidates = [
        {
            "environment": candidate.cell.environment,
            "variant": str(candidate.cell.variant),
            "failed": candidate.failure or None,
            "totals_s": list(candidate.totals_s.values()),
            "records": [record.model_dump(mode="json") for record in candidate.records.values()],
        }
        for candidate in advice.candidates
    ]
    return {
        "training": vars(advice.training),
        "recommended": advice.best.name if advice.best else None,
        "sentences": sentences(advice),
        "candidates": candidates,
        "untried": list(advice.untried),
        "code": snippet(advice),
        "run": str(advice.run),
        "spent_s": advice.spent_s,
    }
