"""Draw every turn at the time at which it was measured: drift, jumps and disturbances become visible."""

from collections import defaultdict
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bench.analysis.findings import Findings, Turn
from bench.analysis.selection import Selection
from bench.output.plots.figures import (
    BACKEND_STYLES,
    Ends,
    NothingToDrawError,
    finish,
    is_usual,
    make_panels,
    plain_log,
    say_backend,
    shown_name,
)
from bench.records.speed import disturbers


def draw_samples(chosen: Selection) -> Figure:
    """Draw the median epoch of each turn against the time since the run began, for each length and model.

    Raises:
        NothingToDrawError: if no record says when its turns began.
    """
    turns = Findings(chosen).turns
    if not any(turn.slice.begun_at_s for turn in turns):
        raise NothingToDrawError("no record says when its turns began")
    lengths = sorted({turn.cell.length for turn in turns})
    models = sorted({turn.cell.model for turn in turns})
    figure, panels = make_panels(len(lengths), len(models), sharex=True)
    labelled = []
    for row, length in zip(panels, lengths, strict=True):
        for panel, model in zip(row, models, strict=True):
            inside = [turn for turn in turns if (turn.cell.length, turn.cell.model) == (length, model)]
            if not inside:
                panel.set_axis_off()
                continue
            labelled.append((panel, _draw_turns(panel, inside)))
            panel.set_title(f"{shown_name(model)}, length {length}", fontsize=9)
        row[0].set_ylabel("ms per epoch", fontsize=8)
    for panel in panels[-1]:
        panel.set_xlabel("minutes since the run began", fontsize=8)
    disturbed = [turn.slice for turn in turns if turn.slice.disturbed]
    rings = f" Rings: disturbed by {disturbers(disturbed)}, {len(disturbed):,} of them." if disturbed else ""
    finish(
        figure,
        labelled,
        title="Every turn when it was measured: what drifts, jumps or was disturbed",
        note=f"Median epoch of each of {len(turns):,} turns. Crosses: controls.{rings}",
    )
    return figure


def _draw_turns(panel: Any, turns: list[Turn]) -> Ends:
    sides: dict[tuple[str, bool], list[Turn]] = defaultdict(list)
    for turn in turns:
        sides[say_backend(turn.cell), turn.twin].append(turn)
    ends: Ends = {}
    for (name, twin), of_side in sorted(sides.items()):
        style = BACKEND_STYLES[of_side[0].cell.backend]
        minutes, epochs_ms = _points(of_side)
        marker = "x" if twin else style["marker"]
        open_or_not = {"markerfacecolor": "white"} if not is_usual(of_side[0].cell) and not twin else {}
        panel.plot(minutes, epochs_ms, marker, color=style["color"], markersize=3.5, alpha=0.8, **open_or_not)
        if not twin:
            ends[name] = epochs_ms[-1], style["color"]
    rings = _points([turn for turn in turns if turn.slice.disturbed])
    panel.plot(*rings, "o", markersize=9, markerfacecolor="none", markeredgecolor="#cc0000", linestyle="none")
    panel.set_yscale("log")
    plain_log(panel.yaxis)
    return ends


def _points(turns: list[Turn]) -> Any:
    """Return minutes and milliseconds of turns, shape (2, turns)."""
    return np.array([(turn.slice.begun_at_s / 60, 1e3 * turn.slice.median_s) for turn in turns]).reshape(-1, 2).T
