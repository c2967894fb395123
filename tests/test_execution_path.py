"""Which path Keras' recurrent layers run on, backend by backend, on a CPU.

The paths are those of Keras 3.15.1. On another path, results measured before do not compare.
"""

import gc
from typing import Any

import numpy as np
import pytest

from seqsum_core.settings import RECURRENCES, TaskSettings, VariantSettings
from seqsum_core.tasks import draw, split

pytestmark = pytest.mark.backend

LENGTH = 4
BATCH = 100
ROWS = split(draw(TaskSettings(), length=LENGTH), TaskSettings()).fitted.take(np.arange(120))
"""A batch of 100 rows and one of 20, as every epoch ends."""


@pytest.fixture(scope="module")
def models() -> Any:
    return pytest.importorskip("seqsum_core.nn.models", exc_type=ImportError)


@pytest.fixture(autouse=True)
def _nothing_compiled_before(models: Any) -> None:
    """Forget the models of earlier tests: a worker trains one in its life, and only that is asked for."""
    models.keras.utils.clear_session()
    if running() == "jax":
        import jax

        jax.clear_caches()
    gc.collect()


def running() -> str:
    import keras

    return str(keras.backend.backend())


def path_of(model: Any) -> Any:
    """Fit a model for two epochs and detect its path."""
    from seqsum_core.nn.execution_path import detect_path

    model.fit(ROWS.inputs(), ROWS.targets(), batch_size=BATCH, epochs=2, verbose=0)
    path = detect_path(model, ROWS, batch_size=BATCH)
    assert path.evidence and path.recurrence in RECURRENCES
    return path


Expected = dict[str, tuple[str, bool, int]]
AUTO: Expected = {
    "jax": ("scan", True, 2),
    "torch": ("python_loop", False, 0),
    "tensorflow": ("while_loop", False, 2),
}


@pytest.mark.parametrize(
    ("name", "variant", "expected"),
    [
        ("simple_rnn", {}, AUTO),
        ("lstm", {}, AUTO),
        ("gru", {}, AUTO),
        ("lstm", {"unroll": True}, AUTO | {"jax": ("unrolled", True, 2), "tensorflow": ("unrolled", False, 2)}),
        ("gru", {"jit_compile": False}, AUTO | {"jax": ("scan", False, 0)}),
        ("lstm", {"jit_compile": True}, AUTO | {"tensorflow": ("while_loop", True, 2)}),
    ],
)
def test_path_of_keras_layers(models: Any, name: str, variant: dict[str, Any], expected: Expected) -> None:
    """Path, whether XLA compiled the step, and how many steps were compiled or traced."""
    if running() == "torch" and variant.get("jit_compile") is True:
        pytest.skip("PyTorch compiles without XLA, for minutes")
    path = path_of(models.build(name, length=LENGTH, variant=VariantSettings(**variant)))
    assert (path.recurrence, path.xla, path.compilations) == expected[running()]
    if expected is AUTO:
        evidence = {"jax": f"loops of {LENGTH} iterations", "torch": "matrix products in a step", "tensorflow": "While"}
        assert evidence[running()] in path.evidence


def test_recurrent_layer_inside_another_layer(models: Any) -> None:
    layers = models.keras.layers
    inner = layers.Bidirectional(layers.SimpleRNN(3, unroll=True))
    model = models.keras.Sequential([models.keras.Input((LENGTH, 1)), inner, layers.Dense(1)])
    model.compile(loss="mean_squared_error")
    assert path_of(model).recurrence == ("python_loop" if running() == "torch" else "unrolled")


def test_model_without_recurrent_layer(models: Any) -> None:
    layers = models.keras.layers
    model = models.keras.Sequential([models.keras.Input((LENGTH, 1)), layers.Flatten(), layers.Dense(1)])
    model.compile(loss="mean_squared_error")
    path = path_of(model)
    assert (path.recurrence, path.xla) == ("none", running() == "jax")


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_kernel_of_pytorch_for_all_timesteps(models: Any, kind: str) -> None:
    """It is "fused"; and detecting trains for a single step."""
    if running() != "torch":
        pytest.skip("the kernel is PyTorch's")
    import torch

    layers = models.keras.layers

    class Fused(layers.Layer):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = getattr(torch.nn, kind)(1, 3, batch_first=True)

        def call(self, inputs: Any) -> Any:
            return self.inner(inputs)[0][:, -1]

    model = models.keras.Sequential([models.keras.Input((LENGTH, 1)), Fused(), layers.Dense(1)])
    model.compile(loss="mean_squared_error")
    path = path_of(model)
    assert (path.recurrence, path.xla, path.compilations) == ("fused", False, 0)
    assert int(model.optimizer.iterations) == 2 * 2 + 1


@pytest.mark.parametrize("name", ["no_recurrence", "unrolled_dropout"])
def test_loops_of_random_numbers_are_no_recurrence(models: Any, name: str) -> None:
    """On JAX's CPU dropout draws in a loop of its own."""
    unrolled = "python_loop" if running() == "torch" else "unrolled"
    expected = "none" if name == "no_recurrence" else unrolled
    assert path_of(models.build(f"own_models:{name}", length=LENGTH)).recurrence == expected


def test_functions_that_end_while_they_are_read(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow's list may name a function of a data set that is gone when its turn comes."""
    if running() != "tensorflow":
        pytest.skip("the list is TensorFlow's")
    from tensorflow.python.eager import context

    names = context.context().list_function_names
    monkeypatch.setattr(context.context(), "list_function_names", lambda: {"__inference_gone_1", *names()})
    assert path_of(models.build("lstm", length=LENGTH)).recurrence == "while_loop"
