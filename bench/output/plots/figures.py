"""What all pictures share: colours, labels beside the lines, notes, and files that come out the same each time.

The colours are of Okabe and Ito's palette, which colour-blind people tell apart; markers and dashes differ as
well, so that a picture can be read in grey. Drawn without a display (Agg).
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, ScalarFormatter
from numpy.typing import NDArray

from bench.output.files import write_whole
from bench.plan.cells import Cell
from seqsum_core.settings import VariantSettings

FIXED: Any = {"svg.hashsalt": "seqsum", "svg.fonttype": "none"}
GREY, FAINT = "#777777", "#e5e5e5"
STYLES: dict[str, dict[str, Any]] = {
    "simple_rnn": {"color": "#d55e00", "linestyle": (0, (1, 1.5)), "marker": "o"},
    "lstm": {"color": "#0072b2", "linestyle": "-", "marker": "s"},
    "gru": {"color": "#009e73", "linestyle": (0, (5, 2)), "marker": "^"},
}
OTHERS = ("#cc79a7", "#e69f00", "#56b4e9", "#000000")
BACKEND_STYLES: dict[str, dict[str, Any]] = {
    "jax": {"color": "#0072b2", "linestyle": "-", "marker": "o"},
    "torch": {"color": "#d55e00", "linestyle": (0, (5, 2)), "marker": "s"},
    "tensorflow": {"color": "#000000", "linestyle": (0, (1, 1.5)), "marker": "^"},
}
OPEN = {"markerfacecolor": "white", "alpha": 0.75}
NAMES = {"simple_rnn": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}
LABEL_GAP = 0.085
Ends = dict[str, tuple[float, str]]


class NothingToDrawError(Exception):
    """The records hold nothing for a picture; the message says what is missing."""


def save(figure: Figure, path: Path) -> None:
    """Write a figure whose bytes depend on nothing but what it shows.

    Args:
        figure: what is written.
        path: a PNG or SVG file.

    Raises:
        UserError: if it cannot be written.
    """
    drawn = BytesIO()
    form = path.suffix.lower().removeprefix(".")
    with matplotlib.rc_context(FIXED):
        figure.savefig(drawn, format=form, dpi=120, metadata={"Date": None} if form == "svg" else None)
    write_whole(path, drawn.getvalue())


def styles(models: list[str]) -> dict[str, dict[str, Any]]:
    """Return how each model is drawn; the user's own share what is left of the palette."""
    own = [model for model in models if model not in STYLES]
    return STYLES | {
        model: {"color": OTHERS[place % len(OTHERS)], "linestyle": "-", "marker": "Dv<>"[place % 4]}
        for place, model in enumerate(own)
    }


def shown_name(model: str) -> str:
    """Return a model's name as it stands in a picture: nothing in it is taken for mathematics or control."""
    own = "".join(letter if letter.isprintable() else "?" for letter in model.rpartition(":")[2])
    return NAMES.get(model, own.replace("$", r"\$"))


def say_backend(cell: Cell) -> str:
    """Name the backend of a cell with its installation, and threads and variant if they are not the usual ones."""
    threads = {1: "", "default": ", default threads"}.get(cell.threads, f", {cell.threads} threads")
    return cell.side + threads + ("" if cell.variant == VariantSettings() else f", {cell.variant}")


def is_usual(cell: Cell) -> bool:
    """Tell whether a cell has one thread, Keras' defaults and the first installation of its backend."""
    return cell.threads == 1 and cell.side == cell.backend and cell.variant == VariantSettings()


def backend_style(cell: Cell) -> dict[str, Any]:
    """Return how a backend is drawn: paler and with open markers where it is not the usual one with one thread."""
    return BACKEND_STYLES[cell.backend] | ({} if is_usual(cell) else OPEN)


def draw_line(panel: Any, x: NDArray[Any], y: NDArray[Any], band: NDArray[Any], style: dict[str, Any]) -> None:
    """Draw a line with its markers, and a band around it.

    Args:
        panel: where.
        x: shape (points,).
        y: shape (points,).
        band: lower and upper edge, shape (2, points); not drawn where it is NaN.
        style: colour, dashes and marker.
    """
    panel.plot(x, y, linewidth=1.6, markersize=3.5, markevery=max(1, len(x) // 12), **style)
    panel.fill_between(x, *band, color=style["color"], alpha=0.18, linewidth=0)


def label_ends(panel: Any, ends: Ends) -> None:
    """Write names right of a panel at the height where their lines end, moved apart where they would touch.

    Args:
        panel: whose limits do not change any more.
        ends: the last value of each line and its colour, by name.
    """
    low, high = panel.get_ylim()
    scale = np.log10 if panel.get_yscale() == "log" else np.asarray
    heights = {
        name: float(np.clip((scale(value) - scale(low)) / (scale(high) - scale(low)), 0, 1))
        for name, (value, _) in ends.items()
    }
    names = sorted(heights, key=lambda name: heights[name])
    for name, height in zip(names, _spread([heights[name] for name in names]), strict=True):
        panel.text(1.03, height, name, color=ends[name][1], transform=panel.transAxes, va="center", fontsize=8)


def _spread(heights: list[float]) -> list[float]:
    """Move sorted heights apart: halfway between pushing each one up and pushing each one down, below the top."""
    up, down = list(heights), list(heights)
    for place in range(1, len(heights)):
        up[place] = max(up[place], up[place - 1] + LABEL_GAP)
        down[-place - 1] = min(down[-place - 1], down[-place] - LABEL_GAP)
    middle = [(higher + lower) / 2 for higher, lower in zip(up, down, strict=True)]
    return [height - max(0.0, middle[-1] - 1) + max(0.0, -middle[0]) for height in middle]


def name_lengths(panel: Any, lengths: list[int]) -> None:
    """Make the lengths the ticks of a logarithmic x axis."""
    panel.set_xlabel("length", fontsize=8)
    panel.set_xscale("log")
    panel.set_xticks(lengths)
    panel.xaxis.set_major_formatter(ScalarFormatter())
    panel.xaxis.set_minor_locator(NullLocator())
    panel.tick_params(labelbottom=True)


def plain_log(axis: Any) -> None:
    """Label a logarithmic axis, whose data are drawn already, with plain numbers: 1, 2, 5, or more on a short one."""
    low, high = axis.get_view_interval()
    wide = high > 8 * low > 0
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if wide else MaxNLocator(4, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())


def blank_rest(panels: Any, used: int) -> None:
    """Leave the panels behind the used ones empty."""
    for panel in panels.flat[used:]:
        panel.set_axis_off()


def make_panels(rows: int, across: int, **shared: Any) -> tuple[Figure, Any]:
    """Return a figure and its panels, shape (rows, across); `shared` goes to `Figure.subplots`."""
    figure = Figure(figsize=(3.4 * across + 0.6, 2.5 * rows + 1.0), layout="constrained")
    return figure, figure.subplots(rows, across, squeeze=False, **shared)


def finish(figure: Figure, panels: list[tuple[Any, Ends]], *, title: str, note: str) -> None:
    """Label the lines once all are drawn, and say what is seen.

    Args:
        figure: what is drawn.
        panels: each with the ends of its lines.
        title: above the panels.
        note: below the panels.
    """
    for panel, ends in panels:
        panel.grid(visible=True, which="major", color=FAINT, linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
        label_ends(panel, ends)
    figure.suptitle(title, fontsize=11)
    figure.supxlabel(note, fontsize=8, color="#333333", x=0.02, ha="left")
