"""Hold a replayed run to its reference: what is measured, and how far off it may be.

NumPy only: whoever collects results judges them without a backend. Relative differences are
|replay - reference| / |reference|; differences of predictions are in units of the sum.

In float64 rounding stays too small to matter up to the stop, so one limit serves every epoch. In float32
two right implementations part: rounding grows from epoch to epoch, faster in longer sequences, and where
`val_loss` hardly moves it decides at which epoch patience 0 stops. Hence the six cases have limits of
their own, several times what the three backends were seen to need, and the first epochs, before rounding
has grown, have a narrow one that finds any wrong formula. For other files nobody knows beforehand how
fast rounding grows: it is measured, as the distance between the replay in float32 and the one in float64.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqsum_core.article.reference import Dtype, Reference, last_epoch

SHOWN_PREDICTIONS = 6
"""How many predictions the article prints."""


@dataclass(frozen=True)
class Replayed:
    """What a replay on one backend gave.

    Args:
        backend: the backend's name.
        dtype: precision of the replay.
        loss: training loss of each epoch, shape (epochs,).
        val_loss: validation loss after each epoch, shape (epochs,).
        test_predictions: predictions after the last epoch, shape (test rows,).
        stop_predictions: predictions after the reference's stop epoch, shape (test rows,); the same as
            `test_predictions` where training ended there or earlier, or the reference has none.
    """

    backend: str
    dtype: Dtype
    loss: NDArray[np.float64]
    val_loss: NDArray[np.float64]
    test_predictions: NDArray[np.float64]
    stop_predictions: NDArray[np.float64]

    @property
    def stop_epoch(self) -> int | None:
        """Return the epoch at which patience 0 stops, counted from 0; None if no epoch was worse."""
        return last_epoch(self.val_loss)


@dataclass(frozen=True)
class Check:
    """One thing that was measured, and the most that it may be.

    Args:
        name: what was measured, with its unit.
        measured: what came out.
        limit: the most that passes.
    """

    name: str
    measured: float
    limit: float

    @property
    def passed(self) -> bool:
        """Say whether the bar holds; NaN never does."""
        return bool(self.measured <= self.limit)


@dataclass(frozen=True)
class Limits:
    """How far a float32 replay may be off at the reference's stop.

    Args:
        val_loss: relative.
        predictions: of the first predictions; None sets no bar.
        stop: whether the stop epoch is held to.
        printed: whether what the article printed is held to as well.
    """

    val_loss: float
    predictions: float | None
    stop: bool = True
    printed: bool = False


CASE_LIMITS = {
    "rnn-4": Limits(5e-5, 2e-5, printed=True),
    "lstm-4": Limits(5e-5, 2e-5),
    "rnn-12": Limits(2e-3, 5e-3),
    "lstm-12": Limits(0.1, 0.05),
    "rnn-25": Limits(1e-5, None),
    "lstm-25": Limits(5e-3, None, stop=False),
}
FILE_LIMITS = {"simple_rnn": Limits(2e-3, 5e-3), "lstm": Limits(0.1, 0.05)}
FLOAT64_LIMIT = 1e-9
EARLY_EPOCHS, EARLY_LIMIT = 10, 1e-5
"""Right replays were seen to need 3e-7; Keras 3's own RMSprop is 1e-4 off, its hard_sigmoid 0.3."""
WIDENING = 3
"""A file's limits are at least this many times the measured effect of rounding."""


def verdict(reference: Reference, replayed: Replayed, other_dtype: Replayed | None = None) -> tuple[Check, ...]:
    """Measure a replay against its reference.

    Args:
        reference: the run that was repeated.
        replayed: what came out.
        other_dtype: the replay in the other precision, where `needs_other_dtype` says so; without it
            the limits of a user's file do not know how far rounding moves this run.

    Returns:
        The bars; the replay is right if every one passed.
    """
    if _exact(reference, replayed):
        return _float64_bars(reference, replayed)
    if reference.name in CASE_LIMITS:
        return _case_bars(reference, replayed, CASE_LIMITS[reference.name])
    return _file_bars(reference, replayed, other_dtype)


def needs_other_dtype(reference: Reference, replayed: Replayed) -> bool:
    """Say whether `verdict` needs the replay in the other precision too: for a file, if float32 is involved."""
    return reference.name not in CASE_LIMITS and not _exact(reference, replayed)


def _exact(reference: Reference, replayed: Replayed) -> bool:
    return reference.dtype == replayed.dtype == "float64"


