"""Tables of the documents on what is trained, from what is in results/. `update_readme.py` writes them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.intervals import mean_interval
from bench.analysis.patience import patience_order, say_patience
from bench.analysis.ratios import Compared
from bench.analysis.selection import Row
from bench.analysis.statistics import Ratio
from bench.output.plots.figures import say_backend
from bench.output.printing.output import format_value, frame_to_markdown
from bench.records.schema import Accuracy
from bench.records.store import Run, load_runs

PRINTED = {("simple_rnn", 4): 0.11, ("simple_rnn", 12): 3.29}
"""The val_loss that the article printed, by model and length."""


def newest(folder: Path, profile: str) -> Run:
    """Return the newest run of a profile or sweep file in a folder of runs."""
    runs, problems = load_runs(folder)
    if problems:
        raise ValueError(problems[0])
    return [run for run in runs if run.header.profile == profile][-1]


def seeds_table(run: Run) -> str:
    """Tabulate how val_mse differs between seeds, beside the one that the article printed."""
    return frame_to_markdown(_by_cell([run], lambda _, trials: _spread(trials)))


def _spread(trials: list[Accuracy]) -> Row:
    losses = np.array([trial.val_loss[-1] for trial in trials])
    low, quarter, middle, three_quarters, high = np.percentile(losses, (0, 25, 50, 75, 100))
    cell = trials[0].cell
    printed = PRINTED.get((cell.model, cell.length)) if trials[0].patience == 0 else None
    return {
        "seeds": len(trials),
        "best": low,
        "25 %": quarter,
        "median": middle,
        "75 %": three_quarters,
        "worst": high,
        "the article's": printed,
        "seeds below it %": None if printed is None else 100 * float(np.mean(losses < printed)),
    }


def padding_table(runs: Iterable[Run]) -> str:
    """Tabulate what padding before or after, hidden or not, does to accuracy."""

    def row(run: Run, trials: list[Accuracy]) -> Row:
        sweep = run.header.sweep
        mse = [trial.test.mse for trial in trials]
        interval = mean_interval(mse, bounds=(0, np.inf))
        return {
            "padding": "before" if sweep.task.padding == "pre" else "after",
            "mask": "yes" if sweep.network.mask else "no",
            "test mse": float(np.mean(mse)),
            "95 % interval": f"{format_value(interval.low)} to {format_value(interval.high)}",
            "median": float(np.median(mse)),
            "exact sums %": 100 * float(np.mean([trial.test.exact_sum_rate for trial in trials])),
            "stop epoch": float(np.median([trial.epochs for trial in trials])),
        }

    frame = _by_cell(runs, row)
    return frame_to_markdown(frame[frame["training ends at"] != "patience 0"].drop(columns="training ends at"))


def _by_cell(runs: Iterable[Run], row: Callable[[Run, list[Accuracy]], Row]) -> pd.DataFrame:
    """Make a row of each model, length, patience and run, in this order."""
    rows: list[tuple[Any, Row]] = []
    for place, run in enumerate(runs):
        trials = [record for record in run.records if isinstance(record, Accuracy)]
        keys = {(trial.cell.length, trial.cell.model, trial.patience) for trial in trials}
        for length, model, patience in keys:
            alike = [t for t in trials if (t.cell.length, t.cell.model, t.patience) == (length, model, patience)]
            axes: Row = {"model": model, "length": length, "training ends at": say_patience(patience)}
            rows.append(((length, model != "simple_rnn", patience_order(patience), place), axes | row(run, alike)))
    return pd.DataFrame([row for _, row in sorted(rows, key=lambda one: one[0])])


def say_ratio(found: Ratio) -> str:
    """Write a ratio with its interval."""
    low, high = (format_value(end) for end in (found.interval.low, found.interval.high))
    return f"{format_value(found.value)} ({low} to {high})"


def pairs_by_variant(found: Iterable[Compared], *, beside: str = "") -> str:
    """Tabulate ratios with a row for each model and length, and a column for each backend and variant.

    Args:
        found: what was compared; the first cell of each names row and column.
        beside: a variant that is left out.
    """
    rows: dict[tuple[str, int], Row] = {}
    for one in sorted(found, key=lambda one: (one.first.model, one.first.length, say_backend(one.first))):
        cell = one.first
        if str(cell.variant) != beside:
            row = rows.setdefault((cell.model, cell.length), {"model": cell.model, "length": cell.length})
            row[say_backend(cell)] = say_ratio(one.ratio)
    return frame_to_markdown(pd.DataFrame(list(rows.values())))


def replay_table(documents: Iterable[dict[str, Any]]) -> str:
    """Tabulate what `seqsum replay --json` measured at the stop of each case, and whether its bars held."""
    rows: list[Row] = []
    for document in documents:
        for run in document["runs"]:
            row: Row = {"case": run["name"], "computed in": document["dtype"]}
            for backend, attempt in sorted(run["backends"].items()):
                row[f"{backend}: stop"] = "none" if attempt["stop_epoch"] is None else str(attempt["stop_epoch"])
                row[f"{backend}: val_loss off by"] = attempt["bars"][_of_val_loss(attempt["bars"])]["measured"]
                row[f"{backend}: bars"] = "hold" if attempt["passed"] else "FAIL"
            rows.append(row)
    return frame_to_markdown(pd.DataFrame(rows))


def _of_val_loss(bars: list[dict[str, Any]]) -> int:
    """Return the place of the last bar on val_loss: that at the stop, or of all epochs."""
    return max(place for place, bar in enumerate(bars) if "val_loss" in bar["name"])


def torch_table(document: dict[str, Any]) -> str:
    """Tabulate what `docs/torch_lstm.py` measured."""
    rows = [
        {
            "length": one["length"],
            "keras.layers.LSTM ms": one["keras_ms"],
            "with torch.unbind ms": one["unbound_ms"],
            "times as long": one["keras_ms"] / one["unbound_ms"],
            "outputs apart": one["outputs_apart"],
        }
        for one in document["measured"]
    ]
    return frame_to_markdown(pd.DataFrame(rows))
