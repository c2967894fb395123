"""The picture of time to accuracy: curves are shares of all seeds, so that misses keep them below 1."""

from math import inf

import numpy as np
import pytest
from factories import make_accuracy, make_cell, make_processes, select_all

from bench.analysis.targets import reached
from bench.output.plots.figures import NothingToDrawError
from bench.output.plots.targets import draw_target, shares
from bench.records.schema import Record


def trained(*epochs: float, length: int = 12, of: int = 10) -> list[Record]:
    losses = [[0.2 if number >= epoch else 2.0 for number in range(1, of + 1)] for epoch in epochs]
    cell = make_cell(length=length)
    return [make_accuracy(cell, seed=seed, patience=-1, val_loss=one) for seed, one in enumerate(losses)]


def test_a_curve_rises_by_a_seed_where_it_got_there_and_ends_below_one_if_one_missed() -> None:
    chosen = select_all(*trained(3, 6, 3, inf), *make_processes(make_cell(), seconds=(0.5,)))
    (one,) = reached(chosen)
    seconds, share = shares(one)
    assert share.tolist() == [0, 0.5, 0.75, 0.75]
    assert seconds == pytest.approx([4.3 + 0.5 * (epoch - 1) for epoch in (1, 3, 6, 10)])
    (panel,) = draw_target(chosen).axes
    (line,) = panel.lines
    assert (
        list(np.asarray(line.get_xdata())) == pytest.approx(seconds.tolist())
        and list(np.asarray(line.get_ydata())) == share.tolist()
    )
    assert line.get_drawstyle() == "steps-post" and panel.get_xscale() == "log"


def test_a_cell_whose_every_seed_missed_is_drawn_at_zero() -> None:
    (panel,) = draw_target(select_all(*trained(inf, inf), *make_processes(make_cell(), seconds=(0.5,)))).axes
    assert not np.asarray(panel.lines[0].get_ydata()).any()


def test_lengths_have_panels_and_cells_that_were_not_timed_have_none() -> None:
    timed = [one for length in (4, 12) for one in make_processes(make_cell(length=length), seconds=(0.5,))]
    figure = draw_target(select_all(*trained(3), *trained(3, length=4), *trained(3, length=50), *timed))
    assert [panel.get_title() for panel in figure.axes] == ["LSTM, length 4", "LSTM, length 12"]


def test_nothing_is_drawn_without_seconds() -> None:
    with pytest.raises(NothingToDrawError, match="no cell was both trained and timed"):
        draw_target(select_all(*trained(3)))


def test_nothing_is_cut_off_where_there_is_one_panel_across() -> None:
    figure = draw_target(select_all(*trained(3), *make_processes(make_cell(), seconds=(0.5,))))
    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01
