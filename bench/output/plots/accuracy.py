"""Draw what length costs the models: test errors and exact sums, a row of panels for each patience."""

from math import inf
from typing import Any

from matplotlib.figure import Figure

from bench.analysis.accuracy_lines import Figures, lines_over_lengths
from bench.analysis.patience import patience_order, say_patience
from bench.analysis.seed_groups import lengths_of, models_of, say_means
from bench.analysis.selection import Selection
from bench.output.plots.figures import (
    GREY,
    Ends,
    NothingToDrawError,
    draw_line,
    finish,
    make_panels,
    name_lengths,
    shown_name,
    styles,
)
from bench.records.schema import Accuracy, Baseline


def draw_accuracy(chosen: Selection) -> Figure:
    """Draw test errors and exact sums against the length.

    Raises:
        NothingToDrawError: if there is no accuracy record.
    """
    trials = chosen.usually_trained
    if not trials:
        raise NothingToDrawError("there is no accuracy record")
    patiences = sorted({trial.patience for trial in trials}, key=patience_order)
    figure, panels = make_panels(len(patiences), 2, sharex=True, sharey="col")
    labelled = []
    for (left, right), patience in zip(panels, patiences, strict=True):
        alike = [trial for trial in trials if trial.patience == patience]
        style_of = styles(models_of(trials))
        mse = _draw_lines(left, alike, lambda trial: trial.test.mse, inf, style_of)
        exact = _draw_lines(right, alike, lambda trial: 100 * trial.test.exact_sum_rate, 100.0, style_of)
        left.set_yscale("log")
        right.set_ylim(-4, 104)
        left.set_title(f"test MSE, {say_patience(patience)}", fontsize=9)
        right.set_title(f"exact sums in %, {say_patience(patience)}", fontsize=9)
        labelled += [(left, mse | _draw_mean_baseline(left, chosen)), (right, exact)]
    title, note = "What a recurrent model gets on the test rows", say_means(trials)
    finish(figure, labelled, title=title, note=f"{note}\nmean: what the mean of the training rows gets.")
    return figure


def _draw_lines(
    panel: Any, trials: list[Accuracy], value: Figures, most: float, style_of: dict[str, dict[str, Any]]
) -> Ends:
    """Draw a value between 0 and `most` as a line for each model."""
    ends: Ends = {}
    for line in lines_over_lengths(trials, value, most):
        draw_line(panel, line.x, line.middle, line.band, style_of[line.model])
        ends[shown_name(line.model)] = line.middle[-1], style_of[line.model]["color"]
    name_lengths(panel, lengths_of(trials))
    return ends


def _draw_mean_baseline(panel: Any, chosen: Selection) -> Ends:
    """Draw what the mean of the training sums gets: a model that is no better has learned nothing."""
    means = {baseline.length: baseline.test.mse for baseline in chosen.of(Baseline) if baseline.name == "mean"}
    if not means:
        return {}
    lengths = sorted(means)
    panel.plot(lengths, [means[length] for length in lengths], color=GREY, linewidth=1, zorder=0)
    return {"mean": (means[lengths[-1]], GREY)}
