"""Tables of speed: steady epochs, and what starting costs. Derived from raw records, as pandas frames."""

import numpy as np

from bench.records import Speed
from bench.selection import Row, Selection, Table, cell_frame, without_figures
from bench.statistics import epoch_time, median, undisturbed


def speed_table(chosen: Selection) -> Table:
    """Tabulate steady epochs."""

    def row(trials: list[Speed]) -> Row:
        kept = undisturbed(trials)
        time = epoch_time(kept)
        steps, rows = kept[0].steps_per_epoch, kept[0].rows_per_epoch
        return {
            "epoch ms": 1e3 * time.median_s,
            "25 % ms": 1e3 * time.quarter_s,
            "75 % ms": 1e3 * time.three_quarters_s,
            "steps per s": steps / time.median_s,
            "sequences per s": rows / time.median_s,
            "timesteps per s": rows * kept[0].cell.length / time.median_s,
        }

    trials = chosen.of(Speed)
    threads = chosen.runs[-1].header.sweep.timing.threads
    notes = [
        "Steady epochs inside one fit, without validation: median of the processes' medians, and quartiles of "
        "all epochs.",
        "Each worker has one core and one thread."
        if threads == "one"
        else "Threads and cores as the frameworks choose.",
        f"{len(trials)} trials, {sum(trial.disturbed for trial in trials)} disturbed by other processes. Fresh "
        "processes of one cell differ by more than its quartiles show.",
    ]
    return Table("Speed", cell_frame(chosen, "speed", trials, row), (*notes, *without_figures(chosen, "speed")))


def start_table(chosen: Selection) -> Table:
    """Tabulate what starting costs, validation and memory."""

    def row(trials: list[Speed]) -> Row:
        kept = undisturbed(trials)
        figures: Row = {
            "process start s": median(trial.process_start_s for trial in kept),
            "import s": median(trial.import_s for trial in kept),
            "build s": median(trial.build_s for trial in kept),
            "first epoch s": median(trial.epochs_s[0] for trial in kept),
            "validation ms": median(1e3 * np.median(trial.validation_s[1:]) for trial in kept),
            "memory MiB": median(trial.peak_rss_bytes / 2**20 for trial in kept),
        }
        if any(trial.peak_device_bytes for trial in kept):
            figures["GPU memory MiB"] = median((trial.peak_device_bytes or 0) / 2**20 for trial in kept)
        return figures

    notes = (
        "Medians of fresh processes. The first epoch contains tracing and compilation. Validation: one call of "
        "evaluate, the compiling one left out.",
        *without_figures(chosen, "speed"),
    )
    return Table("Start, validation and memory", cell_frame(chosen, "speed", chosen.of(Speed), row), notes)
