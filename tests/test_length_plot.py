"""The picture of what length costs: points are medians, lines are what was fitted to them."""

from typing import Any

import numpy as np
import pytest
from factories import select_all
from test_length_costs import timed

from bench.output.plots.figures import BACKEND_STYLES, NothingToDrawError
from bench.output.plots.lengths import draw_length_cost


def test_points_are_medians_and_the_line_is_the_fitted_one() -> None:
    upper, lower = draw_length_cost(select_all(*timed(2.0, 0.1), *timed(9.0, 0.2, "torch"))).axes
    points: Any = upper.containers[0]
    assert list(points[0].get_xdata()) == [4, 12, 25, 50]
    assert list(points[0].get_ydata()) == pytest.approx([2.4, 3.2, 4.5, 7.0])
    assert points[0].get_color() == BACKEND_STYLES["jax"]["color"] and points[0].get_linestyle() == "None"
    fitted = [line for line in upper.lines if len(np.asarray(line.get_xdata())) > 4]
    assert len(fitted) == 2
    x, y = (np.asarray(data) for data in fitted[0].get_data())
    assert y == pytest.approx(2 + 0.1 * x)
    assert upper.get_xscale() == upper.get_yscale() == "log"
    assert list(np.asarray(lower.lines[0].get_ydata())) == pytest.approx([504, 512, 525, 550])


def test_two_lengths_are_not_drawn() -> None:
    with pytest.raises(NothingToDrawError, match="no cell was timed at 3 lengths or more"):
        draw_length_cost(select_all(*timed(2.0, 0.1, lengths=(4, 12))))


def test_nothing_is_cut_off_where_there_is_one_panel_across() -> None:
    figure = draw_length_cost(select_all(*timed(2.0, 0.1)))
    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01
