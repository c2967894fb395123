"""Is it the tree? Keras 3.12.0 takes 2.2 times as long as 3.11.3 for an LSTM on PyTorch; its most called file is new.

Keras walks nested structures with a library. Up to 3.11 that is optree on every backend; 3.12.0 chooses PyTorch's own
on PyTorch (`keras/src/tree/torchtree_impl.py`). Here a version takes turns with a copy of itself in which that one
choice is undone, and with 3.11.3. Five minutes each on a quiet machine:

    python docs/scripts/keras_tree.py results/keras-tree 3.12.0 3.15.1
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.measure.environments import find_interpreter
from bench.measure.overlays import PYTHON, overlay_python

CHOICE = 'if backend() == "torch":'
LAST_BEFORE = "3.11.3"


def without_torchtree(version: str, folder: Path) -> Path:
    """Copy the environment of a version of Keras, let it use optree on PyTorch, and return its interpreter there."""
    made = overlay_python(find_interpreter("torch", device="cpu", pythons={}), {"keras": version})
    copy = Path(shutil.copytree(Path(made).parents[1], folder / "optree", symlinks=True))
    (file,) = copy.glob("lib/*/site-packages/keras/src/tree/tree_api.py")
    text = file.read_text("utf-8")
    if text.count(CHOICE) != 1:
        sys.exit(f"{file.name} does not choose as expected.")
    file.write_text(text.replace(CHOICE, "if False:"), "utf-8")
    return Path("optree") / PYTHON


def measure(version: str, results: Path) -> int:
    """Measure the three into a folder of results, and return the exit code of the run."""
    with tempfile.TemporaryDirectory() as folder:
        python = without_torchtree(version, Path(folder))
        environments = (f"torch@keras=={LAST_BEFORE}", f"torch@keras=={version}", "torch@optree")
        backends = [word for name in environments for word in ("--backend", name)]
        cell = ["--model", "lstm", "--length", "50", "--seeds", "0", "--processes", "6", "--rounds", "2"]
        done = subprocess.run(["seqsum", "run", *backends, "--python", f"torch@optree={python}", *cell], cwd=folder)
        shutil.copytree(Path(folder, "results"), results, dirs_exist_ok=True)
        return done.returncode


def main(results: str, *versions: str) -> int:
    """Measure some versions, and return the highest exit code of their runs."""
    return max(measure(version, Path(results, version)) for version in versions)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 2 else __doc__)
