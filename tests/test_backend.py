"""Backend: what is proved about the process, and that a wrong claim is refused."""

from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.backend


@pytest.fixture
def backend() -> Any:
    return pytest.importorskip("seqsum_core.nn.backend", exc_type=ImportError)


def running() -> str:
    import keras

    return str(keras.backend.backend())


@pytest.fixture
def _as_before(backend: Any) -> Iterator[None]:
    """Undo what `prove` switches: other tests run in this process too."""
    yield
    backend.prove(backend=running(), device="cpu")
    match running():
        case "torch":
            import torch

            torch.use_deterministic_algorithms(False)
        case "tensorflow":
            from tensorflow.python.framework import config

            config.disable_op_determinism()


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


def test_precision_and_determinism_that_are_not_asked_for_are_off(backend: Any) -> None:
    proof = backend.prove(backend=running(), device="cpu")
    assert (proof.float32_precision, proof.deterministic) == ("float32", False)


def test_tf32_is_set_but_claimed_on_a_gpu_only(backend: Any, _as_before: None) -> None:
    assert backend.prove(backend=running(), device="cpu", tf32=True).float32_precision == "float32"
    asked = {
        "jax": lambda: __import__("jax").config.jax_default_matmul_precision,
        "torch": lambda: __import__("torch").backends.cuda.matmul.fp32_precision,
    }.get(running())
    if asked:
        assert asked() == {"jax": "tensorfloat32", "torch": "tf32"}[running()]
        backend.prove(backend=running(), device="cpu")
        assert asked() == {"jax": "float32", "torch": "ieee"}[running()]
    else:
        pytest.skip("TensorFlow is asked on a GPU only")


def test_deterministic_operations_are_asked_for(backend: Any, _as_before: None) -> None:
    proof = backend.prove(backend=running(), device="cpu", deterministic=True)
    assert proof.deterministic
    match running():
        case "torch":
            import torch

            assert torch.are_deterministic_algorithms_enabled()
        case "tensorflow":
            from tensorflow.python.framework import config

            assert config.is_op_determinism_enabled()


def test_no_device_memory_is_claimed_on_a_cpu(backend: Any) -> None:
    assert backend.peak_device_bytes("cpu") is None
