"""Several devices: what is refused on each backend, and that on JAX they train as one does."""

import os
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.backend

TRAIN = """
import numpy as np
from seqsum_core.nn import models
from seqsum_core.nn.devices import share_rows
from seqsum_core.settings import TaskSettings, TrainingSettings
from seqsum_core.task import draw, split
from seqsum_core.nn.training import fit_for_accuracy

share_rows("cpu", count=COUNT, batches=(100, 20))
data = split(draw(TaskSettings(), length=4), TaskSettings())
model = models.build("lstm", length=4)
models.set_start(model, seed=0)
(trained,) = fit_for_accuracy(model, data, TrainingSettings(epochs=2), seed=0)
print(len(model.weights[0].value.devices()), *trained.loss, *trained.val_loss)
"""


@pytest.fixture
def devices() -> Any:
    return pytest.importorskip("seqsum_core.nn.devices", exc_type=ImportError)


@pytest.fixture
def backend() -> str:
    import keras

    return str(keras.backend.backend())


def test_one_device_is_let_alone(devices: Any) -> None:
    import keras

    devices.share_rows("cpu", count=1, batches=(7,))
    assert keras.distribution.distribution() is None


def test_more_than_there_are_are_refused(devices: Any, backend: str) -> None:
    message = "those that are here, 1" if backend == "jax" else f"on jax only. Received: '{backend}'"
    with pytest.raises(ValueError, match=message):
        devices.share_rows("cpu", count=2, batches=(100,))


def trained_on(count: int) -> list[float]:
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    script = TRAIN.replace("COUNT", str(count))
    answer = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | flags, capture_output=True, text=True, check=True
    )
    used, *losses = map(float, answer.stdout.split()[-5:])
    assert used == count
    return losses


def test_two_devices_train_as_one_does(backend: str) -> None:
    if backend != "jax":
        pytest.skip("Keras shares rows on JAX only")
    assert trained_on(2) == pytest.approx(trained_on(1), rel=1e-5)


def test_rows_that_cannot_be_shared_equally_are_refused(backend: str) -> None:
    if backend != "jax":
        pytest.skip("Keras shares rows on JAX only")
    script = TRAIN.replace("COUNT", "2").replace("(100, 20)", "(100, 21)")
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    answer = subprocess.run([sys.executable, "-c", script], env=os.environ | flags, capture_output=True, text=True)
    assert "also that of 21 rows" in answer.stderr
