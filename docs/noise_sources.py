"""Measure what makes fresh processes of one cell differ: `python docs/noise_sources.py > results/noise-sources.json`.

JAX, SimpleRNN at length 12. Each way differs in one thing from how `seqsum run` starts a worker; the ways
take turns, one fresh process each, so that what drifts meets all of them. Linux only; ten minutes on a slow core. What
came out stands in docs/methodology.md, "Where the noise is".
"""

import json
import stat
import tempfile
from pathlib import Path

from bench.interpreters import find_interpreter
from bench.machine import code_commit, describe_machine, usable_cores
from bench.messages import Turn
from bench.plan import BackendName, Cell, Settings, Trial
from bench.processes import WorkerProcess
from bench.protocol import Timing
from bench.runner import machine_lock
from bench.turns import pinned, timing_cores

PROCESSES = 8
TIMING = Timing(slice_s=0.4)
BACKENDS: tuple[BackendName, ...] = ("jax",)
WAYS = {
    "as seqsum run": "",
    "threads and cores as they come": "default",
    "hash seed drawn": "env PYTHONHASHSEED=random",
    "address layout fixed": "setarch -R",
    "no garbage collection": "-c 'import gc, runpy, sys; gc.disable(); "
    'sys.argv = sys.argv[2:]; runpy.run_module("bench.worker", run_name="__main__", alter_sys=True)\'',
    "one malloc arena": "env MALLOC_ARENA_MAX=1",
    "dispatch in the caller's thread": "env JAX_CPU_ENABLE_ASYNC_DISPATCH=false",
}


def wrapped(python: str, how: str, folder: Path) -> str:
    """Write an interpreter that starts another one in some way, and return its path."""
    path = folder / f"python-{abs(hash(how))}"
    command = f"{python} {how}" if how.startswith("-c") else f"{how} {python}"
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def medians_s(python: str, backend: BackendName, threads: object, process: int) -> list[float]:
    """Return the medians of the turns of one fresh process."""
    cell = Cell(backend=backend, device="cpu", model="simple_rnn", length=12, threads=threads)  # type: ignore[arg-type]
    trial = Trial(kind="speed", cell=cell, index=process, settings=Settings(timing=TIMING))
    cores, _ = timing_cores(cell.threads, usable)
    with WorkerProcess(python, cell, cores=cores, limit_s=120) as worker:
        worker.ready()
        worker.park(trial)
        return [worker.run_turn(Turn(round=number)).median_s for number in range(TIMING.rounds)]


usable = usable_cores()


def main() -> None:
    """Measure every way in turns and print one JSON document."""
    measured: dict[str, dict[str, list[list[float]]]] = {backend: {} for backend in BACKENDS}
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as folder, machine_lock(), pinned(timing_cores(1, usable)[1]):
        for process in range(PROCESSES):
            for backend in BACKENDS:
                python = find_interpreter(backend, device="cpu", pythons={})
                for way, how in WAYS.items():
                    if backend != "jax" and "JAX" in how:
                        continue
                    threads = "default" if how == "default" else 1
                    started = python if how in ("", "default") else wrapped(python, how, Path(folder))
                    found = medians_s(started, backend, threads, process)
                    measured[backend].setdefault(way, []).append(found)
    document = {"commit": code_commit(), "machine": machine.model_dump(), "measured": measured}
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
