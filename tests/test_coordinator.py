"""The coordinator's side imports no framework: neither its modules nor its commands."""

import subprocess
import sys

import pytest

FRAMEWORKS = ("keras", "jax", "torch", "tensorflow")
COORDINATOR = (
    "bench.cli",
    "bench.runner",
    "bench.worker",
    "bench.cases.plugin",
    "bench.doctor",
    "bench.overhead",
    "bench.replay_plot",
    "bench.report.page",
    "bench.sides",
    "bench.tables",
    "bench.turns",
    "seqsum_core.task",
    "seqsum_core.verdict",
)


@pytest.mark.parametrize("module", COORDINATOR)
def test_no_framework_is_imported(module: str) -> None:
    code = f"import {module}, sys; print([name for name in {FRAMEWORKS!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_core_does_not_import_bench() -> None:
    code = "import seqsum_core.task, seqsum_core.baselines, seqsum_core.verdict, sys; print('bench' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
