"""Tables of what length costs: a fixed part and one for each timestep, and where two backends cross."""

from math import isfinite, isinf, isnan, nan
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.intervals import LEAST_SEEDS
from bench.analysis.length_costs import LEAST_LENGTHS, LengthCost, length_costs
from bench.analysis.length_crossings import Crossing, crossings
from bench.analysis.selection import USUAL, Row, Selection, Table, axes, name_usual, sort_rows
from bench.plan.cells import Cell

MIB = 2**20
TIMESTEPS = 100
"""How many timesteps validation and memory are said for; of one they need too little to read."""


def length_cost_table(chosen: Selection) -> Table:
    """Tabulate the fixed cost of a training step and that of each timestep, validation and memory."""
    found = length_costs(chosen)
    frame = name_usual(pd.DataFrame([_without_length(one.cell) | _figures(one) for one in found]))
    notes = (
        "Steady training step = fixed + per timestep x length: the line with the least squares of relative residuals "
        f"to the medians of fresh processes at {LEAST_LENGTHS} lengths or more, with 95 % intervals (from "
        f"{LEAST_SEEDS} processes a length on).",
        "Off by: how far, in %, the length that the line fits worst lies above (+) or below (-) it. The more, the less "
        "the line means. A fixed cost below 0: long sequences cost more than in proportion.",
        "Validation: a call of evaluate, by a line of the same kind. Memory: the most that a process held, and what "
        f"{TIMESTEPS} timesteps add.",
    )
    return Table("Cost of length", sort_rows(frame, ["model", "backend", *USUAL]), notes)


def _without_length(cell: Cell) -> Row:
    return {name: value for name, value in axes(cell).items() if name != "length"}


def _figures(one: LengthCost) -> Row:
    worst = int(np.argmax(np.abs(one.residuals)))
    return {
        "lengths": ", ".join(f"{length:.0f}" for length in one.lengths),
        "fixed ms": 1e3 * one.line.fixed,
        "low ms": 1e3 * one.fixed.low,
        "high ms": 1e3 * one.fixed.high,
        "per timestep µs": 1e6 * one.line.slope,
        "low µs": 1e6 * one.slope.low,
        "high µs": 1e6 * one.slope.high,
        "off by %": 100 * float(one.residuals[worst]),
        "at length": int(one.lengths[worst]),
        "validation fixed ms": 1e3 * one.validation.fixed,
        f"validation ms per {TIMESTEPS}": 1e3 * TIMESTEPS * one.validation.slope,
        "MiB at shortest": float(one.memory[0]) / MIB,
        "MiB at longest": float(one.memory[-1]) / MIB,
        f"MiB per {TIMESTEPS}": TIMESTEPS * one.memory_line.slope / MIB,
    }


def crossings_table(chosen: Selection) -> Table:
    """Say for every two backends from which length on the other one is faster."""
    frame = name_usual(pd.DataFrame([_without_length(one.first) | _crossed(one) for one in crossings(chosen)]))
    notes = (
        "By the lines of the table length-cost. From length: from there on against is faster than backend, with its "
        f"95 % interval (from {LEAST_SEEDS} processes on); nothing is said beyond the lengths that were timed. open: "
        "the interval holds both a change and none.",
        "Medians change: the two timed lengths between which the medians themselves change sides; where a line does "
        "not fit, believe these. Cells of different runs are not compared.",
    )
    return Table("Crossings", sort_rows(frame, ["model", "backend", "against", *USUAL]), notes)


def _crossed(one: Crossing) -> Row:
    sure = isinf(one.length) and not one.undecided
    return {
        "against": one.second.side,
        "lengths": f"{one.shortest} to {one.longest}",
        "faster": say_faster(one),
        "from length": one.length if isfinite(one.length) else nan,
        "low": nan if sure else _end(one.interval.low, one),
        "high": nan if sure else _end(one.interval.high, one),
        "medians change": ", ".join(f"{left} to {right}" for left, right in one.changes) or "nowhere",
    }


def say_faster(one: Crossing) -> str:
    """Say which side is the faster one, and whether that changes."""
    if one.undecided:
        return "open"
    return f"always {one.first.side}" if isinf(one.length) else f"{one.first.side}, then {one.second.side}"


def _end(value: float, one: Crossing) -> Any:
    """Return the end of an interval; beyond the timed lengths only that it lies there."""
    if isnan(value) or isfinite(value):
        return value
    return f"> {one.longest}" if value > 0 else f"< {one.shortest}"
