"""Compare what each backend computes with NumPy in float64, and pass or fail it. Imports no framework.

docs/methodology.md says which measured figures the limits rest on. Differences are relative and have no unit.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import UserError
from bench.measure.advise import Training
from bench.measure.environments import find_available
from bench.measure.executor import prepare_pool
from bench.measure.pool import WorkerPool
from bench.measure.replay import any_cell
from bench.measure.worker_process import WorkerProcess
from bench.names import say_count
from bench.plan.cells import start_file
from bench.plan.timing import Limits
from bench.records.failures import WorkerError
from bench.records.schema import Worker
from bench.worker import messages
from seqsum_core.parity_case import Case, CheckName, ModelCase, OptimizerCase, Quantity, TrainingCase, reference
from seqsum_core.settings import MODELS, NetworkSettings, TrainingSettings

REFERENCE = "NumPy, float64"
SILENT_LIMIT_S = 300.0
LENGTHS = (4, 12, 50)
EPOCHS = 5
UPDATES = 3

# The largest relative difference that rounding is granted: ten times the largest that was measured;
# for "start", where none was, two roundings. Source: docs/methodology.md.
LIMITS: Mapping[CheckName, float] = {
    "start": 2.5e-7,
    "loss": 2.5e-6,
    "gradient": 6e-6,
    "update": 2e-6,
    "curve": 2.5e-6,
    "output": 3.5e-6,
}
OWN_LIMITS: Mapping[CheckName, float] = {
    "start": 2.5e-7,
    "loss": 1e-5,
    "gradient": 1e-3,
    "curve": 1e-2,
    "output": 5e-2,
}
"""The same where two backends in float32 are compared, whose roundings may add up over any number of layers and
epochs. A wrong activation, gate or loss differs by far more."""
COLUMNS = ["environment", "case", "check", "array", "difference", "limit", "passed"]


@dataclass(frozen=True)
class Parity:
    """What was compared, how it differs, and the verdict.

    Args:
        checks: a row for each environment, case and check: `array`, the one that differs most; its largest relative
            `difference`, infinite where it cannot be compared; `limit` and `passed`.
        cases: what was computed.
        epochs: length of the training curves.
        workers: the environments that answered.
        missing: by environment, why it did not.
        reference: what each is compared with.
        limits: the largest difference that each check allows.
    """

    checks: pd.DataFrame
    cases: tuple[str, ...]
    epochs: int
    workers: Mapping[str, Worker]
    missing: Mapping[str, str]
    reference: str = REFERENCE
    limits: Mapping[CheckName, float] = field(default_factory=lambda: LIMITS)

    @property
    def passed(self) -> bool:
        """Tell whether something was compared, every check passed and nothing that was asked for is missing."""
        return bool(len(self.checks)) and bool(self.checks["passed"].all()) and not self.missing


def all_cases(*, lengths: Sequence[int] = LENGTHS, epochs: int = EPOCHS) -> list[ModelCase | OptimizerCase]:
    """List the optimizer, then every model at every length, without and with mask."""
    training = TrainingSettings(epochs=epochs, patience=-1)
    cases: list[ModelCase | OptimizerCase] = [OptimizerCase(training=training, steps=UPDATES)]
    for length, model, mask in product(lengths, MODELS, (False, True)):
        network = NetworkSettings(mask=mask)
        cases.append(ModelCase(model=model, length=length, network=network, training=training, seed=0))
    return cases


def check_parity(
    environments: Sequence[str],
    *,
    pythons: Mapping[str, str],
    say: Callable[[str], None],
    cases: Sequence[ModelCase | OptimizerCase] | None = None,
) -> Parity:
    """Let every environment compute all cases and compare each with the reference.

    `environments` and `pythons` are those of `find_available`; `cases` None: `all_cases()`.

    Raises:
        UserError: if no backend is here, or somebody else measures.
    """
    cases = all_cases() if cases is None else cases
    interpreters, missing = find_available(environments, device="cpu", pythons=pythons)
    with (
        WorkerPool(interpreters, limits=Limits.all_phases(SILENT_LIMIT_S)) as pool,
        ThreadPoolExecutor(1) as background,
    ):
        references = [background.submit(reference, case) for case in cases]
        asked = _Asked(pool, cases, missing, say)
        expected = [each.result() for each in references]
    rows: list[dict[str, Any]] = []
    for environment in filter(asked.answers.__contains__, interpreters):
        for case, answer, right in zip(cases, asked.answers[environment], expected, strict=True):
            rows += compare(environment, str(case), answer, right)
    return asked.parity(rows, REFERENCE, LIMITS)


def check_training(
    training: Training,
    environments: Sequence[str],
    *,
    pythons: Mapping[str, str],
    say: Callable[[str], None],
    epochs: int = EPOCHS,
) -> Parity:
    """Let every environment train a user's own training from the same start, and compare each with the first.

    Raises:
        UserError: if fewer than two backends are here, the model or task is not usable, or somebody else measures.
    """
    interpreters, missing = find_available(environments, device="cpu", pythons=pythons)
    if len(interpreters) < 2:
        rule = "Backends are compared with each other, so two must be here."
        raise UserError(f"{rule} Received: {', '.join(interpreters) or 'none'}. Install another one.")
    sweep = training.sweep(list(interpreters))
    settings = replace(sweep.training, epochs=epochs)
    with WorkerPool(interpreters, limits=Limits.all_phases(SILENT_LIMIT_S), runtime=sweep.runtime) as pool:
        prepare_pool(pool, sweep)
        start = None if pool.starts is None else str(start_file(pool.starts, sweep.cells()[0]))
        case = TrainingCase(
            model=training.model, task=sweep.task, length=training.length, training=settings, start=start
        )
        asked = _Asked(pool, [case], missing, say)
    first = next((name for name in interpreters if name in asked.answers), "")
    rows: list[dict[str, Any]] = []
    for environment, answers in asked.answers.items():
        if environment != first:
            rows += compare(environment, str(case), answers[0], asked.answers[first][0], OWN_LIMITS)
    return asked.parity(rows, f"{first}, float32", OWN_LIMITS)


class _Asked:
    """What every environment of a pool answered: `answers`, and in `missing` why others did not."""

    def __init__(
        self, pool: WorkerPool, cases: Sequence[Case], missing: dict[str, str], say: Callable[[str], None]
    ) -> None:
        self.answers: dict[str, list[tuple[Quantity, ...]]] = {}
        self._pool, self._cases, self._missing, self._say = pool, cases, missing, say
        self._workers: dict[str, Worker] = {}
        self._at: dict[str, str] = {}
        pool.map(list(pool.pythons), self._compute, cell_of=any_cell, on_done=self._keep)

    def _compute(self, worker: WorkerProcess, environment: str) -> list[tuple[Quantity, ...]]:
        answers = []
        for case in self._cases:
            self._at[environment] = str(case)
            answers.append(tuple(worker.ask(messages.Parity(case=case), messages.ParityDone).quantities))
        self._workers[environment] = worker.worker
        return answers

    def _keep(self, environment: str, result: list[tuple[Quantity, ...]] | WorkerError) -> None:
        if isinstance(result, WorkerError):
            self._missing[environment] = f"lost at {self._at.get(environment, 'its start')}: {result}"
            self._say(f"{environment}: FAILED, {self._missing[environment]}")
        else:
            self.answers[environment] = result
            self._say(f"{environment}: {say_count(len(self._cases), 'case')}")

    def parity(self, rows: list[dict[str, Any]], reference: str, limits: Mapping[CheckName, float]) -> Parity:
        """Return the verdict on rows of `compare`."""
        return Parity(
            checks=pd.DataFrame(rows, columns=COLUMNS),
            cases=tuple(map(str, self._cases)),
            epochs=max((case.training.epochs for case in self._cases), default=0),
            workers={name: self._workers[name] for name in self._pool.pythons if name in self._workers},
            missing=self._missing,
            reference=reference,
            limits=limits,
        )


def compare(
    environment: str,
    case: str,
    computed: Sequence[Quantity],
    expected: Sequence[Quantity],
    limits: Mapping[CheckName, float] = LIMITS,
) -> list[dict[str, Any]]:
    """Return a row for each check: the array that differs most; what cannot be compared differs most of all."""
    ours, theirs = ({(each.check, each.name): each for each in side} for side in (computed, expected))
    largest: dict[CheckName, tuple[float, str]] = {}
    for check, name in dict.fromkeys([*ours, *theirs]):
        key = check, name
        apart = difference(ours[key], theirs[key]) if key in ours and key in theirs else np.inf
        if check not in largest or apart > largest[check][0]:
            largest[check] = apart, name
    rows = []
    for check, (apart, name) in largest.items():
        limit = limits[check]
        rows.append(dict(zip(COLUMNS, (environment, case, check, name, apart, limit, apart <= limit), strict=True)))
    return rows


def difference(computed: Quantity, expected: Quantity) -> float:
    """Return the largest relative difference of two arrays, infinite if their shapes differ or zeros became others.

    Losses and updates are compared number by number; within any other array a difference is relative to the array's
    largest element, since numbers that nearly cancel have no digits of their own.
    """
    if computed.shape != expected.shape:
        return np.inf
    apart, size = np.abs(computed.array() - expected.array()), np.abs(expected.array())
    if computed.check not in ("loss", "update", "curve"):
        size = np.full_like(size, size.max(initial=0.0))
    if (apart[size == 0] != 0).any():
        return np.inf
    return float(np.divide(apart, size, out=np.zeros_like(apart), where=size > 0).max(initial=0.0))
