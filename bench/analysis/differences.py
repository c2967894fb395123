"""What differs between two runs beside their figures: machine, versions, settings, commit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.records.schema import Header

NO_MATTER = (
    "timing.processes",
    "timing.rounds",
    "timing.repeats",
    "timing.validations",
    "timing.control",
    "timing.precision",
    "timing.budget_s",
    "training.replicas",
    "training.patience",
)
"""Settings that say how much is measured, or that stand in the rows: they do not change what a figure means."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same on both sides.

    Args:
        what: its name.
        base: in BASE, "none" where it is not there.
        new: in NEW.
    """

    what: str
    base: str
    new: str

    def __str__(self) -> str:
        return f"{self.what} was {self.base}, is {self.new}"


def differences(base: Header, new: Header) -> list[Difference]:
    """Return all that differs and was recorded, but names of runs, times and axes."""
    sides = [_known(header) for header in (base, new)]
    names = dict.fromkeys([*sides[0], *sides[1]])
    found = [Difference(name, *(side.get(name, "none") for side in sides)) for name in names]
    return [one for one in found if one.base != one.new]


def _known(header: Header) -> dict[str, str]:
    known = {"commit": header.commit, "seqsum": header.seqsum_version, "harness": header.harness}
    known["protocol"] = str(header.protocol_version)
    known |= _flat({"machine": header.machine.model_dump(mode="json")})
    sweep = header.sweep
    known |= _flat(sweep.settings.model_dump(mode="json"))
    known |= _flat({"device": sweep.device, "variant": sweep.model_dump(mode="json")["variant"]})
    for worker in header.workers:
        known |= _flat({worker.side: worker.model_dump(mode="json", exclude={"backend", "installation", "device"})})
    return known


def _flat(fields: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return nested fields as one level, their names joined by points."""
    flat: dict[str, str] = {}
    for name, value in fields.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": _said(value)}
    return flat


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def warnings(base: Header, new: Header) -> list[str]:
    """Say what the ratios compare beside the code: another machine, other settings."""
    said = []
    if base.machine != new.machine:
        said.append("Other machine: these ratios compare machines.")
    settings = [
        _flat({**header.sweep.settings.model_dump(mode="json"), "device": header.sweep.device})
        for header in (base, new)
    ]
    changed = [name for name in settings[0] if settings[0][name] != settings[1].get(name) and name not in NO_MATTER]
    if changed:
        said.append(f"Other settings ({', '.join(changed)}): these ratios compare settings.")
    return said
