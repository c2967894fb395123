"""Replicas: each seed trains as if alone."""

from typing import Any

import numpy as np
import pytest

from seqsum_core.reference_cells import predict
from seqsum_core.settings import NetworkSettings, TaskSettings, TrainingSettings
from seqsum_core.start import draw_start
from seqsum_core.stopping import stop_epoch
from seqsum_core.tasks import Sequences, Split, draw, split

pytestmark = pytest.mark.backend

SEEDS = (3, 0, 7)


@pytest.fixture(scope="module")
def replicas() -> Any:
    return pytest.importorskip("seqsum_core.nn.replicas", exc_type=ImportError)


@pytest.fixture(scope="module")
def data() -> Split:
    return split(draw(TaskSettings(), length=4), TaskSettings())


def build(model: str, network: NetworkSettings, training: TrainingSettings) -> Any:
    from seqsum_core.nn import models

    return models.build(model, length=4, network=network, training=training)


def draw_starts(model: str, network: NetworkSettings) -> list[Any]:
    from seqsum_core.nn import models

    single = build(model, network, TrainingSettings())
    return [models.draw_weights(single, seed=seed) for seed in SEEDS]


def train_alone(
    model: str, start: Any, data: Split, training: TrainingSettings, seed: int, network: NetworkSettings
) -> Any:
    from seqsum_core.nn.training import fit_for_accuracy

    single = build(model, network, training)
    single.set_weights(start)
    (trained,) = fit_for_accuracy(single, data, training, seed=seed)
    return trained


def check_equal(ours: Any, theirs: Any, rel: float) -> None:
    assert (ours.patience, ours.stopped_early) == (theirs.patience, theirs.stopped_early)
    assert ours.loss == pytest.approx(theirs.loss, rel=rel)
    assert ours.val_loss == pytest.approx(theirs.val_loss, rel=rel)
    assert ours.predictions == pytest.approx(theirs.predictions, rel=rel, abs=rel)
    for weights, expected in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(weights, expected, rtol=rel, atol=rel)


ARTICLE = NetworkSettings()
STACK = NetworkSettings(units=5, layers=2, mask=True)


@pytest.mark.parametrize(
    ("model", "network", "optimizer"),
    [
        ("simple_rnn", ARTICLE, "adam"),
        ("simple_rnn", ARTICLE, "sgd"),
        ("lstm", STACK, "rmsprop"),
        ("gru", STACK, "rmsprop"),
    ],
)
def test_as_alone(replicas: Any, data: Split, model: str, network: NetworkSettings, optimizer: Any) -> None:
    training = TrainingSettings(epochs=2, patience=-1, optimizer=optimizer)
    starts = draw_starts(model, network)
    together = replicas.fit_replicas(model, starts, data, training, seeds=SEEDS, network=network)
    alone = train_alone(model, starts[1], data, training, SEEDS[1], network)
    check_equal(together[1][0], alone, 1e-4 if optimizer == "adam" else 1e-5)


@pytest.mark.parametrize("mask", [False, True])
def test_several_features(replicas: Any, mask: bool) -> None:
    """A row of two features a timestep, as the adding problem has, is predicted as the reference does."""
    random = np.random.default_rng(0)
    values = random.integers(-1, 2, (2_500, 6, 2)).astype(np.float32)
    rows = Sequences(values, np.full(2_500, 6, np.int32), values.sum(axis=(1, 2)))
    starts = [draw_start("lstm", units=5, seed=seed, features=2) for seed in SEEDS]
    outputs = replicas.predict_replicas("lstm", starts, rows, network=NetworkSettings(units=5, mask=mask))
    for start, predicted in zip(starts, outputs, strict=True):
        expected = predict("lstm", start, rows.inputs(), mask=mask).ravel()
        assert predicted == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_stops(replicas: Any, data: Split) -> None:
    """And keeps weights and predictions of then."""
    training = TrainingSettings(patience=(0, 3), epochs=40, learning_rate=0.01)
    starts = draw_starts("simple_rnn", ARTICLE)
    together = replicas.fit_replicas("simple_rnn", starts, data, training, seeds=SEEDS)
    epochs = [len(trained.loss) for replica in together for trained in replica]
    assert len(set(epochs)) > 2 and all(replica[0].stopped_early for replica in together)
    for first, second in together:
        assert first.val_loss == second.val_loss[: len(first.val_loss)]
        for trained in (first, second):
            ends = stop_epoch(trained.val_loss, trained.patience)
            assert ends == (len(trained.val_loss) if trained.stopped_early else None)
            outputs = predict("simple_rnn", trained.weights, data.test.inputs(), mask=False).ravel()
            assert trained.predictions == pytest.approx(outputs, rel=1e-4, abs=1e-4)


def test_own_data_and_divergence(replicas: Any, data: Split) -> None:
    other = TaskSettings(source="generated", seed=5)
    splits = [data, split(draw(other, length=4), other), data]
    training = TrainingSettings(epochs=2, patience=-1)
    starts = draw_starts("lstm", ARTICLE)
    starts[2] = [np.full_like(weight, np.nan) for weight in starts[2]]
    *together, (broken,) = replicas.fit_replicas("lstm", starts, splits, training, seeds=SEEDS)
    for replica in (0, 1):
        alone = train_alone("lstm", starts[replica], splits[replica], training, SEEDS[replica], ARTICLE)
        check_equal(together[replica][0], alone, 1e-5)
    assert np.isnan(broken.val_loss).all()


def test_float64(replicas: Any, data: Split) -> None:
    from seqsum_core.article.precision import float64

    training = TrainingSettings(epochs=2, patience=-1)
    with float64():
        starts = draw_starts("simple_rnn", ARTICLE)
        together = replicas.fit_replicas("simple_rnn", starts, data, training, seeds=SEEDS)
        alone = train_alone("simple_rnn", starts[2], data, training, SEEDS[2], ARTICLE)
    assert together[2][0].weights[0].dtype == np.float64
    check_equal(together[2][0], alone, 1e-7)


def test_refused(replicas: Any, data: Split) -> None:
    for starts, seeds, rule in (([], (), "`starts` must hold"), ([[]], (0, 1), "`seeds` must be as many")):
        with pytest.raises(ValueError, match=rule):
            replicas.fit_replicas("simple_rnn", starts, data, TrainingSettings(), seeds=seeds)
