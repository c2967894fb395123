"""Tables of speed: steady epochs, ratios, controls, what starting costs, noise. Derived from raw records, as frames."""

from math import isfinite, isnan

import numpy as np
import pandas as pd

from bench.analysis.findings import Findings
from bench.analysis.intervals import LEAST_SEEDS, Interval
from bench.analysis.ratios import side_name
from bench.analysis.selection import (
    USUAL,
    Row,
    Selection,
    Table,
    axes,
    cell_frame,
    name_usual,
    sort_rows,
    without_figures,
)
from bench.analysis.statistics import Overtaking, median
from bench.analysis.winners import MARKED, fastest
from bench.records.speed import FEWEST_CALM, SLOW_HOST, Speed


def speed_table(chosen: Selection) -> Table:
    """Tabulate steady epochs."""

    def row(trials: list[Speed]) -> Row:
        time = chosen.epoch_time(trials[0].cell)
        return {
            "epoch ms": 1e3 * time.median_s,
            **_ends(time.interval, " ms", scale=1e3),
            "25 % ms": 1e3 * time.quarter_s,
            "75 % ms": 1e3 * time.three_quarters_s,
            "sequences per s": trials[0].rows_per_epoch / time.median_s,
            "path": ", ".join(sorted({str(trial.witness) for trial in trials if trial.witness})),
        }

    frame = cell_frame(chosen, "speed", chosen.timed, row)
    best = _fastest_rows(chosen, frame)
    notes = [
        "Steady epochs inside one fit, without validation: median of the processes' medians with its 95 % interval "
        f"(from {LEAST_SEEDS} processes on), and quartiles of all epochs. Path: what the recurrent layer ran on.",
        f"{_counts(chosen)}. {_threads(chosen)}",
        *([MARKED] if best else []),
        *without_figures(chosen, "speed"),
    ]
    return Table("Speed", frame, tuple(notes), best)


def _fastest_rows(chosen: Selection, frame: pd.DataFrame) -> frozenset[tuple[int, str]]:
    """Return where the figures of the fastest cells stand."""
    keys = {tuple(axes(cell).values()) for cell in fastest(chosen)}
    columns = [name for name in ("model", "length", "backend", *USUAL) if name in frame]
    return frozenset(
        (row, "epoch ms")
        for row, *key in (frame[columns].itertuples(name=None) if keys else ())
        if tuple(part for name, part in zip(columns, key, strict=True) if part != USUAL.get(name)) in keys
    )


def _counts(chosen: Selection) -> str:
    processes = {len(trials) for trials in chosen.timed.values()} or {0}
    rounds = {len(trial.rounds) for trials in chosen.timed.values() for trial in trials} or {0}
    return f"{_span(processes)} fresh processes a cell, {_span(rounds)} turns each"


def _span(counts: set[int]) -> str:
    return f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def _threads(chosen: Selection) -> str:
    threads = {cell.threads for cell in chosen.timed}
    if threads <= {1}:
        return "Each worker has one core and one thread."
    if threads == {"default"}:
        return "Threads and cores as the frameworks choose."
    return "Threads: so many cores and threads for a worker, or both as the frameworks choose."


def _ends(interval: Interval, unit: str = "", *, scale: float = 1.0) -> Row:
    return {f"low{unit}": scale * interval.low, f"high{unit}": scale * interval.high}


def ratios_table(chosen: Selection) -> Table:
    """Compare every two backends by the ratio of their turns."""
    return _ratios(chosen, "backend", "Backends compared by speed")


def model_ratios_table(chosen: Selection) -> Table:
    """Compare every two models by the ratio of their turns."""
    return _ratios(chosen, "model", "Models compared by speed")


def thread_ratios_table(chosen: Selection) -> Table:
    """Compare threads and pinning by the ratio of their turns."""
    return _ratios(chosen, "threads", "Threads compared by speed")


def _ratios(chosen: Selection, side: str, title: str) -> Table:
    rows: list[Row] = []
    for one in chosen.compared(side):
        known = not isnan(one.ratio.interval.low)
        rows.append(
            {name: value for name, value in axes(one.first).items() if name != side}
            | {"ratio of": f"{side_name(one.first, side)} / {side_name(one.second, side)}"}
            | {"times as long": one.ratio.value, **_ends(one.ratio.interval)}
            | {"verdict": "no difference" if known and one.ratio.undecided else ""}
        )
    notes = (
        "How many times as long an epoch takes: ratios of turns of one round, their median in each process, and the "
        f"median over processes with its 95 % interval (from {LEAST_SEEDS} processes on). "
        "no difference: the interval holds 1. Cells of different runs are not compared.",
    )
    return Table(title, _sorted(pd.DataFrame(rows), ["length", "model", "backend"]), notes)


