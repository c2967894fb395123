"""Names that a person types or reads: the nearest choice to a wrong one, and how many there are of something."""

from collections.abc import Iterable
from difflib import get_close_matches

from bench.errors import UserError


def say_count(number: int, name: str) -> str:
    """Write how many there are, the name in the plural unless it is one."""
    return f"{number:,} {name}" + "s" * (number != 1)


def check_choice(value: str, choices: tuple[str, ...], what: str) -> str:
    """Return a value that is among the choices; else a ValueError names the rule and the nearest choice."""
    if value in choices:
        return value
    near = get_close_matches(value, choices, n=1)
    hint = f"Did you mean {near[0]}?" if near else "Choose one of them."
    raise ValueError(f"`{what}` must be one of {', '.join(choices)}. Received: {value!r}. {hint}")


def choose_name(name: str, choices: Iterable[str], what: str) -> str:
    """Return what was typed if it is among the choices of an option; else a UserError names the nearest."""
    try:
        return check_choice(name, tuple(choices), what)
    except ValueError as error:
        raise UserError(str(error)) from None
