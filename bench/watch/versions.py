"""Which versions of a package there are, and which of them a command means. Asks pip; knows no framework."""

import json
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Literal

from packaging.version import Version

from bench.errors import UserError
from bench.measure.environments import find_interpreter
from bench.measure.overlays import KNOWN, known_versions
from bench.names import choose_name
from bench.plan.cells import NIGHTLY, parse_package

DAY = re.compile(r"\.dev(\d{4})(\d{2})(\d{2})\d*$")
Every = Literal["daily", "weekly", "monthly"]
INSTALLED = """
import json, sys
from importlib import metadata
names = {each.metadata["Name"].lower(): each.version for each in metadata.distributions()}
print(json.dumps({name: names[name] for name in sys.argv[1:] if name in names}))
"""


def parse_versions(text: str) -> list[str]:
    """Read `keras=3.9.2,3.10.0` as requirements, `keras==3.9.2` and so on, each once.

    Raises:
        UserError: if it is written otherwise.
    """
    name, _, versions = text.partition("=")
    try:
        found = [parse_package(f"{name.strip()}=={version.strip()}") for version in versions.split(",")]
    except ValueError:
        raise UserError(
            f"`--versions` must be PACKAGE=VERSION,VERSION. Received: {text!r}. Write keras=3.9.2,3.10.0, say."
        ) from None
    return [f"{package}=={version}" for package, version in dict.fromkeys(found)]


def parse_requirement(text: str, option: str) -> tuple[str, str]:
    """Read `keras==3.13.2` as a package and a version; a UserError if it is written otherwise."""
    try:
        return parse_package(text)
    except ValueError:
        raise UserError(f"`{option}` must be PACKAGE==VERSION. Received: {text!r}. Write keras==3.13.2, say.") from None


def day_of(version: str) -> date | None:
    """Return the day on which a nightly version was built; None for any other version."""
    match = DAY.search(version)
    return date(int(match[1]), int(match[2]), int(match[3])) if match else None


def releases(package: str, *, base: str) -> list[str]:
    """Return the final releases of a package, oldest first."""
    return [version for version in known_versions(package, base=base) if not Version(version).is_prerelease]


def nightlies(package: str, *, base: str) -> dict[date, str]:
    """Return the newest nightly version of each day, oldest first."""
    days: dict[date, str] = {}
    for version in known_versions(package.removesuffix(NIGHTLY) + NIGHTLY, base=base):
        if day := day_of(version):
            days[day] = version
    return dict(sorted(days.items()))


def newest_releases(package: str, count: int, *, base: str) -> list[str]:
    """Return the newest releases as requirements, oldest first; a UserError if there is none."""
    choose_name(package, KNOWN, "package")
    return [f"{package}=={version}" for version in releases(package, base=base)[-count:]]


def sample_nightlies(package: str, every: Every, since: str, *, base: str) -> list[str]:
    """Return the first nightly version of each day, week or month since one, as requirements.

    Raises:
        UserError: if the month is written otherwise than YYYY-MM, or there is no version since then.
    """
    try:
        first_day = date.fromisoformat(f"{since}-01")
    except ValueError:
        raise UserError(f"`--since` must be YYYY-MM. Received: {since!r}. Write 2025-06, say.") from None
    days = nightlies(package, base=base)
    chosen: dict[tuple[int, ...], str] = {}
    for day, version in days.items():
        period = {"daily": (day.toordinal(),), "weekly": day.isocalendar()[:2], "monthly": (day.year, day.month)}[every]
        if day >= first_day:
            chosen.setdefault(tuple(period), f"{package.removesuffix(NIGHTLY)}{NIGHTLY}=={version}")
    if not chosen:
        newest = max(days, default="none")
        raise UserError(f"`--since` must lie before the newest nightly version, {newest}. Received: {since}. Lower it.")
    return list(chosen.values())


def base_of(backend: str, pythons: Mapping[str, str], device: str = "cpu") -> str:
    """Return the interpreter that environments of a backend are based on."""
    return find_interpreter(backend, device=device, pythons=pythons)


def installed_versions(base: str, names: Iterable[str]) -> dict[str, str]:
    """Return the versions of packages that are installed for an interpreter."""
    answer = subprocess.run([base, "-c", INSTALLED, *names], capture_output=True, text=True, check=True)
    installed: dict[str, str] = json.loads(answer.stdout.splitlines()[-1])
    return installed


def environments_of(backends: Sequence[str], requirements: Sequence[str]) -> dict[str, list[str]]:
    """Return the environments of each backend that exchange one of the requirements each."""
    return {backend: [f"{backend}@{requirement}" for requirement in requirements] for backend in backends}
