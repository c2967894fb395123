"""Ceilings: they train as Keras does, from the same start in the same order, and the test would notice if not.

Weights agree if they differ by less than 1e-4 of the largest of their array, losses if by less than 1e-4 of themselves.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.errors import NotAvailableError
from bench.worker import plain
from seqsum_core.reference_cells import predict
from seqsum_core.settings import MODELS, NetworkSettings, TaskSettings, TrainingSettings
from seqsum_core.tasks import Sequences, batch_order, draw, split

pytestmark = pytest.mark.backend

CLOSE = 1e-4
TRAINING = TrainingSettings()
NETWORK = NetworkSettings()


@pytest.fixture
def models() -> Any:
    return pytest.importorskip("seqsum_core.nn.models", exc_type=ImportError)


def fitted_rows(length: int) -> Sequences:
    """Return the fitted rows of the article: sixteen batches of 100, one of 20."""
    return split(draw(TaskSettings(), length=length), TaskSettings()).fitted


def nearly_solved(length: int) -> Sequences:
    """Return rows whose gradients are so small that RMSprop's epsilon counts."""
    rows = fitted_rows(length)
    return replace(rows, x=np.zeros_like(rows.x), y=np.full(len(rows), 0.01))


def pair(models: Any, model: str, rows: Sequences, network: NetworkSettings = NETWORK) -> tuple[Any, Any]:
    """Build Keras' model and the ceiling, with one start."""
    keras_model = models.build(model, length=rows.x.shape[1], network=network, training=TRAINING)
    start = models.draw_weights(keras_model, seed=3)
    keras_model.set_weights(start)
    ceiling = plain.build(model, weights=start, fitted=rows, network=network, training=TRAINING, device="cpu")
    return keras_model, ceiling


def trained_keras(model: Any, rows: Sequences, epochs: int = 1) -> list[Any]:
    """Return the losses and the weights of a training."""
    from seqsum_core.nn.training import OrderedBatches

    order = batch_order(len(rows), epochs=epochs, seed=3)
    batches = OrderedBatches(rows.inputs(), rows.targets(), batch_size=TRAINING.batch_size, order=order)
    fitted = model.fit(batches, epochs=epochs, steps_per_epoch=batches.steps_per_epoch, shuffle=False, verbose=0)
    return [*([loss] for loss in fitted.history["loss"]), *model.get_weights()]


def distance(ceiling: Any, rows: Sequences, expected: list[Any], epochs: int = 1) -> float:
    """Train a ceiling in the same order, and return by how much it differs at most, over losses and weights."""
    order = batch_order(len(rows), epochs=epochs, seed=3)
    computed = [*([ceiling.epoch(rows_of_epoch)] for rows_of_epoch in order), *ceiling.weights()]
    assert [np.shape(array) for array in computed] == [np.shape(array) for array in expected]
    return max(
        float(np.abs(np.subtract(ours, keras)).max() / np.abs(keras).max())
        for ours, keras in zip(computed, expected, strict=True)
    )


@pytest.mark.parametrize(
    ("model", "length", "epochs", "units"), [*((model, 4, 3, 5) for model in MODELS), ("simple_rnn", 50, 1, 16)]
)
def test_epochs_are_those_of_keras(models: Any, model: str, length: int, epochs: int, units: int) -> None:
    """And the path that they took is detected, which trains nothing."""
    rows = fitted_rows(length)
    keras_model, ceiling = pair(models, model, rows, NetworkSettings(units=units))
    assert distance(ceiling, rows, trained_keras(keras_model, rows, epochs), epochs) < CLOSE
    before = ceiling.weights()
    path = ceiling.detect_path()
    assert path.evidence
    assert (path.recurrence, path.xla, path.compilations) == {
        "jax": ("scan", True, 1),
        "torch": ("fused", False, 0),
        "tensorflow": ("while_loop", True, 1),
    }[models.keras.backend.backend()]
    for ours, start in zip(ceiling.weights(), before, strict=True):
        np.testing.assert_array_equal(ours, start)


def test_wrong_optimizer(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epsilon 1e-14 under the root equals 1e-7 outside: where the velocity is 0, both add 1e-7."""
    rows = nearly_solved(4)
    keras_model, ceiling = pair(models, "simple_rnn", rows)
    expected = trained_keras(keras_model, rows)
    assert distance(ceiling, rows, expected) < CLOSE
    for name, value in (("RHO", 0.95), ("EPSILON", 1e-14), ("EPSILON", 1e-6)):
        with monkeypatch.context() as planted:
            planted.setattr(plain, name, value)
            assert distance(pair(models, "simple_rnn", rows)[1], rows, expected) > CLOSE, (name, value)


@pytest.mark.parametrize("model", MODELS)
def test_evaluation(models: Any, model: str) -> None:
    rows = fitted_rows(4)
    keras_model, ceiling = pair(models, model, rows)
    start = keras_model.get_weights()
    for some in (rows, rows.take(np.arange(7))):
        errors = predict(model, start, some.inputs(), mask=False).ravel() - some.targets().ravel()
        assert ceiling.evaluate(some) == pytest.approx(np.mean(errors**2), rel=CLOSE)
    for ours, expected in zip(ceiling.weights(), start, strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(
    ("name", "model", "network", "training"),
    [
        ("model", "own:model", NETWORK, TRAINING),
        ("layers", "lstm", NetworkSettings(layers=2), TRAINING),
        ("mask", "lstm", NetworkSettings(mask=True), TRAINING),
        ("optimizer", "lstm", NETWORK, TrainingSettings(optimizer="adam")),
    ],
)
def test_no_ceiling(name: str, model: str, network: NetworkSettings, training: TrainingSettings) -> None:
    with pytest.raises(NotAvailableError, match=f"^`{name}` must .* Received: .*[.] .*[.]$"):
        plain.build(model, weights=[], fitted=fitted_rows(4), network=network, training=training, device="cpu")
