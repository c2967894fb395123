"""Compare what the backends computed with each other and with float64, and pass or fail it.

Pure: knows neither processes nor frameworks. docs/parity.md says on which measured figures the
limits stand. All differences are relative and have no unit.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.frozen import Frozen
from bench.records.schema import Worker
from seqsum_core.parity_case import Case, CheckName, ModelCase, OptimizerCase, Quantity
from seqsum_core.settings import MODELS, NetworkSettings, TrainingSettings

REFERENCE = "float64"
LENGTHS = (4, 12, 50)
EPOCHS = 5
UPDATES = 3

# The largest relative difference that rounding is granted: ten times the largest that was measured,
# for "start", where none was, two roundings. Source: docs/parity.md.
LIMITS: Mapping[CheckName, float] = {
    "start": 2.5e-7,
    "loss": 2.5e-6,
    "gradient": 6e-6,
    "update": 2e-6,
    "curve": 2.5e-6,
    "output": 3.5e-6,
}
SEPARATED_ABOVE = 1e-6

Side = Sequence[Sequence[Quantity]]


class Check(Frozen):
    """One check of one case between two sides.

    Args:
        case: what was computed.
        check: which of its quantities.
        sides: who is compared; the difference is relative to the second.
        array: the array that differs most.
        difference: its largest relative difference; None where it cannot be compared, because it
            has another shape, or one side has it only.
        limit: the largest difference that passes.
        passed: whether it passes.
    """

    case: str
    check: CheckName
    sides: tuple[str, str]
    array: str
    difference: float | None
    limit: float
    passed: bool


class Separation(Frozen):
    """The first epoch, counted from 1, whose losses differ by more than rounding; None if none does."""

    case: str
    sides: tuple[str, str]
    epoch: int | None


class Certificate(Frozen):
    """What was compared, how it differs, and the verdict.

    Args:
        verdict: "pass" if every check passed and no backend that was asked for is missing.
        reference: what every backend is held against.
        backends: those that answered, proved.
        missing: why the others did not.
        cases: what was computed.
        epochs: length of the training curves.
        limits: of each check.
        separated_above: the relative difference of the loss that counts as separated.
        checks: all of them.
        separations: of every case and pair of sides.
        notes: what a reader must know.
    """

    verdict: Literal["pass", "fail"]
    reference: str = "NumPy, float64"
    backends: tuple[Worker, ...]
    missing: dict[str, str]
    cases: tuple[str, ...]
    epochs: int
    limits: dict[CheckName, float]
    separated_above: float = SEPARATED_ABOVE
    checks: tuple[Check, ...]
    separations: tuple[Separation, ...]
    notes: tuple[str, ...]


def all_cases(*, lengths: Sequence[int] = LENGTHS, epochs: int = EPOCHS) -> list[Case]:
    """List the optimizer, then every model at every length, without and with mask."""
    training = TrainingSettings(epochs=epochs, patience=-1)
    return [
        OptimizerCase(training=training, steps=UPDATES),
        *(
            ModelCase(model=model, length=length, network=NetworkSettings(mask=mask), training=training, seed=0)
            for length in lengths
            for model in MODELS
            for mask in (False, True)
        ),
    ]


def certify(
    cases: Sequence[Case],
    sides: Mapping[str, Side],
    reference: Side,
    *,
    workers: Sequence[Worker] = (),
    missing: Mapping[str, str] | None = None,
) -> Certificate:
    """Compare all sides.

    Args:
        cases: what was computed.
        sides: of each backend, what it computed for each of the cases.
        reference: the same in float64.
        workers: the backends, proved.
        missing: backends that were asked for and did not answer, with the reason.

    Returns:
        The certificate; it fails too if there is nothing to compare.
    """
    pairs = list(combinations([*sides, REFERENCE], 2))
    computed = {**sides, REFERENCE: reference}
    checks, separations = [], []
    for index, case in enumerate(cases):
        for pair in pairs:
            left, right = (computed[name][index] for name in pair)
            checks += _compare(str(case), pair, left, right)
            if isinstance(case, ModelCase):
                separations.append(Separation(case=str(case), sides=pair, epoch=_separation(left, right)))
    passed = bool(checks) and all(check.passed for check in checks) and not missing
    return Certificate(
        verdict="pass" if passed else "fail",
        backends=tuple(workers),
        missing=dict(missing or {}),
        cases=tuple(map(str, cases)),
        limits=dict(LIMITS),
        epochs=max((case.training.epochs for case in cases), default=0),
        checks=tuple(checks),
        separations=tuple(separations),
        notes=tuple(_notes(len(sides))),
    )


def _notes(backends: int) -> list[str]:
    if backends == 0:
        return ["No backend answered: nothing was compared."]
    return ["One backend answered: it is compared with the float64 reference only."] if backends == 1 else []


def _compare(case: str, sides: tuple[str, str], left: Sequence[Quantity], right: Sequence[Quantity]) -> list[Check]:
    """Reduce each check to the array that differs most; what cannot be compared differs most of all."""
    of_left, of_right = ({(one.check, one.name): one for one in side} for side in (left, right))
    worst: dict[CheckName, tuple[str, float | None]] = {}
    for key in dict.fromkeys([*of_left, *of_right]):
        check, name = key
        there = key in of_left and key in of_right
        found = difference(of_left[key], of_right[key]) if there else None
        known = worst.get(check)
        if known is None or _as_number(found) > _as_number(known[1]):
            worst[check] = (name, found)
    return [
        Check(
            case=case,
            check=check,
            sides=sides,
            array=name,
            difference=found,
            limit=LIMITS[check],
            passed=_as_number(found) <= LIMITS[check],
        )
        for check, (name, found) in worst.items()
    ]


def _as_number(found: float | None) -> float:
    return np.inf if found is None else found


def difference(left: Quantity, right: Quantity) -> float | None:
    """Return the largest relative difference of two arrays.

    Losses and updates are compared one by one; within any other array a difference is measured by
    the array's largest element, since what nearly cancels has no digits of its own.

    Returns:
        None if the arrays have unequal shapes, or differ from zeros.
    """
    if left.shape != right.shape:
        return None
    apart = np.abs(left.array() - right.array())
    size = np.abs(right.array())
    if left.check not in ("loss", "update", "curve"):
        size = np.full_like(size, size.max(initial=0.0))
    if (apart[size == 0] != 0).any():
        return None
    return float(_ratio(apart, size).max(initial=0.0))


def _ratio(apart: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(apart, size, out=np.zeros_like(apart), where=size > 0)


def _separation(left: Sequence[Quantity], right: Sequence[Quantity]) -> int | None:
    """Return the first epoch whose training losses differ by more than `SEPARATED_ABOVE`."""
    curves = [one.array() for side in (left, right) for one in side if (one.check, one.name) == ("curve", "loss")]
    if len({curve.shape for curve in curves}) != 1 or len(curves) != 2:
        return None
    apart = np.flatnonzero(_ratio(np.abs(curves[0] - curves[1]), np.abs(curves[1])) > SEPARATED_ABOVE)
    return int(apart[0]) + 1 if len(apart) else None