def _float64_bars(reference: Reference, replayed: Replayed) -> tuple[Check, ...]:
    epochs = compared_epoch(reference, replayed) + 1
    return (
        _stop_bar(reference, replayed),
        *(
            Check(f"{name} of every epoch to the stop, relative", _worst(ours, theirs, epochs), FLOAT64_LIMIT)
            for name, ours, theirs in (
                ("loss", replayed.loss, reference.loss),
                ("val_loss", replayed.val_loss, reference.val_loss),
            )
        ),
    )


def _case_bars(reference: Reference, replayed: Replayed, limits: Limits) -> tuple[Check, ...]:
    bars = [_early_bar(reference, replayed), *_end_bars(reference, replayed, limits)]
    if limits.stop:
        bars.insert(0, _stop_bar(reference, replayed))
    if limits.printed and limits.predictions is not None:
        printed = np.array(reference.printed)
        bars.append(Check("predictions, from those printed", _farthest(replayed, printed), limits.predictions))
    return tuple(bars)


def _file_bars(reference: Reference, replayed: Replayed, other: Replayed | None) -> tuple[Check, ...]:
    limits = FILE_LIMITS[reference.model]
    if other is not None:
        limits = _widened(limits, reference, replayed, other)
    missed = _missed_margin(reference, replayed)
    return (
        Check("margin of a stop that fell elsewhere, relative", missed, limits.val_loss),
        _early_bar(reference, replayed),
        *_end_bars(reference, replayed, limits),
    )


def _widened(limits: Limits, reference: Reference, replayed: Replayed, other: Replayed) -> Limits:
    """Raise limits to what rounding alone does to this run."""
    epochs = min(compared_epoch(reference, replayed) + 1, len(other.val_loss))
    val_loss = _worst(replayed.val_loss, other.val_loss, epochs)
    predictions = _farthest(replayed, other.stop_predictions)
    return Limits(
        max(limits.val_loss, WIDENING * val_loss),
        max(limits.predictions or 0.0, WIDENING * predictions),
    )


def _end_bars(reference: Reference, replayed: Replayed, limits: Limits) -> list[Check]:
    """Compare where the reference stopped; predictions only if both runs have those of that epoch."""
    epoch = compared_epoch(reference, replayed)
    measured = _relative(replayed.val_loss[epoch], reference.val_loss[epoch])
    bars = [Check("val_loss at the stop, relative", float(measured), limits.val_loss)]
    if limits.predictions is not None and epoch == reference.epochs - 1:
        measured_predictions = _farthest(replayed, reference.test_predictions)
        bars.append(Check("first predictions", measured_predictions, limits.predictions))
    return bars


def _early_bar(reference: Reference, replayed: Replayed) -> Check:
    epochs = min(EARLY_EPOCHS, compared_epoch(reference, replayed) + 1)
    worst = _worst(replayed.val_loss, reference.val_loss, epochs)
    return Check(f"val_loss of the first {epochs} epochs, relative", worst, EARLY_LIMIT)


def _stop_bar(reference: Reference, replayed: Replayed) -> Check:
    return Check("epochs between the stops", abs(_stop(reference) - _stop(replayed)), 0)


def _stop(run: Reference | Replayed) -> int:
    """Return the stop epoch, or the first epoch that did not run."""
    return len(run.val_loss) if run.stop_epoch is None else run.stop_epoch


def _missed_margin(reference: Reference, replayed: Replayed) -> float:
    """Return by how much the reference's val_loss decided to stop, or not, where the replay did otherwise."""
    ours, theirs = _stop(replayed), _stop(reference)
    if ours == theirs:
        return 0.0
    epoch = min(ours, theirs)
    return float(_relative(reference.val_loss[:epoch].min(), reference.val_loss[epoch]))


def compared_epoch(reference: Reference, replayed: Reference | Replayed) -> int:
    """Return the epoch whose val_loss and predictions are compared.

    Args:
        reference: the run that was repeated.
        replayed: what came out, or the reference itself.

    Returns:
        The reference's stop epoch or its last, or the replay's last where that ended before.
    """
    return min(_stop(reference), reference.epochs - 1, len(replayed.val_loss) - 1)


def _farthest(replayed: Replayed, predictions: NDArray[np.floating]) -> float:
    return float(np.abs(replayed.stop_predictions[:SHOWN_PREDICTIONS] - predictions[:SHOWN_PREDICTIONS]).max())


def _worst(ours: NDArray[np.float64], theirs: NDArray[np.float64], epochs: int) -> float:
    return float(_relative(ours[:epochs], theirs[:epochs]).max())


def _relative(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.abs(ours - theirs) / np.maximum(np.abs(theirs), np.finfo(np.float64).tiny)
