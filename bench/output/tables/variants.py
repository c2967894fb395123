"""Tables of variants: what the framework itself would need, and what Keras' settings change. Derived on reading."""

from math import isnan

import pandas as pd

from bench.analysis.intervals import LEAST_SEEDS
from bench.analysis.ratios import Compared
from bench.analysis.selection import USUAL, Row, Selection, Table, axes, name_usual, sort_rows, without_figures
from bench.plan.variants import ceiling_of


def tax_table(chosen: Selection) -> Table:
    """Tabulate the framework tax: how many times as long Keras takes as the same training without it."""
    notes = (
        "Framework tax: Keras / ceiling, the same training (weights, batches, loss, RMSprop) written in the framework "
        f"itself; the median over processes of the ratios of their turns, with its 95 % interval (from {LEAST_SEEDS} "
        "processes on). A tax of 1 is none. docs/ceilings.md says what the ceilings are.",
        *without_figures(chosen, "speed"),
    )
    return _table("Framework tax", chosen, taxes(chosen), "tax", "ceiling ms", notes)


def taxes(chosen: Selection) -> list[Compared]:
    """Compare every cell with its ceiling."""
    return chosen.against(lambda cell: cell.model_copy(update={"variant": ceiling_of(cell.variant)}))


def variants_table(chosen: Selection) -> Table:
    """Tabulate what every variant changes against the first one of its run."""
    base = chosen.runs[-1].header.sweep.variants[0]
    notes = (
        f"How many times as long a variant takes as {base}: below 1 it is faster. Ratios of turns of one round, the "
        f"median over processes with its 95 % interval (from {LEAST_SEEDS} processes on). Batch size, units, mask and "
        "dtype change what is trained, too.",
    )
    return _table("Variants compared by speed", chosen, changes(chosen), "times as long", f"{base} ms", notes)


def changes(chosen: Selection) -> list[Compared]:
    """Compare every cell with that of the first variant of the newest run."""
    base = chosen.runs[-1].header.sweep.variants[0]
    return chosen.against(lambda cell: cell.model_copy(update={"variant": base}))


def _table(
    title: str, chosen: Selection, found: list[Compared], ratio_name: str, other_name: str, notes: tuple[str, ...]
) -> Table:
    rows: list[Row] = [
        axes(one.first)
        | {"epoch ms": 1e3 * chosen.epoch_time(one.first).median_s}
        | {other_name: 1e3 * chosen.epoch_time(one.second).median_s, ratio_name: one.ratio.value}
        | {"low": one.ratio.interval.low, "high": one.ratio.interval.high}
        | {"verdict": "no difference" if one.ratio.undecided and not isnan(one.ratio.interval.low) else ""}
        for one in found
    ]
    frame = sort_rows(name_usual(pd.DataFrame(rows)), ["length", "model", "backend", *USUAL])
    return Table(title, frame, notes)
