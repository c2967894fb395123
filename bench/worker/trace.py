"""Which files a training executes: `python -m bench.worker.trace TRIAL FOLDER` prints them as one JSON line.

Started by the coordinator for two versions of a package, to tell which of the files that differ matter.
"""

import json
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from bench.plan.cells import Trial


def main() -> None:
    """Train an epoch that traces and compiles, then a steady one, and count the calls of functions by their file.

    Prints {file: [calls of the first epoch, calls of a steady epoch]} of the files in a folder, relative to it.
    """
    from bench.worker import models

    trial, root = Trial.model_validate_json(sys.argv[1]), Path(sys.argv[2]).resolve()
    data = models.draw_rows(trial)
    model = models.build(trial, data)
    epochs = []
    for _ in range(2):
        calls: Counter[str] = Counter()
        _count_into(calls)
        model.fit(lambda epochs_s: not epochs_s)
        _count_into(None)
        epochs.append(calls)
    files = {name for calls in epochs for name in calls if Path(name).is_relative_to(root)}
    print(json.dumps({Path(name).relative_to(root).as_posix(): [calls[name] for calls in epochs] for name in files}))


def _count_into(calls: Counter[str] | None) -> None:
    """Count calls from now on, on every thread; None: no more."""

    def count(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            calls[frame.f_code.co_filename] += 1  # type: ignore[index]

    profile = None if calls is None else count
    threading.setprofile(profile)
    sys.setprofile(profile)


if __name__ == "__main__":
    main()
