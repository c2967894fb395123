"""The current backend retraces the runs of 2017, in the formulas of Keras 2, in float32 and in true float64."""

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqsum_core.article import reference
from seqsum_core.article.reference import Reference
from seqsum_core.article.verdict import Check, Replayed, verdict
from seqsum_core.reference_cells import loss_and_gradients, predict
from seqsum_core.start import WEIGHT_NAMES

pytestmark = pytest.mark.backend


@pytest.fixture(scope="module")
def replaying() -> Any:
    return pytest.importorskip("seqsum_core.article.replay", exc_type=ImportError)


@pytest.fixture(scope="module")
def precision(replaying: Any) -> Any:
    return replaying.precision


def failed_checks(run: Reference, replayed: Replayed) -> list[Check]:
    return [check for check in verdict(run, replayed) if not check.passed]


def shortened(run: Reference, epochs: int) -> Reference:
    """Return a run as if it had ended earlier."""
    return dataclasses.replace(run, order=run.order[:epochs], loss=run.loss[:epochs], val_loss=run.val_loss[:epochs])


@pytest.mark.parametrize(("name", "stop"), [("rnn-4", 23), ("lstm-4", 24)])
def test_case_is_retraced_in_float32(replaying: Any, name: str, stop: int) -> None:
    run = reference.case(name)
    replayed = replaying.replay(run)
    assert failed_checks(run, replayed) == []
    assert replayed.stop_epoch == stop and len(replayed.loss) == len(replayed.val_loss) == stop + 1
    assert (replayed.backend, replayed.dtype) == (replaying.keras.backend.backend(), "float32")


def test_float64_run_goes_on_past_its_stop(replaying: Any) -> None:
    """Predictions are kept at the stop, where they are those that the article printed, and at the end."""
    run = shortened(reference.case("rnn-4", "float64"), 30)
    replayed = replaying.replay(run, "float64")
    assert failed_checks(run, replayed) == []
    assert len(replayed.loss) == 30 and replayed.stop_epoch == 23
    np.testing.assert_allclose(replayed.val_loss, run.val_loss, rtol=1e-9)
    np.testing.assert_allclose(replayed.stop_predictions[:6], run.printed, atol=2e-5, rtol=0)
    assert np.abs(replayed.stop_predictions - replayed.test_predictions).max() > 1e-3


def test_own_file(replaying: Any, tmp_path: Path) -> None:
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
    lines: list[str] = []
    replayed = replaying.replay(run, "float64", report=lines.append)
    loss, predictions = train_by_the_equations(run)
    np.testing.assert_allclose(replayed.loss, loss, rtol=1e-12)
    np.testing.assert_allclose(replayed.test_predictions, predictions, rtol=1e-10)
    assert lines == ["epoch 0 of 2", "epoch 1 of 2", "prediction"]


def train_by_the_equations(run: Reference) -> tuple[list[float], Any]:
    """Train a run in NumPy with Keras 2's RMSprop; return losses and test predictions."""
    weights = list(run.weights)
    squares = [np.zeros_like(weight) for weight in weights]
    x, y = run.inputs[:, :, np.newaxis], run.targets[:, np.newaxis]
    losses = []
    for order in run.order:
        total = 0.0
        for begin in range(0, len(order), 100):
            rows = run.train_rows[order[begin : begin + 100]]
            loss, gradients = loss_and_gradients(run.model, weights, x[rows], y[rows], mask=False)
            total += loss * len(rows)
            for index in range(len(WEIGHT_NAMES)):
                squares[index] = 0.9 * squares[index] + (1 - 0.9) * gradients[index] ** 2
                weights[index] = weights[index] - 0.001 * gradients[index] / (np.sqrt(squares[index]) + 1e-8)
        losses.append(total / len(order))
    return losses, predict(run.model, weights, x[run.test_rows], mask=False)[:, 0]


@pytest.mark.parametrize(("name", "planted"), [("rnn-4", "RMSprop"), ("lstm-4", "hard_sigmoid")])
def test_formula_of_keras_3(replaying: Any, monkeypatch: pytest.MonkeyPatch, name: str, planted: str) -> None:
    keras = replaying.keras
    wrong = {"RMSprop": lambda: keras.optimizers.RMSprop(0.001), "hard_sigmoid": keras.activations.hard_sigmoid}
    monkeypatch.setattr(replaying.keras2, planted, wrong[planted])
    run = shortened(reference.case(name), 6)
    failed = [check.name for check in failed_checks(run, replaying.replay(run))]
    assert any(name.startswith("val_loss of the first") for name in failed)


