"""When a comparison is a failure: `--fail-on slower:5%`."""

import re
from dataclasses import dataclass

from bench.analysis.compare import Comparison
from bench.errors import UserError
from bench.output.printing.digits import with_interval


@dataclass(frozen=True)
class Gate:
    """What is not let through.

    Args:
        slower: by more than this share.
    """

    slower: float

    def __str__(self) -> str:
        return f"slower:{100 * self.slower:g}%"


def parse_gate(text: str) -> Gate:
    """Read `slower:5%`.

    Raises:
        UserError: if it is written otherwise.
    """
    if not (match := re.fullmatch(r"slower:(\d+(?:\.\d+)?)%", text.strip(), re.ASCII)):
        raise UserError(f"`--fail-on` must be slower:SHARE%. Received: {text!r}. Write slower:5%, say.")
    return Gate(slower=float(match[1]) / 100)


def refusals(comparison: Comparison, gate: Gate) -> list[str]:
    """Say for which cells a comparison is not let through; empty: it is.

    A cell is too slow only where its whole interval lies beyond the share. Trials that failed in NEW, where none
    failed in BASE, are not let through either.

    Raises:
        UserError: if there is not one cell to judge, since a gate that sees nothing would let everything through.
    """
    lost = [
        f"{one.kind} {one.cell}: failed in NEW only, in {one.phase}: {one.reason}"
        for one in comparison.lost
        if one.new and not one.base
    ]
    judged = [one for one in comparison.speed if one.verdict != "too few processes"]
    if not judged and not lost:
        raise UserError(
            "`--fail-on` needs a cell with 5 processes or more in both runs. Received: none. Measure both with "
            "--processes 8, say."
        )
    slow = []
    for one in judged:
        if one.interval.low > 1 + gate.slower:
            ratio, low, high = with_interval(one.ratio, one.interval.low, one.interval.high)
            slow.append(f"{one.cell}: {ratio} times as long ({low} to {high}), beyond {gate}")
    return slow + lost
