"""Speed trials on a real backend: a start, then one fit a turn."""

from time import sleep
from typing import Any

import pytest

from bench.errors import NotAvailableError
from bench.plan.cells import Cell, Settings, Trial
from bench.plan.timing import Timing
from bench.records.schema import Speed
from seqsum_core.settings import VariantSettings

pytestmark = pytest.mark.backend

TIMING = Timing(warmup_epochs=2, warmup_s=0, turn_epochs=3, turn_s=0, validations=2)
PATHS = {"jax": "scan", "torch": "python_loop", "tensorflow": "while_loop"}
FAST_PATHS = PATHS | {"torch": "fused"}
"""The paths of fused layers and ceilings."""


@pytest.fixture
def speed() -> Any:
    return pytest.importorskip("bench.worker.speed", exc_type=ImportError)


def running() -> str:
    import keras

    return str(keras.backend.backend())


def make_trial(
    *,
    model: str = "simple_rnn",
    expected_path: str | None = None,
    variant: VariantSettings | None = None,
    **timing: Any,
) -> Trial:
    variant = variant or VariantSettings()
    cell = Cell(environment=running(), device="cpu", model=model, length=4, variant=variant)
    settings = Settings(timing=TIMING.model_copy(update=timing)).of(variant)
    return Trial(kind="speed", cell=cell, index=3, settings=settings, is_control=True, expected_path=expected_path)


def measure(speed: Any, trial: Trial, *, rounds: int = 1, phases: list[str] | None = None) -> Speed:
    report = [].append if phases is None else phases.append
    opened = speed.SpeedTrial(trial, process_start_s=0.5, import_s=1.5, report=report)
    for number in range(rounds):
        opened.run_turn(number, started_after_s=10.0 * number)
    record: Speed = opened.close()
    return record


@pytest.fixture(scope="module")
def padded() -> Speed:
    """Return the record of a trial of which nothing is special."""
    return measure(pytest.importorskip("bench.worker.speed", exc_type=ImportError), make_trial())


def test_record(speed: Any) -> None:
    phases: list[str] = []
    record = measure(speed, make_trial(expected_path=PATHS[running()]), rounds=2, phases=phases)
    assert phases == ["build", "first epoch", "turn", "turn", "execution path", "validation"]
    assert len(record.start_epochs_s) == 1 + TIMING.warmup_epochs
    assert record.start_epochs_s[0] > max(record.start_epochs_s[1:]) or running() == "torch"  # tracing, compilation
    assert [(turn.round, turn.started_after_s) for turn in record.turns] == [(0, 0.0), (1, 10.0)]
    for turn in record.turns:
        assert turn.warmup_epochs == 2 and len(turn.epochs_s) == 2 + 3 and min(turn.epochs_s) > 0
        assert max(turn.epochs_s) < record.start_epochs_s[0] or running() == "torch", "nothing compiles in a turn"
        assert turn.device_lag_s is not None and 0 <= turn.device_lag_s < sum(turn.epochs_s)
    assert len(record.validation_s) == 2 and record.build_s > 0
    assert (record.process_start_s, record.import_s, record.process, record.is_control) == (0.5, 1.5, 3, True)
    assert (record.steps_per_epoch, record.rows_per_epoch) == (17, 1620)
    assert record.peak_rss_bytes > 50 * 2**20 and record.peak_device_bytes is None
    assert record.execution_path is not None and record.execution_path.recurrence == PATHS[running()]
    first = measure(speed, make_trial().model_copy(update={"index": 0, "is_control": False}))
    assert record.python_calls is None and first.python_calls and first.python_calls > 100


