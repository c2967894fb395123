"""Find the version that made a training slower, or learn otherwise: by halving, each candidate beside the ends.

A candidate belongs to the side of the good or the bad end on which its ratio to the good end lies: above or below the
geometric mean of 1 and the ratio of the ends. It is measured until that is decided (`bench.analysis.gate`), in turns
with both ends; what does not depend on the hour, only the good end is measured beside.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from math import ceil, isnan, log2, sqrt
from pathlib import Path
from typing import Any, Literal

from packaging.version import Version

from bench.analysis.gate import judge, open_places
from bench.analysis.speed import EXACT
from bench.errors import UserError
from bench.frozen import Frozen
from bench.host import describe_machine
from bench.measure.executor import ThisMachine
from bench.measure.progress import Progress
from bench.measure.run import resume_run, run_sweep
from bench.plan.cells import NIGHTLY, Trial, packages_of
from bench.plan.gate import Gate, Quantity
from bench.plan.sweep import Sweep
from bench.records.frame import Frames
from bench.records.store import HEADER, Run, load_run, load_runs
from bench.watch.history import COMPARED, can_go_on, is_unfinished
from bench.watch.versions import base_of, day_of, installed_versions, nightlies, releases

PROFILE = "bisect"
ERROR = 0.05
"""Chance that any candidate of a bisection is taken for one of the wrong side."""
ONCE = {"processes": 1, "rounds": 1, "repeats": 0, "turn_epochs": 1, "turn_s": 0.0, "warmup_epochs": 1, "warmup_s": 0.0}
"""The timing of versions that are compared by something else."""
TIMELESS = (*EXACT, "accuracy")
"""What does not depend on the hour."""
SEEDS = 10
"""Trainings of each version whose accuracy is compared."""
LEAST_PROCESSES = 6
"""Of the ends, and of the two versions that are found: enough for an interval."""


class Ratio(Frozen):
    """A version relative to an older one; for an execution path only the verdict.

    Args:
        verdict: of the gate that judged it, or "not available".
        ratio: newer / older; None without figures. `low` and `high` are its interval, None with too few processes.
        processes: it was measured in; of accuracy: seeds.
        path: the execution paths of both, if these differ and are compared.
        run: the name of the run.
    """

    verdict: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    processes: int = 0
    path: str = ""
    run: str = ""


class Candidate(Frozen):
    """A version that was tried: PACKAGE==VERSION, its side, and its ratio to the good end."""

    requirement: str
    side: Literal["good", "bad", "undecided", "not available"]
    ratio: Ratio


class Bisection(Frozen):
    """How a search ended.

    Args:
        ends: the bad end relative to the good one.
        candidates: in the order of trying.
        last_good: the newest version of the good side; `first_bad`: the oldest of the bad side, its successor if the
            search has ended.
        between: how many untried versions lie between them.
        step: first_bad relative to last_good; None unless the search has ended.
    """

    quantity: Quantity
    ends: Ratio
    candidates: tuple[Candidate, ...]
    last_good: str
    first_bad: str
    between: int
    step: Ratio | None

    @property
    def verdict(self) -> Literal["found", "no difference", "undecided"]:
        """Return how it ended."""
        if self.step is not None:
            return "found"
        return "undecided" if self.candidates else "no difference"

    @property
    def days(self) -> tuple[date | None, date | None]:
        """Return the days on which the last good and the first bad version were built, if they are nightly ones."""
        last, first = (day_of(requirement) for requirement in (self.last_good, self.first_bad))
        return last, first


class Searcher:
    """Measures versions of a package against each other on one cell, unless a folder of runs has them already.

    Args:
        sweep: one backend, model and length, and how each pair is measured.
        quantity: what is compared.
        results: the folder of runs.
        pythons: interpreters named on the command line, by environment.
        command: what the user typed.
        progress: told what happens.
    """

    def __init__(
        self,
        sweep: Sweep,
        quantity: Quantity,
        *,
        results: Path,
        pythons: Mapping[str, str],
        command: str,
        progress: Progress,
    ) -> None:
        self.sweep, self.quantity = sweep, quantity
        self._results, self._pythons, self._command, self._progress = results, pythons, command, progress
        self.base = base_of(sweep.backends[0], pythons, sweep.device)

    def environment(self, requirement: str) -> str:
        """Return the environment that exchanges a package."""
        return f"{self.sweep.backends[0]}@{requirement}"

    def compare(
        self, requirements: Sequence[str], *, share: float = 0.0, error: float = ERROR, least: int = 1
    ) -> list[Ratio]:
        """Measure versions in turns until each is decided, and return the ratios of the others to the first one."""
        gate = Gate(quantity=self.quantity, share=share, error=error)
        timing = self.sweep.timing
        enough = ONCE if self.quantity in TIMELESS else {"processes": max(timing.processes, least)}
        timing = timing.model_copy(update={"gates": (gate,), **enough})
        backends = tuple(map(self.environment, requirements))
        run = self._measure(self.sweep.model_copy(update={"backends": backends, "timing": timing}))
        rows = {row.environment: row for row in judge(Frames([run]), run.header.sweep).itertuples()}
        return [_ratio(rows.get(name), run.header.run) for name in backends[1:]]

    def _measure(self, sweep: Sweep) -> Run:
        """Return the run of a sweep: one that is there, and goes on if it is not decided, or a new one."""
        place: dict[str, Any] = {"executor": ThisMachine(self._pythons), "progress": self._progress}
        for run in self._runs_of(sweep):
            folder = self._results / run.header.run
            undecided = is_unfinished(run) or open_places(Frames([run]), sweep)
            if not undecided:
                return run
            if can_go_on(run, folder):  # for another budget
                resume_run(folder, command=self._command, **place)
                return load_run(folder)
        written = run_sweep(sweep, profile=PROFILE, command=self._command, results=self._results, **place)
        return load_run(written.folder)

    def _runs_of(self, sweep: Sweep) -> list[Run]:
        """Return the runs of the folder with this sweep, machine and base; the newest first."""
        if not any(self._results.glob(f"*/{HEADER}")):
            return []
        exchanged = {name.removesuffix(NIGHTLY) for name in packages_of(sweep.backends[0])}
        installed = installed_versions(self.base, COMPARED)
        machine = describe_machine()

        def is_same(run: Run) -> bool:
            versions = run.header.workers[0].versions
            names = (name for name in COMPARED if name not in exchanged and name in versions)
            same = all(versions[name].partition("+")[0] == installed[name].partition("+")[0] for name in names)
            return run.header.sweep == sweep and run.header.machine == machine and same

        return [run for run in reversed(load_runs(self._results)[0]) if is_same(run)]

    def trial(self, requirement: str) -> Trial:
        """Return a trial of the cell in the environment of a version."""
        sweep = self.sweep.model_copy(update={"backends": (self.environment(requirement),)})
        return Trial(kind="speed", cell=sweep.cells()[0], index=0, settings=sweep.settings)

    def say(self, text: str) -> None:
        """Print a line beside the data."""
        self._progress.say(text)


def _ratio(row: Any, run: str) -> Ratio:
    if row is None:
        return Ratio(verdict="not available", run=run)
    if row.quantity == "path":
        return Ratio(verdict=row.verdict, path=row.path, run=run)
    return Ratio(
        verdict=row.verdict,
        ratio=row.ratio,
        low=None if isnan(row.ratio_low) else row.ratio_low,
        high=None if isnan(row.ratio_high) else row.ratio_high,
        processes=row.processes,
        run=run,
    )


def bisect(searcher: Searcher, package: str, good: str, bad: str, *, nightly: bool) -> Bisection:
    """Search the version that made a difference.

    Args:
        searcher: measures.
        package: whose versions are searched.
        good: a version.
        bad: a newer one that differs.
        nightly: search the nightly versions between the two releases that are found, too; of a package of nightly
            versions these are searched anyway.

    Raises:
        UserError: if the good version is not the older one, or a version is not there.
    """
    if Version(good) >= Version(bad):
        raise UserError(
            f"`--good` must be older than `--bad`. Received: {good} and {bad}. Exchange them: an improvement is found "
            "in the same way."
        )
    ends = (f"{package}=={good}", f"{package}=={bad}")
    is_nightly = package.endswith(NIGHTLY)
    known = nightlies(package, base=searcher.base).values() if is_nightly else releases(package, base=searcher.base)
    versions = [version for version in known if Version(good) < Version(version) < Version(bad)]
    (difference,) = searcher.compare(ends, least=LEAST_PROCESSES)
    if difference.verdict == "not available":
        raise UserError(f"`--good` and `--bad` must be versions that run. Received: {bad}, which does not. See above.")
    is_same = difference.verdict == "within" and difference.ratio in (None, 1)  # of an exact quantity
    if difference.verdict == "undecided" or is_same:
        return Bisection(
            quantity=searcher.quantity,
            ends=difference,
            candidates=(),
            last_good=ends[0],
            first_bad=ends[1],
            between=0,
            step=None,
        )
    search = _Search(searcher, ends, difference)
    search.halve([f"{package}=={version}" for version in versions])
    if nightly and not is_nightly and not search.open:
        search.halve(nightlies_between(package, search.last_good, search.first_bad, base=searcher.base))
    step = None
    if not search.open:
        (step,) = searcher.compare((search.last_good, search.first_bad), least=LEAST_PROCESSES)
    return Bisection(
        quantity=searcher.quantity,
        ends=difference,
        candidates=tuple(search.candidates),
        last_good=search.last_good,
        first_bad=search.first_bad,
        between=len(search.open),
        step=step,
    )


class _Search:
    """The state of a search: the last good and the first bad version, and the untried ones between them."""

    def __init__(self, searcher: Searcher, ends: tuple[str, str], difference: Ratio) -> None:
        self._searcher, self._ends = searcher, ends
        ratio = difference.ratio or 1.0  # of a path there is none: whatever is changed is bad
        self._is_slower = ratio >= 1
        self._share = sqrt(ratio) - 1
        self.last_good, self.first_bad = ends
        self.candidates: list[Candidate] = []
        self.open: list[str] = []

    def halve(self, requirements: Sequence[str]) -> None:
        """Try the middle one until none is between the last good and the first bad version, or one is undecided."""
        self.open = list(requirements)
        error = ERROR / (2 * max(1, ceil(log2(len(self.open) + 1))))  # releases and nightly versions share it
        while self.open:
            middle = len(self.open) // 2
            candidate = self._try(self.open[middle], error)
            self.candidates.append(candidate)
            self._searcher.say(f"{candidate.requirement}: {candidate.side}")
            match candidate.side:
                case "good":
                    self.last_good, self.open = candidate.requirement, self.open[middle + 1 :]
                case "bad":
                    self.first_bad, self.open = candidate.requirement, self.open[:middle]
                case "not available":
                    del self.open[middle]
                case "undecided":
                    return

    def _try(self, requirement: str, error: float) -> Candidate:
        good, bad = self._ends
        names = (good, requirement) if self._searcher.quantity in TIMELESS else (good, requirement, bad)
        ratio, *of_bad = self._searcher.compare(names, share=self._share, error=error)
        sides = {"within": "good" if self._is_slower else "bad", "undecided": "undecided"}
        beyond = "bad" if self._is_slower else "good"
        side = "not available" if ratio.verdict == "not available" else sides.get(ratio.verdict, beyond)
        if side in ("good", "bad") and any(sides.get(end.verdict, beyond) != "bad" for end in of_bad):
            side = "undecided"  # the bad end itself is not what it was
        return Candidate.model_validate({"requirement": requirement, "side": side, "ratio": ratio})


def nightlies_between(package: str, good: str, bad: str, *, base: str) -> list[str]:
    """Return the nightly versions that led from one release to another, and the last one before them, oldest first."""
    older, newer = (Version(requirement.partition("==")[2]) for requirement in (good, bad))
    name = package.removesuffix(NIGHTLY) + NIGHTLY
    before, inside = [], []
    for version in nightlies(package, base=base).values():
        leads_to = Version(Version(version).base_version)
        if leads_to <= older:
            before.append(f"{name}=={version}")
        elif leads_to <= newer:
            inside.append(f"{name}=={version}")
    return [*before[-1:], *inside] if inside else []
