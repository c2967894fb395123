"""Read sweep files and profiles: TOML in, a validated `Sweep` or one clear line out.

A profile is a sweep file that comes with the package.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.errors import UserError
from bench.plan import Sweep, check_choice

PROFILES = ("smoke", "standard", "full")


def read_profile(name: str, changes: Mapping[str, Any]) -> Sweep:
    """Read a profile that comes with the package.

    Args:
        name: "smoke", "standard" or "full".
        changes: fields of the sweep that the command line sets.

    Raises:
        UserError: if there is no such profile, or a change does not fit.
    """
    try:
        check_choice(name, PROFILES, "profile")
    except ValueError as error:
        raise UserError(str(error)) from None
    text = files("bench").joinpath("profiles", f"{name}.toml").read_text("utf-8")
    return _parse(text, f"profile {name}", changes)


def read_sweep(path: Path, changes: Mapping[str, Any]) -> Sweep:
    """Read a sweep file.

    Args:
        path: a TOML file with the fields of `Sweep`.
        changes: fields that the command line sets.

    Raises:
        UserError: naming the file, line and key if it cannot be read or does not fit.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({error}). Give the path of a TOML file.") from None
    return _parse(text, str(path), changes)


def _parse(text: str, name: str, changes: Mapping[str, Any]) -> Sweep:
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{name}: not valid TOML: {error}. Mend that line.") from None
    try:
        document = json.dumps({**fields, **changes}, default=str)
        return Sweep.model_validate_json(document, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(_explain(first, text, name, changes)) from None


def _explain(error: Any, text: str, name: str, changes: Mapping[str, Any]) -> str:
    """Say where a value came from and what rule it broke, in one line."""
    message: str = _MESSAGES.get(error["type"], error["msg"].removeprefix("Value error, "))
    if error["type"] not in ("value_error", "missing"):
        message += f". Received: {error['input']!r}."
    keys = [key for key in error["loc"] if isinstance(key, str)]
    named = re.match(r"`(\w+)`", message)
    line = _line_of(text, keys or ([named[1]] if named else []))
    if keys and keys[0] not in changes:
        message = f"`{'.'.join(keys)}`: {message}"
    if changes and not line:
        return message
    return f"{name}, line {line}: {message}" if line else f"{name}: {message}"


_MESSAGES = {
    "extra_forbidden": "there is no such key; remove it or correct its name",
    "unexpected_keyword_argument": "there is no such key; remove it or correct its name",
    "missing": "this key is missing; add it.",
    "too_short": "must name at least one",
}


def _line_of(text: str, keys: list[str]) -> int | None:
    """Find the line that sets a key (the last of `keys`), or the heading of its table, or nothing."""
    table, heading = "", None
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
            table = match[1]
            if table in keys:
                heading = number
        elif (match := re.match(r"\s*([\w.\"'-]+)\s*=", line)) and keys:
            path = [*table.split("."), *match[1].split(".")] if table else match[1].split(".")
            if path == keys or path[-1:] == keys:
                return number
    return heading
