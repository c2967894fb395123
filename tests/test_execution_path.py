"""The witness: which path Keras' recurrent layers run on, backend by backend, on a CPU.

The paths are those of Keras 3.15.1. Where another one is found here, results measured before do not compare.
"""

import gc
from typing import Any

import numpy as np
import pytest

from seqsum_core.settings import MODELS, RECURRENCES, TaskSettings, VariantSettings
from seqsum_core.task import draw, split

pytestmark = pytest.mark.backend

LENGTH = 4
BATCH = 100
ROWS = split(draw(TaskSettings(), length=LENGTH), TaskSettings()).fitted.take(np.arange(120))
"""A batch of 100 rows and one of 20, as every epoch ends."""


@pytest.fixture
def models() -> Any:
    return pytest.importorskip("seqsum_core.nn.models", exc_type=ImportError)


@pytest.fixture(autouse=True)
def _nothing_compiled_before(models: Any) -> None:
    """Forget the models of earlier tests: a worker trains one in its life, and only that one is asked for."""
    import keras

    keras.utils.clear_session()
    if running() == "jax":
        import jax

        jax.clear_caches()
    gc.collect()


def running() -> str:
    import keras

    return str(keras.backend.backend())


def trained(models: Any, name: str, **variant: Any) -> Any:
    """Fit a model for two epochs."""
    return fitted(models.build(name, length=LENGTH, variant=VariantSettings(**variant)))


def fitted(model: Any) -> Any:
    model.fit(ROWS.inputs(), ROWS.targets(), batch_size=BATCH, epochs=2, verbose=0)
    return model


def seen(model: Any) -> tuple[str, bool, int]:
    """Return path, whether XLA compiled the step, and how many steps were compiled or traced."""
    from seqsum_core.nn.execution_path import witness

    found = witness(model, ROWS, batch_size=BATCH)
    assert found.evidence
    return found.recurrence, found.xla, found.compilations


@pytest.mark.parametrize("name", MODELS)
def test_as_keras_chooses(models: Any, name: str) -> None:
    assert seen(trained(models, name)) == {
        "jax": ("scan", True, 2),
        "torch": ("python_loop", False, 0),
        "tensorflow": ("while_loop", False, 2),
    }.get(running())


@pytest.mark.parametrize("name", MODELS)
def test_unrolled(models: Any, name: str) -> None:
    assert seen(trained(models, name, unroll=True)) == {
        "jax": ("unrolled", True, 2),
        "torch": ("python_loop", False, 0),
        "tensorflow": ("unrolled", False, 2),
    }.get(running())


@pytest.mark.parametrize("name", MODELS)
def test_without_compilation(models: Any, name: str) -> None:
    assert seen(trained(models, name, jit_compile=False)) == {
        "jax": ("scan", False, 0),
        "torch": ("python_loop", False, 0),
        "tensorflow": ("while_loop", False, 2),
    }.get(running())


@pytest.mark.parametrize("name", MODELS)
def test_compiled_by_xla(models: Any, name: str) -> None:
    if running() == "torch":
        pytest.skip("PyTorch compiles without XLA, for minutes")
    assert seen(trained(models, name, jit_compile=True)) == {
        "jax": ("scan", True, 2),
        "tensorflow": ("while_loop", True, 2),
    }.get(running())


def test_loop_is_told_from_another_by_its_number_of_turns(models: Any) -> None:
    from seqsum_core.nn.execution_path import witness

    evidence = witness(trained(models, "lstm"), ROWS, batch_size=BATCH).evidence
    assert {
        "jax": f"while loops of {LENGTH} turns" in evidence,
        "torch": "matrix products in a step" in evidence,
        "tensorflow": "While" in evidence,
    }[running()]


def test_recurrent_layer_inside_another_layer_is_found(models: Any) -> None:
    import keras

    inner = keras.layers.Bidirectional(keras.layers.GRU(3, unroll=True))
    model = keras.Sequential([keras.Input((LENGTH, 1)), inner, keras.layers.Dense(1)])
    model.compile(loss="mean_squared_error")
    assert seen(fitted(model))[0] == ("python_loop" if running() == "torch" else "unrolled")


def test_model_without_recurrent_layer_has_none(models: Any) -> None:
    import keras

    model = keras.Sequential([keras.Input((LENGTH, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile(loss="mean_squared_error")
    assert seen(fitted(model)) == {
        "jax": ("none", True, 2),
        "torch": ("none", False, 0),
        "tensorflow": ("none", False, 2),
    }.get(running())


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_kernel_of_pytorch_for_all_timesteps_is_fused(models: Any, kind: str) -> None:
    if running() != "torch":
        pytest.skip("the kernel is PyTorch's")
    import keras
    import torch

    class Fused(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = getattr(torch.nn, kind)(1, 3, batch_first=True)

        def call(self, inputs: Any) -> Any:
            return self.inner(inputs)[0][:, -1]

    model = keras.Sequential([keras.Input((LENGTH, 1)), Fused(), keras.layers.Dense(1)])
    model.compile(loss="mean_squared_error")
    assert seen(fitted(model)) == ("fused", False, 0)


def test_profiled_step_of_pytorch_trains_no_more_than_one_step(models: Any) -> None:
    if running() != "torch":
        pytest.skip("other backends are asked without training")
    model = trained(models, "simple_rnn")
    before = int(model.optimizer.iterations)
    seen(model)
    assert int(model.optimizer.iterations) == before + 1


def test_every_path_that_is_found_can_be_expected(models: Any) -> None:
    assert seen(trained(models, "lstm"))[0] in RECURRENCES
