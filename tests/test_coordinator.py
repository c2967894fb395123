"""Who may import whom: the coordinator no framework, the core nothing of bench, figures nothing that shows them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bench

FRAMEWORKS = ("keras", "jax", "torch", "tensorflow")
COORDINATOR = (
    "bench.cli",
    "bench.measure.run",
    "bench.worker.__main__",
    "bench.cases.plugin",
    "bench.measure.doctor",
    "bench.measure.overhead",
    "bench.output.plots.replays",
    "bench.output.report.page",
    "bench.measure.parity",
    "bench.output.tables.catalog",
    "bench.measure.turns",
    "seqsum_core.task",
    "seqsum_core.article.verdict",
)


@pytest.mark.parametrize("module", COORDINATOR)
def test_no_framework_is_imported(module: str) -> None:
    code = f"import {module}, sys; print([name for name in {FRAMEWORKS!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_core_does_not_import_bench() -> None:
    modules = "seqsum_core.task, seqsum_core.baselines, seqsum_core.article.verdict"
    code = f"import {modules}, sys; print('bench' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


SHOWN_BY = {
    "bench.analysis": ("bench.output", "bench.commands"),
    "bench.output.tables": ("bench.output.plots", "bench.output.report", "bench.commands"),
    "bench.output.plots": ("bench.output.report", "bench.commands"),
    "bench.output.report": ("bench.commands",),
}


@pytest.mark.parametrize("package", SHOWN_BY)
def test_figures_know_nothing_of_what_shows_them(package: str) -> None:
    modules = sorted((Path(bench.__file__).parents[1] / package.replace(".", "/")).glob("*.py"))
    assert len(modules) > 5
    found = {
        (module.name, name)
        for module in modules
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for name in (f"{node.module}.{alias.name}" for alias in node.names)
        if name.startswith(SHOWN_BY[package])
    }
    assert found == set()
