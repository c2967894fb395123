"""Training: the same batches and losses on every backend, and a clock that counts epochs only."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqsum_core.settings import Batching, NetworkSettings, TaskSettings, TrainingSettings, VariantSettings
from seqsum_core.task import Split, draw, split

pytestmark = pytest.mark.backend

ARTICLE = TaskSettings()


@pytest.fixture
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


# Losses of seed 0 on the article's data at length 4, after epochs 1 and 2. Measured once; every backend
# must retrace them, since weights and batches are drawn in NumPy.
FIRST_LOSSES = {"simple_rnn": (26.72356, 20.94005), "lstm": (23.96329, 21.13739), "gru": (21.09929, 17.07441)}


@pytest.mark.parametrize("name", FIRST_LOSSES)
def test_every_backend_retraces_the_same_losses(training: Any, data: Split, name: str) -> None:
    (trained,) = training.fit_for_accuracy(start(name), data, TrainingSettings(epochs=2), seed=0)
    assert trained.loss == pytest.approx(FIRST_LOSSES[name], rel=1e-5)
    assert not trained.stopped_early


# Of an LSTM with a mask at length 12, in batches of about one length.
BY_LENGTH_LOSSES: dict[Batching, tuple[float, float]] = {
    "bucketed": (129.72696, 119.31844),
    "exact": (128.78520, 116.97905),
}


@pytest.mark.parametrize("batching", BY_LENGTH_LOSSES)
def test_batches_by_length_judge_as_padding_with_a_mask_does(training: Any, batching: Batching) -> None:
    from seqsum_core.nn import models

    def masked(variant: VariantSettings) -> Any:
        return models.build("lstm", length=12, network=NetworkSettings(mask=True), variant=variant)

    data = split(draw(ARTICLE, length=12), ARTICLE)
    model, padded = masked(VariantSettings(batching=batching)), masked(VariantSettings())
    models.set_start(model, seed=0)
    (trained,) = training.fit_for_accuracy(model, data, TrainingSettings(epochs=2), seed=0, batching=batching)
    assert trained.loss == pytest.approx(BY_LENGTH_LOSSES[batching], rel=1e-5)
    padded.set_weights(trained.weights)
    assert trained.predictions == pytest.approx(padded.predict(data.test.inputs(), verbose=0).ravel(), rel=1e-4)
    outputs = padded.predict(data.validation.inputs(), verbose=0)
    assert trained.val_loss[-1] == pytest.approx(np.mean((outputs - data.validation.targets()) ** 2), rel=1e-4)


def test_loss_falls_and_predictions_look_like_sums(training: Any, data: Split) -> None:
    (trained,) = training.fit_for_accuracy(start("simple_rnn"), data, TrainingSettings(), seed=0)
    assert trained.loss[-1] < 0.02 * trained.loss[0]
    assert data.test.sums[:6].tolist() == [4, 0, 8, 0, 7, 5]
    assert trained.predictions[:6] == pytest.approx([4, 0, 8, 0, 7, 5], abs=0.6)
    assert trained.stopped_early and trained.val_loss[-1] > trained.val_loss[-2]


def test_no_patience_means_all_epochs(training: Any, data: Split) -> None:
    settings = TrainingSettings(epochs=30, patience=-1)
    (trained,) = training.fit_for_accuracy(start("simple_rnn"), data, settings, seed=0)
    assert len(trained.loss) == 30 and not trained.stopped_early


def test_csv_log_holds_every_epoch(training: Any, data: Split, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    (trained,) = training.fit_for_accuracy(start("simple_rnn"), data, TrainingSettings(epochs=3), seed=0, csv_log=log)
    header, *rows = log.read_text().splitlines()
    assert set(header.split(",")) == {"epoch", "loss", "val_loss"}
    assert [float(row.split(",")[1]) for row in rows] == pytest.approx(trained.loss)


def test_batches_are_those_of_the_order_and_the_last_one_is_smaller(training: Any) -> None:
    inputs, targets = np.arange(7)[:, None, None], np.arange(7)[:, None]
    order = np.array([[6, 5, 4, 3, 2, 1, 0], [0, 1, 2, 3, 4, 5, 6]])
    batches = training.OrderedBatches(inputs, targets, batch_size=3, order=order)
    assert len(batches) == 6 and batches.steps_per_epoch == 3
    assert [batches[index][1].ravel().tolist() for index in range(6)] == [
        [6, 5, 4],
        [3, 2, 1],
        [0],
        [0, 1, 2],
        [3, 4, 5],
        [6],
    ]
    assert (batches[2][0].ravel() == batches[2][1].ravel()).all()


def test_fit_ends_when_told_and_waiting_is_not_timed(training: Any, data: Split) -> None:
    waited_s = 0.5

    def go_on(epochs_s: list[float]) -> bool:
        time.sleep(waited_s if len(epochs_s) == 2 else 0)
        return len(epochs_s) < 4

    begin = time.perf_counter()
    epochs_s = training.fit_for_speed(start("simple_rnn"), data.fitted, batch_size=810, most_epochs=50, go_on=go_on)
    whole_s = time.perf_counter() - begin
    assert len(epochs_s) == 4
    assert sum(epochs_s) < whole_s - 0.9 * waited_s


def test_fit_ends_at_most_epochs(training: Any, data: Split) -> None:
    epochs_s = training.fit_for_speed(
        start("simple_rnn"), data.fitted, batch_size=810, most_epochs=3, go_on=lambda _: True
    )
    assert len(epochs_s) == 3


def test_validation_is_timed_once_a_call(training: Any, data: Split) -> None:
    times = training.validation_s(start("simple_rnn"), data.validation, batch_size=100, repeats=3)
    assert len(times) == 3 and min(times) > 0
