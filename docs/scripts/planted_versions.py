"""Does a history mark a step where nothing changed, and is a slow-down found that was put in?

Makes ten copies of the newest Keras of the backend's environment, as versions 90.1 to 90.10 of it. From a version on
PyTorch's training step waits for a tenth of its own time. A history compares five equal copies; bisections search
the first slow one by time and by calls, of which there is one more in a step. Half an hour on a quiet machine:

    python docs/scripts/planted_versions.py results/planted 8
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from bench.measure.environments import find_interpreter
from bench.measure.overlays import PIP
from bench.watch.versions import installed_versions

COUNT = 10
CELL = ("--backend=torch", "--model=simple_rnn", "--length=12")
ROUNDS = 8
"""Of a process of the bisection: it takes ten seconds to start and one for a turn."""
SLOWER = """

def _slower(step):
    from time import perf_counter

    def train_step(self, data):
        began = perf_counter()
        result = step(self, data)
        ends = began + 1.1 * (perf_counter() - began)
        while perf_counter() < ends:
            pass
        return result

    return train_step


TorchTrainer.train_step = _slower(TorchTrainer.train_step)
"""


def copy_wheel(wheel: Path, version: str, *, is_slower: bool) -> None:
    """Write a copy of Keras' wheel that is another version, beside it."""
    name, old, rest = wheel.name.split("-", 2)
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(wheel.with_name(f"{name}-{version}-{rest}"), "w") as copy:
        for file in source.namelist():
            content = source.read(file)
            if file.endswith(("src/version.py", ".dist-info/METADATA", ".dist-info/RECORD")):
                content = content.replace(old.encode(), version.encode())
            if file.endswith("backend/torch/trainer.py") and is_slower:
                content += SLOWER.encode()
            copy.writestr(file.replace(f"-{old}.dist-info", f"-{version}.dist-info"), content)


def main(results: str, first_slow: str) -> int:
    """Make the versions, measure them, and return the highest exit code."""
    base = find_interpreter("torch", device="cpu", pythons={})
    with tempfile.TemporaryDirectory() as folder:
        wheel = f"keras=={installed_versions(base, ['keras'])['keras']}"
        subprocess.run([base, *PIP, "download", "--quiet", "--no-deps", "--dest", folder, wheel], check=True)
        (original,) = Path(folder).glob("*.whl")
        for number in range(1, COUNT + 1):
            copy_wheel(original, f"90.{number}", is_slower=number >= int(first_slow))
        variables = os.environ | {"PIP_FIND_LINKS": folder, "XDG_CACHE_HOME": str(Path(folder, "cache"))}
        equal = ",".join(f"90.{number}" for number in range(1, 6))
        history = ["history", *CELL, f"--versions=keras={equal}", "--processes=6", f"--results={results}/equal"]
        bisect = ["bisect", *CELL, "--good=keras==90.1", f"--bad=keras==90.{COUNT}", f"--results={results}/slower"]
        commands = (history, [*bisect, f"--rounds={ROUNDS}"], [*bisect, "--quantity=calls"])
        return max(subprocess.run(["seqsum", *words], env=variables).returncode for words in commands)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) == 3 else __doc__)
