"""Break runs on purpose and count what is lost: `python tests/fault_matrix.py > results/faults.json`.

Played workers do in every phase, on every backend, what real ones have done: crash, hang, run out of memory, babble.
Coordinators are killed, interrupted, and meet a full disk. After each fault the run must hold everything that was
measured, name what failed, leave no process behind, and be complete after `seqsum run --resume`. How frameworks really
break is not played here: the end-to-end tests kill real workers.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import psutil
from fake_worker import FAULTS, fake_python
from rich.console import Console

from bench.measure.executor import ThisMachine
from bench.measure.progress import Progress
from bench.measure.run import resume_run, run_sweep
from bench.plan.cells import BACKENDS
from bench.plan.files import read_sweep
from bench.plan.timing import Limits
from bench.records.missing import count_missing
from bench.records.schema import Failure
from bench.records.store import HEADER, load_run
from bench.records.verify import verify_run

PHASES = ("import", "build", "first epoch", "turn", "execution path", "validation", "fit")
RECORDED = {
    "exits": "crashed",
    "quits": "crashed",
    "aborts": "crashed",
    "segfaults": "crashed",
    "is killed": "killed",
    "hangs": "silent",
    "raises": "raised",
    "allocates": "out of memory",
    "diverges": "not finite",
    "babbles": "garbled",
}
AT_IMPORT = {"raises": "crashed", "diverges": "crashed", "babbles": "silent"}
"""An error ends a worker that is not ready yet, and what it prints goes to stderr."""
SWEEP = """
models = ["lstm"]
lengths = [4, 5]
seeds = 2
[training]
patience = 0
[timing]
processes = 1
rounds = 2
warmup_epochs = 1
warmup_s = 0.0
turn_epochs = 3
turn_s = 0.0
control = "none"
"""
TRIALS = len(BACKENDS) * 2 * (1 + 2)


@dataclass(frozen=True)
class Damage:
    """What faults of a kind in a phase of a worker did; the phase "run" is for what hits the coordinator.

    `survived` faults were named rightly while everything else was measured; `orphans` are processes left behind.
    """

    kind: str
    phase: str
    injected: int
    survived: int
    records_lost: int
    not_resumed: int
    orphans: int

    @property
    def harmless(self) -> bool:
        """Tell whether every fault was named and nothing else was lost."""
        return self.survived == self.injected and not (self.records_lost or self.not_resumed or self.orphans)


def break_workers(folder: Path, kind: str, phase: str, *, silence_s: float = 8.0) -> Damage:
    """Let a worker of each backend break in a phase; the run goes on, and what failed is then measured again.

    The folder should be where temporary files lie, so that the machine's lock is this run's alone.
    """
    script = fake_python(folder, f"{kind} in {phase}")
    pythons: dict[str, str] = {backend: _own_copy(script, folder, backend) for backend in BACKENDS}
    (folder / "faults.toml").write_text(SWEEP, "utf-8")
    sweep = read_sweep(folder / "faults.toml", {"limits": Limits.all_phases(silence_s).model_dump()})
    quiet = Progress(Console(quiet=True))
    written = run_sweep(
        sweep,
        profile="faults",
        command="seqsum run",
        results=folder / "results",
        executor=ThisMachine(pythons),
        progress=quiet,
    )
    run = load_run(written.folder)
    failures = [record for record in run.records if isinstance(record, Failure)]
    expected = AT_IMPORT.get(kind, RECORDED[kind]) if phase == "import" else RECORDED[kind]
    named = {failure.cell.backend for failure in failures if (failure.fault, failure.phase) == (expected, phase)}
    wrong = {failure.cell.backend for failure in failures if (failure.fault, failure.phase) != (expected, phase)}
    lost = count_missing(sweep, run.records)
    orphans = _workers_of(folder)
    resumed = _resumes(written.folder, pythons)
    return Damage(kind, phase, len(BACKENDS), len(named - wrong), lost, int(not resumed), orphans)


def _own_copy(script: str, folder: Path, backend: str) -> str:
    """Return an interpreter of this backend alone, which breaks once by itself."""
    copy = folder / f"{backend}-python"
    copy.write_text(Path(script).read_text("utf-8"), "utf-8")
    copy.chmod(0o755)
    return str(copy)


def _resumes(run: Path, pythons: dict[str, str]) -> bool:
    """Complete a run, what failed included, and say whether nothing is missing or damaged then."""
    resume_run(
        run, command="seqsum run", executor=ThisMachine(pythons), progress=Progress(Console(quiet=True)), retry=True
    )
    failed = any(isinstance(record, Failure) for record in load_run(run).records)
    return not failed and verify_run(run).holds


def _workers_of(folder: Path, wait_s: float = 10.0) -> int:
    """Count the workers of a folder that outlive their run, after a while."""
    deadline_s = time.monotonic() + wait_s
    while True:
        alive = 0
        for process in psutil.process_iter(["cmdline", "status"]):
            words = process.info["cmdline"] or []
            is_worker = "bench.worker" in words and str(folder) in " ".join(words)
            alive += is_worker and process.info["status"] != "zombie"
        if not alive or time.monotonic() > deadline_s:
            return alive
        time.sleep(0.1)


def break_coordinator(folder: Path, kind: str, *, moment: float) -> Damage:
    """Send a coordinator a signal after a share of its run, or give it a disk that is full, and go on afterwards."""
    (folder / "faults.toml").write_text(SWEEP, "utf-8")
    pythons = {backend: _own_copy(fake_python(folder, "good"), folder, backend) for backend in BACKENDS}
    where = [f"--python={backend}={path}" for backend, path in pythons.items()]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("KERAS_BACKEND", None)
    size = int(1000 + moment * 9000) if kind == "full disk" else None
    with (folder / "stderr").open("w") as errors:
        coordinator = subprocess.Popen(
            [sys.executable, "-m", "bench", "run", "--sweep=faults.toml", *where],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            preexec_fn=lambda: _prepare(size),
        )
        if size is None:
            _wait_for_trials(folder, moment, coordinator)
            coordinator.send_signal(getattr(signal, kind))
        code = coordinator.wait(120)
    printed = (folder / "stderr").read_text("utf-8")
    orphans = _workers_of(folder)
    headers = list((folder / "results").glob(f"*/{HEADER}"))
    if not headers:  # a disk too full for the first file, which the command line says
        return Damage(kind, "run", 1, int(code == 2 and "cannot be" in printed), 0, 0, orphans)
    run = headers[0].parent
    reported = printed.count("] speed ") + 2 * printed.count("] accuracy ")
    kept = len([record for record in load_run(run).records if record.kind != "baseline"])
    clean = "Traceback" not in printed and code == {"SIGKILL": -9, "SIGTERM": 130, "SIGINT": 130, "full disk": 2}[kind]
    again = subprocess.run(
        [sys.executable, "-m", "bench", "run", f"--resume={run}", *where],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    resumed = again.returncode == 0 and verify_run(run).holds
    if not resumed:  # pytest shows it
        print(printed, again.stderr, verify_run(run), sep="\n")
    return Damage(kind, "run", 1, int(clean), max(0, reported - kept), int(not resumed), orphans + _workers_of(folder))


def _prepare(most_bytes: int | None) -> None:
    """Let a process be interrupted, whoever started it, and write no file longer than so many bytes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if most_bytes is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))


