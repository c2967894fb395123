"""Show what `seqsum replay` measured: tables, one JSON document, CSV files as Keras' CSVLogger writes them, a chart.

Epochs are counted from 0, as Keras 2 printed them. Predictions are in units of the sum, with the article's digits.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console

from bench.measure.replay import Attempt, Replays
from bench.output.advise import LAYERS
from bench.output.files import write_atomically
from bench.output.tables import Column, Table
from bench.output.text import number, print_text
from bench.records.schema import Worker
from seqsum_core.article.reference import Reference
from seqsum_core.article.verdict import SHOWN_PREDICTIONS, Replayed, compared_epoch

if TYPE_CHECKING:
    import altair as alt


def print_replays(replays: Replays, console: Console) -> None:
    """Print each run's predictions, stop and checks, then the verdict of all."""
    for run in replays.references:
        for table in run_tables(replays, run):
            print_text(table, console)
    print_text(verdict_table(replays), console)
    lines = [f"missing: {reason}" for reason in replays.missing.values()]
    for (name, environment), attempt in replays.attempts.items():
        if attempt.failure:
            lines.append(f"{name}, {environment}: {attempt.failure}")
    for line in lines:
        console.print(line, markup=False, highlight=False)


def title(run: Reference) -> str:
    """Name a run with its layer, units and length."""
    return f"{run.name}: {LAYERS[run.model]}({run.units}), length {run.length}"


def run_tables(replays: Replays, run: Reference) -> list[Table]:
    """Return the tables of a run; none if no environment has replayed it."""
    replayed = replays.replayed(run)
    if not replayed:
        return []
    return [_predictions(run, replayed), _stops(run, replayed), _checks(replays, run)]


def _predictions(run: Reference, replayed: dict[str, Replayed]) -> Table:
    """Make the article's table again: the first test rows as predicted, printed and true."""
    columns: dict[str, Any] = {name: _digits(each.stop_predictions) for name, each in replayed.items()}
    if run.stop_epoch is None or run.stopped_early:
        columns["reference"] = _digits(run.test_predictions)
    if run.printed:
        columns["article"] = _digits(np.array(run.printed))
    columns["true"] = [str(value) for value in run.targets[run.test_rows[:SHOWN_PREDICTIONS]]]
    return _text_table(f"{title(run)}: predictions", pd.DataFrame(columns).rename_axis("row").reset_index())


def _stops(run: Reference, replayed: dict[str, Replayed]) -> Table:
    """Show where patience 0 stops, and the val_loss there."""
    rows = []
    runs: dict[str, Reference | Replayed] = {"reference": run, **replayed}
    for name, each in runs.items():
        epoch = compared_epoch(run, each)
        stop = "none" if each.stop_epoch is None else str(each.stop_epoch)
        val_loss = f"{each.val_loss[epoch]:.7f}"
        rows.append({"run": name, "stop epoch": stop, "epochs": len(each.val_loss), "val_loss": val_loss, "at": epoch})
    return _text_table("Stop, epochs counted from 0", pd.DataFrame(rows).astype(str))


def _checks(replays: Replays, run: Reference) -> Table:
    """Show what was measured beside its limit; environments share a row where name and limit are the same."""
    cells: dict[tuple[str, float], dict[str, str]] = {}
    for environment in replays.replayed(run):
        for check in replays.attempts[run.name, environment].checks:
            row = cells.setdefault((check.name, check.limit), {"check": check.name, "limit": number(check.limit)})
            row[environment] = number(check.measured) + ("" if check.passed else " FAIL")
    return _text_table("Checks: what was measured, and the most that passes", pd.DataFrame(list(cells.values())))


def verdict_table(replays: Replays) -> Table:
    """Show pass or FAIL of each run and environment."""
    columns: dict[str, Any] = {"run": [run.name for run in replays.references]}
    for environment in replays.workers:
        columns[environment] = [_verdict(replays.attempts[run.name, environment]) for run in replays.references]
    columns |= dict.fromkeys(replays.missing, "missing")
    verdict = "pass" if replays.passed else "FAIL"
    return _text_table(f"Verdict in {replays.dtype}: {verdict}", pd.DataFrame(columns), versions_text(replays.workers))


def versions_text(workers: Mapping[str, Worker]) -> str:
    """Return the versions of environments: "jax 0.10.2 with Keras 3.15.1; ..."."""
    texts = []
    for name, worker in workers.items():
        texts.append(f"{name} {worker.versions.get(worker.backend, '?')} with Keras {worker.versions['keras']}")
    return "; ".join(texts)


