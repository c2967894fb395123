"""What a gate allows, as a command line writes it: `slower:5%`, `calls:2%`, `accuracy:10%`, `path`."""

import re
from typing import Literal, get_args

from bench.errors import UserError
from bench.frozen import Frozen

Quantity = Literal["epoch", "first-epoch", "validation", "memory", "calls", "accuracy", "path"]
"""Of a timed process; accuracy: of a training from a seed."""
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
NAMES: dict[Quantity, str] = {"epoch": "slower"}
"""How a gate names a quantity where that is not its own name."""


class Gate(Frozen):
    """What is not allowed: that a quantity is larger by more than a share, or the path another one.

    Args:
        quantity: seconds of an epoch, of the first epoch or of a validation, bytes of memory, calls of Python functions
            in an epoch, the test error of a seed ("accuracy"), or the execution path.
        share: how much larger it may be, or negative, how much smaller it must be; a path is the same or not.
        error: the chance of any wrong verdict in a run.
    """

    quantity: Quantity = "epoch"
    share: float = 0.0
    error: float = 0.05

    def __str__(self) -> str:
        share = "" if self.quantity == "path" else f":{100 * self.share:g}%"
        return NAMES.get(self.quantity, self.quantity) + share


def parse_gate(text: str, option: str = "--fail-on", quantities: tuple[Quantity, ...] = ("epoch",)) -> Gate:
    """Read a gate of one of some quantities: `slower:5%`.

    Raises:
        UserError: if it is written otherwise.
    """
    names = {NAMES.get(quantity, quantity): quantity for quantity in quantities}
    name, _, share = text.strip().partition(":")
    quantity = names.get(name)
    number = re.fullmatch(r"(\d+(?:\.\d+)?)%", share, re.ASCII)
    is_path = quantity == "path"
    if quantity is None or (number is None and not is_path) or (share and is_path):
        forms = ", ".join(name if name == "path" else f"{name}:SHARE%" for name in names)
        raise UserError(f"`{option}` must be {forms}. Received: {text!r}. Write slower:5%, say.")
    return Gate(quantity=quantity, share=float(number[1]) / 100 if number else 0.0)
