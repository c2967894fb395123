"""Show what `seqsum parity` compared: the verdict, the largest differences, and what failed."""

import json
from math import isinf
from typing import Any

import pandas as pd
from rich.console import Console

from bench.measure.parity import Parity
from bench.names import say_count
from bench.output.replay import versions_text
from bench.output.tables import Column, Table
from bench.output.text import number, print_text


def print_parity(parity: Parity, console: Console) -> None:
    """Print it for a person."""
    lines = [
        f"Parity: {'PASS' if parity.passed else 'FAIL'}",
        f"{versions_text(parity.workers) or 'no backend'}, CPU, float32",
        f"{say_count(len(parity.cases), 'case')}, {say_count(parity.epochs, 'epoch')}; reference: {parity.reference}",
        *(f"missing: {environment}: {reason}" for environment, reason in parity.missing.items()),
    ]
    console.print(*lines, sep="\n", markup=False, highlight=False)
    for table in tables(parity):
        print_text(table, console)


def tables(parity: Parity) -> list[Table]:
    """Return the largest differences by environment and by case, and the checks that failed; none that is empty."""
    checks = parity.checks
    if checks.empty:
        return []
    by_environment = _largest(parity, "environment")
    by_environment.loc["limit"] = pd.Series(parity.limits).map(number)
    shown = [Column(check, check, kind="text") for check in parity.limits]
    failed = checks[~checks["passed"]]
    failed = failed.assign(difference=failed["difference"].map(_text), limit=failed["limit"].map(number))
    note = f"Relative to {parity.reference}. Not alike: another shape, or on one side only. See docs/methodology.md."
    verdict = Column("verdict", "verdict", kind="text")
    made = [
        Table(
            "parity",
            "Largest differences",
            by_environment.rename_axis("environment").reset_index(),
            [Column("environment", "backend", kind="axis"), *shown, verdict],
            (note,),
        ),
        Table(
            "parity-by-case",
            "The same by case, over all environments",
            _largest(parity, "case").reset_index(),
            [Column("case", "case", kind="axis"), *shown, verdict],
        ),
        Table(
            "parity-failures",
            "Checks that failed",
            failed.reset_index(drop=True),
            [
                Column("environment", "backend", kind="axis"),
                Column("case", "case", kind="axis"),
                *(Column(name, name, kind="text") for name in ("check", "array", "difference", "limit")),
            ],
        ),
    ]
    return [table for table in made if not table.frame.empty]


def _largest(parity: Parity, by: str) -> pd.DataFrame:
    """Return the largest difference of each check as text, and the verdict, in order of appearance."""
    checks = parity.checks
    groups = checks.groupby([by, "check"], sort=False)["difference"].max().unstack("check")
    passed = checks.groupby(by, sort=False)["passed"].all()
    texts = groups.reindex(index=passed.index, columns=list(parity.limits)).map(_text)
    return texts.assign(verdict=passed.map({True: "pass", False: "FAIL"}))


def _text(difference: float) -> str:
    return "not alike" if isinf(difference) else number(difference)


def document(parity: Parity) -> dict[str, Any]:
    """Return everything, for JSON, which has no infinity: null is what could not be compared."""
    return {
        "verdict": "pass" if parity.passed else "fail",
        "reference": parity.reference,
        "cases": list(parity.cases),
        "epochs": parity.epochs,
        "limits": dict(parity.limits),
        "workers": [worker.model_dump(mode="json") for worker in parity.workers.values()],
        "missing": dict(parity.missing),
        "checks": json.loads(parity.checks.to_json(orient="records", double_precision=15)),
    }
