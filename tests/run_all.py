"""Run all tests of this environment, as many kinds at a time as there are cores.

`python tests/run_all.py` runs what `tox -e backends` does; arguments go to every pytest.
"""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

NO_BACKEND = "not backend and not end_to_end and not browser and not ray"
KINDS = {
    "end to end": ("end_to_end", {}),
    "core, no framework": (NO_BACKEND, {"SEQSUM_TESTS_WITHOUT_BACKENDS": "1"}),
    "tensorflow": ("backend", {"KERAS_BACKEND": "tensorflow"}),
    "torch": ("backend", {"KERAS_BACKEND": "torch"}),
    "jax": ("backend", {"KERAS_BACKEND": "jax"}),
}
"""Marks and variables of each kind, the longest first. End to end a worker is pinned to a core, as for a user."""
ONE_CORE = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def run(name: str) -> int:
    """Run the tests of a kind, with a folder of its own for temporary files and locks; then print what they wrote."""
    marks, variables = KINDS[name]
    with tempfile.TemporaryDirectory(prefix="seqsum-tests-") as folder:
        command = [sys.executable, "-m", "pytest", "--benchmark-disable", "-m", marks, *sys.argv[1:]]
        environment = os.environ | (ONE_CORE | variables if variables else {}) | {"TMPDIR": folder}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(f"\n=== {name}\n{done.stdout}", flush=True)
    return done.returncode


def main() -> int:
    """Return the exit code of the first kind that failed, or 0."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        codes = list(pool.map(run, KINDS))
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
