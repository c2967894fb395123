"""Draw the time to accuracy: which share of the seeds has got to the target by when. Misses keep a curve below 1."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.analysis.selection import Selection
from bench.analysis.targets import Reached, reached
from bench.output.plots.figures import (
    Ends,
    NothingToDrawError,
    backend_style,
    finish,
    make_panels,
    plain_log,
    say_backend,
    shown_name,
)

NARROWEST = 7.4
"""Inches that the note needs."""


def draw_target(chosen: Selection) -> Figure:
    """Draw the share of seeds that have got to the target against the seconds from starting the process.

    Raises:
        NothingToDrawError: if no cell was both trained and timed.
    """
    found = [one for one in reached(chosen) if np.isfinite(one.first_s)]
    if not found:
        raise NothingToDrawError("no cell was both trained and timed with one thread")
    lengths = list(dict.fromkeys(one.cell.length for one in found))
    models = sorted({one.cell.model for one in found})
    figure, panels = make_panels(len(lengths), len(models), sharex=True, sharey=True)
    labelled: list[tuple[Any, Ends]] = []
    for row, length in zip(panels, lengths, strict=True):
        for panel, model in zip(row, models, strict=True):
            inside = [one for one in found if (one.cell.length, one.cell.model) == (length, model)]
            if not inside:
                panel.set_axis_off()
                continue
            panel.set_title(f"{shown_name(model)}, length {length}", fontsize=9)
            labelled.append((panel, _draw_shares(panel, inside)))
        row[0].set_ylabel("share of seeds", fontsize=8)
    for panel in panels.flat:
        panel.set_xscale("log")
        plain_log(panel.xaxis)
    for panel in panels[-1]:
        panel.set_xlabel("s from starting the process", fontsize=8)
    panels[0, 0].set_ylim(-0.04, 1.04)
    seeds = " or ".join(str(count) for count in sorted({len(one.seeds) for one in found}))
    figure.set_size_inches(max(NARROWEST, figure.get_figwidth()), figure.get_figheight())
    finish(
        figure,
        labelled,
        title=f"Time to a val_mse of {chosen.target:g}",
        note=f"Share of {seeds} seeds that have got there. A curve that ends below 1 has misses.\n"
        "Seconds: start and steady epochs as timed with one thread, up to the longest training (the mark); validating "
        "is not charged.",
    )
    return figure


def _draw_shares(panel: Any, found: list[Reached]) -> Ends:
    ends: Ends = {}
    for one in found:
        style = backend_style(one.cell)
        x, y = shares(one)
        panel.plot(x, y, drawstyle="steps-post", linewidth=1.6, markersize=4, markevery=[len(x) - 1], **style)
        ends[say_backend(one.cell)] = y[-1], style["color"]
    return ends


def shares(one: Reached) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return when the share of seeds changes, and to what.

    Returns:
        Seconds from the end of the first epoch to that of the last one, and the shares, each of shape (changes,).
    """
    epochs, counts = np.unique(one.epochs[np.isfinite(one.epochs)], return_counts=True)
    changes = np.concatenate([[1.0], epochs, [one.trained]])
    reached_by = np.concatenate([[0.0], np.cumsum(counts), [one.hits]])
    return np.asarray(one.done_s(changes)), reached_by / len(one.seeds)
