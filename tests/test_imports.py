"""Who may import whom: every import statement of both packages is read, also those inside functions."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import bench
import seqsum_core

ROOT = Path(bench.__file__).parents[1]
FRAMEWORKS = {"keras", "jax", "torch", "tensorflow"}
IMPORT_FRAMEWORKS = ("bench.worker", "seqsum_core.nn", "seqsum_core.article")


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


def folder(module: str) -> str:
    """Return the folder of a module below its package, or the module itself if it lies at the top."""
    return ".".join(module.split(".")[:2])


IMPORTS = {name: imports(tree) for name, tree in modules()}


def test_frameworks_are_imported_beside_keras_only() -> None:
    importers = {name for name, imported in IMPORTS.items() if {one.split(".")[0] for one in imported} & FRAMEWORKS}
    assert {name for name in importers if not name.startswith(IMPORT_FRAMEWORKS)} == set()
    assert len(importers) > 3


def test_only_the_worker_reaches_what_imports_frameworks() -> None:
    reached = {
        name: {one for one in imported if one.startswith(IMPORT_FRAMEWORKS) and not one.endswith(".messages")}
        for name, imported in IMPORTS.items()
        if not name.startswith(IMPORT_FRAMEWORKS) and not name.startswith("bench.cases.test_")
    }
    assert {name: found for name, found in reached.items() if found} == {}


def test_the_core_does_not_import_the_bench() -> None:
    core = {name: imported for name, imported in IMPORTS.items() if name.startswith("seqsum_core")}
    assert {name for name, imported in core.items() if any(one.startswith("bench") for one in imported)} == set()


def test_folders_have_no_circle() -> None:
    arrows: dict[str, set[str]] = defaultdict(set)
    for name, imported in IMPORTS.items():
        arrows[folder(name)] |= {folder(one) for one in imported & NAMES} - {folder(name)}
    while leaves := {room for room in arrows if not arrows[room] & arrows.keys()}:
        arrows = defaultdict(set, {room: others for room, others in arrows.items() if room not in leaves})
    assert {room: sorted(others & arrows.keys()) for room, others in arrows.items()} == {}
