"""Show what replays found: tables for a person, one JSON document, CSV files as Keras' CSVLogger writes them.

Epochs are counted from 0, as Keras 2 printed them. Predictions are in units of the sum.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from bench.analysis.selection import Table
from bench.measure.replay import Attempt, Replays, Retraced
from bench.output.files import write_whole
from bench.output.printing.output import print_text
from bench.plan.cells import BackendName
from seqsum_core.article.reference import Reference
from seqsum_core.article.verdict import FIRST, Bar, compared_epoch

LAYERS = {"simple_rnn": "SimpleRNN", "lstm": "LSTM"}


def print_replays(replays: Replays) -> None:
    """Print each run's predictions, stop and bars, then the verdict of all."""
    console = Console(width=None if sys.stdout.isatty() else 80, highlight=False)
    for run in replays.runs:
        for table in (predictions_table(run), stop_table(run), bars_table(run)):
            if not table.frame.empty:
                print_text(table, console)
        console.print()
    print_text(verdict_table(replays), console)
    for run in replays.runs:
        for backend, attempt in run.attempts.items():
            if attempt.failure:
                console.print(Text(f"{run.reference.name}, {backend}: {attempt.failure}"))
    for reason in replays.missing.values():
        console.print(Text(f"missing: {reason}"))


def title(run: Retraced) -> str:
    """Say what was replayed: name, layer with its units, length."""
    reference = run.reference
    return f"{reference.name}: {LAYERS[reference.model]}({reference.units}), length {reference.length}"


def predictions_table(run: Retraced) -> Table:
    """Tabulate the article's table again: the first test rows as predicted, printed and true."""
    reference = run.reference
    columns: dict[str, Any] = {"row": list(range(len(_true(reference))))}
    for backend, replayed in _replayed(run).items():
        columns[backend] = _figures(replayed.stop_predictions)
    if reference.stop_epoch is None or reference.stopped_early:
        columns["reference"] = _figures(reference.test_predictions)
    if reference.printed:
        columns["article"] = _figures(np.array(reference.printed))
    columns["true"] = _true(reference)
    return Table(f"{title(run)}: predictions", pd.DataFrame(columns) if _replayed(run) else pd.DataFrame())


def stop_table(run: Retraced) -> Table:
    """Tabulate where patience 0 stops and the val_loss there, the reference first."""
    reference = run.reference
    rows = [("reference", reference, compared_epoch(reference, reference))]
    rows += [(backend, replayed, compared_epoch(reference, replayed)) for backend, replayed in _replayed(run).items()]
    frame = pd.DataFrame(
        {
            "run": [name for name, _, _ in rows],
            "stop epoch": ["none" if each.stop_epoch is None else f"{each.stop_epoch:>4}" for _, each, _ in rows],
            "epochs run": [len(each.val_loss) for _, each, _ in rows],
            "val_loss": [f"{each.val_loss[epoch]:.7f}" for _, each, epoch in rows],
            "at epoch": [epoch for _, _, epoch in rows],
        }
    )
    return Table("Stop, epochs counted from 0", frame)


def bars_table(run: Retraced) -> Table:
    """Tabulate what was measured; backends share a line where name and limit of a bar are the same."""
    bars = {backend: attempt.bars for backend, attempt in run.attempts.items() if attempt.replayed}
    lines = dict.fromkeys((bar.name, bar.limit) for each in bars.values() for bar in each)
    columns = {"bar": [name for name, _ in lines], "limit": [_short(limit) for _, limit in lines]}
    for backend, each in bars.items():
        columns[backend] = [_measured(each, *line) for line in lines]
    return Table("Bars: what was measured, and the most that passes", pd.DataFrame(columns))


