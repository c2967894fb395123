"""Draw what the models keep of the digit k steps before the end, and how far back their gradient reaches."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bench.analysis.accuracy_lines import Line, memory_lines
from bench.analysis.memory import memory_of, relative_gradient, with_memory
from bench.analysis.patience import most_patient, patience_note
from bench.analysis.seed_groups import by_model, lengths_of, models_of, over_seeds, say_means, say_seeds
from bench.analysis.selection import Selection
from bench.output.plots.figures import (
    GREY,
    Ends,
    NothingToDrawError,
    blank_rest,
    draw_line,
    finish,
    make_panels,
    shown_name,
    styles,
)
from bench.records.schema import Accuracy

ACROSS = 3
SMALLEST_GRADIENT = 1e-9
CELL_STATE = {"linestyle": (0, (6, 1.5, 1, 1.5)), "markerfacecolor": "white"}


def draw_memory(chosen: Selection) -> Figure:
    """Draw for each length how much the output moves with the digit k steps before the end.

    Raises:
        NothingToDrawError: if no record has a memory.
    """
    trials = _with_memory(chosen)
    lengths = lengths_of(trials)
    across = min(ACROSS, len(lengths))
    figure, panels = make_panels(-(-len(lengths) // across), across, sharey=True)
    lines, style_of = memory_lines(chosen), styles(models_of(trials))
    ends = [_draw_moved(panel, lines, style_of, length) for panel, length in zip(panels.flat, lengths, strict=False)]
    blank_rest(panels, len(lengths))
    for row in panels:
        row[0].set_ylabel("change of the output", fontsize=8)
    finish(
        figure,
        list(zip(panels.flat, ends, strict=False)),
        title="What is kept of a digit: change of the output when it grows by one",
        note=f"1 is perfect memory, 0 is forgotten. {say_means(trials)}\n{patience_note(trials)}",
    )
    return figure


def _draw_moved(panel: Any, lines: list[Line], style_of: dict[str, dict[str, Any]], length: int) -> Ends:
    for level in (0, 1):
        panel.axhline(level, color=GREY, linewidth=0.8, zorder=0)
    ends: Ends = {}
    for line in (line for line in lines if line.length == length):
        draw_line(panel, line.x, line.middle, line.band, style_of[line.model])
        ends[shown_name(line.model)] = line.middle[-1], style_of[line.model]["color"]
    panel.set_title(f"length {length}", fontsize=9)
    _name_steps(panel)
    return ends


def draw_gradients(chosen: Selection) -> Figure:
    """Draw for each length the size of the loss gradient k steps back, before and after training.

    Raises:
        NothingToDrawError: if no record has a memory.
    """
    trials = _with_memory(chosen)
    lengths = lengths_of(trials)
    figure, panels = make_panels(len(lengths), 2, sharey="row")
    labelled = []
    for row, length in zip(panels, lengths, strict=True):
        for panel, trained in zip(row, (False, True), strict=True):
            labelled.append((panel, _draw_sizes(panel, by_model(trials, length), trained, styles(models_of(trials)))))
            panel.set_title(f"length {length}, {'after training' if trained else 'starting weights'}", fontsize=9)
        row[0].set_ylabel("gradient norm, relative", fontsize=8)
        low, high = row[0].get_ylim()
        row[0].set_ylim(max(low, SMALLEST_GRADIENT), high)
    note = (
        "Norm of the loss gradient with respect to the state k steps back, relative to that of h at k = 0.\n"
        f"Medians over {say_seeds(trials)}; bands: quartiles. {patience_note(trials)}"
    )
    finish(figure, labelled, title="Does the gradient vanish?", note=note)
    return figure


def _draw_sizes(
    panel: Any, models: dict[str, list[Accuracy]], trained: bool, style_of: dict[str, dict[str, Any]]
) -> Ends:
    """Draw a line for each model and state where the gradient is not zero, as that of the last c is."""
    ends: Ends = {}
    panel.set_yscale("log")
    for model, trials in models.items():
        states = list(memory_of(trials[0]).gradient)
        for state in states:
            sizes = _sizes(trials, state, trained)
            if not len(sizes[0]):
                continue
            style = style_of[model] | (CELL_STATE if state == "c" else {})
            steps_back, median, quartiles = sizes
            draw_line(panel, steps_back, median, quartiles, style)
            ends[shown_name(model) + (f" {state}" if len(states) > 1 else "")] = median[-1], style["color"]
    _name_steps(panel)
    return ends


def _sizes(
    trials: list[Accuracy], state: str, trained: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the k where the median over seeds is positive, the medians, and both quartiles."""
    seeds = over_seeds(trials, lambda trial: relative_gradient(memory_of(trial), state, trained))
    low, median, high = np.percentile(seeds, (25, 50, 75), axis=0)
    positive = median > 0
    return _steps_back(trials)[positive], median[positive], np.stack([low, high])[:, positive]


def _with_memory(chosen: Selection) -> list[Accuracy]:
    trials = with_memory(most_patient(chosen))
    if not trials:
        raise NothingToDrawError("no accuracy record has a memory")
    return trials


def _steps_back(trials: list[Accuracy]) -> NDArray[np.int64]:
    return np.array(memory_of(trials[0]).steps_back)


def _name_steps(panel: Any) -> None:
    panel.set_xlabel("k: steps before the end", fontsize=8)
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
