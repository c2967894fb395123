"""Ceilings: they train as Keras does, from the same start in the same order, and a wrong one is found out.

Weights agree if they differ by less than 1e-4 of the largest of their array, losses if by less than 1e-4 of themselves.
"""

from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.errors import NotAvailableError
from bench.worker.plain import build
from seqsum_core.settings import MODELS, NetworkSettings, TaskSettings, TrainingSettings
from seqsum_core.task import Sequences, batch_order, draw, split

pytestmark = pytest.mark.backend

CLOSE = 1e-4
CASES = [*((model, length) for model in MODELS for length in (4, 12)), ("simple_rnn", 50)]
TRAINING = TrainingSettings()
NETWORK = NetworkSettings()


@pytest.fixture
def models() -> Any:
    return pytest.importorskip("seqsum_core.nn.models", exc_type=ImportError)


def rows_of(length: int) -> Sequences:
    """Return the fitted rows of the article: sixteen batches of 100, one of 20."""
    return split(draw(TaskSettings(), length=length), TaskSettings()).fitted


def nearly_solved(length: int) -> Sequences:
    """Return rows whose gradients are so small that RMSprop's epsilon counts."""
    rows = rows_of(length)
    return replace(rows, digits=np.zeros_like(rows.digits), sums=np.full(len(rows), 0.01))


def pair(models: Any, model: str, rows: Sequences, network: NetworkSettings = NETWORK) -> tuple[Any, Any]:
    """Build Keras' model and the ceiling, with one start."""
    keras_model = models.build(model, length=rows.digits.shape[1], network=network, training=TRAINING)
    start = models.draw_weights(keras_model, seed=3)
    keras_model.set_weights(start)
    ceiling = build(model, weights=start, fitted=rows, network=network, training=TRAINING, device="cpu")
    return keras_model, ceiling


def train_keras(model: Any, rows: Sequences, order: NDArray[np.intp]) -> list[float]:
    from seqsum_core.nn.training import OrderedBatches

    batches = OrderedBatches(rows.inputs(), rows.targets(), batch_size=TRAINING.batch_size, order=order)
    fitted = model.fit(batches, epochs=len(order), steps_per_epoch=batches.steps_per_epoch, shuffle=False, verbose=0)
    losses: list[float] = fitted.history["loss"]
    return losses


def distance(models: Any, model: str, rows: Sequences, *, epochs: int = 1, network: NetworkSettings = NETWORK) -> float:
    """Train both and return by how much they differ at most, over losses and weights."""
    keras_model, ceiling = pair(models, model, rows, network)
    order = batch_order(len(rows), epochs=epochs, seed=3)
    wanted = [*([loss] for loss in train_keras(keras_model, rows, order)), *keras_model.get_weights()]
    found = [*([ceiling.epoch(one)] for one in order), *ceiling.weights()]
    assert [np.shape(one) for one in found] == [np.shape(one) for one in wanted]
    return max(
        float(np.abs(np.subtract(one, other)).max() / np.abs(other).max())
        for one, other in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize(("model", "length"), CASES)
def test_epoch_is_that_of_keras(models: Any, model: str, length: int) -> None:
    assert distance(models, model, rows_of(length)) < CLOSE


@pytest.mark.parametrize("model", MODELS)
def test_later_epochs_and_other_widths_are_those_of_keras(models: Any, model: str) -> None:
    assert distance(models, model, rows_of(4), epochs=3, network=NetworkSettings(units=5)) < CLOSE


@pytest.mark.parametrize("wrong", [{"RHO": 0.95}, {"EPSILON": 1e-14}, {"EPSILON": 1e-6}, {}], ids=str)
def test_wrong_optimizer_is_found_out(models: Any, wrong: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Epsilon 1e-14 under the root stands for one of 1e-7 outside: where the velocity is 0, both add 1e-7."""
    import keras

    module = import_module(f"bench.worker.plain.plain_{keras.backend.backend()}")
    for name, value in wrong.items():
        monkeypatch.setattr(module, name, value)
    assert (distance(models, "simple_rnn", nearly_solved(4)) > CLOSE) is bool(wrong)


@pytest.mark.parametrize("model", ["gru"])
def test_wrong_batches_are_found_out(models: Any, model: str) -> None:
    rows = rows_of(4)
    keras_model, ceiling = pair(models, model, rows)
    (order,) = batch_order(len(rows), epochs=1, seed=3)
    (loss,) = train_keras(keras_model, rows, order[None])
    assert ceiling.epoch(order[::-1].copy()) != pytest.approx(loss, rel=CLOSE)


@pytest.mark.parametrize("model", MODELS)
def test_evaluation_is_that_of_keras_and_leaves_the_weights(models: Any, model: str) -> None:
    rows = rows_of(4)
    keras_model, ceiling = pair(models, model, rows)
    before = ceiling.weights()
    for asked in (rows, rows.take(np.arange(7))):
        wanted = keras_model.evaluate(asked.inputs(), asked.targets(), verbose=0)
        assert ceiling.evaluate(asked) == pytest.approx(wanted, rel=CLOSE)
    for one, other, start in zip(ceiling.weights(), before, keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, start)


@pytest.mark.parametrize("model", MODELS)
def test_witness_sees_the_path_and_changes_nothing(models: Any, model: str) -> None:
    import keras

    rows = rows_of(12)
    _, ceiling = pair(models, model, rows)
    ceiling.epoch(np.arange(len(rows)))
    before = ceiling.weights()
    found = ceiling.witness()
    assert found.evidence
    assert (found.recurrence, found.xla, found.compilations) == {
        "jax": ("scan", True, 1),
        "torch": ("fused", False, 0),
        "tensorflow": ("while_loop", True, 1),
    }[keras.backend.backend()]
    for one, other in zip(ceiling.weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_plain_loop_over_seeds_is_keras(models: Any) -> None:
    import keras

    if keras.backend.backend() != "torch":
        pytest.skip("the loop is PyTorch's")
    from bench.worker.plain.plain_torch import train_seeds
    from seqsum_core.nn.training import fit_for_accuracy

    data = split(draw(TaskSettings(), length=4), TaskSettings())
    training = TrainingSettings(epochs=2, patience=-1)
    wanted, starts = [], []
    for seed in (5, 0):
        keras_model = models.build("gru", length=4, training=training)
        starts.append(models.draw_weights(keras_model, seed=seed))
        keras_model.set_weights(starts[-1])
        wanted.append(fit_for_accuracy(keras_model, data, training, seed=seed)[0].val_loss[-1])
    losses = train_seeds("gru", data, training, starts=starts, seeds=(5, 0), network=NETWORK, device="cpu")
    assert losses == pytest.approx(wanted, rel=CLOSE)


@pytest.mark.parametrize(
    ("name", "model", "network", "training"),
    [
        ("model", "own:model", NETWORK, TRAINING),
        ("layers", "lstm", NetworkSettings(layers=2), TRAINING),
        ("mask", "lstm", NetworkSettings(mask=True), TRAINING),
        ("optimizer", "lstm", NETWORK, TrainingSettings(optimizer="adam")),
    ],
)
def test_what_has_no_ceiling_is_refused_in_one_line(
    name: str, model: str, network: NetworkSettings, training: TrainingSettings
) -> None:
    with pytest.raises(NotAvailableError, match=f"^`{name}` must .* Received: .*[.] .*[.]$"):
        build(model, weights=[], fitted=rows_of(4), network=network, training=training, device="cpu")