def verdict_table(replays: Replays) -> Table:
    """Tabulate pass or FAIL of each run and backend."""
    columns: dict[str, list[str]] = {"run": [run.reference.name for run in replays.runs]}
    for backend in replays.workers:
        columns[backend] = [_word(run.attempts[backend]) for run in replays.runs]
    for backend in replays.missing:
        columns[backend] = ["missing" for _ in replays.runs]
    versions = [
        f"{backend} {worker.versions.get(backend, '?')} with Keras {worker.versions.get('keras', '?')}"
        for backend, worker in replays.workers.items()
    ]
    verdict = "pass" if replays.passed else "FAIL"
    return Table(f"Verdict in {replays.dtype}: {verdict}", pd.DataFrame(columns), ("; ".join(versions),))


def _replayed(run: Retraced) -> dict[BackendName, Any]:
    return {backend: attempt.replayed for backend, attempt in run.attempts.items() if attempt.replayed}


def _true(reference: Reference) -> list[int]:
    return [int(value) for value in reference.targets[reference.test_rows[:FIRST]]]


def _figures(values: NDArray[np.floating]) -> list[str]:
    texts = [f"{value:.6f}" for value in values[:FIRST]]
    return [text.rjust(max(map(len, texts))) for text in texts]


def _short(value: float) -> str:
    return f"{value:.2g}"


def _measured(bars: tuple[Bar, ...], name: str, limit: float) -> str:
    for bar in bars:
        if (bar.name, bar.limit) == (name, limit):
            return _short(bar.measured) if bar.passed else f"{_short(bar.measured)} FAIL"
    return ""


def _word(attempt: Attempt) -> str:
    if attempt.replayed is None:
        return "FAILED"
    return "pass" if attempt.passed else "FAIL"


def document(replays: Replays) -> dict[str, Any]:
    """Return everything, for JSON."""
    return {
        "passed": replays.passed,
        "dtype": replays.dtype,
        "workers": {backend: worker.model_dump(mode="json") for backend, worker in replays.workers.items()},
        "missing": dict(replays.missing),
        "runs": [_run_document(run) for run in replays.runs],
    }


def _run_document(run: Retraced) -> dict[str, Any]:
    reference = run.reference
    return {
        "name": reference.name,
        "model": reference.model,
        "units": reference.units,
        "length": reference.length,
        "true": reference.targets[reference.test_rows].tolist(),
        "printed": list(reference.printed),
        "reference": {
            "dtype": reference.dtype,
            "stop_epoch": reference.stop_epoch,
            "stopped_early": reference.stopped_early,
            "loss": reference.loss.tolist(),
            "val_loss": reference.val_loss.tolist(),
            "test_predictions": reference.test_predictions.tolist(),
        },
        "backends": {backend: _attempt_document(attempt) for backend, attempt in run.attempts.items()},
    }


def _attempt_document(attempt: Attempt) -> dict[str, Any]:
    replayed = attempt.replayed
    if replayed is None:
        return {"passed": False, "failure": attempt.failure}
    return {
        "passed": attempt.passed,
        "bars": [
            {"name": bar.name, "measured": bar.measured, "limit": bar.limit, "passed": bar.passed}
            for bar in attempt.bars
        ],
        "stop_epoch": replayed.stop_epoch,
        "loss": replayed.loss.tolist(),
        "val_loss": replayed.val_loss.tolist(),
        "test_predictions": replayed.test_predictions.tolist(),
        "stop_predictions": replayed.stop_predictions.tolist(),
    }


def write_csv(replays: Replays, path: Path) -> list[Path]:
    """Write epoch, loss and val_loss, a file for each run and backend.

    Args:
        replays: what was found.
        path: the file, if there is one run on one backend; else its name gets both before its suffix.

    Returns:
        The files that were written.
    """
    histories = {
        (run.reference.name, backend): replayed for run in replays.runs for backend, replayed in _replayed(run).items()
    }
    several = len(replays.runs) * (len(replays.workers) + len(replays.missing)) > 1
    written = []
    for (name, backend), replayed in histories.items():
        place = path.with_name(f"{path.stem}-{Path(name).stem}-{backend}{path.suffix}") if several else path
        frame = pd.DataFrame({"loss": replayed.loss, "val_loss": replayed.val_loss})
        write_whole(place, frame.to_csv(index_label="epoch").encode())
        written.append(place)
    return written
