"""Read sweep files and profiles: TOML in, a validated `Sweep` or one clear line out.

A profile is a sweep file that comes with the package.
"""

import codecs
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
        changes: fields of the sweep that the command line sets: `{"lengths": [12], "timing": {"rounds": 5}}`.

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
        changes: fields that the command line sets; of a table only the keys that it names.

    Raises:
        UserError: naming the file and the key if it cannot be read or does not fit.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Give the path of a TOML file.") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        encoding = "UTF-16" if is_utf16 else "another encoding"
        raise UserError(f"{path}: must be text in UTF-8. Received: {encoding}. Save it as UTF-8.") from None
    return _parse(text, str(path), changes)


def _parse(text: str, name: str, changes: Mapping[str, Any]) -> Sweep:
    try:
        fields = _merged(tomllib.loads(text), changes)
    except (
        ValueError,
        RecursionError,
    ) as error:  # deep nesting and numbers of a thousand digits are no TOMLDecodeError
        raise UserError(f"{name}: not valid TOML: {str(error).splitlines()[0]}. Correct that line.") from None
    try:
        return Sweep.model_validate_json(json.dumps(fields, default=str), strict=True)
    except ValidationError as error:
        raise UserError(_explain(error.errors()[0], fields, name, changes)) from None


def _merged(fields: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with the changes in them; of a table only the keys that are named."""
    merged = dict(fields)
    for key, value in changes.items():
        if not isinstance(value, dict):
            merged[key] = value
        elif isinstance(table := fields.get(key, {}), dict):  # else it stays as it is, to be refused
            merged[key] = {**table, **value}
    return merged


def _explain(error: Any, fields: Mapping[str, Any], name: str, changes: Mapping[str, Any]) -> str:
    """Describe the first broken rule in one line: file, key, rule, received value."""
    keys = _keys(error["loc"], fields)
    if error["type"] == "value_error":
        message = str(error["msg"]).removeprefix("Value error, ")  # ours: names the key, the value and the remedy
        rule = re.match(r"`(\w+)`", message)
        named = rule[1] if rule else ""
        if keys and named not in keys:
            message = f"`{'.'.join(keys)}`: {message}"
    elif error["type"] == "missing" and len(keys) == len(error["loc"]):
        named, message = "", f"`{'.'.join(keys)}`: this key is missing; add it."
    else:
        named, rule_text = "", _MESSAGES.get(error["type"], error["msg"])
        message = f"`{'.'.join(keys)}`: {rule_text}. Received: {error['input']!r}.{_remedy(error['type'])}"
    return message if _is_changed([*keys, named], changes) else f"{name}: {message}"


_MESSAGES = {
    "extra_forbidden": "there is no such key; remove it or correct its name",
    "unexpected_keyword_argument": "there is no such key; remove it or correct its name",
    "too_short": "must name at least one",
    "missing": "has too few values",
}


def _remedy(kind: str) -> str:
    return " Raise it." if kind.startswith("greater") else " Lower it." if kind.startswith("less") else ""


def _keys(location: tuple[int | str, ...], fields: Mapping[str, Any]) -> list[str]:
    """Return as much of pydantic's location as are keys of the document; the rest are positions and types."""
    keys: list[str] = []
    value: Any = fields
    for part in location:
        if not isinstance(value, dict):
            break
        keys.append(str(part))
        value = value.get(part)
    return keys


def _is_changed(keys: list[str], changes: Mapping[str, Any]) -> bool:
    """Tell whether the command line set the first of these keys, or the one of a table that follows it.

    A rule names one value, `length`, where the sweep has several, `lengths`.
    """
    first, *rest = [key for key in keys if key] or [""]
    table = changes.get(first)
    if isinstance(table, dict):
        return bool(rest) and rest[0] in table
    tables = [value for value in changes.values() if isinstance(value, dict)]
    return first in changes or f"{first}s" in changes or any(first in table for table in tables)
