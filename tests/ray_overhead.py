"""Run a thousand tiny trials here, and on a Ray of this machine.

`python tests/ray_overhead.py > results/ray-overhead.json`

Played workers take no time, so what differs is what Ray costs: its start, a fresh process for each unit, and the way of
orders and records.
"""

import json
import sys
import tempfile
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from unittest.mock import patch

from factories import make_sweep
from fake_worker import fake_python
from rich.console import Console

from bench.host import describe_machine
from bench.measure.cluster.executor import OnCluster
from bench.measure.cluster.ray_cluster import RayCluster
from bench.measure.cluster.units import missing_units
from bench.measure.executor import Site
from bench.measure.local import ThisMachine
from bench.measure.progress import Progress
from bench.measure.run import run_sweep
from bench.plan.timing import Timing
from bench.records.missing import count_missing

TIMING = Timing(processes=50, rounds=1, warmup_epochs=0, warmup_s=0, slice_epochs=1, slice_s=0, control="none")


def weigh(site: Site, folder: Path, name: str, *, timed: bool) -> dict[str, Any]:
    """Time a run that is timed only, or trained only but for one process."""
    sweep = make_sweep(
        lengths=(4,),
        backends=("jax",),
        models=("a:model",),  # no replicas: each seed is asked for on its own
        seeds=0 if timed else 950,
        timing=TIMING if timed else TIMING.model_copy(update={"processes": 1}),
    )
    begin = perf_counter()
    written = run_sweep(
        sweep, profile=name, command="overhead", results=folder, site=site, progress=Progress(Console(quiet=True))
    )
    return {
        "executor": name,
        "kind": "timed" if timed else "trained",
        "trials": len(sweep.speed_trials()) + len(sweep.accuracy_trials()),
        "units": len(missing_units(sweep, [], sweep.blocks())),
        "seconds": perf_counter() - begin,
        "missing": count_missing(sweep, written.records),
    }


def main() -> None:
    """Print what was measured as one JSON document."""
    found = []
    with TemporaryDirectory() as name, patch.object(tempfile, "tempdir", name):
        folder = Path(name)
        pythons = {"jax": fake_python(folder)}
        for timed in (True, False):
            for executor in ("local", "ray"):
                site: Site = ThisMachine(pythons) if executor == "local" else OnCluster(RayCluster(None), pythons)
                found.append(weigh(site, folder / executor / str(timed), executor, timed=timed))
                print(found[-1], file=sys.stderr)
    print(json.dumps({"machine": describe_machine().model_dump(mode="json"), "runs": found}, indent=1))
    sys.exit(any(one["missing"] for one in found))


if __name__ == "__main__":
    main()