@pytest.mark.parametrize(("warmup_epochs", "warmup_s"), [(2, 0.3), (0, 0.0), (0, 0.1)])
def test_length_of_a_turn(speed: Any, warmup_epochs: int, warmup_s: float) -> None:
    trial = make_trial(turn_s=0.5, warmup_epochs=warmup_epochs, warmup_s=warmup_s)
    record = measure(speed, trial)
    (turn,) = record.turns
    parts = (turn.epochs_s[: turn.warmup_epochs], warmup_epochs, warmup_s), (turn.counted_epochs_s, 3, 0.5)
    for epochs_s, least, least_s in parts:
        assert len(epochs_s) >= least and sum(epochs_s) >= least_s
        assert len(epochs_s) == least or sum(epochs_s[:-1]) < least_s, "no epoch more than needed"
    assert len(record.start_epochs_s) == 1 + warmup_epochs


def test_expected_path(speed: Any) -> None:
    with pytest.raises(ValueError, match=f"`expect` is cudnn, but {PATHS[running()]} ran"):
        measure(speed, make_trial(expected_path="cudnn"))


@pytest.mark.parametrize("implementation", ["fused", "ceiling"])
def test_implementations(speed: Any, implementation: Any) -> None:
    record = measure(speed, make_trial(variant=VariantSettings(implementation=implementation)), rounds=2)
    assert [len(turn.epochs_s) for turn in record.turns] == [2 + 3, 2 + 3]
    assert len(record.validation_s) == 2 and min(record.validation_s) > 0
    assert record.execution_path is not None and record.execution_path.recurrence == FAST_PATHS[running()]


def test_variant(speed: Any) -> None:
    from bench.worker.models import build_model
    from seqsum_core.tasks import SUM

    variant = VariantSettings(units=5, dtype="mixed_bfloat16")
    layers = build_model(make_trial(variant=variant), SUM).layers
    assert layers[0].units == 5 and {layer.compute_dtype for layer in layers} == {"bfloat16"}
    assert {layer.compute_dtype for layer in build_model(make_trial(), SUM).layers} == {"float32"}


CEILING, FUSED = VariantSettings(implementation="ceiling"), VariantSettings(implementation="fused")


@pytest.mark.parametrize(
    ("trial", "words"),
    [
        ({"variant": VariantSettings(implementation="ceiling", dtype="mixed_bfloat16")}, "mixed_bfloat16"),
        ({"variant": CEILING, "model": "own_models:compiled"}, "`model` must be simple_rnn, lstm, gru for a ceiling"),
        ({"variant": FUSED, "model": "own_models:no_recurrence"}, "has no layer that can be fused"),
    ],
)
def test_not_available(speed: Any, trial: dict[str, Any], words: str) -> None:
    with pytest.raises(NotAvailableError, match=words):
        measure(speed, make_trial(**trial))


def test_refused_by_the_backend(speed: Any) -> None:
    """PyTorch takes one step per execution; the others take several."""
    trial = make_trial(variant=VariantSettings(steps_per_execution=2))
    if running() != "torch":
        assert measure(speed, trial).turns
        return
    with pytest.raises(NotAvailableError, match="`steps_per_execution` must be 1 with the PyTorch backend"):
        measure(speed, trial)


def test_clock_must_wait(speed: Any, padded: Speed, monkeypatch: pytest.MonkeyPatch) -> None:
    counted_s = sum(padded.turns[0].counted_epochs_s)
    monkeypatch.setattr(speed.backend, "synchronize", lambda device: sleep(2 * counted_s))
    with pytest.raises(RuntimeError, match="the clock does not wait"):
        measure(speed, make_trial(), rounds=2)


@pytest.mark.parametrize("batching", ["bucketed", "exact"])
def test_batches_of_several_lengths(speed: Any, padded: Speed, batching: Any) -> None:
    record = measure(speed, make_trial(variant=VariantSettings(batching=batching)))
    assert record.steps_per_epoch >= padded.steps_per_epoch and record.rows_per_epoch == padded.rows_per_epoch
    assert record.padding_share is not None and padded.padding_share is not None
    assert record.padding_share < padded.padding_share
    assert record.execution_path is not None and record.execution_path.recurrence == PATHS[running()]
    if running() == "jax":
        assert record.execution_path.compilations > 2, "padded rows need two: full batches and the rest"
