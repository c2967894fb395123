"""A replay passes where it should and fails where it should, judged without any backend."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from seqsum_core.article import reference
from seqsum_core.article.verdict import FLOAT64_LIMIT, Check, Replayed, needs_other_dtype, verdict


def _perfect(run: Any, dtype: Any = "float32") -> Any:
    """Return the replay that retraces a run exactly."""
    predictions = run.test_predictions.astype(np.float64)
    return Replayed("jax", dtype, run.loss.copy(), run.val_loss.copy(), predictions, predictions)


def _failed(run: Any, replayed: Any, other: Any = None) -> Any:
    return [bar.name for bar in verdict(run, replayed, other) if not bar.passed]


def _as_file(name: str, **changes: Any) -> Any:
    """Return a case under a file's name: judged as a user's file."""
    return dataclasses.replace(reference.case(name), name=f"{name}.npz", **changes)


@pytest.mark.parametrize("name", reference.CASES)
def test_the_reference_itself_passes_every_bar(name: str) -> None:
    run = reference.case(name)
    assert _failed(run, _perfect(run)) == []


@pytest.mark.parametrize("name", reference.FLOAT64_CASES)
def test_the_float64_reference_itself_passes_every_bar(name: str) -> None:
    run = reference.case(name, "float64")
    bars = verdict(run, _perfect(run, "float64"))
    assert len(bars) == 3 and all(bar.passed for bar in bars)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("rnn-4", 5e-5),
        ("lstm-4", 5e-5),
        ("rnn-12", 2e-3),
        ("lstm-12", 0.1),
        ("rnn-25", 1e-5),
        ("lstm-25", 5e-3),
    ],
)
def test_a_case_holds_val_loss_at_its_stop_to_its_own_limit(name: str, limit: float) -> None:
    run = reference.case(name)
    for factor, failed in ((0.9, []), (1.1, ["val_loss at the stop, relative"])):
        replayed = _perfect(run)
        replayed.val_loss[-1] *= 1 + factor * limit
        assert _failed(run, replayed) == failed


@pytest.mark.parametrize(("name", "limit"), [("lstm-4", 2e-5), ("rnn-12", 5e-3), ("lstm-12", 0.05)])
def test_a_case_holds_its_first_six_predictions(name: str, limit: float) -> None:
    run = reference.case(name)
    for row, factor, failed in ((5, 0.9, []), (5, 1.1, ["first predictions"]), (6, 1.1, [])):
        replayed = _perfect(run)
        replayed.stop_predictions[row] += factor * limit
        assert _failed(run, replayed) == failed


def test_the_shortest_case_is_held_to_the_digits_that_the_article_printed() -> None:
    run = reference.case("rnn-4")
    replayed = _perfect(run)
    replayed.stop_predictions[5] += 1.8e-5  # the reference lies 3.8e-6 above the printed digits
    assert _failed(run, replayed) == ["predictions, from those printed"]


def test_a_case_must_stop_at_the_same_epoch_but_the_undecided_one() -> None:
    for name, failed in (("rnn-12", ["epochs between the stops"]), ("lstm-25", [])):
        run = reference.case(name)
        replayed = _perfect(run)
        replayed.val_loss[60] = replayed.val_loss[59]
        assert replayed.stop_epoch == 60
        assert _failed(run, replayed) == failed


def test_a_case_that_has_not_stopped_by_the_last_epoch_fails() -> None:
    run = reference.case("rnn-25")
    replayed = _perfect(run)
    replayed.val_loss[-1] = replayed.val_loss[-2] * (1 - 1e-9)
    assert replayed.stop_epoch is None
    assert "epochs between the stops" in _failed(run, replayed)


def test_the_first_epochs_are_held_narrowly_where_the_end_is_not() -> None:
    run = reference.case("lstm-12")
    replayed = _perfect(run)
    replayed.val_loss[7] *= 1 + 2e-5
    assert _failed(run, replayed) == ["val_loss of the first 10 epochs, relative"]


@pytest.mark.parametrize("quantity", ["loss", "val_loss"])
def test_float64_is_held_at_every_epoch_up_to_the_stop_and_no_further(quantity: Any) -> None:
    run = reference.case("rnn-12", "float64")
    for epoch, failed in ((30, 1), (63, 1), (64, 0)):
        replayed = _perfect(run, "float64")
        getattr(replayed, quantity)[epoch] *= 1 + 2 * FLOAT64_LIMIT
        assert len(_failed(run, replayed)) == failed


def test_not_a_number_never_passes() -> None:
    assert not Check("anything", float("nan"), 1.0).passed
    run = reference.case("rnn-4")
    replayed = _perfect(run)
    replayed.val_loss[:] = np.nan
    assert "val_loss at the stop, relative" in _failed(run, replayed)


def test_a_file_may_stop_elsewhere_where_a_hair_decided_and_only_there() -> None:
    run = _as_file("rnn-12")
    for worse, failed in ((1e-3, 0), (0.01, 1)):
        val_loss = np.append(run.val_loss[:40], run.val_loss[39] * (1 + worse))
        decided = dataclasses.replace(run, val_loss=val_loss, loss=run.loss[:41], order=run.order[:41])
        replayed = dataclasses.replace(_perfect(decided))
        replayed.val_loss[-1] = val_loss[39] * (1 - 1e-6)
        names = [name for name in _failed(decided, replayed) if name.startswith("margin")]
        assert replayed.stop_epoch is None and len(names) == failed


def test_a_files_limits_widen_to_what_rounding_does_to_it() -> None:
    run = _as_file("rnn-12")
    replayed, other = _perfect(run), _perfect(run, "float64")
    replayed.val_loss[-1] *= 1.01
    assert _failed(run, replayed, other=_perfect(run)) == []
    assert _failed(run, replayed) == ["val_loss at the stop, relative"]
    other.val_loss[-1] *= 1.01
    assert _failed(run, replayed, other) == ["val_loss at the stop, relative"]


def test_only_a_file_that_involves_float32_wants_the_other_precision() -> None:
    case = reference.case("rnn-4")
    assert not needs_other_dtype(case, _perfect(case))
    single = _as_file("rnn-4")
    assert needs_other_dtype(single, _perfect(single)) and needs_other_dtype(single, _perfect(single, "float64"))
    double = dataclasses.replace(reference.case("rnn-4", "float64"), name="rnn_004_noes_f64.npz")
    assert needs_other_dtype(double, _perfect(double))
    assert not needs_other_dtype(double, _perfect(double, "float64"))


def test_a_float64_file_replayed_in_float32_is_compared_up_to_its_stop() -> None:
    double = dataclasses.replace(reference.case("rnn-12", "float64"), name="rnn_012_noes_f64.npz")
    replayed = _perfect(double)
    replayed.val_loss[64:] *= 2
    bars = verdict(double, replayed, _perfect(double, "float64"))
    assert all(bar.passed for bar in bars) and "first predictions" not in [bar.name for bar in bars]
