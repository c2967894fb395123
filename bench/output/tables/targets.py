"""The table of time to accuracy: epochs, sequences and seconds to a target, with the seeds that never got there."""

from collections.abc import Sequence
from math import isinf
from typing import Any

import pandas as pd

from bench.analysis.findings import place
from bench.analysis.selection import USUAL, Row, Selection, Table, axes, name_usual, sort_rows, without_figures
from bench.analysis.targets import ENOUGH_SEEDS, Pairs, Reached, pairs, reached
from bench.names import say_count

NEVER = "never"


def target_table(chosen: Selection) -> Table:
    """Tabulate the time to accuracy: epochs, sequences and seconds to a val_mse."""
    found = reached(chosen)
    alike = pairs(found)
    rows = [axes(one.cell) | _figures(one) | _same(alike.get(place(one.cell))) for one in found]
    frame = sort_rows(name_usual(pd.DataFrame(rows)), ["length", "model", "backend", *USUAL])
    notes = (
        f"First epoch at whose end val_mse is at most {chosen.target:g} (--target), in each seed's longest training: "
        f"medians over seeds. A seed that does not get there counts as {NEVER}, in the medians and their 95 % "
        "intervals (low, high; by the order of the seeds, from 6 on) too.",
        *(_say_misses(found) if found else []),
        "Accuracy trials are not timed. Steady s: epochs times the median steady epoch of the cell's timed processes "
        "(one thread). From start s: their process start, import, build and first epoch, then steady epochs. "
        "Validating is not charged. Empty: not timed.",
        *_say_pairs(list(alike.values())),
        *without_figures(chosen, "accuracy"),
    )
    return Table(f"Time to a val_mse of {chosen.target:g}", frame, notes)


def _figures(one: Reached) -> Row:
    return {
        "reached": f"{one.hits} of {len(one.seeds)}",
        "epochs": _said(one.median),
        "low": _said(one.interval.low),
        "high": _said(one.interval.high),
        "sequences": _said(one.median * one.rows),
        "steady s": _said(one.steady_s(one.median)),
        "from start s": _said(one.done_s(one.median)),
    }


def _said(value: float) -> Any:
    """Return a figure, or the word for one that is infinite: neither JSON nor a reader knows infinity."""
    return NEVER if isinf(value) else value


def _same(alike: Pairs | None) -> Row:
    return {} if alike is None or not alike.seeds else {"same epoch": f"{alike.same} of {alike.seeds}"}


def _say_misses(found: Sequence[Reached]) -> list[str]:
    """Say how many trainings missed, which of them were stopped, and whether the seeds are too few."""
    missed = sum(len(one.seeds) - one.hits for one in found)
    trainings = sum(len(one.seeds) for one in found)
    stopped = sum(one.stopped for one in found)
    most = say_count(max(one.trained for one in found), "epoch")
    said = f"{missed:,} of {say_count(trainings, 'training')} did not get there within {most}"
    if stopped:
        said += f"; {stopped:,} of those had been stopped early and might have got there later"
    few = min(len(one.seeds) for one in found)
    short = f"A cell has {say_count(few, 'seed')}, which is too few: train at least {ENOUGH_SEEDS}."
    return [f"{said}.", *([short] if few < ENOUGH_SEEDS else [])]


def _say_pairs(alike: Sequence[Pairs]) -> list[str]:
    """Say whether the same seed needs other epochs on another backend."""
    seeds = sum(one.seeds for one in alike)
    if not seeds:
        return []
    same = sum(one.same for one in alike)
    said = (
        "Same epoch: of the seeds that got there, those whose epoch is the same on all backends, where they have the "
        f"same start and batches: {same:,} of {seeds:,}"
    )
    apart = [epochs for one in alike for epochs in one.apart]
    if not apart:
        return [f"{said}."]
    gaps = [epochs for epochs in apart if not isinf(epochs)]
    most = f" the others differ by at most {say_count(int(max(gaps)), 'epoch')}" if gaps else ""
    lost = len(apart) - len(gaps)
    some = f" {say_count(lost, 'seed')} got there on some backends only" if lost else ""
    return [f"{said};{most}{';' if gaps and lost else ''}{some}."]
