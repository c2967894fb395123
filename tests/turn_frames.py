"""Frames of turns, made without records: a row for each turn, as `bench.records.frame` has them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from seqsum_core.settings import VariantSettings


def turns_of(
    epochs_s: Sequence[Sequence[float]],
    environment: str = "jax",
    *,
    model: str = "lstm",
    length: int = 4,
    threads: str = "1",
    variant: VariantSettings = VariantSettings(),
    **columns: Any,
) -> pd.DataFrame:
    """Return the turns of a cell.

    Args:
        epochs_s: seconds of an epoch, for each process those of its rounds.
        columns: more columns, each a value for all turns, or one for each process.
    """
    rows = [
        {
            "run": "a",
            "protocol_version": 3,
            "machine": "cpu",
            "environment": environment,
            "device": "cpu",
            "model": model,
            "length": length,
            "threads": threads,
            "variant": str(variant),
            "backend": environment.partition("@")[0],
            **asdict(variant),
            "process": process,
            "is_control": False,
            "round": number,
            "counted": True,
            "epoch_s": epoch_s,
            "epochs": 10,
            "warmup_epochs": 2,
            "seconds": 12 * epoch_s,
            "started_after_s": 10.0 * number,
            "disturbed": False,
            "others_cpu_s": 0.0,
            "steal_s": 0.0,
            "involuntary_switches": 0,
            "device_lag_s": 0.0,
            "energy_j": None,
            "process_start_s": 0.1,
            "import_s": 2.0,
            "build_s": 0.5,
            "first_epoch_s": 1.4,
            "start_s": 4.0,
            "validation_s": 0.05,
            "rows_per_epoch": 1620,
            "steps_per_epoch": 51,
            "padding_share": 0.3,
            "peak_rss_bytes": 2**30,
            "peak_device_bytes": None,
            "recurrence": "scan",
            "xla": True,
            "compilations": 1,
            **{name: value[process] if isinstance(value, list) else value for name, value in columns.items()},
        }
        for process, rounds in enumerate(epochs_s)
        for number, epoch_s in enumerate(rounds)
    ]
    return pd.DataFrame(rows)
