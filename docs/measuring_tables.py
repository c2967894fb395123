"""Tables of the documents on how it is measured and kept, from what is in results/. `update_readme.py` writes them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from document_tables import say_ratio

from bench.analysis.intervals import Interval
from bench.analysis.ratios import compare, of_cells
from bench.analysis.selection import Row, Table, select
from bench.analysis.statistics import Ratio, median_interval
from bench.names import say_count
from bench.output.printing.output import frame_to_markdown
from bench.output.tables.catalog import TABLES
from bench.output.tables.speed import controls_table
from bench.plan.cells import DEFAULT, by_cell
from bench.records.missing import place_of_record
from bench.records.schema import Baseline
from bench.records.speed import Speed
from bench.records.store import Run

EXECUTORS = ("local", "ray")


def controls_block(runs: Iterable[Run]) -> str:
    """Tabulate every control of some runs."""
    frames = []
    for run in runs:
        frame = controls_table(select([run])).frame
        frame.insert(0, "run", run.header.run.removeprefix(run.header.run[:11]))
        frames.append(frame)
    whole = pd.concat(frames, ignore_index=True)
    judged = whole[whole["verdict"] != ""]
    missed = int((judged["verdict"] == "misses 1").sum())
    return f"{frame_to_markdown(whole)}\n\n{missed} of {len(judged)} intervals miss 1."


def repeat_block(first: Run, second: Run, names: Sequence[str] = ("first run", "second run")) -> str:
    """Tabulate the ratios that two runs have in common, and whether their intervals overlap."""
    sides = [
        {(one.first, one.second): one.ratio for one in compare(of_cells(run.records), "backend")}
        for run in (first, second)
    ]
    rows: list[Row] = []
    for cells in sorted(sides[0].keys() & sides[1].keys(), key=lambda pair: (pair[0].length, str(pair))):
        ratios = [side[cells] for side in sides]
        low, high = max(one.interval.low for one in ratios), min(one.interval.high for one in ratios)
        rows.append(
            {
                "model": cells[0].model,
                "length": cells[0].length,
                "ratio of": f"{cells[0].backend} / {cells[1].backend}",
                **dict(zip(names, map(say_ratio, ratios), strict=True)),
                "intervals": "overlap" if low <= high else "apart",
            }
        )
    count = sum(row["intervals"] == "overlap" for row in rows)
    begun = f"{first.header.started_at} and {second.header.started_at}"
    return f"{frame_to_markdown(pd.DataFrame(rows))}\n\n{count} of {len(rows)} overlap. The runs began at {begun}."


def noise_sources_table(run: Run) -> str:
    """Tabulate what became of the spread and the speed with each source of noise taken away."""
    chosen = select([run])
    plain = {(one.first.side, one.second.side): one.ratio for one in chosen.compared("backend")}
    rows = []
    for cell in sorted(chosen.timed, key=lambda cell: (cell.backend, cell.installation != DEFAULT)):
        time, found = chosen.epoch_time(cell), plain.get((cell.side, cell.backend))
        rows.append(
            {
                "backend": cell.backend,
                "taken away": "nothing" if cell.side == cell.backend else cell.installation.replace("-", " "),
                "processes": time.processes,
                "epoch ms": 1e3 * time.median_s,
                "between processes %": 100 * time.spread,
                "times as long as plain": None if found is None else say_ratio(found),
            }
        )
    machine = run.header.machine
    table = frame_to_markdown(pd.DataFrame(rows))
    return f"{table}\n\nOn {machine.cpu}, {machine.cores} cores, {run.header.started_at[:10]}."


def slow_share(run: Run) -> float:
    """Return which share of the epochs behind the warm-up lies beside a slow probe."""
    turns = [turn for record in run.records if isinstance(record, Speed) for turn in record.slices]
    return sum(len(turn.slow_s) for turn in turns) / sum(len(turn.warm_s) for turn in turns)


def host_block(run: Run) -> str:
    """Tabulate how long epochs took beside which the host slowed the core, by its probes, and the others."""
    rows: list[Row] = []
    speeds = [record for record in run.records if isinstance(record, Speed)]
    for cell, trials in sorted(by_cell(speeds), key=lambda item: (item[0].length, item[0].side)):
        turns = [turn for trial in trials for turn in trial.slices if not turn.crowded]
        calm = [one for turn in turns for one in turn.calm_s]
        slow = [one for turn in turns for one in turn.slow_s]
        rows.append(
            {"model": cell.model, "length": cell.length, "backend": cell.side, "turns": len(turns)}
            | {"slowed": sum(turn.slowed for turn in turns), "epochs": len(calm) + len(slow)}
            | {"slow %": 100 * len(slow) / (len(calm) + len(slow))}
            | {
                f"{name} ms": _quartiles_ms(epochs) if epochs else None
                for name, epochs in (("calm", calm), ("slow", slow))
            }
            | {"steal s": sum(turn.steal_s for turn in turns)}
        )
    probes = [seconds for trial in speeds for turn in trial.slices for seconds in turn.probes_s or ()]
    low, middle, high = 1e3 * np.percentile(probes, (5, 50, 95))
    return (
        f"{frame_to_markdown(pd.DataFrame(rows))}\n\nThe piece of work took {low:.1f} to {high:.1f} ms (5 to 95 % of "
        f"{len(probes)} probes), {middle:.1f} in the middle. On {run.header.machine.cpu}, {run.header.started_at[:10]}."
    )


def tensorflow_table(document: dict[str, Any]) -> str:
    """Tabulate what `docs/tensorflow_epochs.py` measured: medians, and quartiles in brackets."""
    rows: dict[tuple[str, int], Row] = {}
    for one in document["measured"]:
        row = rows.setdefault((one["model"], one["length"]), {"model": one["model"], "length": one["length"]})
        row[f"{one['way']} ms"] = _quartiles_ms(one["epochs_s"])
    return frame_to_markdown(pd.DataFrame(list(rows.values())))


def _quartiles_ms(seconds: Sequence[float]) -> str:
    quarter, middle, three_quarters = 1e3 * np.percentile(seconds, (25, 50, 75))
    digits = 0 if middle > 30 else 1
    return f"{middle:.{digits}f} ({quarter:.{digits}f} to {three_quarters:.{digits}f})"


def pauses_table(document: dict[str, Any]) -> str:
    """Tabulate epochs of TensorFlow behind a pause and the others, and what of them passed before the first batch."""
    rows: dict[tuple[str, int], Row] = {}
    for one in document["pauses"]:
        row = rows.setdefault((one["model"], one["length"]), {"model": one["model"], "length": one["length"]})
        which = "behind a pause" if one["behind a pause"] else "behind another"
        row[f"{which} ms"] = 1e3 * float(np.median(one["epochs_s"]))
        row[f"{which}, to first batch ms"] = 1e3 * float(np.median(one["to_first_batch_s"]))
    return frame_to_markdown(pd.DataFrame(list(rows.values())))


def clocks_table(documents: Iterable[dict[str, Any]]) -> str:
    """Tabulate what `pytest --benchmark-only --clocks` saved: the figures of both clocks for a steady epoch."""
    rows: list[Row] = []
    for document in documents:
        for info in (one["extra_info"] for one in document["benchmarks"] if "ratio" in one["extra_info"]):
            cell = info["cell"]
            rows.append(
                {"model": cell["model"], "length": cell["length"], "backend": cell["backend"]}
                | {name: _of_processes(info[key]) for name, key in CLOCKS.items()}
                | {"their ratio": say_ratio(Ratio(0, info["ratio"], Interval(*info["interval"])))}
            )
    return frame_to_markdown(pd.DataFrame(rows).sort_values(["length", "model", "backend"], kind="stable"))


CLOCKS = {"pytest-benchmark ms": "pytest_benchmark_s", "seqsum run ms": "seqsum_run_s"}


def _of_processes(seconds: Sequence[Sequence[float]]) -> str:
    """Write the median of the medians of processes with its interval, in milliseconds."""
    medians = 1e3 * np.median(seconds, axis=1)
    interval = median_interval(medians)
    return say_ratio(Ratio(len(medians), float(np.median(medians)), interval))


def resumed_block(whole: Run, resumed: Run) -> str:
    """Compare what an undisturbed run holds with one that was killed in its middle and resumed."""
    rows = []
    for kind in ("speed", "accuracy", "baseline"):
        there, here = (_by_place(run, kind) for run in (whole, resumed))
        both = there.keys() & here.keys()
        alike = sum(there[place] == here[place] for place in both)
        rows.append(
            {
                "records": kind,
                "undisturbed": str(len(there)),
                "killed and resumed": str(len(here)),
                "of the same trials": str(len(both)),
                "equal in every digit": "" if kind == "speed" else f"{alike} of {len(both)}",
            }
        )
    tables = {name: [_labels(TABLES[name](select([run]))) for run in (whole, resumed)] for name in TABLES}
    same = [name for name, (there, here) in tables.items() if there and there == here]
    more = [name for name, (there, here) in tables.items() if there < here]
    lacking = [name for name, (there, here) in tables.items() if not there <= here]
    again = resumed.resumed[0]
    lines = [
        f"Tables with the same rows: {', '.join(same)}.",
        f"With more rows, of the controls: {', '.join(more) or 'none'}.",
        f"With a row missing: {', '.join(lacking) or 'none'}.",
        f"Begun at {resumed.header.started_at}, resumed at {again.at}: {say_count(len(again.dropped), 'record')} of "
        f"processes that had not ended were measured again; {say_count(len(resumed.problems), 'damaged line')}.",
    ]
    return f"{frame_to_markdown(pd.DataFrame(rows))}\n\n{' '.join(lines)}"


def _by_place(run: Run, kind: str) -> dict[Any, Any]:
    """Return the records of a kind that are no controls, by what they are of."""
    found = {}
    for record in run.records:
        if record.kind != kind or getattr(record, "twin", False):
            continue
        own = (record.name, record.length) if isinstance(record, Baseline) else place_of_record(record)
        found[own, getattr(record, "patience", None)] = record
    return found


def _labels(table: Table) -> set[tuple[str, ...]]:
    """Return what the rows of a table are of."""
    names = [name for name in ("model", "length", "backend", "ratio of", "against", "patience") if name in table.frame]
    return {tuple(map(str, row)) for row in table.frame[names].itertuples(index=False)}


def faults_table(counted: Sequence[dict[str, Any]]) -> str:
    """Tabulate what injected faults did: a row for each kind, and their sum."""
    frame = pd.DataFrame(counted)
    numbers = ["injected", "survived", "records_lost", "not_resumed", "orphans"]
    frame["hits"] = ["coordinator" if phase == "run" else "worker" for phase in frame["phase"]]
    rows = frame.groupby(["hits", "kind"], sort=False)[numbers].sum().reset_index()
    rows["phases"] = frame.groupby(["hits", "kind"], sort=False)["phase"].nunique().to_numpy()
    total = {"hits": "all", "kind": "", "phases": frame["phase"].nunique() - 1} | rows[numbers].sum().to_dict()
    whole = pd.concat([rows, pd.DataFrame([total])], ignore_index=True)[["hits", "kind", "phases", *numbers]]
    return frame_to_markdown(whole.rename(columns=lambda name: name.replace("_", " ")))


def soak_tables(found: dict[str, Any]) -> str:
    """Tabulate what thousands of trials took at the beginning and at the end, and how long reading takes."""
    quarters = [
        {
            "trials": f"{found[kind]['trials']:,} {kind}",
            "": place.replace("_", " "),
            "s a trial": found[kind][f"{place}_s"],
            "memory MiB": found[kind][f"{place}_rss_mib"],
            "open files": int(found[kind][f"{place}_files"]),
        }
        for kind in ("timed", "trained")
        for place in ("first_quarter", "last_quarter")
    ]
    reading = pd.DataFrame(found["read"]).rename(columns=lambda name: name.replace("_s", " s").replace("_", " "))
    return f"{frame_to_markdown(pd.DataFrame(quarters))}\n\n{frame_to_markdown(reading)}"


def ray_table(document: dict[str, Any]) -> str:
    """Tabulate what `tests/ray_overhead.py` measured, and what Ray adds to a unit and a trial."""
    runs = document["runs"]
    rows = [
        {name: one[name] for name in ("kind", "executor", "trials", "units", "seconds", "missing")}
        | {"ms a trial": 1e3 * one["seconds"] / one["trials"]}
        for one in runs
    ]
    table = frame_to_markdown(pd.DataFrame(rows))
    added = []
    for kind in dict.fromkeys(one["kind"] for one in runs):
        local, by_ray = (next(one for one in runs if (one["kind"], one["executor"]) == (kind, e)) for e in EXECUTORS)
        more_s = by_ray["seconds"] - local["seconds"]
        added.append(
            f"{kind}, {more_s / by_ray['units']:.1f} s a unit, {1e3 * more_s / by_ray['trials']:.0f} ms a trial"
        )
    machine = document["machine"]
    return f"{table}\n\nRay adds, its start included: {'; '.join(added)}. {machine['cpu']}, {machine['cores']} cores."
