"""A backend's answer to `seqsum parity` agrees with float64, and planted errors do not."""

from typing import Any

import pytest

from bench.measure.parity import all_cases, compare
from seqsum_core.parity_case import ModelCase, OptimizerCase, reference
from seqsum_core.settings import MODELS, NetworkSettings, TrainingSettings

pytestmark = pytest.mark.backend

TRAINING = TrainingSettings(epochs=2, patience=-1)
OPTIMIZER = OptimizerCase(training=TRAINING, steps=3)


@pytest.fixture(scope="module")
def parity() -> Any:
    return pytest.importorskip("seqsum_core.nn.parity", exc_type=ImportError)


def model_case(model: str, *, mask: bool = False, length: int = 4) -> ModelCase:
    return ModelCase(model=model, length=length, network=NetworkSettings(mask=mask), training=TRAINING, seed=0)


def failed(parity: Any, case: ModelCase | OptimizerCase, planted: str = "") -> set[str]:
    """Return the checks that a backend fails in a case, with or without a planted error."""
    wrong = {"build": getattr(pytest.importorskip("wrong_models"), planted)} if planted else {}
    checks = compare("this", str(case), parity.compute(case, **wrong), reference(case))
    expected = {"update"} if isinstance(case, OptimizerCase) else {"start", "loss", "gradient", "curve", "output"}
    assert {check["check"] for check in checks} == expected
    return {check["check"] for check in checks if not check["passed"]}


@pytest.mark.parametrize(
    ("model", "mask", "length"), [*((model, True, 4) for model in MODELS), ("gru", False, 12), ("lstm", True, 50)]
)
def test_model_agrees_with_float64(parity: Any, model: str, mask: bool, length: int) -> None:
    assert failed(parity, model_case(model, mask=mask, length=length)) == set()


def test_optimizer_agrees_with_float64(parity: Any) -> None:
    assert failed(parity, OPTIMIZER) == set()


@pytest.mark.parametrize(
    ("case", "planted", "checks"),
    [
        (model_case("lstm"), "gates_in_another_order", {"loss", "gradient", "curve", "output"}),
        (model_case("gru"), "reset_before_the_product", {"start", "loss", "gradient", "curve", "output"}),
        (model_case("simple_rnn", mask=True), "mask_ignored", {"loss", "gradient", "curve", "output"}),
        (OPTIMIZER, "epsilon_outside_the_root", {"update"}),
    ],
)
def test_planted_error(parity: Any, case: ModelCase | OptimizerCase, planted: str, checks: set[str]) -> None:
    assert failed(parity, case, planted) == checks


def test_cases() -> None:
    cases = [case for case in all_cases() if isinstance(case, ModelCase)]
    covered = {(case.model, case.length, case.network.mask) for case in cases}
    assert covered == {(model, length, mask) for model in MODELS for length in (4, 12, 50) for mask in (False, True)}
