"""Fused layers and models compute and learn what Keras' own do, tell which path they take, and can be saved."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seqsum_core.settings import MODELS
from seqsum_core.tasks import Sequences

pytestmark = pytest.mark.backend

ROWS, BATCH, LENGTH = 70, 20, 4
"""Three batches of 20 and one of 10: an epoch ends on a smaller one."""


@pytest.fixture(scope="module")
def fused() -> Any:
    return pytest.importorskip("seqsum_core.nn.fused", exc_type=ImportError)


@pytest.fixture(scope="module")
def keras(fused: Any) -> Any:
    import keras

    return keras


@pytest.fixture(scope="module")
def running(keras: Any) -> str:
    return str(keras.backend.backend())


@pytest.fixture(scope="module")
def fused_path(running: str) -> str:
    return "keras: backend tensorflow" if running == "tensorflow" else "fused"


def keras_layer(name: str) -> Any:
    from seqsum_core.nn.models import LAYERS

    return LAYERS[name]


def draw_inputs(features: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(4).integers(0, 4, (ROWS, LENGTH, features)).astype(np.float32)


X = draw_inputs()
Y = X.sum(1)


def pair(fused: Any, name: str, features: int = 1, **arguments: Any) -> tuple[Any, Any]:
    """Build a fused layer and Keras' own with equal weights, none of them zero."""
    ours, theirs = fused.LAYERS[name](5, **arguments), keras_layer(name)(5, **arguments)
    random = np.random.default_rng(5)
    for layer in (ours, theirs):
        layer.build((ROWS, LENGTH, features))
    weights = [random.normal(0, 0.3, weight.shape).astype(np.float32) for weight in theirs.weights[:3]]
    for layer in (ours, theirs):
        layer.set_weights([*weights, *layer.get_weights()[3:]])
    return ours, theirs


def as_array(tensor: Any) -> Any:
    import keras

    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def check_close(ours: Any, theirs: Any, rel: float = 1e-5) -> None:
    import keras

    for our, their in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
        np.testing.assert_allclose(as_array(our), as_array(their), rtol=0, atol=rel * abs(as_array(their)).max())


def model_of(kind: Any, layers: list[Any], **settings: Any) -> Any:
    import keras

    model = kind([keras.Input((LENGTH, 1)), *layers, keras.layers.Dense(1)])
    model.compile(**({"optimizer": "rmsprop", "loss": "mean_squared_error"} | settings))
    return model


def train(model: Any, **fit: Any) -> dict[str, list[float]]:
    """Train for an epoch from the same start and seed as every other model."""
    import keras

    from seqsum_core.nn.models import set_start

    set_start(model, seed=2)
    keras.utils.set_random_seed(7)
    arguments = {"batch_size": BATCH, "epochs": 1, "shuffle": False, "verbose": 0} | fit
    history: dict[str, list[float]] = model.fit(X, Y, **arguments).history
    return history


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "arguments",
    [{}, {"go_backwards": True, "return_sequences": True, "return_state": True}, {"use_bias": False}],
    ids=["default", "everything", "no bias"],
)
def test_outputs_are_those_of_keras(fused: Any, fused_path: str, name: str, arguments: dict[str, Any]) -> None:
    """From states of zero and from given ones."""
    ours, theirs = pair(fused, name, features=3, **arguments)
    states = [np.full((ROWS, 5), value, np.float32) for value in (0.5, -0.25)[: 2 if name == "lstm" else 1]]
    outputs = [layer(draw_inputs(3)) for layer in (ours, theirs)]
    check_close(*outputs)
    continued = [layer(draw_inputs(3), initial_state=states) for layer in (ours, theirs)]
    check_close(*continued)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_close(outputs[0], continued[0])
    assert ours.path == fused_path


