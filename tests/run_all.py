"""Run all tests of this environment, as many kinds at a time as there are cores; then the commands end to end.

`python tests/run_all.py` runs what `tox -e backends` does; arguments go to every pytest.
"""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

NO_BACKEND = "not backend and not end_to_end and not browser and not ray"
SIDE_BY_SIDE = {
    "core, no framework": (NO_BACKEND, {"SEQSUM_TESTS_WITHOUT_BACKENDS": "1"}),
    "tensorflow": ("backend", {"KERAS_BACKEND": "tensorflow"}),
    "torch": ("backend", {"KERAS_BACKEND": "torch"}),
    "jax": ("backend", {"KERAS_BACKEND": "jax"}),
}
ONE_CORE = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def run(marks: str, variables: dict[str, str], *, output: int | None) -> subprocess.CompletedProcess[str]:
    """Run the tests with these marks; each process has its own folder for temporary files and locks."""
    with tempfile.TemporaryDirectory(prefix="seqsum-tests-") as folder:
        command = [sys.executable, "-m", "pytest", "--benchmark-disable", "-m", marks, *sys.argv[1:]]
        environment = os.environ | variables | {"TMPDIR": folder}
        return subprocess.run(command, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True)


def run_kind(name: str) -> int:
    """Run the tests of a kind and print what they wrote when they are done."""
    marks, variables = SIDE_BY_SIDE[name]
    done = run(marks, ONE_CORE | variables, output=subprocess.PIPE)
    print(f"\n=== {name}\n{done.stdout}", flush=True)
    return done.returncode


def main() -> int:
    """Return the exit code of the first kind that failed, or 0."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        codes = list(pool.map(run_kind, SIDE_BY_SIDE))
    codes.append(run("end_to_end", {}, output=None).returncode)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
