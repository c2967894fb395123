"""Keras 2.0.7's optimizer and gate activation give the numbers that its formulas give, on any backend."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.backend


@pytest.fixture
def keras2() -> Any:
    return pytest.importorskip("seqsum_core.article.keras2", exc_type=ImportError)


def steps(optimizer: Any, gradients: Sequence[float], start: float = 1.0) -> list[float]:
    """Return the weight after each step of an optimizer on one weight."""
    import keras

    weight = keras.Variable([start], dtype="float32")
    optimizer.build([weight])
    values = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor([gradient], "float32")], [weight])
        values.append(float(keras.ops.convert_to_numpy(weight.value)[0]))
    return values


def test_hard_sigmoid_rises_by_a_fifth_between_its_two_ends(keras2: Any) -> None:
    x = np.array([-3.0, -2.5, -1.0, 0.0, 1.0, 2.5, 3.0], np.float32)
    ops = keras2.ops
    got = ops.convert_to_numpy(keras2.hard_sigmoid(ops.convert_to_tensor(x)))
    np.testing.assert_allclose(got, [0.0, 0.0, 0.3, 0.5, 0.7, 1.0, 1.0], atol=1e-7)


def test_rmsprop_takes_the_steps_of_the_2017_formula(keras2: Any) -> None:
    expected, square, weight = [], 0.0, 1.0
    for gradient in (0.5, -0.25, 2.0):
        square = 0.9 * square + 0.1 * gradient**2
        weight -= 0.001 * gradient / (np.sqrt(square) + 1e-8)
        expected.append(weight)
    np.testing.assert_allclose(steps(keras2.RMSprop(), (0.5, -0.25, 2.0)), expected, rtol=2e-7)


def test_rmsprop_adds_epsilon_outside_the_root(keras2: Any) -> None:
    """A tiny gradient tells the two places of epsilon apart: inside, it would shrink the step a lot."""
    moved = 1.0 - steps(keras2.RMSprop(learning_rate=1.0), (1e-5,))[0]
    assert moved == pytest.approx(1e-5 / (np.sqrt(0.1) * 1e-5 + 1e-8), rel=1e-5)
    inside = 1.0 - steps(keras2.keras.optimizers.RMSprop(learning_rate=1.0), (1e-5,))[0]
    assert moved > 10 * inside


def test_share_of_new_squares_is_rounded_from_rho_in_the_weights_dtype(keras2: Any) -> None:
    assert keras2.kept_and_new_share(0.9, "float32") == (float(np.float32(0.9)), 1 - float(np.float32(0.9)))
    assert keras2.kept_and_new_share(0.9, "float64") == (0.9, 1 - 0.9)


def test_rmsprop_can_be_rebuilt_from_its_config(keras2: Any) -> None:
    rebuilt = keras2.RMSprop.from_config(keras2.RMSprop(0.01, rho=0.5, epsilon=1e-3).get_config())
    assert (rebuilt.rho, rebuilt.epsilon) == (0.5, 1e-3)
    assert float(rebuilt.learning_rate) == pytest.approx(0.01)