@pytest.mark.parametrize("name", MODELS)
def test_epoch_is_that_of_keras(fused: Any, keras: Any, running: str, fused_path: str, name: str) -> None:
    """With two layers, so that gradients reach a layer's inputs too; and the execution path is detected."""
    from seqsum_core.nn.execution_path import detect_path

    if running == "tensorflow" and name != "simple_rnn":
        pytest.skip("on TensorFlow the layers are those of Keras")

    def layers(kind: Any) -> list[Any]:
        return [kind(5, return_sequences=True, name="lower"), kind(5, name="upper")]

    ours = model_of(fused.Sequential, layers(fused.LAYERS[name]), **fused.settings_for(running))
    theirs = model_of(keras.Sequential, layers(keras_layer(name)))
    expected, history = train(theirs), train(ours)
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    check_close(ours.get_weights(), theirs.get_weights())
    assert ours.path == fused_path
    digits = X[:, :, 0].astype(np.int16)
    rows = Sequences(digits, np.full(ROWS, LENGTH, np.int32), digits.sum(1, dtype=np.int64))
    path = detect_path(ours, rows, batch_size=BATCH)
    assert path.evidence.endswith(f"lower: {fused_path}; upper: {fused_path}")
    assert path.recurrence == {"jax": "scan", "torch": "fused", "tensorflow": "while_loop"}[running]


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("simple_rnn", {"activation": "relu"}, "activation relu"),
        ("lstm", {"recurrent_activation": "hard_sigmoid"}, "recurrent_activation hard_sigmoid"),
        ("gru", {"reset_after": False}, "reset_after"),
        ("lstm", {"dropout": 0.5}, "dropout"),
        ("gru", {"recurrent_dropout": 0.5}, "recurrent_dropout"),
        ("simple_rnn", {"unroll": True}, "unroll"),
        ("simple_rnn", {"stateful": True}, "stateful"),
        ("lstm", {"dtype": "mixed_bfloat16"}, "dtype bfloat16"),
    ],
)
def test_unsupported_goes_to_keras(fused: Any, name: str, arguments: dict[str, Any], reason: str) -> None:
    ours, theirs = pair(fused, name, **arguments)
    assert ours.path == f"keras: {reason}"
    for _ in range(1 + (reason == "stateful")):
        np.testing.assert_array_equal(as_array(ours(X)), as_array(theirs(X)))


def test_masked_timesteps_go_to_keras(fused: Any, fused_path: str) -> None:
    ours, theirs = pair(fused, "lstm")
    mask = np.arange(LENGTH)[None, :] < np.arange(ROWS)[:, None] % LENGTH + 1
    check_close(ours(X, mask=mask), theirs(X, mask=mask))
    assert ours.path == "keras: mask"
    ours(X)
    assert ours.path == fused_path


@pytest.mark.parametrize(
    ("settings", "fit", "path"),
    [
        ({"metrics": ["mae"]}, {"validation_split": 0.2}, "keras: metrics"),
        ({"loss": "mean_absolute_error", "optimizer": "adam"}, {}, "keras: loss"),
        ({}, {"sample_weight": np.linspace(0, 1, ROWS)}, "fused"),
        ({}, {"shuffle": True, "epochs": 2}, "fused"),
    ],
    ids=["metrics", "loss", "weights", "shuffle"],
)
def test_other_settings_train_as_in_keras(
    fused: Any, keras: Any, running: str, settings: dict[str, Any], fit: dict[str, Any], path: str
) -> None:
    if running == "tensorflow" and path == "fused" and "shuffle" not in fit:
        pytest.skip("on TensorFlow the steps are those of Keras")
    ours = model_of(fused.Sequential, [fused.SimpleRNN(3)], **settings, **fused.settings_for(running))
    theirs = model_of(keras.Sequential, [keras.layers.SimpleRNN(3)], **settings)
    expected, history = train(theirs, **fit), train(ours, **fit)
    assert history.keys() == expected.keys()
    for name, values in expected.items():
        assert history[name] == pytest.approx(values, rel=1e-5)
    check_close(ours.get_weights(), theirs.get_weights())
    if running == "torch":
        assert ours.path == path


def test_no_pipeline_of_tensorflow_is_tuned(fused: Any, running: str) -> None:
    if running != "tensorflow":
        pytest.skip("only TensorFlow tunes pipelines")
    import tensorflow

    given = tensorflow.data.Dataset.range(3)
    strategy = model_of(fused.Sequential, [fused.LSTM(3)]).distribute_strategy
    untuned = strategy.experimental_distribute_dataset(given)
    assert untuned.options().autotune.enabled is False and given.options().autotune.enabled is None
    assert [int(value) for value in untuned] == [0, 1, 2]


def test_several_steps_of_jax(fused: Any, keras: Any, running: str) -> None:
    """Callbacks are called once an execution, and the loop over steps is not taken for a recurrence."""
    from seqsum_core.nn.execution_path import detect_path

    if running != "jax":
        pytest.skip("other backends run Keras' own executions")
    import jax

    keras.utils.clear_session()
    jax.clear_caches()
    seen: list[int] = []
    model = model_of(fused.Sequential, [fused.LSTM(3, unroll=True)], steps_per_execution=3)
    train(model, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))])
    assert seen == [2, 5] and int(model.optimizer.iterations) == 4
    digits = X[:, :, 0].astype(np.int16)
    rows = Sequences(digits, np.full(ROWS, LENGTH, np.int32), digits.sum(1, dtype=np.int64))
    path = detect_path(model, rows, batch_size=BATCH)
    assert (path.recurrence, path.xla) == ("unrolled", True)


def test_saved_and_loaded(fused: Any, keras: Any, tmp_path: Path) -> None:
    model = model_of(fused.Sequential, [fused.GRU(3, return_sequences=True), fused.LSTM(3, go_backwards=True)])
    train(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [type(layer) for layer in loaded.layers[:2]] == [fused.GRU, fused.LSTM] and type(loaded) is fused.Sequential
    check_close(loaded(X), model(X))
