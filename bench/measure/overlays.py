"""Environments made by name: `torch@keras==3.13.2` is that of torch with another Keras.

Each is a virtual environment that holds only the packages that are exchanged, with what they require and the
environment it is based on lacks, and finds everything else there. It is made in seconds, kept in a cache, and proved
by the versions that its workers import.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from bisect import bisect
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from bench.errors import UserError
from bench.frozen import Frozen
from bench.host import home_folder
from bench.names import check_choice
from bench.plan.cells import NIGHTLY, packages_of

PYTHON = Path("Scripts", "python.exe") if os.name == "nt" else Path("bin", "python")
DESCRIPTION = "seqsum.json"
UNFINISHED = ".part-"
COMPANIONS = {"jax": "jaxlib"}
"""Packages of which a version works only with the same version of another one."""
KNOWN = ("keras", "keras-nightly", "jax", "jaxlib", "torch", "tensorflow", "numpy", "scikit-learn", "scipy")
SITES = """
import json, site
print()  # a sitecustomize may have left a line without an end
print(json.dumps([*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]))
"""
LACKING = """
import json, sys
from importlib.metadata import PackageNotFoundError, distribution
from packaging.requirements import Requirement

def is_lacking(required):
    try:
        return (required.marker is None or required.marker.evaluate({"extra": ""})) and not distribution(required.name)
    except PackageNotFoundError:
        return True

found = [Requirement(line) for name in sys.argv[1:] for line in distribution(name).requires or []]
print()
print(json.dumps(sorted({required.name + str(required.specifier) for required in found if is_lacking(required)})))
"""
"""Prints what packages require and an environment does not have."""
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
INSTALL = ("install", "--quiet", "--no-deps", "--only-binary", ":all:", "--retries", "1")


class Overlay(Frozen):
    """An environment that was made by name.

    Args:
        packages: what it exchanges, as `name==version`.
        base: the interpreter of the environment that has everything else.
    """

    packages: tuple[str, ...]
    base: str

    def __str__(self) -> str:
        return ",".join(self.packages)


def cache_folder() -> Path:
    """Return where a user's environments are kept."""
    named = os.environ.get("XDG_CACHE_HOME") or (os.name == "nt" and os.environ.get("LOCALAPPDATA"))
    return Path(named or home_folder() / ".cache") / "seqsum" / "environments"


def overlay_folder(base: str, packages: Mapping[str, str]) -> Path:
    """Return the folder of an environment, whether it is there or not."""
    overlay = Overlay(packages=_requirements(packages), base=base)
    return cache_folder() / f"{overlay}-{sha256(base.encode()).hexdigest()[:8]}"


def overlay_python(base: str, packages: Mapping[str, str]) -> str:
    """Return the interpreter of an environment, which is made unless it is there as a whole.

        overlay_python(".tox/torch/bin/python", {"keras": "3.13.2"})

    Raises:
        UserError: if a package or a version is not there, or pip or the disk fails.
    """
    folder = overlay_folder(base, packages)
    if not (folder / PYTHON).exists():
        _make(folder, Overlay(packages=_requirements(packages), base=base))
    return str(folder / PYTHON)


def _requirements(packages: Mapping[str, str]) -> tuple[str, ...]:
    companions = {COMPANIONS[name]: version for name, version in packages.items() if name in COMPANIONS}
    return tuple(f"{name}=={version}" for name, version in sorted((companions | dict(packages)).items()))


def _make(folder: Path, overlay: Overlay) -> None:
    """Make an environment under another name and rename it, so that one whose making was interrupted is not used."""
    unfinished = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
        _python(overlay, "-m", "venv", "--without-pip", str(unfinished))
        python = str(unfinished / PYTHON)
        _python(overlay, *PIP, "--python", python, *INSTALL, *overlay.packages)
        lines = [f"import site; site.addsitedir({site!r})" for site in _answer(overlay, overlay.base, SITES)]
        Path(_answer(overlay, python, SITES)[0], "seqsum-base.pth").write_text("\n".join(lines), "utf-8")
        new = list(packages_of(f"a@{overlay}"))
        while lacking := _answer(overlay, python, LACKING, *new):
            _python(overlay, *PIP, "--python", python, *INSTALL, *lacking)
            new = [re.split(r"[^\w.-]", each)[0] for each in lacking]
        (unfinished / DESCRIPTION).write_text(overlay.model_dump_json(), "utf-8")
        shutil.rmtree(folder, ignore_errors=True)  # one whose base has moved since
        unfinished.rename(folder)
    except OSError as error:
        if not (folder / PYTHON).exists():  # nobody else has made it meanwhile
            raise UserError(
                f"{folder}: environment {overlay} cannot be made ({error.strerror}). "
                "Make room, or set XDG_CACHE_HOME to another folder."
            ) from None
    finally:
        if unfinished:
            shutil.rmtree(unfinished, ignore_errors=True)


