"""Models: their layers, their start drawn in NumPy, and users' own models."""

from typing import Any

import numpy as np
import pytest

from seqsum_core.reference_cells import predict
from seqsum_core.settings import MODELS, NetworkSettings
from seqsum_core.start import draw_start

pytestmark = pytest.mark.backend

DIGITS = np.array([[[0.0], [1.0], [2.0], [3.0]], [[1.0], [2.0], [3.0], [0.0]]], np.float32)
"""The same digits with padding before and after them."""


@pytest.fixture(scope="module")
def models() -> Any:
    return pytest.importorskip("seqsum_core.nn.models", exc_type=ImportError)


def outputs(model: Any) -> Any:
    return model.predict_on_batch(DIGITS)


@pytest.mark.parametrize("name", MODELS)
def test_masked_stack_computes_the_equations(models: Any, name: str) -> None:
    """Layers and units are as asked, and the mask hides padding wherever it is."""
    model = models.build(name, length=4, network=NetworkSettings(units=3, layers=2, mask=True))
    kinds = [type(layer).__name__.lower() for layer in model.layers]
    assert kinds == ["masking", name.replace("_", ""), name.replace("_", ""), "dense"]
    assert model.output_shape == (None, 1) and [layer.units for layer in model.layers[1:3]] == [3, 3]
    models.set_start(model, seed=1)
    expected = predict(name, model.get_weights(), DIGITS, mask=True)
    np.testing.assert_allclose(outputs(model), expected, rtol=1e-5)
    assert expected[0] == pytest.approx(expected[1])


@pytest.mark.parametrize("name", MODELS)
def test_start_is_drawn_in_numpy_from_the_seed(models: Any, name: str) -> None:
    first, other = (models.build(name, length=4, network=NetworkSettings(units=5)) for _ in range(2))
    models.set_start(first, seed=9)
    models.set_start(other, seed=2)
    for ours, theirs in zip(first.get_weights(), draw_start(name, units=5, seed=9), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])


def test_start_is_pinned() -> None:
    """Drawn once with NumPy 2.4.6; other numbers would make other accuracies."""
    kernel, _, _, dense, _ = draw_start("gru", units=16, seed=0)
    assert kernel[0, :3] == pytest.approx([0.09585322, -0.16111574, -0.3212516], rel=1e-5)
    assert dense[0, 0] == pytest.approx(-0.57577497, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("lsmt", "must be one of"),
        ("no_such_module:build", "is not found"),
        ("own_models:no_such_function", "has no function"),
        ("./own_models.py:compiled", "not its file: own_models:compiled"),
        ("own_models:no_model", "must return a keras.Model"),
        ("own_models:broken", "failed for length 4"),
    ],
)
def test_unusable_model_is_named_with_the_rule(models: Any, name: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        models.build(name, length=4)


@pytest.mark.parametrize(("name", "optimizer"), [("uncompiled", "RMSprop"), ("compiled", "Adam")])
def test_own_model_is_compiled_unless_it_is(models: Any, name: str, optimizer: str) -> None:
    model = models.build(f"own_models:{name}", length=4)
    assert model.compiled and type(model.optimizer).__name__ == optimizer
