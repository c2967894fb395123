"""Replicas: each seed trains as if alone, and what would couple them is refused."""

from typing import Any

import numpy as np
import pytest

from seqsum_core.settings import MODELS, NetworkSettings, TaskSettings, TrainingSettings
from seqsum_core.stopping import stop_epoch
from seqsum_core.task import Split, draw, split

pytestmark = pytest.mark.backend

SEEDS = (3, 0, 7)


@pytest.fixture
def replicas() -> Any:
    return pytest.importorskip("seqsum_core.nn.replicas", exc_type=ImportError)


@pytest.fixture
def data() -> Split:
    return split(draw(TaskSettings(), length=4), TaskSettings())


def built(model: str, network: NetworkSettings, training: TrainingSettings, length: int) -> Any:
    from seqsum_core.nn import models

    return models.build(model, length=length, network=network, training=training)


def starts(model: str, network: NetworkSettings, length: int) -> list[Any]:
    from seqsum_core.nn import models

    one = built(model, network, TrainingSettings(), length)
    return [models.draw_weights(one, seed=seed) for seed in SEEDS]


def alone(
    model: str, start: Any, data: Split, training: TrainingSettings, seed: int, network: NetworkSettings
) -> list[Any]:
    from seqsum_core.nn.training import fit_for_accuracy

    one = built(model, network, training, data.test.digits.shape[1])
    one.set_weights(start)
    return fit_for_accuracy(one, data, training, seed=seed)


def check_equal(one: Any, other: Any, rel: float) -> None:
    assert (one.patience, one.stopped_early) == (other.patience, other.stopped_early)
    assert one.loss == pytest.approx(other.loss, rel=rel)
    assert one.val_loss == pytest.approx(other.val_loss, rel=rel)
    assert one.predictions == pytest.approx(other.predictions, rel=rel, abs=rel)
    for weights, wanted in zip(one.weights, other.weights, strict=True):
        np.testing.assert_allclose(weights, wanted, rtol=rel, atol=rel)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "network",
    [NetworkSettings(), NetworkSettings(units=5, layers=2, mask=True)],
    ids=["the article's", "masked, two layers"],
)
def test_every_replica_retraces_the_seed_trained_alone(
    replicas: Any, data: Split, model: str, network: NetworkSettings
) -> None:
    training = TrainingSettings(epochs=3, patience=-1)
    begun = starts(model, network, 4)
    together = replicas.fit_replicas(model, begun, data, training, seeds=SEEDS, network=network)
    for start, seed, (replica,) in zip(begun[:2], SEEDS, together, strict=False):
        (wanted,) = alone(model, start, data, training, seed, network)
        check_equal(replica, wanted, 1e-5)


def test_every_replica_stops_at_its_own_epoch(replicas: Any, data: Split) -> None:
    training = TrainingSettings(patience=(0, 3), epochs=60, learning_rate=0.01)
    begun = starts("simple_rnn", NetworkSettings(), 4)
    together = replicas.fit_replicas("simple_rnn", begun, data, training, seeds=SEEDS)
    epochs = [len(trained.loss) for replica in together for trained in replica]
    assert len(set(epochs)) > 2 and all(replica[0].stopped_early for replica in together)
    for replica in together:
        first, second = replica
        assert first.val_loss == second.val_loss[: len(first.val_loss)]
        for trained in replica:
            ends = stop_epoch(trained.val_loss, trained.patience)
            assert ends == (len(trained.val_loss) if trained.stopped_early else None)
            assert trained.stopped_early or len(trained.val_loss) == training.epochs


def test_a_replica_and_the_seed_alone_stop_at_the_same_epoch(replicas: Any, data: Split) -> None:
    """Here val_loss rises by more than a third where it ends the training, which no rounding undoes."""
    training = TrainingSettings(patience=0, epochs=12, learning_rate=0.02)
    begun = starts("simple_rnn", NetworkSettings(), 4)
    together = [replica for (replica,) in replicas.fit_replicas("simple_rnn", begun, data, training, seeds=SEEDS)]
    assert all(replica.stopped_early for replica in together)
    assert len({len(replica.loss) for replica in together}) > 1
    for start, seed, replica in zip(begun, SEEDS, together, strict=True):
        (wanted,) = alone("simple_rnn", start, data, training, seed, NetworkSettings())
        check_equal(replica, wanted, 1e-3)