def _answer(overlay: Overlay, python: str, code: str, *arguments: str) -> list[str]:
    """Return the list that an interpreter prints in its last line."""
    answer: list[str] = json.loads(_call(overlay, python, "-c", code, *arguments).splitlines()[-1])
    return answer


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _python(overlay: Overlay, *arguments: str) -> str:
    """Return what the base's interpreter prints: see `_call`."""
    return _call(overlay, overlay.base, *arguments)


def _call(overlay: Overlay, *command: str) -> str:
    """Return what a command prints; a UserError in one line if it fails."""
    answer = subprocess.run(command, capture_output=True, text=True, env=_variables())
    if answer.returncode:
        raise UserError(_problem(overlay, answer.stderr + answer.stdout))
    return answer.stdout


def _problem(overlay: Overlay, printed: str) -> str:
    """Return in a line why an environment cannot be made, with the nearest name or version."""
    if missing := re.search(r"requirement ([\w.-]+)==(\S+) \(from versions: (.*?)\)", printed):
        name, version, known = missing.groups()
        rule = f"`backend` must exchange packages for versions that pip finds. Received: {name}=={version}."
        if near := nearest_versions(version, known.split(", ")):
            return f"{rule} The nearest: {' and '.join(near)}."
        return f"{rule} {_nearest_name(name)}"
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith("ERROR: ")), lines[-1] if lines else "no reason given")
    remedy = (
        "Make room, or set XDG_CACHE_HOME." if "No space" in told else "Install pip there." if "pip" in told else ""
    )
    return f"Environment {overlay} cannot be made: {told.removeprefix('ERROR: ')}. {remedy}".strip()


def _nearest_name(name: str) -> str:
    try:
        check_choice(name, KNOWN, "package")
    except ValueError as error:
        return f"pip finds no {name}. {str(error).rpartition('. ')[2]}"
    return f"pip finds no {name} at all: see that it reaches an index."


def nearest_versions(version: str, known: Iterable[str]) -> list[str]:
    """Return the known versions just below and just above one; none if none is known."""
    ordered = sorted_versions(known)
    try:
        place = bisect(ordered, Version(version), key=Version)
    except InvalidVersion:
        place = len(ordered)
    return ordered[max(0, place - 1) : place + 1]


def sorted_versions(versions: Iterable[str]) -> list[str]:
    """Return those that are versions, oldest first."""
    valid = []
    for version in versions:
        try:
            valid.append((Version(version), version))
        except InvalidVersion:
            continue
    return [version for _, version in sorted(valid)]


def known_versions(package: str, *, base: str) -> list[str]:
    """Return every version of a package that pip finds for an interpreter, oldest first, nightly ones included.

    Raises:
        UserError: if pip finds none.
    """
    overlay = Overlay(packages=(package,), base=base)
    try:
        printed = _python(overlay, *PIP, "index", "versions", "--pre", package)
    except UserError:
        raise UserError(
            f"`package` must be one that pip finds versions of. Received: {package}. {_nearest_name(package)}"
        ) from None
    listed = re.search(r"^Available versions: (.*)$", printed, re.MULTILINE)
    return sorted_versions(listed[1].split(", ") if listed else ())


def check_versions(environment: str, versions: Mapping[str, str]) -> None:
    """Raise `UserError` if the worker of an environment has imported other versions than its name says."""
    for package, wanted in packages_of(environment).items():
        imported = versions.get(package.removesuffix(NIGHTLY), "none").partition(" ")[0]
        if imported == "none" or not SpecifierSet(f"=={wanted}").contains(imported, prereleases=True):
            raise UserError(
                f"Environment {environment} must import {package} {wanted}. Received: {imported}. Take what comes "
                "first out of PYTHONPATH, or make it anew: seqsum environments --remove all"
            )


def list_overlays() -> dict[Path, Overlay]:
    """Return the environments that are there by their folders."""
    folders = sorted(path.parent for path in cache_folder().glob(f"[!.]*/{DESCRIPTION}"))
    return {folder: Overlay.model_validate_json((folder / DESCRIPTION).read_text("utf-8")) for folder in folders}


def remove_overlays(names: Iterable[str]) -> list[Path]:
    """Remove environments by what they exchange, or all of them and what interrupted makings have left.

    Raises:
        UserError: if there is none of a name.
    """
    overlays, removed = list_overlays(), []
    for name in names:
        folders = [folder for folder, overlay in overlays.items() if name in ("all", str(overlay))]
        if name == "all":
            folders += cache_folder().glob(f"{UNFINISHED}*")
        elif not folders:
            check = ", ".join(sorted(set(map(str, overlays.values())))) or "none"
            raise UserError(f"`--remove` must be all, or one of: {check}. Received: {name}. See: seqsum environments")
        removed += folders
    for folder in removed:
        shutil.rmtree(folder)
    return removed
