"""Is it that file? A training with one file of a newer Keras put into an older one, beside both.

`seqsum bisect` names the files that differ between two versions. Options of `seqsum run` follow the file; calls are
exact after one process, times need a quiet machine. Three and five minutes:

    python docs/scripts/keras_file.py results/keras-file torch \
        keras-nightly==3.15.0.dev2026042304 keras-nightly==3.15.0.dev2026042504 backend/common/keras_tensor.py \
        --model=simple_rnn --model=lstm --model=gru --length=50 --processes=1 --rounds=1
    python docs/scripts/keras_file.py results/keras-file-jax jax \
        keras-nightly==3.15.0.dev2026050804 keras-nightly==3.15.0.dev2026050905 backend/jax/trainer.py \
        --model=simple_rnn --length=12 --processes=6
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.measure.environments import find_interpreter
from bench.measure.overlays import PYTHON, overlay_python


def environment(backend: str, requirement: str) -> Path:
    """Return the folder of a version's environment."""
    name, version = requirement.split("==")
    base = find_interpreter(backend, device="cpu", pythons={})
    return Path(overlay_python(base, {name: version})).parents[1]


def source(folder: Path, file: str) -> Path:
    """Return a file of Keras in an environment."""
    (found,) = folder.glob(f"lib/*/site-packages/keras/src/{file}")
    return found


def main(results: str, backend: str, older: str, newer: str, file: str, *options: str) -> int:
    """Measure the older version, a copy of it with the newer file, and the newer one; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(environment(backend, older), Path(folder, "mixed"), symlinks=True))
        shutil.copyfile(source(environment(backend, newer), file), source(copy, file))
        backends = [f"--backend={backend}@{name}" for name in (older, "mixed", newer)]
        python = f"--python={backend}@mixed={copy / PYTHON}"
        command = ["seqsum", "run", *backends, python, "--seeds=0", f"--results={Path(results).resolve()}", *options]
        return subprocess.run(command, cwd=folder).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 5 else __doc__)
