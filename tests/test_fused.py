"""Fused layers and models: they compute and learn what Keras' own do, say which path they take, and can be saved."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seqsum_core.settings import MODELS
from seqsum_core.task import Sequences

pytestmark = pytest.mark.backend

ROWS, BATCH = 70, 20
"""Three batches of 20 and one of 10: an epoch ends on a smaller one."""


@pytest.fixture
def fused() -> Any:
    return pytest.importorskip("seqsum_core.nn.fused", exc_type=ImportError)


def running() -> str:
    import keras

    return str(keras.backend.backend())


def fused_path() -> str:
    return "keras: backend tensorflow" if running() == "tensorflow" else "fused"


def keras_layer(name: str) -> Any:
    from seqsum_core.nn.models import LAYERS

    return LAYERS[name]


def drawn(length: int, features: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(length).integers(0, 4, (ROWS, length, features)).astype(np.float32)


def sequences() -> Sequences:
    digits = drawn(4)[:, :, 0].astype(np.int16)
    return Sequences(digits, np.full(ROWS, 4, np.int32), digits.sum(1, dtype=np.int64))


def pair(ours: Any, theirs: Any, *, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Build two layers with equal weights, none of them zero."""
    for layer in (ours, theirs):
        layer.build((None, *shape))
    random = np.random.default_rng(5)
    weights = [random.normal(0, 0.3, weight.shape).astype(np.float32) for weight in theirs.weights[:3]]
    for layer in (ours, theirs):
        layer.set_weights([*weights, *layer.get_weights()[3:]])
    return ours, theirs


def as_array(tensor: Any) -> Any:
    import keras

    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def check_close(ours: Any, theirs: Any, rel: float = 1e-5) -> None:
    import keras

    for one, other in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
        np.testing.assert_allclose(as_array(one), as_array(other), rtol=0, atol=rel * abs(as_array(other)).max())


def model_of(kind: Any, layers: list[Any], length: int, **settings: Any) -> Any:
    import keras

    model = kind([keras.Input((length, 1)), *layers, keras.layers.Dense(1)])
    model.compile(optimizer="rmsprop", loss="mean_squared_error", **settings)
    return model


def trained_alike(ours: Any, theirs: Any, length: int, **fit: Any) -> tuple[Any, Any]:
    """Give both models one start and one epoch, and return both histories."""
    import keras

    from seqsum_core.nn.models import set_start

    inputs = drawn(length)
    histories = []
    for model in (ours, theirs):
        assert set_start(model, seed=2)
        keras.utils.set_random_seed(7)
        arguments = {"batch_size": BATCH, "epochs": 1, "shuffle": False, "verbose": 0} | fit
        histories.append(model.fit(inputs, inputs.sum(1), **arguments).history)
    return histories[0], histories[1]


EVERYTHING = {"go_backwards": True, "return_sequences": True, "return_state": True}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("length", "arguments"),
    [(4, {}), (12, {}), (4, EVERYTHING), (4, {"use_bias": False})],
    ids=["4", "12", "4, everything", "4, no bias"],
)
def test_outputs_are_those_of_keras(fused: Any, name: str, length: int, arguments: dict[str, Any]) -> None:
    ours, theirs = pair(fused.LAYERS[name](5, **arguments), keras_layer(name)(5, **arguments), shape=(length, 3))
    check_close(ours(drawn(length, 3)), theirs(drawn(length, 3)))
    assert ours.path == fused_path()


@pytest.mark.parametrize("name", MODELS)
def test_initial_state_is_where_it_begins(fused: Any, name: str) -> None:
    ours, theirs = pair(fused.LAYERS[name](5), keras_layer(name)(5), shape=(4, 1))
    states = [np.full((ROWS, 5), value, np.float32) for value in (0.5, -0.25)[: 2 if name == "lstm" else 1]]
    found = ours(drawn(4), initial_state=states)
    check_close(found, theirs(drawn(4), initial_state=states))
    assert not np.allclose(as_array(found), as_array(ours(drawn(4))), atol=1e-3)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("length", "stacked"), [(4, False), (12, False), (4, True)])
