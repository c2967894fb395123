"""How often a training calls Python functions, and of which files: exact counts, the same whatever else runs.

Not counted are functions of the standard library, whose locks and futures are called as often as a thread waits,
and what the garbage collector calls, which comes when it comes.

`python -m bench.worker.trace TRIAL FOLDER` prints those of a folder's files as one JSON line. Started by the
coordinator for two versions of a package, to tell which of the files that differ matter.
"""

import gc
import json
import sys
import sysconfig
from collections import Counter
from cProfile import Profile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.plan.cells import Trial

if TYPE_CHECKING:
    from bench.worker.models import TimedModel


def count_calls(model: "TimedModel") -> tuple[Counter[str], Counter[str]]:
    """Train two epochs and count the calls of each, by file; the first one's hold what a fit prepares."""
    first, second = Profile(builtins=False), Profile(builtins=False)

    def go_on(epochs_s: list[float]) -> bool:
        if len(epochs_s) == 1:
            first.disable()
            second.enable()
            return True
        second.disable()
        return False

    gc.collect()
    gc.disable()
    first.enable()
    try:
        model.fit(go_on)
    finally:
        first.disable()
        second.disable()
        gc.enable()
    return _by_file(first), _by_file(second)


def _by_file(profile: Profile) -> Counter[str]:
    calls: Counter[str] = Counter()
    for entry in profile.getstats():
        if not isinstance(entry.code, str) and not _is_standard_library(entry.code.co_filename):
            calls[entry.code.co_filename] += entry.callcount
    return calls


def _is_standard_library(name: str) -> bool:
    """Whether a file is Python's own; packages are installed in a folder below it."""
    return name.startswith("<frozen ") or (
        Path(name).is_relative_to(sysconfig.get_path("stdlib")) and "site-packages" not in name
    )


def main() -> None:
    """Print {file: [calls of the first epoch of a process, calls of a steady epoch]}, relative to the folder."""
    from bench.worker import models

    trial, root = Trial.model_validate_json(sys.argv[1]), Path(sys.argv[2]).resolve()
    epochs = count_calls(models.build(trial, models.draw_rows(trial)))
    files = {name for calls in epochs for name in calls if Path(name).is_relative_to(root)}
    print(json.dumps({Path(name).relative_to(root).as_posix(): [calls[name] for calls in epochs] for name in files}))


if __name__ == "__main__":
    main()
