"""Compare a replayed run with its reference: what is measured, and how large it may be.

NumPy only: whoever collects results judges them without a backend. Relative differences are
|replay - reference| / |reference|; differences of predictions are in units of the sum.

In float64 rounding stays too small to matter up to the stop, so one limit serves every epoch. In float32 two right
implementations differ: rounding grows from epoch to epoch, faster in longer sequences, and where `val_loss` hardly
changes it decides at which epoch patience 0 stops. Hence the six cases have limits of their own, several times what
the three backends needed, and the first epochs, before rounding has grown, have a narrow limit that finds any wrong
formula. For other files nobody knows beforehand how fast rounding grows: it is measured, as the distance between the
replay in float32 and that in float64.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqsum_core.article.reference import Dtype, Reference, last_epoch

Values = NDArray[np.float64]
SHOWN_PREDICTIONS = 6
"""How many predictions the article prints."""


@dataclass(frozen=True)
class Replayed:
    """What a replay on a backend gave.

    Args:
        loss: training loss of each epoch; `val_loss` likewise.
        test_predictions: for the test rows, after the last epoch.
        stop_predictions: after the reference's stop epoch; the same where training ended there or earlier, or the
            reference has none.
    """

    backend: str
    dtype: Dtype
    loss: Values
    val_loss: Values
    test_predictions: Values
    stop_predictions: Values

    @property
    def stop_epoch(self) -> int | None:
        """Return the epoch at which patience 0 stops, counted from 0; None if no epoch was worse."""
        return last_epoch(self.val_loss)


@dataclass(frozen=True)
class Check:
    """A difference that was measured, and the largest that passes; the name has its unit."""

    name: str
    measured: float
    limit: float

    @property
    def passed(self) -> bool:
        """Tell whether the limit holds; for NaN it never does."""
        return bool(self.measured <= self.limit)


@dataclass(frozen=True)
class Limits:
    """How far a float32 replay may be off at the reference's stop: relative, and in units of the sum (None: any).

    Args:
        stop: whether the stop epoch is checked.
        printed: whether the predictions are compared with those that the article printed, too.
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
FILE_LIMITS = {"simple_rnn": (2e-3, 5e-3), "lstm": (0.1, 0.05)}
FLOAT64_LIMIT = 1e-9
EARLY_EPOCHS, EARLY_LIMIT = 10, 1e-5
"""Right replays needed 3e-7; Keras 3's own RMSprop is 1e-4 off, its hard_sigmoid 0.3."""
WIDENING = 3
"""A file's limits are at least this many times the measured effect of rounding."""


def verdict(reference: Reference, replayed: Replayed, other_dtype: Replayed | None = None) -> tuple[Check, ...]:
    """Measure a replay against its reference; it is right if all checks passed.

    Args:
        reference: the run that was repeated.
        replayed: its replay.
        other_dtype: the replay in the other precision, where `needs_other_dtype` says so; without it the limits of a
            user's file cannot include how much rounding changes this run.
    """
    epoch = compared_epoch(reference, replayed)
    stops = abs(_stop(reference) - _stop(replayed))
    stop = Check("epochs between the stops", stops, 0)
    if _exact(reference, replayed):
        every = "of every epoch to the stop, relative"
        loss = _worst(replayed.loss, reference.loss, epoch + 1)
        val_loss = _worst(replayed.val_loss, reference.val_loss, epoch + 1)
        return stop, Check(f"loss {every}", loss, FLOAT64_LIMIT), Check(f"val_loss {every}", val_loss, FLOAT64_LIMIT)
    if reference.name in CASE_LIMITS:
        limits = CASE_LIMITS[reference.name]
        checks = [stop] if limits.stop else []
    else:
        limits = _file_limits(reference, replayed, other_dtype)
        margin = _missed_margin(reference, replayed)
        checks = [Check("margin of a stop at another epoch, relative", margin, limits.val_loss)]
    early = min(EARLY_EPOCHS, epoch + 1)
    early_loss = _worst(replayed.val_loss, reference.val_loss, early)
    at_stop = _worst(replayed.val_loss[epoch:], reference.val_loss[epoch:], 1)
    checks += [
        Check(f"val_loss of the first {early} epochs, relative", early_loss, EARLY_LIMIT),
        Check("val_loss at the stop, relative", at_stop, limits.val_loss),
    ]
    if limits.predictions is not None and epoch == reference.epochs - 1:  # both runs have those of that epoch
        predicted = _largest_difference(replayed, reference.test_predictions)
        checks.append(Check("first predictions", predicted, limits.predictions))
    if limits.printed and limits.predictions is not None:
        printed = _largest_difference(replayed, np.array(reference.printed))
        checks.append(Check("predictions, from those printed", printed, limits.predictions))
    return tuple(checks)


def needs_other_dtype(reference: Reference, replayed: Replayed) -> bool:
    """Tell whether `verdict` needs the replay in the other precision too: for a file, if float32 is involved."""
    return reference.name not in CASE_LIMITS and not _exact(reference, replayed)


def compared_epoch(reference: Reference, replayed: Reference | Replayed) -> int:
    """Return the epoch, counted from 0, whose val_loss and predictions are compared: the first that ends either run."""
    return min(_stop(reference), reference.epochs - 1, len(replayed.val_loss) - 1)


def _exact(reference: Reference, replayed: Replayed) -> bool:
    return reference.dtype == replayed.dtype == "float64"


def _stop(run: Reference | Replayed) -> int:
    """Return the stop epoch, or the first epoch that did not run."""
    return len(run.val_loss) if run.stop_epoch is None else run.stop_epoch


def _file_limits(reference: Reference, replayed: Replayed, other: Replayed | None) -> Limits:
    """Return the limits of a user's file, raised to what rounding alone does to this run."""
    val_loss, predictions = FILE_LIMITS[reference.model]
    if other is not None:
        epochs = min(compared_epoch(reference, replayed) + 1, len(other.val_loss))
        val_loss = max(val_loss, WIDENING * _worst(replayed.val_loss, other.val_loss, epochs))
        predictions = max(predictions, WIDENING * _largest_difference(replayed, other.stop_predictions))
    return Limits(val_loss, predictions)


def _missed_margin(reference: Reference, replayed: Replayed) -> float:
    """Return by how much the reference's val_loss decided to stop, or not, where the replay did otherwise."""
    epoch = min(_stop(replayed), _stop(reference))
    if _stop(replayed) == _stop(reference):
        return 0.0
    return _worst(reference.val_loss[:epoch].min(keepdims=True), reference.val_loss[epoch:], 1)


def _largest_difference(replayed: Replayed, predictions: NDArray[np.floating]) -> float:
    return float(np.abs(replayed.stop_predictions[:SHOWN_PREDICTIONS] - predictions[:SHOWN_PREDICTIONS]).max())


def _worst(ours: Values, theirs: Values, epochs: int) -> float:
    """Return the largest relative difference of the first epochs."""
    ours, theirs = ours[:epochs], theirs[:epochs]
    return float((np.abs(ours - theirs) / np.maximum(np.abs(theirs), np.finfo(np.float64).tiny)).max())
