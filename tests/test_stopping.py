"""Where patience ends a training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqsum_core.stopping import StopTracker, stop_epoch

LOSSES = st.lists(st.floats(0, 1e6), min_size=1, max_size=30)
NAN = float("nan")


@pytest.mark.parametrize(
    ("val_loss", "patience", "epoch"),
    [
        ([3, 2, 1], 0, None),
        ([3, 2, 2.5, 1], 0, 3),
        ([3, 2, 2.5, 1], 1, 3),
        ([3, 2, 2.5, 1], 2, None),
        ([3, 2, 2.5, 2.1, 1], 2, 4),
        ([3, 2, 2, 1], 0, 3),
        ([3, 4, 5], -1, None),
        ([1, NAN], 0, 2),
        ([NAN, 1, 2], 0, 3),
        ([1], 0, None),
    ],
)
def test_stop_epoch(val_loss: list[float], patience: int, epoch: int | None) -> None:
    assert stop_epoch(val_loss, patience) == epoch


@given(LOSSES, st.integers(0, 8))
def test_more_patience_never_stops_earlier(val_loss: list[float], patience: int) -> None:
    short, long = (stop_epoch(val_loss, epochs) or 10**9 for epochs in (patience, patience + 1))
    assert short <= long


@given(LOSSES, st.integers(0, 8))
def test_later_epochs_do_not_matter(val_loss: list[float], patience: int) -> None:
    stop = stop_epoch(val_loss, patience)
    if stop is not None:
        assert stop_epoch(val_loss[:stop], patience) == stop
        assert stop_epoch(val_loss[: stop - 1], patience) is None
        assert min(val_loss[:stop]) == min(val_loss[: stop - max(patience, 1)])


@given(st.lists(st.lists(st.floats(0, 9), min_size=3, max_size=3), min_size=1, max_size=20))
def test_trainings_together(epochs: list[list[float]]) -> None:
    stops, patiences = StopTracker(3, (0, 2, -1)), (0, 2, -1)
    ended: dict[tuple[int, int], int] = {}
    for number, val_loss in enumerate(epochs, 1):
        ended |= dict.fromkeys(stops.add([0, 0, 0], val_loss), number)
    for training, patience in [(training, patience) for training in range(3) for patience in patiences]:
        alone = stop_epoch([epoch[training] for epoch in epochs], patience)
        assert ended.get((training, patience)) == alone
        assert ((training, patience) in stops.running) == (alone is None)


def test_losses_of_each_training() -> None:
    stops = StopTracker(2, (0,))
    stops.add([1, 2], [3, 4])
    stops.add(np.array([5, 6], np.float32), [7, 8])
    assert stops.losses(0) == ([1, 5], [3, 7]) and stops.losses(1) == ([2, 6], [4, 8])