def test_predictions_are_those_of_the_weights_that_were_kept(replicas: Any, data: Split) -> None:
    training = TrainingSettings(patience=(0, -1), epochs=30, learning_rate=0.02)
    begun = starts("gru", NetworkSettings(), 4)
    model = built("gru", NetworkSettings(), training, 4)
    for replica in replicas.fit_replicas("gru", begun, data, training, seeds=SEEDS):
        for trained in replica:
            model.set_weights(trained.weights)
            outputs = model.predict(data.test.inputs(), verbose=0).ravel()
            assert trained.predictions == pytest.approx(outputs, rel=1e-4, abs=1e-4)


def test_replicas_may_have_data_of_their_own(replicas: Any, data: Split) -> None:
    other = TaskSettings(source="generated", seed=5)
    sets = [data, split(draw(other, length=4), other), data]
    training = TrainingSettings(epochs=2, patience=-1)
    begun = starts("lstm", NetworkSettings(), 4)
    together = replicas.fit_replicas("lstm", begun, sets, training, seeds=SEEDS)
    for replica in (0, 1):
        (wanted,) = alone("lstm", begun[replica], sets[replica], training, SEEDS[replica], NetworkSettings())
        check_equal(together[replica][0], wanted, 1e-5)


def test_a_replica_that_diverges_leaves_the_others_alone(replicas: Any, data: Split) -> None:
    training = TrainingSettings(epochs=2, patience=-1)
    begun = starts("simple_rnn", NetworkSettings(), 4)
    broken = [begun[0], [np.full_like(weight, np.nan) for weight in begun[1]], begun[2]]
    good, bad, _ = replicas.fit_replicas("simple_rnn", broken, data, training, seeds=SEEDS)
    (wanted,) = alone("simple_rnn", begun[0], data, training, SEEDS[0], NetworkSettings())
    check_equal(good[0], wanted, 1e-5)
    assert np.isnan(bad[0].val_loss).all()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_other_elementwise_optimizers_train_replicas_too(replicas: Any, data: Split, optimizer: Any) -> None:
    training = TrainingSettings(epochs=2, patience=-1, optimizer=optimizer)
    begun = starts("simple_rnn", NetworkSettings(), 4)
    together = replicas.fit_replicas("simple_rnn", begun, data, training, seeds=SEEDS)
    (wanted,) = alone("simple_rnn", begun[1], data, training, SEEDS[1], NetworkSettings())
    check_equal(together[1][0], wanted, 1e-4)


def keras_or_skip() -> Any:
    return pytest.importorskip("keras", exc_type=ImportError)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("RMSprop", {"global_clipnorm": 1.0}, "global_clipnorm"),
        ("Adam", {"clipnorm": 1.0}, "clipnorm"),
        ("SGD", {"use_ema": True}, "use_ema"),
        ("Lamb", {}, "`optimizer` of replicas must be one of"),
        ("Adafactor", {}, "`optimizer` of replicas must be one of"),
    ],
)
def test_optimizers_that_couple_replicas_are_refused(
    replicas: Any, data: Split, name: str, settings: dict[str, Any], said: str
) -> None:
    optimizer = getattr(keras_or_skip().optimizers, name)(**settings)
    begun = starts("simple_rnn", NetworkSettings(), 4)
    with pytest.raises(ValueError, match=said):
        replicas.fit_replicas("simple_rnn", begun, data, TrainingSettings(), seeds=SEEDS, optimizer=optimizer)


def test_callbacks_that_couple_replicas_are_refused(replicas: Any, data: Split) -> None:
    callbacks = [keras_or_skip().callbacks.ReduceLROnPlateau()]
    begun = starts("simple_rnn", NetworkSettings(), 4)
    with pytest.raises(ValueError, match="Received: 'ReduceLROnPlateau'"):
        replicas.fit_replicas("simple_rnn", begun, data, TrainingSettings(), seeds=SEEDS, callbacks=callbacks)


def test_no_replica_and_unequal_counts_are_refused(replicas: Any, data: Split) -> None:
    begun = starts("simple_rnn", NetworkSettings(), 4)
    for some, seeds, said in (([], (), "`starts` must hold"), (begun, (0,), "`seeds` must be as many")):
        with pytest.raises(ValueError, match=said):
            replicas.fit_replicas("simple_rnn", some, data, TrainingSettings(), seeds=seeds)


def test_in_float64_a_replica_equals_the_seed_alone_almost_to_the_bit(replicas: Any, data: Split) -> None:
    from seqsum_core.article.precision import float64

    training = TrainingSettings(epochs=2, patience=-1)
    with float64():
        begun = starts("lstm", NetworkSettings(), 4)
        together = replicas.fit_replicas("lstm", begun, data, training, seeds=SEEDS)
        (wanted,) = alone("lstm", begun[2], data, training, SEEDS[2], NetworkSettings())
    assert together[2][0].weights[0].dtype == np.float64
    check_equal(together[2][0], wanted, 1e-7)
