"""Draw how the models learned: val_loss over the epochs, errors by true length, outputs beside the sums."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.analysis.accuracy_lines import Line, error_lines, loss_lines
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


def draw_losses(chosen: Selection) -> Figure:
    """Draw val_loss against the epoch, as the article's picture does, for each length and model.

    Raises:
        NothingToDrawError: if there is no accuracy record.
    """
    trials = _trained(chosen)
    figure, panels = _draw_by_length(loss_lines(chosen), trials)
    for row in panels:
        row[0].set_ylabel("val_loss (MSE)", fontsize=8)
    _finish_rows(
        figure,
        panels,
        title="How the loss on the validation rows falls",
        x_label="epoch",
        note=f"Medians over {say_seeds(trials)}; bands: quartiles. {patience_note(trials)}\n"
        "A seed whose training has stopped keeps its last loss.",
    )
    return figure


def draw_errors(chosen: Selection) -> Figure:
    """Draw the test error against the true length of the rows, for each length and model.

    Raises:
        NothingToDrawError: if there is no accuracy record.
    """
    trials = _trained(chosen)
    figure, panels = _draw_by_length(error_lines(chosen), trials)
    for row in panels:
        row[0].set_ylabel("test MSE", fontsize=8)
    _finish_rows(
        figure,
        panels,
        title="Which rows are hard: test error by the digits a row has",
        x_label="true length of the row",
        note=f"{say_means(trials)}\n{patience_note(trials)}",
    )
    return figure


def draw_predictions(chosen: Selection) -> Figure:
    """Draw the outputs for the first six test rows against their sums, a point for each row and seed.

    Raises:
        NothingToDrawError: if there is no accuracy record.
    """
    trials = _trained(chosen)
    lengths, models = lengths_of(trials), models_of(trials)
    figure, panels = make_panels(len(lengths), len(models))
    for row, length in zip(panels, lengths, strict=True):
        groups = by_model(trials, length)
        for panel, model in zip(row, models, strict=True):
            panel.set_title(f"{shown_name(model)}, length {length}", fontsize=9)
            if model in groups:
                _draw_outputs(panel, groups[model], styles(models)[model])
    for row in panels:
        row[0].set_ylabel("output", fontsize=8)
    for panel in panels[-1]:
        panel.set_xlabel("true sum", fontsize=8)
    finish(
        figure,
        [(panel, {}) for panel in panels.flat],
        title="What the models say to the first six test rows",
        note=f"A point for each row and seed; on the line the output is right. Of {say_seeds(trials)}.\n"
        f"{patience_note(trials)}",
    )
    return figure


def _draw_outputs(panel: Any, trials: list[Accuracy], style: dict[str, Any]) -> None:
    sums = trials[0].sums
    outputs = over_seeds(trials, lambda trial: trial.predictions)
    panel.axline((0, 0), slope=1, color=GREY, linewidth=0.8, zorder=0)
    for seed in outputs:
        panel.plot(sums, seed, style["marker"], color=style["color"], markersize=3.5, alpha=0.45, markeredgewidth=0)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True))


def _draw_by_length(lines: list[Line], trials: list[Accuracy]) -> tuple[Figure, Any]:
    """Draw lines in a panel for each length, on one logarithmic scale of errors."""
    lengths = lengths_of(trials)
    across = min(ACROSS, len(lengths))
    figure, panels = make_panels(-(-len(lengths) // across), across, sharey=True)
    style_of = styles(models_of(trials))
    for panel, length in zip(panels.flat, lengths, strict=False):
        panel.set_yscale("log")
        panel.set_title(f"length {length}", fontsize=9)
        for line in lines:
            if line.length == length:
                draw_line(panel, line.x, line.middle, line.band, style_of[line.model] | {"label": line.model})
    blank_rest(panels, len(lengths))
    return figure, panels


def _finish_rows(figure: Figure, panels: Any, *, title: str, x_label: str, note: str) -> None:
    """Label the ends of the lines that were drawn, the x axes, and the whole."""
    labelled = []
    for panel in panels.flat:
        ends: Ends = {shown_name(line.get_label()): (line.get_ydata()[-1], line.get_color()) for line in panel.lines}
        if ends:
            panel.set_xlabel(x_label, fontsize=8)
            panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            labelled.append((panel, ends))
    finish(figure, labelled, title=title, note=note)


def _trained(chosen: Selection) -> list[Accuracy]:
    trials = most_patient(chosen)
    if not trials:
        raise NothingToDrawError("there is no accuracy record")
    return trials
