"""Check whether a run is as it was written, byte for byte, and whether it is complete."""

from dataclasses import dataclass
from pathlib import Path

from bench.names import say_count
from bench.records.missing import count_missing
from bench.records.schema import PROTOCOL_VERSION, Header
from bench.records.store import HEADER, is_header_intact, load_run


@dataclass(frozen=True)
class Verified:
    """What checking a run showed.

    Args:
        records: number of those that are in force: neither damaged nor measured again.
        problems: what is damaged, missing, moved or inserted, each with its place.
        missing: number of planned trials without a record.
    """

    records: int
    problems: tuple[str, ...]
    missing: int

    @property
    def holds(self) -> bool:
        """Tell whether nothing is damaged and nothing is missing."""
        return not (self.problems or self.missing)

    def __str__(self) -> str:
        checksums = say_count(len(self.problems), "problem") if self.problems else "every checksum is right"
        missing = f"{say_count(self.missing, 'trial')} missing: seqsum run --resume" if self.missing else "complete"
        return f"{say_count(self.records, 'record')}, {checksums}; {missing}"


def verify_run(folder: Path) -> Verified:
    """Check the header and every line of a run against their checksums, and the lines against the plan.

        seqsum verify results/2026-11-27T05-47-44-standard

    Raises:
        UserError: if the header cannot be read.
    """
    run = load_run(folder)
    path = folder / HEADER
    altered = [] if is_header_intact(path.read_bytes()) else [f"{path}: altered: its checksum does not match"]
    missing = count_missing(run.header.sweep, run.records) if _is_plan_known(run.header) else 0
    return Verified(len(run.records), (*altered, *run.problems), missing)


def _is_plan_known(header: Header) -> bool:
    """Tell whether this version would plan the same: pytest plans its own trials, an older protocol its own controls."""
    return header.harness == "seqsum run" and header.protocol_version == PROTOCOL_VERSION
