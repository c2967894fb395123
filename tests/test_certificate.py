"""The certificate's comparison: what passes, what fails, and what it says of those who are missing."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bench.measure.certificate import LIMITS, SEPARATED_ABOVE, Certificate, certify, difference
from seqsum_core.numpy_cells import Array
from seqsum_core.parity_case import CheckName, ModelCase, OptimizerCase, Quantity, quantity, reference
from seqsum_core.settings import NetworkSettings, TrainingSettings

TRAINING = TrainingSettings(epochs=2, patience=-1)
LSTM = ModelCase(model="lstm", length=4, network=NetworkSettings(units=3), training=TRAINING, seed=0)
OPTIMIZER = OptimizerCase(training=TRAINING, steps=2)
RIGHT = reference(LSTM)


def doctored(check: CheckName, change: Callable[[Array], Array], *, name: str = "") -> list[Quantity]:
    """Return the right side with the arrays of one check changed."""
    return [
        quantity(one.check, one.name, change(one.array())) if one.check == check and name in one.name else one
        for one in RIGHT
    ]


def judge(**sides: list[Quantity]) -> Certificate:
    return certify([LSTM], {name: [side] for name, side in sides.items()}, [RIGHT])


def failed(certificate: Certificate) -> set[tuple[str, tuple[str, str]]]:
    return {(check.check, check.sides) for check in certificate.checks if not check.passed}


def test_equal_sides_pass_and_every_pair_is_compared() -> None:
    certificate = judge(jax=RIGHT, torch=RIGHT)
    assert certificate.verdict == "pass" and certificate.notes == ()
    pairs = {check.sides for check in certificate.checks}
    assert pairs == {("jax", "torch"), ("jax", "float64"), ("torch", "float64")}
    assert all(check.difference == 0 for check in certificate.checks) and len(certificate.checks) == 3 * 5


@pytest.mark.parametrize("check", ["start", "loss", "gradient", "curve", "output"])
def test_difference_beyond_its_limit_fails_and_within_it_passes(check: CheckName) -> None:
    limit = LIMITS[check]
    assert judge(jax=doctored(check, lambda array: array * (1 + 0.9 * limit))).verdict == "pass"
    beyond = judge(jax=doctored(check, lambda array: array * (1 + 1.1 * limit)), torch=RIGHT)
    assert beyond.verdict == "fail"
    assert failed(beyond) == {(check, ("jax", "torch")), (check, ("jax", "float64"))}


def test_gates_of_one_gradient_in_another_order_fail_and_are_named() -> None:
    def swap(array: Array) -> Array:
        i, f, g, o = np.split(array, 4, axis=-1)
        return np.concatenate([i, g, f, o], axis=-1)

    certificate = judge(jax=doctored("gradient", swap, name="recurrent_kernel"))
    (check,) = [check for check in certificate.checks if not check.passed]
    assert (check.check, check.array) == ("gradient", "recurrent_kernel")


def test_other_definition_of_the_optimizer_fails() -> None:
    """Epsilon outside the root: the update of a gradient of 1e-6 is hundreds of times larger."""
    sizes = 10.0 ** np.arange(-6, 1)
    right = reference(OPTIMIZER)
    outside = -0.001 * sizes / (np.sqrt(0.1 * sizes**2) + 1e-7)
    wrong = [quantity("update", "step 1", outside[:, np.newaxis]), right[1]]
    certificate = certify([OPTIMIZER], {"jax": [wrong]}, [right])
    (check,) = certificate.checks
    assert certificate.verdict == "fail" and check.array == "step 1"
    assert check.difference is not None and check.difference > 100


def test_other_shape_or_absent_array_cannot_be_compared_and_fails() -> None:
    other_shape = judge(jax=doctored("gradient", lambda array: array.ravel()[:-1], name="dense_kernel"))
    absent = judge(jax=[one for one in RIGHT if one.check != "curve"])
    for certificate in (other_shape, absent):
        (check,) = [check for check in certificate.checks if not check.passed]
        assert check.difference is None and certificate.verdict == "fail"


def test_losses_are_compared_one_by_one_and_gradients_by_the_largest() -> None:
    def made(check: CheckName, *values: float) -> Quantity:
        return quantity(check, "x", values)

    assert difference(made("curve", 100.0, 1.1), made("curve", 100.0, 1.0)) == pytest.approx(0.1)
    assert difference(made("gradient", 100.0, 1.1), made("gradient", 100.0, 1.0)) == pytest.approx(0.001)
    assert difference(made("gradient", 0.0, 0.0), made("gradient", 0.0, 0.0)) == 0
    assert difference(made("gradient", 1e-9, 0.0), made("gradient", 0.0, 0.0)) is None


def test_epoch_at_which_rounding_separates_two_sides_is_told() -> None:
    later = doctored("curve", lambda losses: losses * (1 + SEPARATED_ABOVE * np.array([0.1, 5])))
    epochs = {one.sides: one.epoch for one in judge(jax=RIGHT, torch=later).separations}
    assert epochs == {("jax", "torch"): 2, ("jax", "float64"): None, ("torch", "float64"): 2}


def test_one_backend_is_compared_with_float64_only_and_that_is_said() -> None:
    certificate = judge(jax=RIGHT)
    assert certificate.verdict == "pass" and {check.sides for check in certificate.checks} == {("jax", "float64")}
    assert "float64 reference only" in certificate.notes[0]


def test_missing_backend_fails_though_the_others_agree() -> None:
    certificate = certify([LSTM], {"jax": [RIGHT], "torch": [RIGHT]}, [RIGHT], missing={"tensorflow": "lost"})
    assert certificate.verdict == "fail" and failed(certificate) == set()
    assert certificate.missing == {"tensorflow": "lost"}


def test_nothing_to_compare_fails() -> None:
    certificate = certify([LSTM], {}, [], missing={"jax": "lost"})
    assert certificate.verdict == "fail" and "nothing was compared" in certificate.notes[0]


def test_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(ArithmeticError, match="gradient kernel is not finite"):
        quantity("gradient", "kernel", [1.0, np.nan])


def test_quantity_keeps_shape_and_every_digit() -> None:
    (kernel,) = [one for one in RIGHT if (one.check, one.name) == ("gradient", "kernel")]
    assert kernel.array().shape == (1, 12) and replace(kernel) == quantity("gradient", "kernel", kernel.array())