def _wait_for_trials(folder: Path, share: float, coordinator: "subprocess.Popen[bytes]") -> None:
    """Wait until a run has measured a share of its trials, and a moment more."""
    wanted = int(share * TRIALS)
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s and coordinator.poll() is None:
        lines = sum(path.read_bytes().count(b"\n") for path in (folder / "results").glob("*/trials.jsonl"))
        if list((folder / "results").glob(f"*/{HEADER}")) and lines >= wanted:
            return
        time.sleep(0.02)


COORDINATOR_FAULTS = {"SIGKILL": 6, "SIGTERM": 3, "SIGINT": 3, "full disk": 6}


def matrix() -> Iterator[Damage]:
    """Break everything in every way."""
    for kind in FAULTS:
        for phase in PHASES:
            with TemporaryDirectory() as folder, patch.object(tempfile, "tempdir", folder):
                yield break_workers(Path(folder), kind, phase)
    chance = random.Random(0)
    for kind, count in COORDINATOR_FAULTS.items():
        for number in range(count):
            with TemporaryDirectory() as folder:
                yield break_coordinator(Path(folder), kind, moment=(number + chance.random()) / count * 0.9)


def main() -> None:
    """Print the damages as a JSON document; exit 1 if anything was lost."""
    harmless = True
    damages = []
    for damage in matrix():
        damages.append(asdict(damage))
        harmless &= damage.harmless
        print(damage, file=sys.stderr, flush=True)
    print(json.dumps(damages, indent=1))
    sys.exit(0 if harmless else 1)


if __name__ == "__main__":
    main()
