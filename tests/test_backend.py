"""Backend: what is read about the process, what is refused, and rows shared between devices."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.backend


@pytest.fixture(scope="module")
def backend() -> Any:
    return pytest.importorskip("seqsum_core.nn.backend", exc_type=ImportError)


@pytest.fixture(scope="module")
def running(backend: Any) -> str:
    return str(backend.keras.backend.backend())


@pytest.fixture
def _as_before(backend: Any, running: str) -> Iterator[None]:
    """Undo what `check_backend` switches: other tests run in this process too."""
    yield
    backend.check_backend(backend=running, device="cpu")
    match running:
        case "torch":
            import torch

            torch.use_deterministic_algorithms(False)
        case "tensorflow":
            from tensorflow.python.framework import config

            config.disable_op_determinism()


def test_backend_and_device(backend: Any, running: str) -> None:
    info = backend.check_backend(backend=running, device="cpu")
    assert (info.backend, info.device, info.float32_precision, info.deterministic) == (running, "cpu", "float32", False)
    assert {"keras", "numpy", running} <= set(info.versions)
    assert backend.peak_device_bytes("cpu") is None
    backend.synchronize("cpu")


def test_another_backend_or_device_is_refused(backend: Any, running: str) -> None:
    other = "torch" if running == "jax" else "jax"
    with pytest.raises(ValueError, match=f"runs on {running}, not on {other}"):
        backend.check_backend(backend=other, device="cpu")
    with pytest.raises(ValueError, match=r"puts its tensors on cpu .*-gpu"):  # the tests hide every GPU
        backend.check_backend(backend=running, device="gpu")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("floatx", "float64"),
        ("floatx", "float16"),
        ("floatx", "bfloat16"),
        ("epsilon", 1e-3),
        ("image_data_format", "channels_first"),
    ],
)
def test_settings_of_a_file_are_set_back(backend: Any, running: str, setting: str, value: Any) -> None:
    usual = getattr(backend.keras.config, setting)()
    getattr(backend.keras.config, f"set_{setting}")(value)
    backend.check_backend(backend=running, device="cpu")
    assert getattr(backend.keras.config, setting)() == usual != value


def test_nnx_is_refused(backend: Any, running: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend.keras.config, "is_nnx_enabled", lambda: True)
    with pytest.raises(ValueError, match=r"`nnx_enabled` of keras\.json must be false"):
        backend.check_backend(backend=running, device="cpu")
    monkeypatch.delattr(backend.keras.config, "is_nnx_enabled")  # an older Keras
    backend.check_backend(backend=running, device="cpu")


@pytest.mark.parametrize(
    ("imported", "installed", "recorded"),
    [
        ("3.15.1", "3.15.1", "3.15.1"),
        ("3.9.0", "3.15.1", "3.9.0 (imported; 3.15.1 is installed)"),
        ("2.13.0+cpu", "2.13.0", "2.13.0+cpu"),
        ("3.9.0", None, "3.9.0"),
        (None, "3.15.1", "3.15.1"),
        (None, None, None),
    ],
)
def test_the_version_that_runs(
    backend: Any, monkeypatch: pytest.MonkeyPatch, imported: str | None, installed: str | None, recorded: str | None
) -> None:
    """A folder on PYTHONPATH may be imported instead of what is installed."""

    def version(package: str) -> str:
        if installed is None:
            raise metadata.PackageNotFoundError
        return installed

    monkeypatch.setattr(backend, "PACKAGES", ("played",))
    monkeypatch.setattr(metadata, "version", version)
    module = ModuleType("played")
    if imported:
        module.__version__ = imported  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "played", module)
    assert backend._versions().get("played") == recorded


@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("new", [(), ("cudnn",), ("matmul", "cudnn")])
def test_any_pytorch(backend: Any, monkeypatch: pytest.MonkeyPatch, tf32: bool, new: tuple[str, ...]) -> None:
    """Before 2.9 the precision has another name; each part may have either."""
    usual = {"fp32_precision": "none"}, {"allow_tf32": None}
    matmul, cudnn = (SimpleNamespace(**usual[name not in new]) for name in ("matmul", "cudnn"))
    backends = SimpleNamespace(cuda=SimpleNamespace(matmul=matmul), cudnn=cudnn)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(backends=backends))
    monkeypatch.setattr(backend.keras.backend, "backend", lambda: "torch")
    backend._set_precision(tf32, device="cpu")
    for name, part in (("matmul", matmul), ("cudnn", cudnn)):
        expected: Any = {"fp32_precision": "tf32" if tf32 else "ieee"} if name in new else {"allow_tf32": tf32}
        assert vars(part) == expected


def test_tf32_is_set_but_claimed_on_a_gpu_only(backend: Any, running: str, _as_before: None) -> None:
    assert backend.check_backend(backend=running, device="cpu", tf32=True).float32_precision == "float32"
    match running:
        case "jax":
            import jax

            assert jax.config.jax_default_matmul_precision == "tensorfloat32"
        case "torch":
            import torch

            assert torch.backends.cuda.matmul.fp32_precision == "tf32"


def test_deterministic_operations(backend: Any, running: str, _as_before: None) -> None:
    assert backend.check_backend(backend=running, device="cpu", deterministic=True).deterministic
    match running:
        case "torch":
            import torch

            assert torch.are_deterministic_algorithms_enabled()
        case "tensorflow":
            from tensorflow.python.framework import config

            assert config.is_op_determinism_enabled()


def test_more_devices_than_there_are(backend: Any, running: str) -> None:
    backend.share_rows("cpu", count=1, batches=(7,))
    assert backend.keras.distribution.distribution() is None
    message = "those that are here, 1" if running == "jax" else f"on jax only. Received: '{running}'"
    with pytest.raises(ValueError, match=message):
        backend.share_rows("cpu", count=2, batches=(100,))


TRAIN = """
import sys
from seqsum_core.nn import backend, models
from seqsum_core.nn.training import fit_for_accuracy
from seqsum_core.settings import TaskSettings, TrainingSettings
from seqsum_core.tasks import draw, split

try:
    backend.share_rows("cpu", count=2, batches=(100, 21))
except ValueError as error:
    print(error)
data = split(draw(TaskSettings(), length=4), TaskSettings())
for count in (1, 2):
    backend.share_rows("cpu", count=count, batches=(100, 20))
    model = models.build("lstm", length=4)
    models.set_start(model, seed=0)
    (trained,) = fit_for_accuracy(model, data, TrainingSettings(epochs=2), seed=0)
    print(len(model.weights[0].value.devices()), *trained.loss, *trained.val_loss)
"""


def test_two_devices(running: str) -> None:
    if running != "jax":
        pytest.skip("Keras shares rows on JAX only")
    flags = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"}
    process = subprocess.run(
        [sys.executable, "-c", TRAIN], env=os.environ | flags, capture_output=True, text=True, check=True
    )
    refusal, *lines = process.stdout.splitlines()
    assert "also that of 21 rows" in refusal
    (one, *alone), (two, *together) = ([float(value) for value in line.split()] for line in lines)
    assert (one, two) == (1, 2) and together == pytest.approx(alone, rel=1e-5)