def _sorted(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return sort_rows(name_usual(frame), [*columns, *USUAL])


def controls_table(chosen: Selection) -> Table:
    """Compare cells with themselves: what a ratio says where there is no difference."""
    rows: list[Row] = []
    for one in chosen.controls:
        known = not isnan(one.ratio.interval.low)
        rows.append(
            axes(one.first)
            | {
                "processes": one.ratio.processes,
                "A/A": one.ratio.value,
                **_ends(one.ratio.interval),
                "half-width %": 100 * one.ratio.half_width if known else None,
                "verdict": ("holds 1" if one.ratio.undecided else "misses 1") if known else "",
            }
        )
    missed = sum(row["verdict"] == "misses 1" for row in rows)
    judged = sum(bool(row["verdict"]) for row in rows)
    notes = (
        f"A/A: the same cell measured twice as if it were two, in the same turns; {missed} of {judged} intervals "
        "miss 1, about 1 in 20 would by chance.",
    )
    return Table("Controls", _sorted(pd.DataFrame(rows), ["length", "model", "backend"]), notes)


def start_table(chosen: Selection) -> Table:
    """Tabulate the ledger from cold to warm, validation and memory."""

    def row(trials: list[Speed]) -> Row:
        figures: Row = {
            "process start s": median(trial.process_start_s for trial in trials),
            "import s": median(trial.import_s for trial in trials),
            "build s": median(trial.build_s for trial in trials),
            "first epoch s": median(trial.first_epoch_s for trial in trials),
            "together s": median(trial.start_s for trial in trials),
            "steady epoch ms": 1e3 * chosen.epoch_time(trials[0].cell).median_s,
            "compilations": median(trial.witness.compilations for trial in trials if trial.witness),
            "validation ms": median(1e3 * trial.steady_validation_s for trial in trials),
            "memory MiB": median(trial.peak_rss_bytes / 2**20 for trial in trials),
        }
        if any(trial.peak_device_bytes for trial in trials):
            figures["GPU memory MiB"] = median((trial.peak_device_bytes or 0) / 2**20 for trial in trials)
        return figures

    notes = (
        "From cold to warm, medians of fresh processes. The first epoch contains tracing and compilation; "
        "compilations: training steps compiled or traced. Validation: a call of evaluate, the compiling one left out.",
        *without_figures(chosen, "speed"),
    )
    return Table("Start, validation and memory", cell_frame(chosen, "speed", chosen.timed, row), notes)


def overtaking_table(chosen: Selection) -> Table:
    """Say for every two backends after how many epochs, start included, the one with faster epochs is ahead."""
    rows: list[Row] = [
        {name: value for name, value in axes(one.faster.cell).items() if name != "backend"}
        | {"faster epochs": one.faster.cell.side, "against": one.other.cell.side}
        | {"start s": one.faster.start_s, "against's start s": one.other.start_s}
        | {"ahead after epoch": say_ahead(one.found)}
        for one in Findings(chosen).break_evens
    ]
    notes = (
        "Start: process start, import, build and first epoch. Ahead: the first epoch, from 1, at whose end the backend "
        "with the faster epochs has done as many in less time, with its 95 % interval. 1: it is ahead from the start.",
    )
    return Table("Break-even", _sorted(pd.DataFrame(rows), ["length", "model", "faster epochs", "against"]), notes)


def say_ahead(found: Overtaking) -> str:
    """Say after which epoch a side is ahead, and the interval where it has a width."""
    low, high = found.interval.low, found.interval.high
    if isnan(low) or low == high:
        return _epoch(found.epoch)
    return f"{_epoch(found.epoch)} ({_epoch(low)} to {_epoch(high)})"


def _epoch(number: float) -> str:
    return f"{number:,.0f}" if isfinite(number) else "never"


def noise_table(chosen: Selection) -> Table:
    """Tabulate what was unsteady: between processes, between rounds, and what others did."""

    def row(trials: list[Speed]) -> Row:
        turns = [turn for trial in trials for turn in trial.slices]
        seconds = sum(sum(turn.epochs_s) for turn in turns)
        rounds = [np.std(np.log([turn.median_s for turn in trial.rounds.values()])) for trial in trials]
        figures: Row = {
            "between processes %": 100 * chosen.epoch_time(trials[0].cell).spread,
            "between rounds %": 100 * float(np.median(rounds)),
            "turns": len(turns),
            "disturbed": sum(turn.disturbed for turn in turns),
            "slowed": sum(turn.slowed for turn in turns),
            "slow epochs %": 100 * sum(len(turn.slow_s) for turn in turns) / sum(len(turn.warm_s) for turn in turns),
            "others cores": sum(turn.others_cpu_s for turn in turns) / seconds,
            "stolen cores": sum(turn.steal_s for turn in turns) / seconds,
            "switches per s": sum(turn.involuntary_switches for turn in turns) / seconds,
            "late %": median(None if turn.late_s is None else 100 * turn.late_s / sum(turn.warm_s) for turn in turns),
        }
        if all(turn.probes_s is None for turn in turns):
            del figures["slowed"], figures["slow epochs %"]
        return figures

    notes = (
        "Standard deviations of the medians of processes and, within them, of rounds. Disturbed: other processes took "
        "more than a tenth of a core meanwhile, or too few epochs were left that are not slow; slowed: the latter. "
        f"Slow epochs: the host slowed the core {SLOW_HOST:g} times or more beside them; they do not count if at least "
        f"{FEWEST_CALM} others do. Others, stolen: cores that other processes and the hypervisor used. "
        "Switches: the worker had to make room on its core. Late: how much longer the device worked after the clock "
        "had stopped; a clock that waits for it is late by next to nothing.",
    )
    return Table("Noise", cell_frame(chosen, "speed", chosen.timed, row), notes)
