"""Names that a person types or reads: the nearest choice to a wrong one, and how many there are of something."""

from collections.abc import Iterable

from bench.errors import UserError
from bench.plan import check_choice


def say_count(number: int, name: str) -> str:
    """Write how many there are, the name in the plural unless it is one."""
    return f"{number:,} {name}" + "s" * (number != 1)


def choose_name(name: str, choices: Iterable[str], what: str) -> str:
    """Return a name that is among the choices.

    Args:
        name: what was typed.
        choices: the names that there are.
        what: the option or field that was meant.

    Raises:
        UserError: if it is not among them; says which one is near.
    """
    try:
        return check_choice(name, tuple(choices), what)
    except ValueError as error:
        raise UserError(str(error)) from None
