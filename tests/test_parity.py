"""What a backend computes agrees with float64, and planted errors do not."""

from typing import Any

import numpy as np
import pytest

from bench.measure.parity import all_cases, compare
from seqsum_core.parity_case import Case, ModelCase, OptimizerCase, Quantity, reference
from seqsum_core.settings import MODELS, NetworkSettings, TrainingSettings
from seqsum_core.start import draw_start

pytestmark = pytest.mark.backend

TRAINING = TrainingSettings(epochs=2, patience=-1)
OPTIMIZER = OptimizerCase(training=TRAINING, steps=3)


@pytest.fixture
def parity() -> Any:
    return pytest.importorskip("seqsum_core.nn.parity", exc_type=ImportError)


@pytest.fixture
def wrong() -> Any:
    return pytest.importorskip("wrong_models", exc_type=ImportError)


def model_case(model: str, *, mask: bool = False) -> ModelCase:
    return ModelCase(model=model, length=6, network=NetworkSettings(mask=mask), training=TRAINING, seed=0)


def judge(case: Case, computed: list[Quantity]) -> dict[str, bool]:
    """Return for each check of a case whether it passed."""
    return {row["check"]: row["passed"] for row in compare("this", str(case), computed, reference(case))}


def failed(checks: dict[str, bool]) -> set[str]:
    return {check for check, passed in checks.items() if not passed}


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_backend_agrees_with_float64(parity: Any, model: str, mask: bool) -> None:
    case = model_case(model, mask=mask)
    checks = judge(case, parity.compute(case))
    assert checks == dict.fromkeys(("start", "loss", "gradient", "curve", "output"), True)


def test_optimizer_agrees_with_float64(parity: Any) -> None:
    assert judge(OPTIMIZER, parity.compute(OPTIMIZER)) == {"update": True}


@pytest.mark.parametrize("model", MODELS)
def test_reference_starts_where_keras_models_start(model: str) -> None:
    models = pytest.importorskip("seqsum_core.nn.models", exc_type=ImportError)
    built = models.build(model, length=3, network=NetworkSettings(units=5))
    assert models.set_start(built, seed=9)
    for ours, theirs in zip(draw_start(model, units=5, seed=9), built.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_gates_in_another_order_fail(parity: Any, wrong: Any) -> None:
    case = model_case("lstm")
    checks = judge(case, parity.compute(case, build=wrong.gates_in_another_order))
    assert failed(checks) == {"loss", "gradient", "curve", "output"}


def test_reset_gate_before_the_product_fails(parity: Any, wrong: Any) -> None:
    case = model_case("gru")
    checks = judge(case, parity.compute(case, build=wrong.reset_before_the_product))
    assert failed(checks) == {"start", "loss", "gradient", "curve", "output"}


def test_ignored_mask_fails(parity: Any, wrong: Any) -> None:
    for model in MODELS:
        case = model_case(model, mask=True)
        checks = judge(case, parity.compute(case, build=wrong.mask_ignored))
        assert {"loss", "gradient", "curve"} <= failed(checks)


def test_epsilon_outside_the_root_fails(parity: Any, wrong: Any) -> None:
    """Small gradients show it most; the task's own are mostly far larger than epsilon's root."""
    checks = judge(OPTIMIZER, parity.compute(OPTIMIZER, build=wrong.epsilon_outside_the_root))
    assert failed(checks) == {"update"}


def test_model_that_does_not_start_from_numpy_is_refused(parity: Any) -> None:
    import keras

    def own(name: str, **settings: Any) -> Any:
        return keras.Sequential([keras.Input((6, 1)), keras.layers.Flatten(), keras.layers.LayerNormalization()])

    with pytest.raises(ValueError, match="drawn in NumPy"):
        parity.compute(model_case("lstm"), build=own)


def test_cases_cover_every_model_and_length_with_and_without_mask() -> None:
    cases = [case for case in all_cases() if isinstance(case, ModelCase)]
    covered = {(case.model, case.length, case.network.mask) for case in cases}
    assert covered == {(model, length, mask) for model in MODELS for length in (4, 12, 50) for mask in (False, True)}
