"""What differs between two versions of a package as installed: their files, those that a training executes first.

Differences are shown and never stored: the code is that of others.
"""

import difflib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.frozen import Frozen
from bench.measure.environments import worker_environment
from bench.measure.overlays import overlay_folder, overlay_python
from bench.plan.cells import Trial, packages_of

TRACE_LIMIT_S = 600.0


class Change(Frozen):
    """A file that differs.

    Args:
        path: within the package's folder.
        step_calls: how often a steady epoch called functions of it; `start_calls`: the first epoch, which traces and
            compiles; the larger number of both versions.
        added: lines; `removed`: lines.
        diff: the lines of a unified diff.
    """

    path: str
    step_calls: int
    start_calls: int
    added: int
    removed: int
    diff: tuple[str, ...]

    @property
    def is_executed(self) -> bool:
        """Tell whether a training calls functions of it."""
        return bool(self.step_calls or self.start_calls)


def find_changes(before: Trial, after: Trial, base: str) -> list[Change]:
    """Return the Python files that differ between the environments of two trials: those of a training step first.

    Args:
        before: a trial of the older version.
        after: the same of the newer one.
        base: the interpreter that both environments are based on.
    """
    packages = [packages_of(trial.cell.environment) for trial in (before, after)]
    folders = [site_folder(base, each) for each in packages]
    files = [{path.relative_to(folder).as_posix() for path in folder.glob("*/**/*.py")} for folder in folders]
    pythons = [overlay_python(base, each) for each in packages]
    calls = [trace(*each) for each in zip((before, after), pythons, folders, strict=True)]
    changes = []
    for path in sorted(files[0] | files[1]):
        texts = [_lines(folder / path) for folder in folders]
        if texts[0] != texts[1]:
            diff = tuple(difflib.unified_diff(texts[0], texts[1], f"a/{path}", f"b/{path}", lineterm=""))
            start, step = (max(own.get(path, (0, 0))[epoch] for own in calls) for epoch in (0, 1))
            added, removed = (sum(line.startswith(sign) for line in diff[2:]) for sign in "+-")
            changes.append(
                Change(path=path, step_calls=step, start_calls=start, added=added, removed=removed, diff=diff)
            )
    return sorted(changes, key=lambda change: (-change.step_calls, -change.start_calls, change.path))


def site_folder(base: str, packages: Mapping[str, str]) -> Path:
    """Return where an environment has the packages that it exchanges."""
    return next(overlay_folder(base, packages).glob("[Ll]ib/**/site-packages"))


def trace(trial: Trial, python: str, folder: Path) -> dict[str, tuple[int, int]]:
    """Return how often the first and a steady epoch call functions of each file of a folder; nothing if that fails."""
    cell = trial.cell
    try:
        answer = subprocess.run(
            [python, "-m", "bench.worker.trace", trial.model_dump_json(), str(folder)],
            env=worker_environment(cell.environment, cell.device, cell.threads, trial.settings.runtime),
            capture_output=True,
            text=True,
            timeout=TRACE_LIMIT_S,
            check=True,
        )
        files: dict[str, list[int]] = json.loads(answer.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, OSError, ValueError, IndexError):
        return {}
    return {path: (calls[0], calls[1]) for path, calls in files.items()}


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []
