"""The table of several devices in one training: speed-up, and how much of each device is left."""

from dataclasses import replace

import pandas as pd

from bench.analysis.intervals import LEAST_SEEDS
from bench.analysis.selection import USUAL, Row, Selection, Table, axes, name_usual, sort_rows, without_figures
from bench.plan.cells import Cell


def devices_table(chosen: Selection) -> Table:
    """Tabulate how much faster cells are on several devices than on one."""
    rows: list[Row] = []
    for one in chosen.against(alone):
        count, ratio = one.first.variant.devices, one.ratio
        rows.append(
            axes(one.first)
            | {
                "devices": count,
                "epoch ms": 1e3 * chosen.epoch_time(one.first).median_s,
                "on one ms": 1e3 * chosen.epoch_time(one.second).median_s,
                "speed-up": 1 / ratio.value,
                "low": 1 / ratio.interval.high,
                "high": 1 / ratio.interval.low,
                "efficiency %": 100 / (count * ratio.value),
            }
        )
    notes = (
        "Data parallel by keras.distribution: each device trains a share of the rows of every step with a copy of the "
        "weights. Speed-up: epoch on one device / epoch, the median over processes of the ratios of turns with its "
        f"95 % interval (from {LEAST_SEEDS} processes on). Efficiency: speed-up / devices.",
        "Devices made of one CPU share its cores and memory: they show what sharing costs, no hardware's gain.",
        *without_figures(chosen, "speed"),
    )
    return Table("Devices", sort_rows(name_usual(pd.DataFrame(rows)), ["length", "model", "backend", *USUAL]), notes)


def alone(cell: Cell) -> Cell:
    """Return the cell that differs in its devices only: it has one."""
    return cell.model_copy(update={"variant": replace(cell.variant, devices=1)})