def _text_table(title: str, frame: pd.DataFrame, *notes: str) -> Table:
    first, *others = frame.columns
    columns = [Column(first, first, kind="axis"), *(Column(name, name, kind="text") for name in others)]
    return Table("replay", title, frame.fillna(""), columns, notes)


def _digits(values: NDArray[np.floating]) -> list[str]:
    return [f"{value:.6f}" for value in values[:SHOWN_PREDICTIONS]]


def _verdict(attempt: Attempt) -> str:
    if attempt.replayed is None:
        return "FAILED"
    return "pass" if attempt.passed else "FAIL"


def document(replays: Replays) -> dict[str, Any]:
    """Return everything, for JSON."""
    runs = []
    for run in replays.references:
        attempts = {name: replays.attempts[run.name, name] for name in replays.workers}
        runs.append(
            {name: getattr(run, name) for name in ("name", "model", "units", "length")}
            | {
                "true": run.targets[run.test_rows].tolist(),
                "printed": list(run.printed),
                "reference": _history(run) | {"dtype": run.dtype, "stopped_early": run.stopped_early},
                "backends": {environment: _attempt(attempt) for environment, attempt in attempts.items()},
            }
        )
    return {
        "passed": replays.passed,
        "dtype": replays.dtype,
        "workers": {environment: worker.model_dump(mode="json") for environment, worker in replays.workers.items()},
        "missing": dict(replays.missing),
        "runs": runs,
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    if attempt.replayed is None:
        return {"passed": False, "failure": attempt.failure}
    fields = ("name", "measured", "limit", "passed")
    checks = [{name: getattr(check, name) for name in fields} for check in attempt.checks]
    stop_predictions = attempt.replayed.stop_predictions.tolist()
    return _history(attempt.replayed) | {
        "passed": attempt.passed,
        "checks": checks,
        "stop_predictions": stop_predictions,
    }


def _history(run: Reference | Replayed) -> dict[str, Any]:
    arrays = {name: getattr(run, name).tolist() for name in ("loss", "val_loss", "test_predictions")}
    return {"stop_epoch": run.stop_epoch, **arrays}


def write_csv(replays: Replays, path: Path) -> list[Path]:
    """Write epoch, loss and val_loss, and return the files.

    If there are several runs or environments, each has a file, with both in its name before the suffix.
    """
    several = len(replays.references) * (len(replays.workers) + len(replays.missing)) > 1
    written = []
    for run in replays.references:
        for environment, replayed in replays.replayed(run).items():
            name = f"{path.stem}-{Path(run.name).stem}-{environment}{path.suffix}"
            target = path.with_name(name) if several else path
            frame = pd.DataFrame({"loss": replayed.loss, "val_loss": replayed.val_loss})
            write_atomically(target, frame.to_csv(index_label="epoch").encode())
            written.append(target)
    return written


def losses_chart(replays: Replays) -> "alt.FacetChart":
    """Draw loss and val_loss of every run over its epochs, on logarithmic axes, the run of 2017 beneath in grey."""
    import altair as alt  # which only those who draw should load

    from bench.output.charts import marks
    from bench.output.names import display_name

    parts = []
    for run in replays.references:
        runs: dict[str, Reference | Replayed] = {"2017": run, **replays.replayed(run)}
        for quantity in ("loss", "val_loss"):
            for name, each in runs.items():
                values = getattr(each, quantity)
                part = pd.DataFrame({"epoch": range(len(values)), "mse": values})
                parts.append(part.assign(panel=f"{title(run)}, {quantity}", series=display_name(name)))
    frame = pd.concat(parts, ignore_index=True)
    lines = alt.Chart().encode(
        x=alt.X("epoch:Q", title="epoch, counted from 0", axis=alt.Axis(grid=False)),
        y=alt.Y("mse:Q", title="mean squared error", scale=alt.Scale(type="log", nice=False)),
        tooltip=["series:N", "epoch:Q", "mse:Q"],
    )
    reference = lines.mark_line(strokeWidth=7, color="#bbbbbb").transform_filter("datum.series === '2017'")
    replayed = lines.mark_line().transform_filter("datum.series !== '2017'")
    return marks.panels(
        frame,
        [reference, replayed.encode(**marks.series(frame[frame["series"] != "2017"], points=False))],
        title="The runs of 2017, retraced",
        note="Grey: the run of 2017. Right replays cover it and each other.",
        free=("x", "y"),
    )


def write_chart(replays: Replays, path: Path) -> None:
    """Write the losses into a PNG, SVG or PDF file."""
    from bench.output.charts import draw_picture

    form = path.suffix[1:].lower()
    write_atomically(path, draw_picture(losses_chart(replays), form))  # type: ignore[arg-type]  # check_target: one of three