def test_an_epoch_leaves_the_weights_and_losses_of_keras(fused: Any, name: str, length: int, stacked: bool) -> None:
    import keras

    def layers(kind: Any) -> list[Any]:
        return [kind(5, return_sequences=True)] * stacked + [kind(5)]

    ours = model_of(fused.Sequential, layers(fused.LAYERS[name]), length, **fused.settings_for(running()))
    theirs = model_of(keras.Sequential, layers(keras_layer(name)), length)
    history, wanted = trained_alike(ours, theirs, length)
    assert history["loss"] == pytest.approx(wanted["loss"], rel=1e-5)
    check_close(ours.get_weights(), theirs.get_weights())
    assert ours.path == fused_path()


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_gates_in_another_order_are_caught(fused: Any, name: str) -> None:
    ours, theirs = pair(fused.LAYERS[name](5), keras_layer(name)(5), shape=(4, 1))
    ours.set_weights([np.roll(weight, 5, axis=-1) for weight in ours.get_weights()[:3]])
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_close(ours(drawn(4)), theirs(drawn(4)))


def test_kernel_that_leaves_gates_as_they_are_is_caught(fused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if running() != "torch":
        pytest.skip("only PyTorch has the gates in another order")
    monkeypatch.setattr("seqsum_core.nn.fused.torch_kernels._reset_first", lambda gates: gates)
    ours, theirs = pair(fused.GRU(5), keras_layer("gru")(5), shape=(4, 1))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_close(ours(drawn(4)), theirs(drawn(4)))


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("simple_rnn", {"activation": "relu"}, "activation relu"),
        ("lstm", {"recurrent_activation": "hard_sigmoid"}, "recurrent_activation hard_sigmoid"),
        ("gru", {"reset_after": False}, "reset_after"),
        ("lstm", {"dropout": 0.5}, "dropout"),
        ("gru", {"recurrent_dropout": 0.5}, "recurrent_dropout"),
        ("simple_rnn", {"unroll": True}, "unroll"),
        ("lstm", {"dtype": "mixed_bfloat16"}, "dtype bfloat16"),
    ],
)
def test_what_the_kernels_do_not_know_goes_to_keras(
    fused: Any, name: str, arguments: dict[str, Any], reason: str
) -> None:
    ours, theirs = pair(fused.LAYERS[name](5, **arguments), keras_layer(name)(5, **arguments), shape=(4, 1))
    assert ours.path == f"keras: {reason}"
    np.testing.assert_array_equal(as_array(ours(drawn(4))), as_array(theirs(drawn(4))))


def test_state_kept_between_batches_goes_to_keras(fused: Any) -> None:
    import keras

    ours, theirs = fused.LSTM(5, stateful=True), keras.layers.LSTM(5, stateful=True)
    for layer in (ours, theirs):
        layer.build((ROWS, 4, 1))
    for weight, other in zip(ours.trainable_weights, theirs.trainable_weights, strict=True):
        weight.assign(other)
    first, second = (layer(drawn(4)) for layer in (ours, theirs))
    check_close([first, ours(drawn(4))], [second, theirs(drawn(4))])
    assert ours.path == "keras: stateful"


@pytest.mark.parametrize("name", ["lstm"])
def test_masked_timesteps_go_to_keras(fused: Any, name: str) -> None:
    ours, theirs = pair(fused.LAYERS[name](5), keras_layer(name)(5), shape=(4, 1))
    mask = np.arange(4)[None, :] < np.arange(ROWS)[:, None] % 4 + 1
    check_close(ours(drawn(4), mask=mask), theirs(drawn(4), mask=mask))
    assert ours.path == "keras: mask"
    ours(drawn(4))
    assert ours.path == fused_path()


@pytest.mark.parametrize(
    ("settings", "fit", "reason"),
    [
        ({"metrics": ["mae"]}, {}, "metrics"),
        ({"loss": "mean_absolute_error"}, {}, "loss"),
        ({}, {"sample_weight": np.linspace(0, 1, ROWS)}, ""),
    ],
)
def test_other_losses_metrics_and_weights_train_as_in_keras(
    fused: Any, settings: dict[str, Any], fit: dict[str, Any], reason: str
) -> None:
    import keras

    ours = model_of(fused.Sequential, [fused.GRU(3)], 4)
    theirs = model_of(keras.Sequential, [keras.layers.GRU(3)], 4)
    extra = fused.settings_for(running())
    for model, more in ((ours, extra), (theirs, {})):
        model.compile(**({"optimizer": "adam", "loss": "mean_squared_error"} | settings | more))
    history, wanted = trained_alike(ours, theirs, 4, epochs=2, validation_split=0.2, **fit)
    assert history.keys() == wanted.keys()
    for name, values in wanted.items():
        assert history[name] == pytest.approx(values, rel=1e-5)
    if running() == "torch":
        assert ours.path == (f"keras: {reason}" if reason else "fused")


