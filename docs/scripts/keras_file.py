"""Is it that file? The calls of a training with one file of a newer Keras put into an older one, beside both.

`seqsum bisect` names the files that differ between two versions. Calls are exact, so that the machine need not be
quiet. Three minutes:

    python docs/scripts/keras_file.py results/keras-file \
        keras-nightly==3.15.0.dev2026042304 keras-nightly==3.15.0.dev2026042504 backend/common/keras_tensor.py
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.measure.environments import find_interpreter
from bench.measure.overlays import PYTHON, overlay_python

MODELS = ("simple_rnn", "lstm", "gru")


def environment(requirement: str) -> Path:
    """Return the folder of a version's environment."""
    name, version = requirement.split("==")
    return Path(overlay_python(find_interpreter("torch", device="cpu", pythons={}), {name: version})).parents[1]


def source(folder: Path, file: str) -> Path:
    """Return a file of Keras in an environment."""
    (found,) = folder.glob(f"lib/*/site-packages/keras/src/{file}")
    return found


def main(results: str, older: str, newer: str, file: str) -> int:
    """Measure the older version, a copy of it with the newer file, and the newer one; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(environment(older), Path(folder, "mixed"), symlinks=True))
        shutil.copyfile(source(environment(newer), file), source(copy, file))
        backends = [f"--backend=torch@{name}" for name in (older, "mixed", newer)]
        cells = [*(f"--model={model}" for model in MODELS), "--length=50", "--seeds=0", "--processes=1", "--rounds=1"]
        python = f"--python=torch@mixed={copy / PYTHON}"
        command = ["seqsum", "run", *backends, python, *cells, f"--results={Path(results).resolve()}"]
        return subprocess.run(command, cwd=folder).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) == 5 else __doc__)
