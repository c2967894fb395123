"""Write what was measured into the documents: README, docs/ and the tables.md of published runs.

`python docs/update_readme.py` writes; with `--check` it only says what is not up to date (exit 1 if anything).
CONTRIBUTING.md names the commands that measure.
"""

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import document_tables
import measuring_tables
from scaling import scaling_block

from bench.analysis.compare import compare_runs
from bench.analysis.selection import Selection, Table, provenance, select
from bench.measure.overhead import Overhead, overhead_table
from bench.measure.replica_speed import ReplicaTimes, replicas_table
from bench.output.printing.output import print_tables, to_markdown
from bench.output.tables import variants
from bench.output.tables.batching import batching_table
from bench.output.tables.catalog import overview_table
from bench.output.tables.comparison import speed_changes_table
from bench.output.tables.devices import devices_table
from bench.output.tables.epoch_costs import epoch_cost_table
from bench.output.tables.lengths import crossings_table, length_cost_table
from bench.output.tables.speed import ratios_table
from bench.output.tables.targets import target_table
from bench.records.schema import LINE, Header
from bench.records.store import Run, load_runs

PROJECT = Path(__file__).parent.parent
RESULTS = PROJECT / "results"
STUDIES = ("ceilings", "lengths", "batch-sizes", "batching", "target", "units", "controls", "devices")
ARTICLE_SWEEPS = ("padding-before", "padding-before-masked", "padding-after", "padding-after-masked")


def overview() -> str:
    """Return the README's table with where it is from."""
    chosen = select(load_runs(RESULTS / "reference")[0])
    source = "\n".join(f"- {line}" for line in provenance(chosen))
    table = to_markdown(overview_table(chosen)).partition("\n\n")[2]
    command = chosen.runs[-1].header.command
    return f"{table}\n\n{source}\n- measured by `{command}`; all tables: results/reference/tables.md"


def padding() -> str:
    """Return the table of paddings and masks."""
    runs = [document_tables.newest(RESULTS / "article", name) for name in ARTICLE_SWEEPS]
    return document_tables.padding_table(runs)


def seeds() -> str:
    """Return the table of a hundred seeds."""
    return document_tables.seeds_table(document_tables.newest(RESULTS / "article", "hundred"))


def replicas() -> str:
    """Return the ratios of replicas to loops."""
    return _times("replicas")


def replica_counts() -> str:
    """Return the speed of different numbers of replicas."""
    return _times("replica-counts")


def _times(name: str) -> str:
    times = ReplicaTimes.model_validate_json((RESULTS / "replicas" / f"{name}.json").read_text("utf-8"))
    table = to_markdown(replicas_table(times)).partition("\n\n")[2]
    machine = times.machine
    return f"{table}\n\nMeasured by `{times.command}` on {machine.cpu}, {machine.cores} cores, commit {times.commit}."


def replays() -> str:
    """Return what the replays in both precisions measured."""
    texts = [(RESULTS / "replay" / f"{dtype}.json").read_text("utf-8") for dtype in ("float32", "float64")]
    return document_tables.replay_table(map(json.loads, texts))


def all_tables(folder: Path) -> str:
    """Return every table of a folder of runs in Markdown."""
    text = StringIO()
    with redirect_stdout(text):
        print_tables(select(load_runs(folder)[0]), ["all"], form="markdown")
    title = f"{folder.name.capitalize()} results"
    return f"# {title}\n\nMade by `python docs/update_readme.py`.\n\n{text.getvalue()}"


def controls() -> str:
    """Return the A/A ratios of the published runs."""
    runs = [run for folder in ("reference", "repeat", "controls") for run in load_runs(RESULTS / folder)[0]]
    return measuring_tables.controls_block(sorted(runs, key=lambda run: run.header.run))


def repeat() -> str:
    """Return the ratios that two published runs have in common."""
    return measuring_tables.repeat_block(*repeated_runs())


def machines() -> str:
    """Return the ratios that runs of two machines have in common."""
    runs = [load_runs(RESULTS / folder)[0][0] for folder in ("reference", "repeat")]
    return measuring_tables.repeat_block(runs[0], runs[1], [run.header.machine.cpu for run in runs])


