"""Say whether a run is as it was written, byte for byte, and whether it is complete."""

from dataclasses import dataclass
from pathlib import Path

from bench.names import say_count
from bench.records.checksums import checksum, unseal
from bench.records.missing import count_missing
from bench.records.schema import SCHEMA_VERSION
from bench.records.store import HEADER, UNREADABLE, first_line, load_run, raw_lines, trials_file


@dataclass(frozen=True)
class Verified:
    """What was found.

    Args:
        lines: how many there are.
        problems: what was altered, cut, put in or taken out, each with its place.
        missing: how many trials of the plan have no record.
    """

    lines: int
    problems: tuple[str, ...]
    missing: int

    @property
    def holds(self) -> bool:
        """Tell whether nothing was altered and nothing is missing."""
        return not (self.problems or self.missing)

    def __str__(self) -> str:
        sums = f"{say_count(len(self.problems), 'problem')}" if self.problems else "every checksum is right"
        missing = f"{say_count(self.missing, 'trial')} missing: seqsum run --resume" if self.missing else "complete"
        return f"{say_count(self.lines, 'line')}, {sums}; {missing}"


def verify_run(folder: Path) -> Verified:
    """Check every line of a run against its checksum, and against the one before it.

    Raises:
        UserError: if the header cannot be read.
    """
    run = load_run(folder)
    path = trials_file(folder)
    lines, problems = 0, []
    if run.schema != SCHEMA_VERSION:
        problems += [f"{folder}: written by schema {run.schema}, which has no checksums", *run.problems]
        lines = len(run.records)
    else:
        before: str | None = checksum((folder / HEADER).read_bytes())
        for lines, text in raw_lines(path, problems):
            try:
                line = unseal(text)
            except UNREADABLE as error:
                problems.append(f"{path}, line {lines}: {first_line(error)}")
                before = None
                continue
            if before not in (None, line.after):
                problems.append(
                    f"{path}, line {lines}: what stands before it is not what was written there: "
                    + (f"{HEADER} was altered, or lines are missing" if lines == 1 else "lines are missing or moved")
                )
            if not text.endswith(b"\n"):
                problems.append(f"{path}, line {lines}: its end is cut")
            before = line.checksum
    missing = count_missing(run.header.sweep, run.records) if run.header.harness == "seqsum run" else 0
    return Verified(lines, tuple(problems), missing)
