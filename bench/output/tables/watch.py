"""Tables of versions in turns: their history, and what gates decide."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.attribution import TOGETHER
from bench.analysis.attribution import attribution as attribute
from bench.analysis.compare import differences
from bench.analysis.gate import add_power, judge, pairs_of
from bench.analysis.history import MARGIN, REST
from bench.analysis.history import history as find_history
from bench.analysis.levels import LEAST_RUNS
from bench.analysis.levels import levels as find_levels
from bench.analysis.select import Selection
from bench.analysis.speed import EXACT
from bench.names import say_count
from bench.output.numbers import interval, number
from bench.output.tables.speed import interval_note
from bench.output.tables.table import (
    Column,
    Table,
    cell_name,
    cell_table,
    missing_notes,
    sort_rows,
    texts,
    with_interval,
)
from bench.records.frame import Frames
from bench.records.schema import Header
from bench.records.store import Run

MS = 1e3
NAMED = ("keras", "jax", "jaxlib", "torch", "tensorflow", "numpy")
"""Packages whose versions are named where a level begins."""


def history(selection: Selection) -> Table:
    """Compare versions with one that took turns with each of them, and each with the version before it."""
    turns = Frames(selection.runs).turns  # not the newest of each cell: each run has its anchor
    frame = find_history(turns)
    notes = []
    if len(frame):
        same = frame["path"].eq(frame.groupby(REST)["path"].shift())  # named where it begins
        frame = frame.assign(changed=frame["steps"].map(steps_text), path=frame["path"].mask(same, ""))
        frame["environment"] = frame["backend"]
        anchors = ", ".join(sorted(set(frame["backend"])))
        notes = [
            f"Ratio: an epoch / that of {anchors} in turns of the same rounds. {interval_note(frame)}",
            "First epoch, validation, memory, calls (of Python functions in an epoch, exact): the same ratio of these. "
            f"Changed: from the version before, the whole interval beyond {100 * MARGIN:g} %, significant at 5 % over "
            "all versions and quantities (Holm).",
            *missing_notes(selection, "speed"),
        ]
    columns = [
        Column("version", "version", kind="axis"),
        with_interval("ratio", "epoch ratio"),
        Column("epoch_s", "epoch ms", MS),
        Column("first-epoch", "first epoch"),
        Column("validation", "validation"),
        Column("memory", "memory"),
        Column("calls", "calls"),
        *texts("path"),
        Column("changed", "changed", kind="text"),
    ]
    return cell_table("history", "Versions in turns with an anchor", frame, columns, *notes)


def steps_text(steps: list[tuple[Any, ...]]) -> str:
    """Write what changed with a version: "epoch 1.42 times (1.38 to 1.46), path was scan"."""
    texts = []
    for quantity, value, *ends in steps:
        if quantity == "path":
            texts.append(f"path was {value}")
        else:
            shown = "" if quantity in EXACT else f" ({interval(*ends)})"
            texts.append(f"{quantity} {number(value)} times{shown}")
    return ", ".join(texts)


def levels(runs: Sequence[Run]) -> Table:
    """Tabulate the levels of each cell over the runs of a folder, and what differed where a new one begins."""
    headers = {run.header.run: run.header for run in runs}
    frame = find_levels(runs)
    is_time = frame["quantity"] == "epoch"
    frame = frame.assign(
        ms=(MS * frame["value"]).where(is_time),
        calls=frame["value"].mask(is_time),
        differed=[
            changed_versions(headers[before], headers[since]) if step == step else ""
            for before, since, step in zip(frame["before"], frame["since"], frame["step"], strict=True)
        ],
    )
    columns = [
        Column("since", "since", kind="axis"),
        Column("runs", "runs", kind="count"),
        Column("ms", "epoch ms"),
        Column("calls", "calls"),
        Column("step", "step"),
        Column("differed", "differed", kind="text"),
    ]
    notes = [
        f"Levels of {say_count(len(runs), 'run')} that took no turns: what the machine did between them is in the "
        "milliseconds. Calls of Python functions in an epoch are exact.",
        f"Step: to the level before. Steps are searched from {LEAST_RUNS} runs on. Differed: from the run before.",
    ]
    return cell_table("levels", "Levels over time", sort_rows(frame, "quantity", "since"), columns, *notes)


def changed_versions(before: Header, after: Header) -> str:
    """Write which versions and code differ between two runs: "keras 3.11.3 to 3.12.0"."""
    changed = differences(before, after)
    changed["what"] = (
        changed["what"]
        .str.rpartition(".")[2]
        .where(changed["what"].str.contains(".versions.", regex=False), changed["what"])
    )
    shown = changed[changed["what"].isin(("commit", "seqsum", *NAMED))].drop_duplicates()
    return ", ".join(f"{row.what} {row.base} to {row.new}" for row in shown.itertuples())


def attribution(selection: Selection) -> Table:
    """Tabulate what each of several exchanged packages contributes."""
    frame = attribute(selection.frames.turns)
    columns = [
        Column("package", "package", kind="axis"),
        with_interval("ratio", "epoch ratio"),
        Column("alone", "alone"),
        Column("last", "as the last"),
    ]
    notes = [
        f"Epoch ratio: what a package contributes to an epoch of this environment / one of its backend's own. "
        f"Contributions multiply to the row {TOGETHER}. {interval_note(frame)}",
        "Alone: the ratio of exchanging it first. As the last: after the others. Where the two differ, the packages "
        "act on each other.",
    ]
    return cell_table("attribution", "Packages exchanged at once", frame, columns, *notes)


def gate(selection: Selection) -> Table:
    """Tabulate what the gates of a run decide: whether an environment is slower than the first one of its backend."""
    sweep = selection.header.sweep
    columns = [
        Column("gate", "gate", kind="axis"),
        with_interval("ratio", "ratio"),
        *texts("verdict", "path"),
        Column("found_share", "finds %", 100),
        Column("needed", "needs", kind="count"),
    ]
    if not sweep.timing.gates or not pairs_of(sweep):
        return cell_table("gate", "Gate", pd.DataFrame(columns=["gate"]), columns)
    frame = add_power(judge(selection.frames, sweep))
    frame = frame.assign(found_share=(frame["found"] - 1).replace(np.inf, np.nan))
    if "path" in frame:
        frame["path"] = frame["path"].where(frame["verdict"] == "changed", "")
    firsts = ", ".join(dict.fromkeys(pairs_of(sweep).values()))
    notes = [
        f"Ratio: to {firsts} in turns of the same rounds. {interval_note(frame[~frame['quantity'].isin(EXACT)])}",
        "Verdict: by a sequential test (Student's t and signs, anytime valid, Holm over all rows); the chance of any "
        "wrong one is 5 %, however many processes were added. Calls and paths are exact.",
        "Finds: the least slow-down that 80 % of such runs would show. Needs: processes after which 80 % would show "
        "unchanged code to be within.",
    ]
    if "accuracy" in set(frame["quantity"]):
        notes.append("Accuracy: the ratio of test errors; its processes are seeds, and it has 5 % of its own.")
    return cell_table("gate", "Gate", frame, columns, *notes)


def gate_lines(selection: Selection) -> tuple[int, list[str]]:
    """Return what a run exits with by its gates (0, 1 or 3), and the reasons in lines."""
    sweep = selection.header.sweep
    frame = add_power(judge(selection.frames, sweep))
    missing = _unjudged(selection, frame)
    verdicts = frame["verdict"].value_counts()
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    gates = ", ".join(map(str, sweep.timing.gates))
    lines = [f"Gate {gates}: {counts or 'nothing was measured'}."]
    lines += [f"Undecided: {name} has no figures beside its first environment; see failures." for name in missing]
    if len(found := frame.loc[frame["quantity"] != "accuracy", "found"].dropna()) and np.isfinite(worst := found.max()):
        needed = frame["needed"].max() if frame.loc[found.index, "needed"].notna().all() else None
        enough = f"{needed:.0f} processes" if needed else "more than 200 processes, if it can be shown"
        lines.append(
            f"80 % of such runs would show a slow-down of {number(100 * (worst - 1))} % in any cell; to show unchanged "
            f"code to be within takes {enough}."
        )
    beyond = set(verdicts.index) - {"within", "undecided"}
    return (1 if beyond else 3 if "undecided" in verdicts or missing else 0), lines


def _unjudged(selection: Selection, frame: pd.DataFrame) -> list[str]:
    """Name the cells that a gate should judge and that have no figures."""
    sweep, missing = selection.header.sweep, dict[str, None]()
    planned = selection.planned[selection.planned["environment"].isin(pairs_of(sweep))]
    for gate in sweep.timing.gates:
        judged = set(map(cell_name, frame[frame["gate"] == str(gate)].itertuples()))
        of_kind = planned[planned["trial"] == ("accuracy" if gate.quantity == "accuracy" else "speed")]
        missing |= dict.fromkeys(name for name in map(cell_name, of_kind.itertuples()) if name not in judged)
    return list(missing)


TABLES: dict[str, Callable[[Selection], Table]] = {"history": history, "attribution": attribution, "gate": gate}
