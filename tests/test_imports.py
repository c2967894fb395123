"""Who may import whom: every import statement of both packages is read, also those inside functions."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench
import seqsum_core

ROOT = Path(bench.__file__).parents[1]
FRAMEWORKS = {"keras", "jax", "jaxlib", "torch", "tensorflow"}
WITH_FRAMEWORK = (
    "bench.worker",
    "seqsum_core.nn",
    "seqsum_core.article.keras2",
    "seqsum_core.article.precision",
    "seqsum_core.article.replay",
)
"""Where a framework may be imported: what a worker runs."""

FOLDERS = {
    "seqsum_core": {"seqsum_core.article.draw"},
    "seqsum_core.nn": {"seqsum_core"},
    "seqsum_core.article": {"seqsum_core", "seqsum_core.nn"},
    "bench": {"seqsum_core"},
    "bench.plan": {"bench", "seqsum_core"},
    "bench.records": {"bench", "bench.plan", "seqsum_core"},
    "bench.worker": {"bench", "bench.plan", "bench.records", "seqsum_core", "seqsum_core.nn", "seqsum_core.article"},
    "bench.analysis": {"bench", "bench.plan", "bench.records", "seqsum_core"},
    "bench.measure": {
        *{"bench", "bench.plan", "bench.records", "bench.analysis", "bench.worker.messages"},
        *{"seqsum_core", "seqsum_core.article"},
    },
    "bench.watch": {"bench", "bench.plan", "bench.records", "bench.analysis", "bench.measure", "seqsum_core"},
    "bench.output": {
        *{"bench", "bench.plan", "bench.records", "bench.analysis", "bench.measure", "bench.watch"},
        *{"seqsum_core", "seqsum_core.article"},
    },
    "bench.cases": {
        *{"bench", "bench.plan", "bench.records", "bench.analysis", "bench.measure", "bench.output"},
        *{"bench.worker.messages", "seqsum_core"},
    },
    "bench.commands": {
        *{"bench", "bench.plan", "bench.records", "bench.analysis", "bench.measure", "bench.watch", "bench.output"},
    },
}
"""What each folder may import besides itself; what lies at the top of a package is named like the package."""
EXCEPTIONS = {
    ("bench", "bench.records.frame"): "bench.load",
    ("bench.cli", "bench.commands"): "the commands are put together here",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Yield the dotted name and the syntax tree of every module of both packages."""
    for package in (bench, seqsum_core):
        for path in sorted(Path(package.__file__ or "").parent.rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__"), ast.parse(path.read_text("utf-8"))


NAMES = {name for name, _ in modules()}


def imports(tree: ast.Module) -> set[str]:
    """Return the dotted names a module imports; `from package import module` is the module."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not read here"
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (within & NAMES) | ({str(node.module)} if within - NAMES else set())
    return names


IMPORTS = {name: imports(tree) for name, tree in modules()}


def folder(module: str) -> str:
    """Return the folder of a module; the package for what lies at its top."""
    within = ".".join(module.split(".")[:2])
    return within if within in FOLDERS else module.partition(".")[0]


def test_frameworks() -> None:
    importers = {name for name, names in IMPORTS.items() if {each.split(".")[0] for each in names} & FRAMEWORKS}
    assert {name for name in importers if not name.startswith(WITH_FRAMEWORK)} == set()
    assert {"bench.worker", "seqsum_core.nn"} <= {folder(name) for name in importers}


@pytest.mark.parametrize("name", sorted(IMPORTS))
def test_direction(name: str) -> None:
    """A module imports what its folder may import, and nothing that imports a framework unless it may itself."""
    allowed = FOLDERS[folder(name)]
    for other in IMPORTS[name] & NAMES:
        if folder(other) == folder(name) or (name, folder(other)) in EXCEPTIONS or (name, other) in EXCEPTIONS:
            continue
        assert folder(other) in allowed or other in allowed, other
        assert not other.startswith(WITH_FRAMEWORK) or name.startswith(WITH_FRAMEWORK) or other in allowed, other


def test_no_circles() -> None:
    """Modules can be ordered so that each imports earlier ones only."""
    rest = {name: (names & NAMES) - {name} for name, names in IMPORTS.items()}
    size = len(rest) + 1
    while len(rest) < size:  # leave out those that import no other, and those that no other imports
        size = len(rest)
        imported = set().union(*rest.values())
        rest = {name: names & rest.keys() for name, names in rest.items() if name in imported and names & rest.keys()}
    assert rest == {}


@pytest.mark.parametrize(("name", "more"), [("bench", {"numpy", "pydantic"}), ("bench.cli", {"sklearn", "ray"})])
def test_start_is_fast(name: str, more: set[str]) -> None:
    """What takes long to import is imported by the functions that need it."""
    slow = {*FRAMEWORKS, *more, "altair", "pandas", "scipy", "vl_convert"}
    code = f"import sys, {name}; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(answer.stdout.split()) & slow == set()


def test_backends_can_be_hidden() -> None:
    """So do the core tests prove that they need none, where all are installed."""
    code = "import conftest; assert conftest.installed_backends() == []; import keras"
    variables = {"SEQSUM_TESTS_WITHOUT_BACKENDS": "1"}
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, cwd=ROOT / "tests")
    assert "ModuleNotFoundError: No module named 'keras'" in answer.stderr