def noise_sources() -> str:
    """Return what sources of noise do, taken away one at a time."""
    return measuring_tables.noise_sources_table(document_tables.newest(RESULTS / "noise", "noise"))


def resumed() -> str:
    """Return what a published run that was killed and resumed holds, beside the undisturbed one."""
    return measuring_tables.resumed_block(*repeated_runs())


def drift() -> str:
    """Return what `seqsum compare` says of two published runs of one machine, between which nothing was changed."""
    first, second = repeated_runs()
    table = speed_changes_table(compare_runs(first, second))
    text = to_markdown(replace(table, notes=())).partition("\n\n")[2].strip()
    differ = int((table.frame["verdict"] != "no difference").sum())
    return (
        f"{text}\n\n{differ} of {len(table.frame)} verdicts are other than *no difference*. "
        f"The runs began at {first.header.started_at} and {second.header.started_at}."
    )


def repeated_runs() -> tuple[Run, Run]:
    """Return a run and its repetition, which was killed and resumed."""
    first, second = load_runs(RESULTS / "repeat")[0]
    return first, second


def overheads() -> str:
    """Return what timing adds to a bare fit."""
    found = Overhead.model_validate_json((RESULTS / "overhead.json").read_text("utf-8"))
    table = to_markdown(overhead_table(found)).partition("\n\n")[2]
    machine = found.machine
    return f"{table}\n\nMeasured by `{found.command}` on {machine.cpu}, {machine.cores} cores, commit {found.commit}."


def host() -> str:
    """Return what became of epochs while the host slowed the core, in the run that it slowed most."""
    return measuring_tables.host_block(max(load_runs(RESULTS / "controls")[0], key=measuring_tables.slow_share))


def clocks() -> str:
    """Return what pytest-benchmark's clock and that of `seqsum run` say of the same fits."""
    files = (RESULTS / "clocks").glob("*.json")
    return measuring_tables.clocks_table(json.loads(path.read_text("utf-8")) for path in files)


def tensorflow_epochs() -> str:
    """Return how long TensorFlow's epochs take with and without the tuning of its input pipeline."""
    document = json.loads((RESULTS / "tensorflow-epochs.json").read_text("utf-8"))
    return measuring_tables.tensorflow_table(document)


def tensorflow_pauses() -> str:
    """Return what a pause does to the epoch behind it on TensorFlow."""
    document = json.loads((RESULTS / "tensorflow-pauses.json").read_text("utf-8"))
    return measuring_tables.pauses_table(document)


def ray_overhead() -> str:
    """Return what a run on Ray costs beside one without."""
    return measuring_tables.ray_table(json.loads((RESULTS / "ray-overhead.json").read_text("utf-8")))


def torch_lstm() -> str:
    """Return how long the LSTM of Keras takes on PyTorch with each timestep by its index, and with all at once."""
    document = json.loads((RESULTS / "torch-lstm.json").read_text("utf-8"))
    return document_tables.torch_table(document)


def _line_schema() -> dict[str, Any]:
    """Return the schema of a line: a record, and the checksums that `bench.records.checksums` puts behind it."""
    schema = LINE.json_schema(mode="serialization")
    for place in schema["discriminator"]["mapping"].values():
        definition = schema["$defs"][place.rpartition("/")[2]]
        for name in ("after", "sum"):
            definition["properties"][name] = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
            definition["required"].append(name)
    return schema


def schemas() -> dict[Path, str]:
    """Return the JSON Schemas of what a run leaves, by the file that publishes each."""
    documents = {"run": Header.model_json_schema(mode="serialization"), "record": _line_schema()}
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {
        PROJECT / "docs" / "schema" / f"{name}.json": json.dumps(dialect | document, indent=1) + "\n"
        for name, document in documents.items()
    }


def keras_versions() -> str:
    """Return how two versions of Keras compare that took turns in one run."""
    chosen = select(load_runs(RESULTS / "keras")[0])
    source = "\n".join(f"- {line}" for line in provenance(chosen))
    table = to_markdown(ratios_table(chosen)).partition("\n\n")[2]
    return f"{table}\n\n{source}"


