"""Publish results: measure what is published, and write the tables and pictures made of it.

    python docs/scripts/publish.py measure reference target   # on a quiet machine, then packs
    python docs/scripts/publish.py write                      # results/*/tables.md and the README's table
    python docs/scripts/publish.py pictures                   # docs/pictures; needs Pillow
    python docs/scripts/publish.py check                      # exit 1, naming them, if texts are not what `write` makes

A folder of results is measured by the commands in MEASURE. Delete its older run first.
"""

import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from bench.analysis.select import Selection, select
from bench.output.charts import write_charts
from bench.output.headline import answers, headline, margin
from bench.output.tables import TABLES
from bench.output.text import print_tables, provenance, to_markdown
from bench.records.store import load_runs

PROJECT = Path(__file__).parents[2]
RESULTS = PROJECT / "results"
README = PROJECT / "README.md"
BEGIN, END = "<!-- results:begin -->\n", "<!-- results:end -->"

SWEEPS = (
    "ceilings",
    "lengths",
    "batch-sizes",
    "units",
    "batching",
    "target",
    "controls",
    "devices",
    "digits",
    "adding",
    "study",
)
ARTICLE = ("hundred", "padding-before", "padding-before-masked", "padding-after", "padding-after-masked")
KERAS = "3.9.2,3.10.0,3.11.3,3.12.4,3.13.2,3.14.1,3.15.1"
"""The last release of each minor version that was slow on PyTorch, and of those around it."""
KERAS_3 = f"3.0.5,3.1.1,3.2.1,3.3.3,3.4.1,3.5.0,3.6.0,3.7.0,3.8.0,{KERAS}"
STEPS = (
    ("torch", "lstm", 50, "3.13.2", "3.14.1"),
    ("torch", "lstm", 50, "3.14.1", "3.15.1"),
    ("torch", "gru", 50, "3.14.1", "3.15.1"),
    ("tensorflow", "lstm", 50, "3.6.0", "3.7.0"),
    ("jax", "simple_rnn", 12, "3.14.1", "3.15.1"),
)
"""Backends, models, lengths and neighbours between which the calls of a training changed."""
MEASURE: dict[str, list[str]] = {
    "reference": ["run --results results/reference"],
    "repeat": ["run --results results/repeat", "run --sweep docs/sweeps/repeat.toml --results results/repeat"],
    "data-sets": ["run --sweep docs/sweeps/data-sets.toml --backend jax --results results/data-sets"],
    "history": [
        "history --backend torch --model lstm --length 50 --processes 6 --results results/history "
        f"--versions keras={KERAS}"
    ],
    "history-simple-rnn": [
        "history --backend torch --model simple_rnn --length 50 --processes 6 --rounds 2 --results "
        "results/history-simple-rnn --versions keras=3.11.3,3.14.1,3.15.1"
    ],
    "history-jax": [
        "history --backend jax --model simple_rnn --model lstm --length 12 --processes 6 --results "
        "results/history-jax --versions keras=3.13.2,3.14.1,3.15.1"
    ],
    "keras-3": [
        f"history --backend {backend} --model {model} --length 50 --processes 1 --rounds 2 --results results/keras-3 "
        f"--versions keras={KERAS_3}"
        for backend in ("torch", "jax", "tensorflow")
        for model in ("simple_rnn", "lstm", "gru")
    ],
    "steps": [
        f"bisect --backend {backend} --model {model} --length {length} --good keras=={good} --bad keras=={bad} "
        "--nightly --quantity calls --results results/steps"
        for backend, model, length, good, bad in STEPS
    ],
    "bisect": [
        "bisect --backend torch --model lstm --length 50 --good keras==3.11.3 --bad keras==3.12.2 --budget 900 "
        "--results results/bisect"
    ],
    "bisect-200": [
        "bisect --backend torch --model lstm --length 200 --good keras==3.14.1 --bad keras==3.15.1 --results "
        "results/bisect-200"
    ],
    "article": [f"run --sweep docs/sweeps/{sweep}.toml --results results/article" for sweep in ARTICLE],
} | {sweep: [f"run --sweep docs/sweeps/{sweep}.toml --results results/{sweep}"] for sweep in SWEEPS}
PICTURES = {
    "reference": ("speed", "ratios", "start"),
    "study": ("accuracy", "loss", "memory", "gradients"),
    "target": ("target",),
    "ceilings": ("tax",),
    "history": ("history",),
}
KERAS_ON_TORCH = ("history", "keras-tree/3.12.0", "keras-tree/3.15.1")
TABLED = (
    *KERAS_ON_TORCH,
    "keras-3",
    "history-simple-rnn",
    "history-jax",
    "reference",
    "epyc",
    "repeat",
    "study",
    "data-sets",
    "keras",
    *SWEEPS[:-1],
)
"""Folders that get a tables.md."""


def measure(names: list[str]) -> None:
    """Measure folders of results and pack their runs."""
    for name in names:
        for command in MEASURE[name]:
            subprocess.run(["seqsum", *command.split()], cwd=PROJECT, check=True)
        for records in sorted((RESULTS / name).glob("*/trials.jsonl")):
            subprocess.run(["gzip", "-n", "-9", records], check=True)


def read(name: str) -> Selection:
    """Return the comparable runs of a folder of results."""
    return select(load_runs(RESULTS / name)[0])


def tables(name: str) -> str:
    """Return every table of a folder of results in Markdown."""
    text = StringIO()
    with redirect_stdout(text):
        print_tables(read(name), ["all"], form="markdown")
    return f"# {name.capitalize()}\n\nWritten by `python docs/scripts/publish.py write`.\n\n{text.getvalue()}"


def overview() -> str:
    """Return the README with its finding and its table from the reference run."""
    selection = read("reference")
    found = answers(selection.main_turns)
    table = f"**{headline(found)}.** {margin(found)}\n\n"
    table += to_markdown(TABLES["overview"](selection)).partition("\n\n")[2]
    source = "\n".join(f"- {line}" for line in provenance(selection))
    before, _, rest = README.read_text("utf-8").partition(BEGIN)
    return f"{before}{BEGIN}{table}\n\n{source}\n{END}{rest.partition(END)[2]}"


def texts() -> dict[Path, str]:
    """Return every generated text by its file."""
    return {RESULTS / name / "tables.md": tables(name) for name in TABLED} | {README: overview()}


def main(action: str, *names: str) -> int:
    """Measure, write, draw or check."""
    if action == "measure":
        measure(list(names) or list(MEASURE))
        return 0
    if action == "pictures":
        from PIL import Image

        for name, charts in PICTURES.items():
            written, _ = write_charts(read(name), PROJECT / "docs" / "pictures", "png", list(charts))
            for path in written:
                Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)  # a tenth of the bytes
        return 0
    changed = {path: text for path, text in texts().items() if not path.exists() or path.read_text("utf-8") != text}
    for path, text in changed.items():
        print(path.relative_to(PROJECT))
        if action == "write":
            path.write_text(text, "utf-8")
    return int(action == "check" and bool(changed))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if sys.argv[1:2] in (["measure"], ["write"], ["pictures"], ["check"]) else __doc__)
