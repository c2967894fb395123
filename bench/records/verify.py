"""Check whether a run is as it was written, byte for byte, and whether it is complete."""

from dataclasses import dataclass
from pathlib import Path

from bench.names import say_count
from bench.records.missing import count_missing
from bench.records.schema import PROTOCOL_VERSION
from bench.records.store import HEADER, is_header_intact, load_run


@dataclass(frozen=True)
class Verified:
    """What checking a run showed.

    Args:
        records: number of those that are in force: neither damaged nor measured again.
        missing: number of planned trials without a record; None: this version would plan it otherwise.
    """

    records: int
    problems: tuple[str, ...]
    missing: int | None

    @property
    def holds(self) -> bool:
        """Tell whether nothing is damaged and nothing is missing."""
        return not (self.problems or self.missing)

    def __str__(self) -> str:
        checksums = say_count(len(self.problems), "problem") if self.problems else "every checksum is right"
        if self.missing:
            plan = f"{say_count(self.missing, 'trial')} missing: seqsum run --resume"
        else:
            plan = "not compared with a plan" if self.missing is None else "complete"
        return f"{say_count(self.records, 'record')}, {checksums}; {plan}"


def verify_run(folder: Path) -> Verified:
    """Check the header and every line of a run against their checksums, and the lines against the plan.

        seqsum verify results/2026-11-27T05-47-44-standard

    Raises:
        UserError: if the header cannot be read.
    """
    run = load_run(folder)
    header, path = run.header, folder / HEADER
    altered = [] if is_header_intact(path.read_bytes()) else [f"{path}: altered: its checksum does not match"]
    # pytest plans its own trials, an older protocol its own controls
    is_planned = header.harness == "seqsum run" and header.protocol_version == PROTOCOL_VERSION
    missing = count_missing(header.sweep, run.records) if is_planned else None
    return Verified(len(run.records), (*altered, *run.problems), missing)
