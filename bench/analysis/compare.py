"""Did something get slower, or learn worse, between two runs? Cell by cell, with intervals.

The runs took no turns with each other, so that their processes are independent samples: what the machine did between
the two runs is not in the intervals (docs/watching.md). Ratios are NEW / BASE; times are seconds.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis import speed
from bench.analysis.accuracy import judge_pairs, paired
from bench.analysis.select import Selection
from bench.analysis.statistics import equal_means_p_value, ratio_of_medians
from bench.errors import UserError
from bench.records.frame import CELL
from bench.records.schema import Header

HOW_MUCH = (
    *("timing.processes", "timing.rounds", "timing.repeats", "timing.validations", "timing.control"),
    *("timing.precision", "timing.gates", "timing.budget_s", "training.replicas", "training.patience"),
)
"""Settings that say how much is measured, or that stand in the rows: they do not change what a figure means."""


@dataclass(frozen=True)
class Comparison:
    """Two runs, BASE and NEW; each frame is computed when it is first read."""

    base: Selection
    new: Selection

    @cached_property
    def speed(self) -> pd.DataFrame:
        """Return the cells that both runs timed.

        Returns:
            `CELL`, base_processes, new_processes, base_s, new_s (medians of processes), ratio (new_s / base_s),
            ratio_low, ratio_high (95 %, by the bootstrap; NaN with fewer than 6 processes in either run), p_value
            (Welch's test of the logarithms), base_path, new_path (what the recurrent layers ran on), verdict
            (`speed.verdicts`, over all cells): "slower" or "faster" is NEW; "open"; None with too few processes.
        """
        both = (self.base.frames.turns, self.new.frames.turns)
        base, new = (speed.processes(turns).groupby(CELL, sort=False)["epoch_s"].agg(list) for turns in both)
        cells = pd.concat([base, new], axis=1, keys=["base", "new"], join="inner")
        samples = list(cells.itertuples(index=False, name=None))
        frame = cells.index.to_frame(index=False)
        frame["base_processes"], frame["new_processes"] = [cells[run].map(len).array for run in ("base", "new")]
        frame["base_s"], frame["new_s"] = [cells[run].map(np.median).array for run in ("base", "new")]
        names = ["ratio", "ratio_low", "ratio_high"]
        frame[names] = np.array([ratio_of_medians(after, before) for before, after in samples]).reshape(-1, 3)
        frame["p_value"] = [equal_means_p_value(np.log(after), np.log(before)) for before, after in samples]
        for run, turns in zip(("base", "new"), both, strict=True):
            paths = speed.execution_paths(turns).rename(columns={"path": f"{run}_path"})
            frame = frame.merge(paths[[*CELL, f"{run}_path"]], on=CELL, how="left")
        return frame.assign(verdict=speed.verdicts(frame))

    @cached_property
    def accuracy(self) -> pd.DataFrame:
        """Return the cells that both runs trained, compared by the seeds that both have; only equal starts are pairs.

        Returns:
            `CELL`, patience, patiences, pairs, error_ratio (geometric mean of NEW / BASE) and right_difference (mean of
            NEW - BASE), each with its 95 % interval of this row alone, and verdict (`statistics.verdicts`).
        """
        key = [*CELL, "patience", "seed", "start_hash"]
        both = [selection.frames.trainings for selection in (self.new, self.base)]
        new, base = (paired(frame)[[*key, "test_error", "right_rate"]] for frame in both)
        return judge_pairs(new.merge(base, on=key, suffixes=("_first", "_second")), CELL)

    @cached_property
    def only(self) -> pd.DataFrame:
        """Return the cells that only one of the runs has figures of: trial ("speed", "accuracy"), `CELL`, only_in."""
        measured = []
        for name, selection in (("BASE", self.base), ("NEW", self.new)):
            frames = selection.frames
            cells = {"speed": speed.counted(frames.turns), "accuracy": frames.trainings}
            for trial, frame in cells.items():
                measured.append(frame[CELL].drop_duplicates().assign(trial=trial, only_in=name))
        both = pd.concat(measured, ignore_index=True)
        return both[~both.duplicated(["trial", *CELL], keep=False)].reset_index(drop=True)

    @cached_property
    def failures(self) -> pd.DataFrame:
        """Return the cells with failed trials.

        Returns:
            trial, `CELL`, base and new (how many failed), phase and reason of the first one (of NEW if there is any).
        """
        runs = {"new": self.new.frames.failures, "base": self.base.frames.failures}
        failed = pd.concat([frame.assign(**{name: name == run for name in runs}) for run, frame in runs.items()])
        groups = failed.groupby(["trial", *CELL], sort=False)
        counts = groups[["base", "new"]].sum().astype(int)
        return counts.join(groups[["phase", "reason"]].first()).reset_index()


def compare(base: Selection, new: Selection) -> Comparison:
    """Compare two runs; a UserError if their numbers mean different things, or they have no cell in common."""
    protocols = [selection.header.protocol_version for selection in (base, new)]
    if protocols[0] != protocols[1]:
        raise UserError(
            f"`BASE` and `NEW` must be of one protocol. Received: protocol {protocols[0]} and {protocols[1]}, whose "
            "numbers mean different things. Measure both with the same seqsum."
        )
    comparison = Comparison(base, new)
    if not (len(comparison.speed) or len(comparison.accuracy) or len(comparison.failures)):
        names = f"{base.header.run} and {new.header.run}"
        raise UserError(f"`BASE` and `NEW` must have a cell in common. Received: {names}. Measure one in both.")
    return comparison


def differences(base: Header, new: Header) -> pd.DataFrame:
    """Return all that differs between two runs and was recorded, but names, times and axes: what, base, new (texts)."""
    both = pd.DataFrame({"base": _conditions(base), "new": _conditions(new)}).fillna("none")
    return both[both["base"] != both["new"]].rename_axis("what").reset_index()


def _conditions(header: Header) -> "pd.Series[str]":
    sweep = header.sweep.model_dump(mode="json")
    workers = {worker.environment: worker.model_dump(mode="json") for worker in header.workers}
    for worker in workers.values():
        del worker["environment"], worker["device"]
    conditions: dict[str, Any] = {
        "own": header.own,
        **{"commit": header.commit, "seqsum": header.seqsum_version, "harness": header.harness},
        **{"protocol": header.protocol_version, "machine": header.machine.model_dump(mode="json")},
        **{name: sweep[name] for name in (*type(header.sweep.settings).model_fields, "device", "variant")},
        **workers,
    }
    flat = pd.json_normalize(conditions).iloc[0]  # names of levels joined by points
    return flat.map(lambda value: ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value))


def changed_settings(base: Header, new: Header) -> list[str]:
    """Return the settings that differ and change what a figure means."""
    names = differences(base, new)["what"]
    settings = (*type(base.sweep.settings).model_fields, "device")
    return [name for name in names if name.partition(".")[0] in settings and name not in HOW_MUCH]