def steps(optimizer: Any, gradients: Sequence[float]) -> list[float]:
    """Return the weight, 1 at first, after each step of an optimizer."""
    import keras

    weight = keras.Variable([1.0], dtype="float32")
    optimizer.build([weight])
    values = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor([gradient], "float32")], [weight])
        values.append(float(keras.ops.convert_to_numpy(weight.value)[0]))
    return values


def test_formulas_of_keras_2(replaying: Any) -> None:
    keras2, ops = replaying.keras2, replaying.keras.ops
    x = np.array([-3.0, -2.5, -1.0, 0.0, 1.0, 2.5, 3.0], np.float32)
    outputs = ops.convert_to_numpy(keras2.hard_sigmoid(ops.convert_to_tensor(x)))
    np.testing.assert_allclose(outputs, [0.0, 0.0, 0.3, 0.5, 0.7, 1.0, 1.0], atol=1e-7)
    expected, square, weight = [], 0.0, 1.0
    for gradient in (0.5, -0.25, 2.0):
        square = 0.9 * square + 0.1 * gradient**2
        weight -= 0.001 * gradient / (np.sqrt(square) + 1e-8)
        expected.append(weight)
    np.testing.assert_allclose(steps(keras2.RMSprop(), (0.5, -0.25, 2.0)), expected, rtol=2e-7)
    change = 1.0 - steps(keras2.RMSprop(learning_rate=1.0), (1e-5,))[0]  # epsilon inside the root would shrink it
    assert change == pytest.approx(1e-5 / (np.sqrt(0.1) * 1e-5 + 1e-8), rel=1e-5)
    assert keras2.kept_and_new_share(0.9, "float32") == (float(np.float32(0.9)), 1 - float(np.float32(0.9)))
    rebuilt = keras2.RMSprop.from_config(keras2.RMSprop(0.01, rho=0.5, epsilon=1e-3).get_config())
    assert (rebuilt.rho, rebuilt.epsilon) == (0.5, 1e-3)
    assert float(rebuilt.learning_rate) == pytest.approx(0.01)


INPUTS = np.random.default_rng(0).normal(size=(7, 3, 1))
TARGETS = INPUTS.sum(axis=1)


def small_model(keras: Any, *middle: Any) -> Any:
    model = keras.Sequential([keras.Input((3, 1)), keras.layers.SimpleRNN(4), *middle, keras.layers.Dense(1)])
    model.compile(optimizer="rmsprop", loss="mean_squared_error")
    model.optimizer.build(model.trainable_variables)
    return model


def test_float64_operations(precision: Any) -> None:
    """A layer that computes in float32 and casts back shows by its effect, a float32 model by its dtypes."""
    keras = precision.keras
    single = small_model(keras)
    value = np.array([[1 + 2.0**-40]])
    with precision.float64():
        model = small_model(keras)
        precision.check_float64(model, INPUTS, TARGETS)
        assert {weight.dtype for weight in model.get_weights()} == {np.dtype("float64")}
        for result in (keras.ops.matmul(value, np.ones((1, 1))), keras.ops.mean(value)):
            assert float(keras.ops.convert_to_numpy(result).squeeze()) == value[0, 0]
        rounding = keras.layers.Lambda(lambda x: keras.ops.cast(keras.ops.cast(x, "float32"), x.dtype))
        with pytest.raises(RuntimeError, match="does not compute in float64: growing a weight"):
            precision.check_float64(small_model(keras, rounding), INPUTS, TARGETS)
        with pytest.raises(RuntimeError, match=rf"Keras {keras.__version__} on .*weights are"):
            precision.check_float64(single, INPUTS, TARGETS)
    precision.check_float64_values(np.array([0.1, 0.5]))
    with pytest.raises(RuntimeError, match="no more digits than float32 holds"):
        precision.check_float64_values(np.array([0.1, 0.5]), np.array([0.25]))


def test_demotion_without_the_workaround(precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When this fails, Keras no longer demotes float64 and the workaround can go."""
    if precision.keras.backend.backend() == "tensorflow":
        pytest.skip("Keras demotes float64 on JAX and PyTorch only")
    monkeypatch.setattr(precision, "_float64_result_type", nullcontext)
    with pytest.raises(RuntimeError, match="resolves float64 with float32 to float32"), precision.float64():
        pass


def test_float64_ends_after_an_error(precision: Any) -> None:
    keras = precision.keras
    before = keras.config.floatx(), keras.config.dtype_policy().name, keras.backend.result_type("float64", "float32")
    with pytest.raises(KeyError), precision.float64():
        assert keras.config.floatx() == "float64"
        raise KeyError
    after = keras.config.floatx(), keras.config.dtype_policy().name, keras.backend.result_type("float64", "float32")
    assert after == before