def test_shuffled_batches_are_those_of_keras(fused: Any) -> None:
    import keras

    ours = model_of(fused.Sequential, [fused.LSTM(3)], 4, **fused.settings_for(running()))
    theirs = model_of(keras.Sequential, [keras.layers.LSTM(3)], 4)
    trained_alike(ours, theirs, 4, shuffle=True)
    check_close(ours.get_weights(), theirs.get_weights())


def test_no_pipeline_of_tensorflow_is_tuned(fused: Any) -> None:
    if running() != "tensorflow":
        pytest.skip("only TensorFlow tunes pipelines")
    import tensorflow

    given = tensorflow.data.Dataset.range(3)
    strategy = model_of(fused.Sequential, [fused.LSTM(3)], 4).distribute_strategy
    untuned = strategy.experimental_distribute_dataset(given)
    assert untuned.options().autotune.enabled is False and given.options().autotune.enabled is None
    assert [int(value) for value in untuned] == [0, 1, 2]


def test_callbacks_are_called_once_an_execution(fused: Any) -> None:
    import keras

    if running() != "jax":
        pytest.skip("other backends run Keras' own executions")
    seen: list[int] = []
    ours = model_of(fused.Sequential, [fused.GRU(3)], 4, steps_per_execution=3)
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    ours.fit(drawn(4), drawn(4).sum(1), batch_size=BATCH, epochs=1, verbose=0, callbacks=[callback])
    assert seen == [2, 5]
    assert int(ours.optimizer.iterations) == 4


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded_model_predicts_the_same(fused: Any, name: str, tmp_path: Path) -> None:
    import keras

    model = model_of(fused.Sequential, [fused.LAYERS[name](3, go_backwards=True)], 4)
    model.fit(drawn(4), drawn(4).sum(1), batch_size=BATCH, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is fused.Sequential and type(loaded.layers[0]) is fused.LAYERS[name]
    check_close(loaded.predict(drawn(4), verbose=0), model.predict(drawn(4), verbose=0))


@pytest.mark.parametrize("name", MODELS)
def test_config_of_either_builds_the_other(fused: Any, name: str) -> None:
    ours = fused.LAYERS[name](3, return_sequences=True, name="same")
    theirs = keras_layer(name).from_config(ours.get_config())
    assert fused.LAYERS[name].from_config(theirs.get_config()).get_config() == ours.get_config()


@pytest.mark.parametrize("name", MODELS)
def test_witness_sees_the_path(fused: Any, name: str) -> None:
    from seqsum_core.nn.execution_path import witness

    model = model_of(fused.Sequential, [fused.LAYERS[name](3, name="own")], 4)
    model.fit(drawn(4), drawn(4).sum(1), batch_size=BATCH, epochs=1, verbose=0)
    found = witness(model, sequences(), batch_size=BATCH)
    assert found.evidence.endswith(f"own: {fused_path()}")
    assert found.recurrence == {"jax": "scan", "torch": "fused", "tensorflow": "while_loop"}[running()]


def test_loop_over_steps_is_taken_for_no_recurrence(fused: Any) -> None:
    import keras

    from seqsum_core.nn.execution_path import witness

    if running() != "jax":
        pytest.skip("the loop is JAX's")
    import jax

    keras.utils.clear_session()
    jax.clear_caches()
    model = model_of(fused.Sequential, [fused.LSTM(3, unroll=True)], 4, steps_per_execution=3)
    model.fit(drawn(4), drawn(4).sum(1), batch_size=BATCH, epochs=1, verbose=0)
    found = witness(model, sequences(), batch_size=BATCH)
    assert (found.recurrence, found.xla) == ("unrolled", True)


def test_unknown_backend_is_named(fused: Any) -> None:
    with pytest.raises(ValueError, match="`backend` must be one of"):
        fused.settings_for("theano")
