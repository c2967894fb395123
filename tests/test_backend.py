"""Backend: what is proved about the process, and that a wrong claim is refused."""

from typing import Any

import pytest

pytestmark = pytest.mark.backend


@pytest.fixture
def backend() -> Any:
    return pytest.importorskip("seqsum_core.backend", exc_type=ImportError)


def running() -> str:
    import keras

    return str(keras.backend.backend())


def test_running_backend_and_device_are_proved(backend: Any) -> None:
    proof = backend.prove(backend=running(), device="cpu")
    assert (proof.backend, proof.device, proof.float32_precision) == (running(), "cpu", "float32")
    assert {"keras", "numpy", running()} <= set(proof.versions)


def test_another_backend_than_asked_for_is_refused(backend: Any) -> None:
    other = "torch" if running() == "jax" else "jax"
    with pytest.raises(ValueError, match=f"runs on {running()}, not on {other}"):
        backend.prove(backend=other, device="cpu")


def test_cpu_when_gpu_was_asked_for_is_refused_with_the_environment(backend: Any) -> None:
    if backend.prove(backend=running(), device="cpu").device != "cpu":
        pytest.skip("this machine has a GPU")
    with pytest.raises(ValueError, match=r"puts its tensors on cpu .*-gpu"):
        backend.prove(backend=running(), device="gpu")


def test_no_device_memory_is_claimed_on_a_cpu(backend: Any) -> None:
    assert backend.peak_device_bytes("cpu") is None