def taxes() -> str:
    """Return the framework tax of the published run."""
    chosen = select(load_runs(RESULTS / "ceilings")[0])
    source = "\n".join(f"- {line}" for line in provenance(chosen))
    table = document_tables.pairs_by_variant(variants.taxes(chosen))
    return f"{table}\n\n{source}\n- measured by `{chosen.runs[-1].header.command}`"


def tax_alone() -> str:
    """Return the framework tax of the published run, without where it is from."""
    return taxes().partition("\n\n")[0]


def published(folder: str, make: Callable[[Selection], Table], *columns: str) -> str:
    """Return a table of published runs, all of its columns or some, with where it is from."""
    chosen = select(load_runs(RESULTS / folder)[0])
    table = make(chosen)
    if columns:
        table = replace(table, frame=table.frame[list(columns)])
    command, link = chosen.runs[-1].header.command, f"[results/{folder}](../results/{folder}/tables.md)"
    source = f"Measured by `{command}`; all tables: {link}."
    return to_markdown(table).partition("\n\n")[2].rstrip() + f"\n\n{source}"


def fused() -> str:
    """Return how long fused layers take against Keras' own, in the run that timed the ceilings."""
    chosen = select(load_runs(RESULTS / "ceilings")[0])
    return document_tables.pairs_by_variant(variants.changes(chosen), beside="ceiling")


def faults() -> str:
    """Return what was lost of runs that were broken on purpose."""
    return measuring_tables.faults_table(json.loads((RESULTS / "faults.json").read_text("utf-8")))


def soak() -> str:
    """Return what thousands of trials take."""
    return measuring_tables.soak_tables(json.loads((RESULTS / "soak.json").read_text("utf-8")))


LENGTH_COLUMNS = (
    *("model", "backend", "fixed ms", "low ms", "high ms"),
    *("per timestep µs", "low µs", "high µs", "off by %", "at length"),
    *("validation fixed ms", "MiB at shortest", "MiB at longest"),
)
BLOCKS: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"results": overview},
    "docs/article.md": {"padding": padding, "seeds": seeds},
    "docs/ceilings.md": {"tax": taxes},
    "docs/compare.md": {"drift": drift, "keras": keras_versions},
    "docs/findings.md": {
        "machines": machines,
        "tax": tax_alone,
        "length-cost": partial(published, "lengths", length_cost_table, *LENGTH_COLUMNS),
        "torch-lstm": torch_lstm,
        "crossings": partial(published, "lengths", crossings_table),
        "epoch-cost": partial(published, "batch-sizes", epoch_cost_table),
        "batching": partial(published, "batching", batching_table),
        "target": partial(published, "target", target_table),
        "devices": partial(published, "devices", devices_table),
    },
    "docs/fused.md": {"fused": fused},
    "docs/methodology.md": {
        "controls": controls,
        "repeat": repeat,
        "noise": noise_sources,
        "host": host,
        "overhead": overheads,
        "clocks": clocks,
        "tensorflow-epochs": tensorflow_epochs,
        "tensorflow-pauses": tensorflow_pauses,
    },
    "docs/scaling.md": {"ray-overhead": ray_overhead, "scaling": scaling_block},
    "docs/reliability.md": {"faults": faults, "soak": soak, "resumed": resumed},
    "docs/replay.md": {"replays": replays},
    "docs/replicas.md": {"ratios": replicas, "counts": replica_counts},
}


def filled(document: Path, blocks: dict[str, Callable[[], str]]) -> str:
    """Return a document with each `<!-- NAME:begin -->` to `<!-- NAME:end -->` written anew.

    Raises:
        ValueError: if the document lacks such a pair.
    """
    text = document.read_text("utf-8")
    for name, block in blocks.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"{document} lacks {begin} ... {end}")
        text = f"{before}{begin}\n{block()}\n{end}{after}"
    return text


def main() -> None:
    """Write the documents, or compare them with what would be written."""
    wanted = {PROJECT / name: filled(PROJECT / name, blocks) for name, blocks in BLOCKS.items()}
    wanted |= {
        RESULTS / name / "tables.md": all_tables(RESULTS / name) for name in ("reference", "repeat", "study", *STUDIES)
    }
    wanted |= schemas()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        if "--check" in sys.argv:
            print(f"{path.relative_to(PROJECT)} is not what the records say: python docs/update_readme.py")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], "utf-8")
    sys.exit(1 if stale and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
