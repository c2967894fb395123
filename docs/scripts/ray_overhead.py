"""Measure what Ray costs: the same tiny trials on this machine, and on a Ray of this machine.

    python docs/scripts/ray_overhead.py > results/ray-overhead.json

Played workers take no time, so what differs is Ray's start, a fresh process for each unit, and the way of orders and
records. Needs Ray, and the tests beside this folder.
"""

import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from factories import make_sweep
from fake_worker import fake_python
from rich.console import Console

from bench.host import describe_machine
from bench.measure.executor import Executor, ThisMachine
from bench.measure.progress import Progress
from bench.measure.ray.cluster import RayCluster
from bench.measure.ray.executor import RayExecutor, missing_units
from bench.measure.run import run_sweep
from bench.plan.timing import Timing
from bench.records.missing import count_missing

TIMING = Timing(processes=50, rounds=1, warmup_epochs=0, warmup_s=0, turn_epochs=1, turn_s=0, control="none")


def measure(executor: Executor, folder: Path, name: str, *, timed: bool) -> dict[str, Any]:
    """Return how long a run takes that is timed only, or trained only but for one process."""
    sweep = make_sweep(
        lengths=(4,),
        backends=("jax",),
        models=("a:model",),  # no replicas: each seed is asked for on its own
        seeds=0 if timed else 950,
        timing=TIMING if timed else TIMING.model_copy(update={"processes": 1}),
    )
    begin = perf_counter()
    progress = Progress(Console(quiet=True))
    run = run_sweep(sweep, profile=name, command=name, results=folder, executor=executor, progress=progress)
    return {
        "executor": name,
        "kind": "timed" if timed else "trained",
        "trials": len(sweep.speed_trials()) + len(sweep.accuracy_trials()),
        "units": len(missing_units(sweep, [], sweep.blocks(), nodes=1)),
        "seconds": perf_counter() - begin,
        "missing": count_missing(sweep, run.records),
    }


def main() -> None:
    """Print what was measured as one JSON document."""
    rows = []
    with tempfile.TemporaryDirectory() as name, patch.object(tempfile, "tempdir", name):
        folder = Path(name)
        pythons = {"jax": fake_python(folder)}
        for timed in (True, False):
            for kind in ("local", "ray"):
                executor = ThisMachine(pythons) if kind == "local" else RayExecutor(RayCluster(None), pythons)
                rows.append(measure(executor, folder / kind / str(timed), kind, timed=timed))
                print(rows[-1], file=sys.stderr)
    print(json.dumps({"machine": describe_machine().model_dump(mode="json"), "runs": rows}, indent=1))


if __name__ == "__main__":
    main()
