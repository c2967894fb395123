"""The current backend retraces the runs of 2017, and a wrong formula does not."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqsum_core.article import reference
from seqsum_core.article.reference import Reference
from seqsum_core.article.verdict import Check, Replayed, verdict

pytestmark = pytest.mark.backend


@pytest.fixture
def replaying() -> Any:
    return pytest.importorskip("seqsum_core.article.replay", exc_type=ImportError)


def failed_bars(run: Reference, replayed: Replayed) -> list[Check]:
    return [bar for bar in verdict(run, replayed) if not bar.passed]


def shortened(run: Reference, epochs: int) -> Reference:
    """Return a run as if it had ended earlier."""
    return dataclasses.replace(run, order=run.order[:epochs], loss=run.loss[:epochs], val_loss=run.val_loss[:epochs])


@pytest.mark.parametrize(("name", "stop"), [("rnn-4", 23), ("lstm-4", 24)])
def test_a_short_case_is_retraced_in_float32(replaying: Any, name: str, stop: int) -> None:
    run = reference.case(name)
    replayed = replaying.replay(run)
    assert failed_bars(run, replayed) == []
    assert replayed.stop_epoch == stop and len(replayed.loss) == len(replayed.val_loss) == stop + 1
    assert replayed.backend == replaying.keras.backend.backend() and replayed.dtype == "float32"


def test_a_run_that_never_stopped_is_retraced_in_float64_to_its_end(replaying: Any) -> None:
    run = reference.case("rnn-4", "float64")
    replayed = replaying.replay(run, "float64")
    assert failed_bars(run, replayed) == []
    assert len(replayed.loss) == 100 and replayed.stop_epoch == 23
    np.testing.assert_allclose(replayed.test_predictions, run.test_predictions, rtol=1e-9)


def test_predictions_at_the_stop_are_those_the_article_printed_even_if_training_went_on(replaying: Any) -> None:
    run = shortened(reference.case("rnn-4", "float64"), 26)
    replayed = replaying.replay(run, "float64")
    np.testing.assert_allclose(replayed.stop_predictions[:6], run.printed, atol=2e-5, rtol=0)
    assert np.abs(replayed.stop_predictions - replayed.test_predictions).max() > 1e-3


def test_a_users_file_is_replayed_from_its_own_arrays(replaying: Any, tmp_path: Path) -> None:
    """Rows, units, length and order of the file count, not those of the article."""
    random = np.random.default_rng(1)
    inputs = random.integers(0, 4, (260, 3), dtype=np.int8)
    arrays: dict[str, Any] = {
        "X_pad": inputs,
        "y": inputs.sum(axis=1).astype(np.int16),
        "train_idx": np.arange(250, 0, -1),
        "test_idx": np.array([0, *range(251, 260)]),
        "perms": np.array([random.permutation(230) for _ in range(2)]),
        "init_kernel": random.normal(size=(1, 5)),
        "init_recurrent_kernel": np.linalg.qr(random.normal(size=(5, 5)))[0],
        "init_bias": np.zeros(5),
        "init_dense_kernel": random.normal(size=(5, 1)),
        "init_dense_bias": np.zeros(1),
        "loss": np.array([2.0, 1.0]),
        "val_loss": np.array([2.0, 1.0]),
        "stopped_epoch": np.array(1),
        "test_pred": np.zeros(10),
    }
    np.savez(tmp_path / "own.npz", **arrays)
    run = reference.load(tmp_path / "own.npz")
    told: list[str] = []
    replayed = replaying.replay(run, "float64", report=told.append)
    loss, predictions = train_in_numpy(arrays)
    np.testing.assert_allclose(replayed.loss, loss, rtol=1e-12)
    np.testing.assert_allclose(replayed.test_predictions, predictions, rtol=1e-10)
    assert told == ["epoch 0 of 2", "epoch 1 of 2", "prediction"]


def train_in_numpy(arrays: dict[str, Any]) -> tuple[list[float], Any]:
    """Train the file's SimpleRNN by hand: forward, backward through time, Keras 2's RMSprop."""
    names = ("kernel", "recurrent_kernel", "bias", "dense_kernel", "dense_bias")
    weights = [arrays[f"init_{name}"].copy() for name in names]
    squares = [np.zeros_like(weight) for weight in weights]
    x, y = arrays["X_pad"].astype(float), arrays["y"].astype(float)[:, None]

    def states(rows: Any) -> list[Any]:
        hidden = [np.zeros((len(rows), len(weights[1])))]
        for step in range(x.shape[1]):
            hidden.append(np.tanh(x[rows, step : step + 1] @ weights[0] + hidden[-1] @ weights[1] + weights[2]))
        return hidden

    losses = []
    for order in arrays["perms"]:
        total = 0.0
        for start in range(0, len(order), 100):
            rows = arrays["train_idx"][order[start : start + 100]]
            hidden = states(rows)
            error = hidden[-1] @ weights[3] + weights[4] - y[rows]
            total += float((error**2).sum())
            out = 2 * error / len(rows)
            gradients = [np.zeros_like(weight) for weight in weights]
            gradients[3], gradients[4] = hidden[-1].T @ out, out.sum(axis=0)
            back = out @ weights[3].T
            for step in reversed(range(x.shape[1])):
                inner = back * (1 - hidden[step + 1] ** 2)
                gradients[0] += x[rows, step : step + 1].T @ inner
                gradients[1] += hidden[step].T @ inner
                gradients[2] += inner.sum(axis=0)
                back = inner @ weights[1].T
            for weight, square, gradient in zip(weights, squares, gradients, strict=True):
                square *= 0.9
                square += (1 - 0.9) * gradient**2
                weight -= 0.001 * gradient / (np.sqrt(square) + 1e-8)
        losses.append(total / len(order))
    return losses, (states(arrays["test_idx"])[-1] @ weights[3] + weights[4])[:, 0]


@pytest.mark.parametrize(("name", "planted"), [("rnn-4", "RMSprop"), ("lstm-4", "hard_sigmoid")])
def test_a_formula_of_keras_3_fails_already_in_the_first_epochs(
    replaying: Any, monkeypatch: pytest.MonkeyPatch, name: str, planted: str
) -> None:
    keras = replaying.keras
    wrong = {"RMSprop": lambda: keras.optimizers.RMSprop(0.001), "hard_sigmoid": keras.activations.hard_sigmoid}
    monkeypatch.setattr(replaying.keras2, planted, wrong[planted])
    run = shortened(reference.case(name), 6)
    failed = [bar.name for bar in failed_bars(run, replaying.replay(run))]
    assert any(bar.startswith("val_loss of the first") for bar in failed)


def test_the_network_starts_with_the_references_weights(replaying: Any) -> None:
    run = reference.case("lstm-4")
    model = replaying.build(run)
    for ours, theirs in zip(model.get_weights(), run.weights, strict=True):
        assert np.array_equal(ours, theirs)
    assert isinstance(model.optimizer, replaying.keras2.RMSprop)
