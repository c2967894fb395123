"""What a gate allows, as a command line writes it: `slower:5%`, `calls:2%`, `path`, `accuracy`."""

import re
from typing import Literal, get_args

from bench.errors import UserError
from bench.frozen import Frozen

Quantity = Literal["epoch", "first-epoch", "validation", "memory", "calls", "path"]
"""Of a timed process."""
Gated = Quantity | Literal["accuracy"]
QUANTITIES: tuple[Gated, ...] = (*get_args(Quantity), "accuracy")
SHARELESS = ("path", "accuracy")
"""What is the same or not."""
NAMES: dict[Gated, str] = {"epoch": "slower"}
"""How a gate names a quantity where that is not its own name."""


class Gate(Frozen):
    """What is not allowed: that a quantity is larger by more than a share, the path another one, or errors larger.

    Args:
        quantity: seconds of an epoch, of the first epoch or of a validation, bytes of memory, calls of Python functions
            in an epoch, the execution path, or the accuracy of the seeds.
        share: how much larger it may be, or negative, how much smaller it must be; not of `SHARELESS`.
        error: the chance of any wrong verdict in a run.
    """

    quantity: Gated = "epoch"
    share: float = 0.0
    error: float = 0.05

    def __str__(self) -> str:
        share = "" if self.quantity in SHARELESS else f":{100 * self.share:g}%"
        return NAMES.get(self.quantity, self.quantity) + share


def parse_gate(text: str, option: str = "--fail-on", quantities: tuple[Gated, ...] = ("epoch",)) -> Gate:
    """Read a gate of one of some quantities: `slower:5%`.

    Raises:
        UserError: if it is written otherwise.
    """
    names = {NAMES.get(quantity, quantity): quantity for quantity in quantities}
    name, _, share = text.strip().partition(":")
    quantity = names.get(name)
    number = re.fullmatch(r"(\d+(?:\.\d+)?)%", share, re.ASCII)
    shareless = quantity in SHARELESS
    if quantity is None or (number is None and not shareless) or (share and shareless):
        forms = ", ".join(name if name in SHARELESS else f"{name}:SHARE%" for name in names)
        raise UserError(f"`{option}` must be {forms}. Received: {text!r}. Write slower:5%, say.")
    return Gate(quantity=quantity, share=float(number[1]) / 100 if number else 0.0)
