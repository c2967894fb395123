"""Draw the losses of replays over the epochs, as the article's picture does, with the reference beneath.

Drawn without a display (Agg), on a logarithmic axis, where early and late epochs can both be read. The
backends' colours are three of Okabe and Ito's, which colour-blind people tell apart; and since right
replays cover each other, the lines are of three widths and dashes as well.
"""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench.measure.replay import Replays, Retraced
from bench.output.plots.figures import save
from bench.output.tables.replays import title

STYLES: dict[str, dict[str, Any]] = {
    "reference": {"color": "#bbbbbb", "linewidth": 7.0, "linestyle": "-"},
    "jax": {"color": "#0072b2", "linewidth": 3.0, "linestyle": "-"},
    "torch": {"color": "#d55e00", "linewidth": 2.0, "linestyle": (0, (5, 3))},
    "tensorflow": {"color": "#000000", "linewidth": 1.6, "linestyle": (0, (1, 2.5))},
}
ROW_INCHES, WIDTH_INCHES = 3.0, 10.0


def write_plot(replays: Replays, path: Path) -> None:
    """Draw one row of panels for each run: loss and val_loss.

    Args:
        replays: what was found.
        path: a PNG or SVG file.

    Raises:
        UserError: if it cannot be written.
    """
    save(draw(replays), path)


def draw(replays: Replays) -> Figure:
    """Return the figure."""
    rows = len(replays.runs)
    figure = Figure(figsize=(WIDTH_INCHES, 0.6 + ROW_INCHES * rows), layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False, sharey="row")
    for run, (left, right) in zip(replays.runs, panels, strict=True):
        for panel, quantity in ((left, "loss"), (right, "val_loss")):
            _draw_panel(panel, run, quantity)
        left.set_ylabel("mean squared error")
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False, handlelength=4)
    return figure


def _draw_panel(panel: Any, run: Retraced, quantity: str) -> None:
    runs: dict[str, Any] = {"reference": run.reference}
    runs |= {backend: attempt.replayed for backend, attempt in run.attempts.items() if attempt.replayed}
    for name, each in runs.items():
        panel.plot(getattr(each, quantity), label=name, **STYLES[name])
    if run.reference.stop_epoch is not None:
        panel.axvline(run.reference.stop_epoch, color="#777777", linewidth=0.8, zorder=0)
    panel.set_yscale("log")
    panel.set_title(f"{title(run)}\n{quantity}", fontsize=10)
    panel.set_xlabel("epoch, counted from 0; the line is the reference's stop", fontsize=8)
    panel.grid(visible=True, which="major", color="#e5e5e5", linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)
