"""Training: the same batches and losses on every backend, and a clock that counts epochs only."""

import time
from itertools import islice
from typing import Any

import numpy as np
import pytest

from seqsum_core.batching import cut, draw_epochs
from seqsum_core.reference_cells import RMSprop, loss_and_gradients, predict
from seqsum_core.settings import NetworkSettings, TaskSettings, TrainingSettings, VariantSettings
from seqsum_core.start import draw_start
from seqsum_core.tasks import Split, draw, split

pytestmark = pytest.mark.backend

ARTICLE = TaskSettings()


@pytest.fixture(scope="module")
def training() -> Any:
    return pytest.importorskip("seqsum_core.nn.training", exc_type=ImportError)


@pytest.fixture(scope="module")
def data() -> Split:
    return split(draw(ARTICLE, length=4), ARTICLE)


def start(name: str) -> Any:
    from seqsum_core.nn import models

    model = models.build(name, length=4)
    models.set_start(model, seed=0)
    return model


# Losses of seed 0 on the article's data at length 4, after epochs 1 and 2. Measured once; every backend must retrace
# them, since weights and batches are drawn in NumPy.
FIRST_LOSSES = {"simple_rnn": (26.72356, 20.94005), "lstm": (23.96329, 21.13739), "gru": (21.09929, 17.07441)}


@pytest.mark.parametrize("name", FIRST_LOSSES)
def test_losses(training: Any, data: Split, name: str) -> None:
    (trained,) = training.fit_for_accuracy(start(name), data, TrainingSettings(epochs=2), seed=0)
    assert trained.loss == pytest.approx(FIRST_LOSSES[name], rel=1e-5)
    assert not trained.stopped_early


def test_batches_by_length(training: Any) -> None:
    """Rows of 5 and of 6 digits in batches of their own; judged, they give what padding with a mask gives."""
    from seqsum_core.nn import models

    task, network = TaskSettings(source="generated", sequences=280, min_length=5), NetworkSettings(units=4, mask=True)
    data = split(draw(task, length=6), task)
    settings = TrainingSettings(epochs=2, batch_size=120)
    model = models.build("lstm", length=6, network=network, variant=VariantSettings(batching="exact"))
    models.set_start(model, seed=0)
    (trained,) = training.fit_for_accuracy(model, data, settings, seed=0, batching="exact")
    weights = [weight.astype(np.float64) for weight in draw_start("lstm", units=4, seed=0)]
    optimizer, losses = RMSprop(0.001), []
    for epoch in islice(draw_epochs(data.fitted, "exact", batch_size=120, seed=0), 2):
        squares = 0.0
        for batch in epoch:
            inputs, targets = cut(data.fitted.inputs(), batch, padding="pre"), data.fitted.targets()[batch.rows]
            loss, gradients = loss_and_gradients("lstm", weights, inputs, targets, mask=True)
            weights = optimizer.step(weights, gradients)
            squares += loss * len(batch.rows)
        losses.append(squares / len(data.fitted))
    assert trained.loss == pytest.approx(losses, rel=1e-5)
    outputs = predict("lstm", weights, data.test.inputs(), mask=True)
    assert trained.predictions == pytest.approx(outputs.ravel(), rel=1e-4)
    outputs = predict("lstm", weights, data.validation.inputs(), mask=True)
    assert trained.val_loss[-1] == pytest.approx(np.mean((outputs - data.validation.targets()) ** 2), rel=1e-4)


def test_patiences(training: Any, data: Split) -> None:
    settings = TrainingSettings(patience=(0, -1), epochs=60, learning_rate=0.003)
    stopped, whole = training.fit_for_accuracy(start("simple_rnn"), data, settings, seed=0)
    assert stopped.stopped_early and stopped.val_loss[-1] >= min(stopped.val_loss[:-1])
    assert not whole.stopped_early and len(whole.loss) == 60
    assert whole.loss[: len(stopped.loss)] == stopped.loss and whole.loss[-1] < 0.02 * whole.loss[0]
    assert data.test.y[:6].tolist() == [4, 0, 8, 0, 7, 5]
    assert whole.predictions[:6] == pytest.approx([4, 0, 8, 0, 7, 5], abs=1)
    assert not np.array_equal(stopped.weights[0], whole.weights[0])


def test_fit_for_speed(training: Any, data: Split) -> None:
    model, waited_s = start("simple_rnn"), 0.5

    def go_on(epochs_s: list[float]) -> bool:
        time.sleep(waited_s if len(epochs_s) == 2 else 0)
        return len(epochs_s) < 4

    begin = time.perf_counter()
    epochs_s = training.fit_for_speed(model, data.fitted, batch_size=810, most_epochs=50, go_on=go_on)
    whole_s = time.perf_counter() - begin
    assert len(epochs_s) == 4 and sum(epochs_s) < whole_s - 0.9 * waited_s
    again = training.fit_for_speed(model, data.fitted, batch_size=810, most_epochs=3, go_on=lambda _: True)
    assert len(again) == 3 and int(model.optimizer.iterations) == 2 * (4 + 3)


def test_loss_that_is_not_finite(training: Any, data: Split) -> None:
    model = start("simple_rnn")
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with pytest.raises(ArithmeticError, match="not finite after 1 epochs"):
        training.fit_for_speed(model, data.fitted, batch_size=810, most_epochs=5, go_on=lambda _: False)
