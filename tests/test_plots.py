"""Pictures: what is drawn is what the records say, nothing is cut off, and nothing is drawn of nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import make_accuracy, make_cell, make_failure, make_slice, make_speed, select_all
from matplotlib.figure import Figure
from matplotlib.text import Text
from whole_runs import BACKENDS, ceilings, timings, trainings, whole_selection

from bench.analysis.selection import Selection
from bench.commands.reporting import NAMES
from bench.errors import UserError
from bench.output.plots.catalog import PICTURES, write_plots
from bench.output.plots.figures import BACKEND_STYLES, NothingToDrawError, shown_name
from bench.output.plots.learning import draw_errors, draw_losses, draw_predictions
from bench.output.plots.samples import draw_samples
from bench.output.plots.speed import draw_ratios, draw_speed
from bench.output.plots.start import draw_start, some_lengths


@pytest.fixture(scope="module")
def whole() -> Selection:
    return whole_selection()


def texts(figure: Figure) -> list[str]:
    """Return every text of a figure that is not empty."""
    figure.draw_without_rendering()
    found: list[Any] = figure.findobj(match=Text)
    return [text.get_text() for text in found if text.get_text() and text.get_visible()]


def panel_of(figure: Figure, title: str) -> Any:
    (found,) = (panel for panel in figure.axes if panel.get_title() == title)
    return found


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_drawn_with_nothing_cut_off(name: str, whole: Selection) -> None:
    more = {"tax": ceilings(), "length-cost": timings(lengths=(25,))}
    figure = PICTURES[name](whole_selection(*more[name]) if name in more else whole)
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01
    assert figure.get_suptitle() and figure.get_supxlabel()


@pytest.mark.parametrize("name", PICTURES)
def test_no_picture_is_drawn_without_records(name: str) -> None:
    with pytest.raises(NothingToDrawError, match=r"^\w[\w ,]+$"):
        PICTURES[name](select_all(make_failure()))


def test_the_command_names_every_picture() -> None:
    assert NAMES.split(", ") == list(PICTURES)


def test_files_are_written_for_what_there_is_and_the_rest_is_named(tmp_path: Path) -> None:
    chosen = select_all(*trainings(seeds=2))
    written, missing = write_plots(chosen, tmp_path / "new", "svg", ["loss", "speed"])
    assert written == [tmp_path / "new" / "loss.svg"] and missing == ["speed: nothing was timed"]
    assert written[0].read_bytes().startswith(b"<?xml")


def test_the_bytes_of_a_picture_are_the_same_each_time(tmp_path: Path) -> None:
    chosen = select_all(*timings(models=["lstm"], lengths=[4]))
    files = [write_plots(chosen, tmp_path / name, "png", ["ratios"])[0][0] for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_unknown_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"`--show` must be one of speed, .*\. Received: 'sped'\. Choose one\."):
        write_plots(select_all(), tmp_path, "png", ["sped"])


def test_speed_lines_are_the_medians_and_bars_their_intervals(whole: Selection) -> None:
    panel = panel_of(draw_speed(whole), "SimpleRNN")
    jax = panel.containers[0][0]
    assert jax.get_color() == BACKEND_STYLES["jax"]["color"]
    assert list(jax.get_xdata()) == [4, 12] and list(jax.get_ydata()) == pytest.approx([10.0, 30.0])
    assert len(panel.containers) == len(BACKENDS)
    assert panel.get_yscale() == panel.get_xscale() == "log"


def test_speed_is_drawn_without_bars_where_there_are_no_intervals() -> None:
    figure = draw_speed(select_all(make_speed(), make_speed(make_cell("torch"), steady_s=(0.05,))))
    assert "torch" in texts(figure) and "jax" in texts(figure)


def test_threads_have_open_markers_and_a_name_of_their_own() -> None:
    figure = draw_speed(select_all(make_speed(), make_speed(make_cell(threads="default"), steady_s=(0.05,))))
    assert "jax, default threads" in texts(figure)
    faces = [container[0].get_markerfacecolor() for container in figure.axes[0].containers]
    assert faces == [BACKEND_STYLES["jax"]["color"], "white"]


def test_ratios_stand_beside_one_another_with_their_controls(whole: Selection) -> None:
    figure = draw_ratios(whole)
    panel = panel_of(figure, "LSTM")
    names = [label.get_text() for label in panel.get_yticklabels()]
    at_4 = names[names.index("length 4") :][:5] if names[0] != "length 4" else names[:5]
    assert set(at_4) >= {"torch / jax", "tensorflow / jax"}
    assert names.count("A/A jax") == 1 and panel.get_xscale() == "log"
    points = [line for line in panel.lines if line.get_marker() in "oD" and len(line.get_xdata()) == 1]
    values = sorted(float(line.get_xdata()[0]) for line in points)
    assert values[0] == pytest.approx(1.0, abs=0.03) and values[-1] == pytest.approx(10.0, rel=0.03)


def test_a_ratio_whose_interval_holds_one_is_drawn_open(whole: Selection) -> None:
    panel = panel_of(draw_ratios(whole), "SimpleRNN")
    points = [line for line in panel.lines if line.get_marker() == "o"]
    open_ones = [line for line in points if line.get_markerfacecolor() == "white"]
    assert len(points) == 6 and len(open_ones) == 2, "torch and tensorflow are alike at both lengths"
    assert all(float(line.get_xdata()[0]) == pytest.approx(1, abs=0.01) for line in open_ones)


def test_controls_alone_are_drawn_too() -> None:
    cell = make_cell()
    figure = draw_ratios(select_all(make_speed(cell), make_speed(cell, twin=True, steady_s=(0.02,))))
    lines: list[Any] = figure.axes[0].lines[:]
    (point,) = (line for line in lines if line.get_marker() == "D")
    assert point.get_xdata()[0] == pytest.approx(2.0) and point.get_color() != BACKEND_STYLES["jax"]["color"]


def test_the_start_is_stacked_part_by_part(whole: Selection) -> None:
    figure = draw_start(whole)
    panel = panel_of(figure, "LSTM: seconds to the end of the first epoch")
    process_start, imported, build, first = (container.datavalues for container in panel.containers)
    assert process_start[0] == pytest.approx(0.05) and imported[0] == pytest.approx(5.0)
    assert build[0] == pytest.approx(0.25) and first[0] == pytest.approx(1.5)
    assert "6.8" in texts(figure), "the sum, beside its bar"


def test_the_break_even_is_marked_where_the_lines_meet() -> None:
    """Jax starts 2.5 s later and saves 90 ms an epoch: 2.5 / 0.09 = 27.8."""
    chosen = select_all(*timings(models=["lstm"], lengths=[4], backends=["jax", "torch"], noise=[1.0] * 5))
    figure = draw_start(chosen)
    assert "29" in texts(figure)
    panel = panel_of(figure, "LSTM, length 4")
    (ring,) = (line for line in panel.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1)
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == pytest.approx((29, 6.8 + 28 * 0.01))


def test_of_many_lengths_the_first_the_middle_and_the_last_are_drawn() -> None:
    assert some_lengths([4, 12]) == [4, 12]
    assert some_lengths([4, 12, 25, 50, 100]) == [4, 25, 100]


def test_every_turn_stands_at_its_time_and_disturbed_ones_are_ringed(whole: Selection) -> None:
    panel = panel_of(draw_samples(whole), "LSTM, length 4")
    rings = [line for line in panel.lines if line.get_markeredgecolor() == "#cc0000"]
    assert len(rings) == 1
    assert rings[0].get_xdata()[0] == pytest.approx(10 / 60) and rings[0].get_ydata()[0] == pytest.approx(20.0)
    jax = [line for line in panel.lines if line.get_color() == BACKEND_STYLES["jax"]["color"] and line not in rings]
    assert sorted(len(line.get_xdata()) for line in jax) == [10, 12], "five processes of two turns, one more, a control"


def test_turns_whose_time_is_not_known_are_not_drawn() -> None:
    with pytest.raises(NothingToDrawError, match="no record says when its turns began"):
        draw_samples(select_all(make_speed(slices=[make_slice()])))


def test_losses_are_medians_over_seeds_and_a_stopped_seed_keeps_its_last() -> None:
    losses = ((4.0, 2.0), (4.0, 3.0, 1.0), (8.0, 5.0, 2.0))
    trials = [make_accuracy(seed=seed, val_loss=one, patience=20) for seed, one in enumerate(losses)]
    panel = panel_of(draw_losses(select_all(*trials)), "length 12")
    assert list(panel.lines[0].get_xdata()) == [1, 2, 3]
    assert list(panel.lines[0].get_ydata()) == pytest.approx([4.0, 3.0, 2.0])
    edges = panel.collections[0].get_paths()[0].vertices[:, 1]
    assert edges.min() == pytest.approx(1.5) and edges.max() == pytest.approx(6.0), "quartiles of 1, 2, 2 and 4, 4, 8"


def test_losses_show_the_most_patient_training_only() -> None:
    trials = [make_accuracy(patience=0, val_loss=(9.0,)), make_accuracy(patience=20, val_loss=(9.0, 1.0))]
    panel = panel_of(draw_losses(select_all(*trials)), "length 12")
    assert list(panel.lines[0].get_ydata()) == pytest.approx([9.0, 1.0])


def test_errors_stand_at_the_true_length() -> None:
    panel = panel_of(draw_errors(select_all(make_accuracy())), "length 12")
    assert list(panel.lines[0].get_xdata()) == [2, 12]
    assert list(panel.lines[0].get_ydata()) == pytest.approx([0.25, 0.75])


def test_predictions_stand_over_their_sums() -> None:
    figure = draw_predictions(select_all(*(make_accuracy(seed=seed) for seed in range(3))))
    panel = panel_of(figure, "LSTM, length 12")
    points = [line for line in panel.lines if line.get_marker() == "s"]
    assert len(points) == 3, "one for each seed"
    assert list(points[0].get_xdata()) == [4, 0, 8, 0, 7, 5]
    assert list(points[0].get_ydata()) == pytest.approx([3.7, -0.09, 7.8, -0.09, 6.7, 5.1])


@pytest.mark.parametrize("draw", [draw_speed, draw_start, draw_samples])
def test_a_model_of_any_name_can_be_drawn(draw: Callable[[Selection], Figure]) -> None:
    cell = make_cell(model="own:$\\frac$\x1b[31m_x")
    figure = draw(select_all(make_speed(cell, rounds=2)))
    figure.draw_without_rendering()
    assert any(shown_name(cell.model) in text for text in texts(figure))


def test_backends_can_be_told_apart_in_grey() -> None:
    """By marker and dashes, whatever the colour."""
    for trait in ("color", "marker", "linestyle"):
        assert len({str(style[trait]) for style in BACKEND_STYLES.values()}) == len(BACKENDS)


def test_no_line_is_drawn_for_a_model_that_was_not_trained_at_a_length() -> None:
    trials = [make_accuracy(make_cell(length=4)), make_accuracy(make_cell(model="gru"))]
    figure = draw_losses(select_all(*trials))
    assert [len(panel.lines) for panel in figure.axes] == [1, 1]
    assert np.isfinite(figure.axes[0].lines[0].get_ydata()).all()


def test_taxes_stand_at_their_length_and_only_where_there_is_a_ceiling() -> None:
    (panel,) = PICTURES["tax"](whole_selection(*ceilings())).axes
    assert panel.get_title() == "LSTM"
    (drawn,) = panel.containers
    line: Any = drawn[0]
    assert list(line.get_xdata()) == [4, 12]
    assert line.get_ydata() == pytest.approx([2, 2], rel=0.03)
