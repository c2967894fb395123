"""Environments made by name: made once and as a whole, proved, listed, removed; what is wrong is one line."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import pytest
from calling import Caller

from bench.errors import UserError
from bench.measure import overlays
from bench.measure.overlays import check_versions, list_overlays, nearest_versions, overlay_folder, overlay_python
from bench.plan.cells import check_environment, packages_of


def make_wheel(
    folder: Path, version: str, name: str = "keras", files: Mapping[str, str] | None = None, requires: str = ""
) -> None:
    """Write a package with some files, or one module, which says its version."""
    info = f"{name}-{version}.dist-info"
    files = {
        **(files or {f"{name}.py": f"__version__ = {version!r}\n"}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let pip find wheels in a folder only, and keep environments in another."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("91.0", "91.1", "92.0"):
        make_wheel(folder, version)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return folder


def ask(python: str, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("torch@keras==3.13.2", {"keras": "3.13.2"}),
        ("tf@jax==0.9.2,keras==3.14.1", {"jax": "0.9.2", "keras": "3.14.1"}),
        ("torch@keras-nightly==3.12.0.dev2025083103", {"keras-nightly": "3.12.0.dev2025083103"}),
        ("torch@old", {}),
        ("torch", {}),
    ],
)
def test_names(name: str, packages: dict[str, str]) -> None:
    assert packages_of(check_environment(name)) == packages


@pytest.mark.parametrize(
    "name",
    [
        "torch@keras=3.1",
        "torch@keras==",
        "torch@keras==3,keras==4",
        "torch@a,b",
        "torch@-r==1",
        "torch@k==1,",
        "torch@k==3.x",
    ],
)
def test_wrong_names(name: str) -> None:
    with pytest.raises(ValueError, match=r"BACKEND@PACKAGE==VERSION.* Received: .* Write torch@keras==3\.13\.2"):
        check_environment(name)


def test_overlay(wheels: Path) -> None:
    """It has its own package and finds the others in its base; once it is there, nothing is installed."""
    python = overlay_python(sys.executable, {"keras": "91.1"})
    assert ask(python, "import keras, numpy, bench.cli; print(keras.__version__)") == "91.1"
    for wheel in wheels.iterdir():
        wheel.unlink()
    assert overlay_python(sys.executable, {"keras": "91.1"}) == python
    assert [str(overlay) for overlay in list_overlays().values()] == ["keras==91.1"]
    assert overlay_folder("another/bin/python", {"keras": "91.1"}) != Path(python).parents[1]


def test_requirements_that_the_base_lacks(wheels: Path) -> None:
    """They are installed, and theirs; what the base has, an extra or another system would need is not."""
    lines = ("numpy<1", "lacked-one>=1", "lacked-two; extra == 'more'", "lacked-two; python_version < '3'")
    make_wheel(wheels, "90.0", requires="".join(f"Requires-Dist: {line}\n" for line in lines))
    make_wheel(wheels, "1.0", "lacked_one", requires="Requires-Dist: lacked-three\n")
    make_wheel(wheels, "2.0", "lacked_three")
    python = overlay_python(sys.executable, {"keras": "90.0"})
    assert ask(python, "import lacked_one, lacked_three; print(lacked_three.__version__)") == "2.0"


def test_broken_base(wheels: Path, tmp_path: Path) -> None:
    """One that makes an environment and answers no question: it is one line, no traceback."""
    base = tmp_path / "python"
    base.write_text(f'#!/bin/sh\n[ "$1" = -c ] && echo broken >&2 && exit 1\nexec {sys.executable} "$@"\n')
    base.chmod(0o755)
    with pytest.raises(UserError, match=r"^Environment keras==91\.0 cannot be made: broken\.$"):
        overlay_python(str(base), {"keras": "91.0"})


def test_interrupted_making(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is half made is used, and nothing of it stays."""
    real = overlays._python

    def interrupted(overlay: overlays.Overlay, *arguments: str) -> str:
        if "install" in arguments:
            raise KeyboardInterrupt
        return real(overlay, *arguments)

    monkeypatch.setattr(overlays, "_python", interrupted)
    with pytest.raises(KeyboardInterrupt):
        overlay_python(sys.executable, {"keras": "91.0"})
    assert list(overlays.cache_folder().iterdir()) == []
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("packages", "message"),
    [
        ({"keras": "91.5"}, r"Received: keras==91\.5\. The nearest: 91\.1 and 92\.0\."),
        ({"keras": "93"}, r"Received: keras==93\. The nearest: 92\.0\."),
        ({"kears": "91.0"}, r"Received: kears==91\.0\. pip finds no kears\. Did you mean keras\?"),
        ({"jaxlib": "1.0"}, r"pip finds no jaxlib at all: see that it reaches an index\."),
    ],
)
def test_what_pip_does_not_find(wheels: Path, packages: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        overlay_python(sys.executable, packages)
    assert len(str(raised.value).splitlines()) == 1
    assert not overlay_folder(sys.executable, packages).exists()


def test_no_room(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "full"))
    with pytest.raises(UserError, match=r"environment keras==91\.0 cannot be made \(.*\)\. Make room"):
        overlay_python(sys.executable, {"keras": "91.0"})


@pytest.mark.parametrize(
    ("environment", "versions", "fits"),
    [
        ("torch@keras==3.5", {"keras": "3.5.0"}, True),
        ("torch@torch==2.13.0", {"torch": "2.13.0+cpu"}, True),
        ("torch@keras-nightly==3.12.0.dev20", {"keras": "3.12.0.dev20 (imported; 3.15.1 is installed)"}, True),
        ("torch@keras==3.5.0", {"keras": "3.15.1"}, False),
        ("torch@other==1", {}, False),
        ("torch@old", {"keras": "3.15.1"}, True),
    ],
)
def test_proof(environment: str, versions: dict[str, str], fits: bool) -> None:
    if fits:
        return check_versions(environment, versions)
    with pytest.raises(UserError, match=rf"Environment {environment} must import .* Received: "):
        check_versions(environment, versions)
    return None


def test_nearest_versions() -> None:
    assert nearest_versions("3.10.5", ["3.9.2", "3.11.0", "3.10.0", "not a version"]) == ["3.10.0", "3.11.0"]


def test_command(wheels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seqsum = Caller(monkeypatch, capsys)
    overlay_python(sys.executable, {"keras": "91.0"})
    assert seqsum("environments").out.startswith("keras==91.0  ")
    wrong = seqsum("environments", "--remove", "keras==91.1")
    assert wrong.code == 2 and "one of: keras==91.0. Received: keras==91.1" in wrong.err
    assert seqsum("environments", "--remove", "keras==91.0").code == 0
    assert seqsum("environments").out == "" and not list_overlays()
