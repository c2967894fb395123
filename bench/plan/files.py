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
from bench.names import choose_name
from bench.plan.sweep import Sweep

PROFILES = ("smoke", "standard", "full")


def read_profile(name: str, changes: Mapping[str, Any]) -> Sweep:
    """Read a profile that comes with the package.

    Args:
        name: "smoke", "standard" or "full".
        changes: fields of the sweep that the command line sets.

    Raises:
        UserError: if there is no such profile, or a change does not fit.
    """
    choose_name(name, PROFILES, "profile")
    text = files("bench.plan").joinpath("profiles", f"{name}.toml").read_text("utf-8")
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
        fields = _merged(tomllib.loads(text), changes)
    except (
        ValueError,
        RecursionError,
    ) as error:  # numbers of a thousand digits and deep nesting are no TOMLDecodeError
        raise UserError(f"{name}: not valid TOML: {str(error).splitlines()[0]}. Mend that line.") from None
    try:
        return Sweep.model_validate_json(json.dumps(fields, default=str), strict=True)
    except ValidationError as error:
        raise UserError(_explain(error.errors()[0], fields, text, name, changes)) from None


def _explain(error: Any, fields: Mapping[str, Any], text: str, name: str, changes: Mapping[str, Any]) -> str:
    """Say where a value came from and what rule it broke, in one line."""
    keys, value = _find(error["loc"], fields)
    if error["type"] == "missing" and value is None:
        return f"{name}: `{'.'.join(keys)}`: this key is missing; add it."
    if error["type"] == "value_error":
        message = str(error["msg"]).removeprefix("Value error, ")
        rule = re.match(r"`(\w+)`", message)
    else:
        received = value if error["type"] == "missing" else error["input"]
        message = f"{_MESSAGES.get(error['type'], error['msg'])}. Received: {received!r}.{_remedy(error['type'])}"
        rule = None
    if rule and isinstance(value, dict):  # a rule between several keys names the one to change
        keys = [*keys, rule[1]]
    elif keys:
        message = f"`{'.'.join(keys)}`: {message}"
    if _is_changed(keys, changes):
        return message
    line = _line_of(text, keys)
    return f"{name}, line {line}: {message}" if line else f"{name}: {message}"


def _merged(fields: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with the changes in them; of a table only the keys that are named."""
    parts = {
        name: {**fields[name], **value} if isinstance(value, dict) and isinstance(fields.get(name), dict) else value
        for name, value in changes.items()
        if value != {}
    }
    return {**fields, **parts}


def _is_changed(keys: list[str], changes: Mapping[str, Any]) -> bool:
    """Tell whether the command line set a key, or the one of a table that is named behind it."""
    inside = changes.get(keys[0]) if keys else None
    if isinstance(inside, dict):
        return len(keys) > 1 and keys[1] in inside
    return bool(changes.keys() & _spellings(keys[:1]))


def parse_share(text: str, option: str) -> float:
    """Read a share like 5% or 0.05.

    Raises:
        UserError: if it is none, or not between 0 and 1.
    """
    number = text.strip()
    try:
        share = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise UserError(f"`{option}` must be a share above 0 and below 100 %. Received: {text!r}. Write 5%, say.")
    return share


_MESSAGES = {
    "extra_forbidden": "there is no such key; remove it or correct its name",
    "unexpected_keyword_argument": "there is no such key; remove it or correct its name",
    "too_short": "must name at least one",
    "missing": "has too few values",
}


def _remedy(kind: str) -> str:
    return " Raise it." if kind.startswith("greater") else " Lower it." if kind.startswith("less") else ""


def _find(location: tuple[int | str, ...], fields: Mapping[str, Any]) -> tuple[list[str], Any]:
    """Follow pydantic's location as far as the document has keys; return these and the value there."""
    keys: list[str] = []
    value: Any = fields
    for part in location:
        if not isinstance(value, dict):
            break
        keys.append(str(part))
        value = value.get(part)
    return keys, value


def _line_of(text: str, keys: list[str]) -> int | None:
    """Find the line that sets a key, or else the heading of its table, or nothing.

    A key that stands alone may be in any table, and one of several values: `length` for `lengths`.
    """
    table: list[str] = []
    heading = None
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
            table = match[1].split(".")
            heading = number if table == keys[:1] else heading
        elif keys and (match := re.match(r"\s*([\w.\"'-]+)\s*=", line)):
            path = [*table, *(part.strip("\"'") for part in match[1].split("."))]
            if path == keys or (len(keys) == 1 and path[-1] in _spellings(keys)):
                return number
    return heading


def _spellings(keys: list[str]) -> set[str]:
    """Return a key, and the axis that holds several of it."""
    return {spelling for key in keys for spelling in (key, f"{key}s")}
