"""Read sweep files and profiles: TOML in, a validated `Sweep` or one clear line out.

A profile is a sweep file that comes with the package.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.errors import UserError
from bench.names import choose_name
from bench.plan.sweep import Sweep

PROFILES = ("smoke", "standard", "full")


def read_profile(name: str, changes: Mapping[str, Any]) -> Sweep:
    """Read a profile that comes with the package, changed as `read_sweep` does."""
    choose_name(name, PROFILES, "profile")
    text = files("bench.plan").joinpath("profiles", f"{name}.toml").read_text("utf-8")
    return _parse(text, f"profile {name}", changes)


def read_sweep(path: Path, changes: Mapping[str, Any]) -> Sweep:
    """Read a sweep file.

    Args:
        path: a TOML file with the fields of `Sweep`.
        changes: fields that the command line sets: `{"lengths": [12], "timing": {"rounds": 5}}`; of a table only the
            keys that it names.

    Raises:
        UserError: naming the file and the key if it cannot be read or does not fit.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Give the path of a TOML file.") from None
    is_wide = b"\0" in content  # no text in UTF-8 has it
    with suppress(UnicodeDecodeError):
        if not is_wide:
            return _parse(content.decode("utf-8-sig"), str(path), changes)
    encoding = "UTF-16 or UTF-32" if is_wide else "another encoding"
    raise UserError(f"{path}: must be text in UTF-8. Received: {encoding}. Save it as UTF-8.")


def parse_sweep(fields: dict[str, Any]) -> Sweep:
    """Return the sweep that has these fields; a UserError with the first rule that is broken."""
    sweep, problem = _validate(fields)
    if sweep is None:
        raise UserError(problem)
    return sweep


def _parse(text: str, name: str, changes: Mapping[str, Any]) -> Sweep:
    try:
        fields = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError, a number of 5,000 digits, deep nesting
        raise UserError(f"{name}: not valid TOML: {str(error).splitlines()[0]}. Correct that line.") from None
    sweep, problem = _validate(_merged(fields, changes))
    if sweep is None:
        is_of_file = _validate(fields)[1] == problem
        raise UserError(f"{name}: {problem}" if is_of_file else problem)
    return sweep


def _merged(fields: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with the changes in them; of a table only the keys that are named."""
    merged = dict(fields)
    for key, value in changes.items():
        if not isinstance(value, dict):
            merged[key] = value
        elif isinstance(table := fields.get(key, {}), dict):  # else it stays as it is, to be refused
            merged[key] = {**table, **value}
    return merged


def _validate(fields: dict[str, Any]) -> tuple[Sweep | None, str]:
    """Return the sweep, or None and the first rule that is broken: key, rule, received value."""
    try:
        return Sweep.model_validate_json(json.dumps(fields, default=str), strict=True), ""
    except ValidationError as error:
        broken: Any = error.errors()[0]
    kind, key = broken["type"], ".".join(_keys(broken["loc"], fields))
    if kind == "value_error":
        problem = str(broken["msg"]).removeprefix("Value error, ")  # ours: names the key, the value and the remedy
        named = re.match(r"`(\w+)`", problem)
        return None, problem if not key or (named and named[1] in key.split(".")) else f"`{key}`: {problem}"
    if kind == "missing" and len(key.split(".")) == len(broken["loc"]):
        return None, f"`{key}`: this key is missing; add it."
    remedy = " Raise it." if kind.startswith("greater") else " Lower it." if kind.startswith("less") else ""
    return None, f"`{key}`: {_MESSAGES.get(kind, broken['msg'])}. Received: {broken['input']!r}.{remedy}"


_MESSAGES = {
    "extra_forbidden": "there is no such key; remove it or correct its name",
    "unexpected_keyword_argument": "there is no such key; remove it or correct its name",
    "too_short": "must name at least one",
    "missing": "has too few values",
}


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
