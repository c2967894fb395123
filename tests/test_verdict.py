"""A replay passes where it should and fails where it should, judged without any backend."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from seqsum_core.article import reference
from seqsum_core.article.reference import Dtype, Reference
from seqsum_core.article.verdict import FLOAT64_LIMIT, Check, Replayed, needs_other_dtype, verdict

AT_STOP = "val_loss at the stop, relative"


def perfect(run: Reference, dtype: Dtype = "float32") -> Replayed:
    """Return the replay that retraces a run exactly."""
    predictions = run.test_predictions.astype(np.float64)
    return Replayed("jax", dtype, run.loss.copy(), run.val_loss.copy(), predictions, predictions)


def failed(run: Reference, replayed: Replayed, other: Replayed | None = None) -> list[str]:
    return [check.name for check in verdict(run, replayed, other) if not check.passed]


def as_file(name: str, dtype: Dtype = "float32", **changes: Any) -> Reference:
    """Return a case under a file's name: judged as a user's file."""
    return dataclasses.replace(reference.case(name, dtype), name=f"{name}.npz", **changes)


# Limits of val_loss at the stop and of the first six predictions.
LIMITS = {
    "rnn-4": (5e-5, None),  # its predictions are compared with the printed ones, below
    "lstm-4": (5e-5, 2e-5),
    "rnn-12": (2e-3, 5e-3),
    "lstm-12": (0.1, 0.05),
    "rnn-25": (1e-5, None),
    "lstm-25": (5e-3, None),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_of_a_case(name: str) -> None:
    run, (val_loss, predictions) = reference.case(name), LIMITS[name]
    assert failed(run, perfect(run)) == []
    for factor, names in ((0.9, []), (1.1, [AT_STOP])):
        replayed = perfect(run)
        replayed.val_loss[-1] *= 1 + factor * val_loss
        assert failed(run, replayed) == names
    for row, factor, names in ((5, 0.9, []), (5, 1.1, ["first predictions"]), (6, 1.1, [])):
        replayed = perfect(run)
        replayed.stop_predictions[row] += factor * (predictions or 0)
        assert failed(run, replayed) == (names if predictions else [])


@pytest.mark.parametrize("name", reference.FLOAT64_CASES)
def test_float64_reference_passes(name: str) -> None:
    run = reference.case(name, "float64")
    checks = verdict(run, perfect(run, "float64"))
    assert len(checks) == 3 and all(check.passed for check in checks)


def test_shortest_case_is_compared_with_the_printed_digits() -> None:
    run = reference.case("rnn-4")
    replayed = perfect(run)
    replayed.stop_predictions[5] += 1.8e-5  # the reference is 3.8e-6 above the printed digits
    assert failed(run, replayed) == ["predictions, from those printed"]


@pytest.mark.parametrize(("name", "names"), [("rnn-12", ["epochs between the stops"]), ("lstm-25", [])])
def test_case_must_stop_at_the_same_epoch_but_the_undecided(name: str, names: list[str]) -> None:
    run = reference.case(name)
    replayed = perfect(run)
    replayed.val_loss[60] = replayed.val_loss[59]
    assert replayed.stop_epoch == 60 and failed(run, replayed) == names


def test_case_that_has_not_stopped_by_the_last_epoch_fails() -> None:
    run = reference.case("rnn-25")
    replayed = perfect(run)
    replayed.val_loss[-1] = replayed.val_loss[-2] * (1 - 1e-9)
    assert replayed.stop_epoch is None and "epochs between the stops" in failed(run, replayed)


def test_first_epochs_have_a_narrow_limit() -> None:
    run = reference.case("lstm-12")
    replayed = perfect(run)
    replayed.val_loss[7] *= 1 + 2e-5
    assert failed(run, replayed) == ["val_loss of the first 10 epochs, relative"]


@pytest.mark.parametrize("quantity", ["loss", "val_loss"])
@pytest.mark.parametrize(("epoch", "count"), [(30, 1), (63, 1), (64, 0)])
def test_float64_is_compared_up_to_the_stop_and_no_further(quantity: str, epoch: int, count: int) -> None:
    run = reference.case("rnn-12", "float64")
    replayed = perfect(run, "float64")
    getattr(replayed, quantity)[epoch] *= 1 + 2 * FLOAT64_LIMIT
    assert len(failed(run, replayed)) == count


def test_nan_never_passes() -> None:
    assert not Check("anything", float("nan"), 1.0).passed
    run = reference.case("rnn-4")
    replayed = perfect(run)
    replayed.val_loss[:] = np.nan
    assert AT_STOP in failed(run, replayed)


@pytest.mark.parametrize(("worse", "count"), [(1e-3, 0), (0.01, 1)])
def test_file_may_stop_elsewhere_where_little_decided(worse: float, count: int) -> None:
    run = as_file("rnn-12")
    val_loss = np.append(run.val_loss[:40], run.val_loss[39] * (1 + worse))
    decided = dataclasses.replace(run, val_loss=val_loss, loss=run.loss[:41], order=run.order[:41])
    replayed = perfect(decided)
    replayed.val_loss[-1] = val_loss[39] * (1 - 1e-6)
    names = [name for name in failed(decided, replayed) if name.startswith("margin")]
    assert replayed.stop_epoch is None and len(names) == count


def test_limits_of_a_file_widen_to_what_rounding_does_to_it() -> None:
    run = as_file("rnn-12")
    replayed, other = perfect(run), perfect(run, "float64")
    replayed.val_loss[-1] *= 1.01
    assert failed(run, replayed, perfect(run)) == [] and failed(run, replayed) == [AT_STOP]
    other.val_loss[-1] *= 1.01
    assert failed(run, replayed, other) == [AT_STOP]


def test_only_a_file_that_involves_float32_needs_the_other_precision() -> None:
    case, single, double = reference.case("rnn-4"), as_file("rnn-4"), as_file("rnn-4", "float64")
    assert not needs_other_dtype(case, perfect(case))
    assert needs_other_dtype(single, perfect(single)) and needs_other_dtype(single, perfect(single, "float64"))
    assert needs_other_dtype(double, perfect(double)) and not needs_other_dtype(double, perfect(double, "float64"))


def test_float64_file_in_float32_is_compared_up_to_its_stop() -> None:
    double = as_file("rnn-12", "float64")
    replayed = perfect(double)
    replayed.val_loss[64:] *= 2
    assert failed(double, replayed, perfect(double, "float64")) == []
    assert "first predictions" not in [check.name for check in verdict(double, replayed)]
