"""Take away, one at a time, what may make fresh processes of one cell differ: `python docs/noise_sources.py`.

Each change is a second installation of a backend whose interpreter is the first one's behind a small script, so that
all take turns in one `seqsum run`. What came out stands in docs/methodology.md, "Where the noise is". Needs Linux.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measure.environments import find_interpreter
from bench.plan.files import read_sweep

PROJECT = Path(__file__).parent.parent
SWEEP = PROJECT / "docs" / "sweeps" / "noise.toml"
WITHOUT_COLLECTOR = (
    "import gc, runpy, sys; gc.disable(); runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)
CHANGES = {
    "same-addresses": 'exec setarch -R "{python}" "$@"',
    "one-arena": 'MALLOC_ARENA_MAX=1 exec "{python}" "$@"',
    "other-hashes": 'PYTHONHASHSEED=random exec "{python}" "$@"',
    "batch-scheduling": 'exec chrt --batch 0 "{python}" "$@"',
    "no-collector": 'test "$1" = -m || exec "{python}" "$@"\nshift\nexec "{python}" -c "{code}" "$@"',
}


def main() -> None:
    """Write the scripts and measure."""
    with TemporaryDirectory() as folder:
        pythons = []
        for backend in read_sweep(SWEEP, {}).backends:
            python = find_interpreter(backend, device="cpu", pythons={})
            for name, change in CHANGES.items():
                script = Path(folder) / f"{backend}-{name}"
                script.write_text(f"#!/bin/sh\n{change.format(python=python, code=WITHOUT_COLLECTOR)}\n", "utf-8")
                script.chmod(0o755)
                pythons += ["--python", f"{backend}@{name}={script}"]
        command = [sys.executable, "-m", "bench", "run", "--sweep", str(SWEEP), *pythons]
        sys.exit(subprocess.run([*command, "--results", str(PROJECT / "results" / "noise")]).returncode)


if __name__ == "__main__":
    main()
