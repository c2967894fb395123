"""Print a parity certificate for a person: its verdict, the largest differences, what failed."""

from collections.abc import Sequence

import pandas as pd
from rich.console import Console
from rich.text import Text

from bench.analysis.selection import Table
from bench.measure.certificate import LIMITS, Certificate, Check
from bench.output.printing.output import print_text


def show(certificate: Certificate, console: Console) -> None:
    """Print a certificate for a person."""
    versions = [f"{worker.backend} {worker.versions[worker.backend]}" for worker in certificate.backends]
    keras = sorted({worker.versions["keras"] for worker in certificate.backends})
    lines = [
        f"Parity certificate: {certificate.verdict.upper()}",
        f"{', '.join(versions) or 'no backend'}, Keras {', '.join(keras) or 'none'}, CPU, float32",
        f"{len(certificate.cases)} cases, {certificate.epochs} epochs; reference: {certificate.reference}",
        *certificate.notes,
        *(f"missing: {backend}: {reason}" for backend, reason in certificate.missing.items()),
    ]
    for line in lines:
        console.print(Text(line))
    for table in (_sides_table(certificate), _cases_table(certificate), _failures_table(certificate)):
        if not table.frame.empty:
            print_text(table, console)


def _largest(checks: Sequence[Check]) -> dict[str, str | None]:
    """Return the largest difference of each check, as it is printed."""
    shown: dict[str, str | None] = {}
    for name in LIMITS:
        found = [check.difference for check in checks if check.check == name]
        known = [one for one in found if one is not None]
        shown[name] = None if not found else "unlike" if len(known) < len(found) else f"{max(known):.1e}"
    return shown


def _sides_table(certificate: Certificate) -> Table:
    rows = []
    for sides in dict.fromkeys(check.sides for check in certificate.checks):
        checks = [check for check in certificate.checks if check.sides == sides]
        failed = sum(not check.passed for check in checks)
        rows.append({"sides": " / ".join(sides), **_largest(checks), "failed": f"{failed} of {len(checks)}"})
    if rows:
        rows.append({"sides": "limit", **{name: f"{limit:.1e}" for name, limit in LIMITS.items()}, "failed": ""})
    return Table("Largest relative differences", pd.DataFrame(rows), ("What each stands for: docs/parity.md",))


def _cases_table(certificate: Certificate) -> Table:
    rows = []
    for case in certificate.cases:
        checks = [check for check in certificate.checks if check.case == case]
        if not checks:
            continue
        largest = _largest(checks)
        epochs = [one.epoch for one in certificate.separations if one.case == case and one.epoch]
        rows.append(
            {
                "case": case,
                **{name: largest[name] for name in ("loss", "gradient", "update", "curve", "output")},
                "apart at epoch": str(min(epochs)) if epochs else "",
                "verdict": "pass" if all(check.passed for check in checks) else "FAIL",
            }
        )
    note = (
        "apart at epoch: the first, counted from 1, after which the training losses of two sides "
        f"differ by more than {certificate.separated_above:.0e}."
    )
    return Table("The same by case, over all pairs of sides", pd.DataFrame(rows), (note,))


def _failures_table(certificate: Certificate) -> Table:
    rows = [
        {
            "case": check.case,
            "sides": " / ".join(check.sides),
            "check": check.check,
            "array": check.array,
            "difference": "unlike" if check.difference is None else f"{check.difference:.1e}",
        }
        for check in certificate.checks
        if not check.passed
    ]
    return Table("Checks that failed", pd.DataFrame(rows), ("unlike: another shape, or on one side only.",))
