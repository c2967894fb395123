"""Every figure of speed, computed once: frames in, frames out.

All functions take the `turns` frame of `bench.load` or of a selection (`bench.records.frame`). A fresh process is the
unit of every sample: its turns share their address layout and compiled program. A figure is the median over processes
of the median over rounds, its interval is by order statistics (<figure>_low, <figure>_high, level; NaN with fewer than
6 processes) and <figure>_least, <figure>_greatest are its range. A ratio is taken within a round, on logarithms, so
that exchanging two cells inverts it exactly. Cells are compared within a run only. Seconds, bytes and joules; NaN: not
known.
"""

from collections.abc import Sequence
from math import inf, nan
from typing import Literal

import numpy as np
import pandas as pd

from bench.analysis.statistics import CONFIDENCE, holm, medians, zero_mean_p_values
from bench.records.frame import CELL, SETTINGS

KEY = ["run", *CELL]
ONLY_KERAS = ("implementation", "unroll", "jit_compile", "steps_per_execution")
"""Settings of a variant that its ceiling does not have; it shares the others."""
PARTS = ("process_start_s", "import_s", "build_s", "first_epoch_s")
"""Parts of the start, in their order."""
OF_PROCESS = (
    *(*PARTS, "start_s", "validation_s", "compilations", "padding_share"),
    *("peak_rss_bytes", "peak_device_bytes", "rows_per_epoch", "steps_per_epoch"),
)
Axis = Literal["environment", "model", "threads", "variant"]


def _without(*names: str) -> list[str]:
    return [name for name in KEY if name not in names]


def counted(turns: pd.DataFrame, *, controls: bool = False) -> pd.DataFrame:
    """Return the turns that count, of the cells or of their controls."""
    return turns[turns["counted"] & (turns["is_control"] == controls)]


def number_cells(turns: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the cells, and the turns with a number in place of their cell: numbers are grouped faster than names.

    Returns:
        A row for each cell, in their order in the frame: `KEY`, `SETTINGS` and cell, its number from 0. And the other
        columns of the turns with cell.
    """
    numbers = turns.groupby(KEY, sort=False).ngroup()
    cells = turns[[*KEY, *SETTINGS]].drop_duplicates(KEY, ignore_index=True)
    return cells.assign(cell=cells.index), turns.drop(columns=[*KEY, *SETTINGS]).assign(cell=numbers)


def processes(turns: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each fresh process of a cell, without the controls.

    Returns:
        `KEY`, process, epoch_s (median of its rounds), round_spread (standard deviation of their logarithms), epoch_j
        (joules of an epoch, over all turns) and the columns of `OF_PROCESS`.
    """
    cells, timed = number_cells(turns[~turns["is_control"]])
    timed = timed.assign(log=np.log(timed["epoch_s"]), all_epochs=timed["epochs"] + timed["warmup_epochs"])
    by = ["cell", "process"]
    rounds = timed[timed["counted"]].groupby(by, sort=False)
    figures = rounds[list(OF_PROCESS)].first()
    figures.insert(0, "epoch_s", rounds["epoch_s"].median())
    figures["round_spread"] = rounds["log"].std()
    energy = timed.groupby(by, sort=False)[["energy_j", "all_epochs"]].sum(min_count=1)
    figures["epoch_j"] = energy["energy_j"].astype(float) / energy["all_epochs"]
    return cells[[*KEY, "cell"]].merge(figures.reset_index(), on="cell").drop(columns="cell")


def epoch_times(turns: pd.DataFrame) -> pd.DataFrame:
    """Return how long a steady epoch of each cell takes.

    Returns:
        `KEY`, processes, epoch_s with its interval, level and range, spread (standard deviation of logarithms between
        processes), round_spread (between the rounds of a process, median), epoch_j, rows_per_epoch, steps_per_epoch.
    """
    by_process = processes(turns)
    times = medians(by_process, KEY, "epoch_s")
    cells = by_process.assign(spread=np.log(by_process["epoch_s"])).groupby(KEY, sort=False)
    more = cells[["round_spread", "epoch_j", "rows_per_epoch", "steps_per_epoch"]].median()
    more.insert(0, "spread", cells["spread"].std())
    return times.merge(more.reset_index(), on=KEY)


def ratios(turns: pd.DataFrame, by: Axis, second: str | None = None) -> pd.DataFrame:
    """Compare every two cells of a run that differ in nothing but one column.

    Example: ratios(bench.load("results"), by="environment")

    With `second` each is compared with this value only; else every two, later name / earlier name.

    Returns:
        run, the other columns of a cell, first, second (values of `by`), processes, ratio (first / second) with its
        interval, level and range, turns, turn_least and turn_greatest (how many pairs of turns, and the range of their
        ratios), first_s and second_s (epochs of these turns), p_value (Student's test of the logarithms, of this row
        alone) and verdict (`verdicts`, over all rows).
    """
    on = _without(by)
    cells, timed = number_cells(counted(turns))
    cells = cells[[*KEY, "cell"]].rename(columns={by: "first"})
    others = cells.rename(columns={"first": "second"})
    pairs = cells.merge(others if second is None else others[others["second"] == second], on=on)
    pairs = pairs[pairs["first"] > pairs["second"] if second is None else pairs["first"] != pairs["second"]]
    figures = _ratios_of(pairs, timed, timed)
    return figures.assign(verdict=verdicts(figures))


def verdicts(figures: pd.DataFrame) -> "pd.Series[str]":
    """Judge the ratios of a table: "slower" or "faster" is the first than the second; "open"; None without an interval.

    A ratio is decided if its own interval leaves out 1 and Student's test of its logarithms is significant after
    Holm's correction over all rows, so that the chance of any wrong verdict in the table is 5 %.
    """
    decided = holm(figures["p_value"]) < 1 - CONFIDENCE
    low, high = figures["ratio_low"], figures["ratio_high"]
    words = np.select([decided & (low > 1), decided & (high < 1)], ["slower", "faster"], "open")
    return pd.Series(words, figures.index, object).mask(low.isna(), None)


def _ratios_of(pairs: pd.DataFrame, firsts: pd.DataFrame, seconds: pd.DataFrame) -> pd.DataFrame:
    """Return the ratio, first / second, of each pair of cells (cell_x, cell_y) that have turns of a round in common."""
    pairs = pairs.reset_index(drop=True).rename_axis("pair").reset_index()
    both = _common_turns(pairs, firsts, seconds)
    logs = _process_logs(both)
    figures = medians(logs, ["pair"], "ratio")
    of_turns = both.groupby("pair")["ratio"].agg(turns="size", turn_least="min", turn_greatest="max")
    figures = figures.join(of_turns, on="pair")
    names = ["ratio", "ratio_low", "ratio_high", "ratio_least", "ratio_greatest", "turn_least", "turn_greatest"]
    figures[names] = np.exp(figures[names])
    times = logs.groupby("pair")[["epoch_s_x", "epoch_s_y"]].median().set_axis(["first_s", "second_s"], axis=1)
    figures = figures.join(times, on="pair")
    figures["p_value"] = figures["pair"].map(zero_mean_p_values(logs["ratio"], logs["pair"]))
    return pairs.merge(figures, on="pair").drop(columns=["pair", "cell_x", "cell_y"])


def _common_turns(pairs: pd.DataFrame, firsts: pd.DataFrame, seconds: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each round that both cells of a pair have, with the logarithm of their ratio.

    Rounds in which either turn is disturbed count only where a process has no other.
    """
    columns = ["cell", "process", "round", "epoch_s", "disturbed"]
    both = pairs[["pair", "cell_x", "cell_y"]].merge(firsts[columns].rename(columns={"cell": "cell_x"}), on="cell_x")
    both = both.merge(seconds[columns].rename(columns={"cell": "cell_y"}), on=["cell_y", "process", "round"])
    both["ratio"] = np.log(both["epoch_s_x"]) - np.log(both["epoch_s_y"])
    both["disturbed"] = both["disturbed_x"] | both["disturbed_y"]
    all_disturbed = both.groupby(["pair", "process"])["disturbed"].transform("all")
    return both[~both["disturbed"] | all_disturbed]


def _process_logs(both: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(both.groupby(["pair", "process"])[["ratio", "epoch_s_x", "epoch_s_y"]].median().reset_index())


def process_ratios(turns: pd.DataFrame, second: str) -> pd.DataFrame:
    """Return a row for each process of each cell that has rounds in common with the same cell of an environment.

    Returns:
        `KEY`, process, log_ratio: the logarithm of cell / cell of `second`, the median over their rounds.
    """
    on = _without("environment")
    cells, timed = number_cells(counted(turns))
    cells = cells[[*KEY, "cell"]]
    is_second = cells["environment"] == second
    pairs = cells[~is_second].merge(cells.loc[is_second, [*on, "cell"]], on=on)
    pairs = pairs.rename_axis("pair").reset_index()
    logs = _process_logs(_common_turns(pairs, timed, timed)).rename(columns={"ratio": "log_ratio"})
    return pairs[["pair", *KEY]].merge(logs[["pair", "process", "log_ratio"]], on="pair").drop(columns="pair")


def log_spreads(turns: pd.DataFrame) -> pd.DataFrame:
    """Return processes and spread (standard deviation of log ratios) of every two environments, and of the controls."""
    on = _without("environment")
    cells, timed = number_cells(turns[turns["counted"]])
    both = cells[[*KEY, "cell"]].merge(cells[[*KEY, "cell"]], on=on)
    is_control = timed["is_control"]
    parts = []
    for pairs, firsts in (
        (both[both["cell_x"] > both["cell_y"]], timed[~is_control]),
        (both[both["cell_x"] == both["cell_y"]], timed[is_control]),
    ):
        pairs = pairs.reset_index(drop=True).rename_axis("pair").reset_index()
        logs = _process_logs(_common_turns(pairs, firsts, timed[~is_control]))
        parts.append(pd.DataFrame(logs.groupby("pair")["ratio"].agg(processes="size", spread="std")))
    return pd.concat(parts, ignore_index=True).dropna()


QUANTITIES = {"epoch": "epoch_s", "first-epoch": "first_epoch_s", "validation": "validation_s"} | {
    "memory": "peak_rss_bytes", "calls": "python_calls"
}  # fmt: skip
"""What is compared like epochs, by its name: the column of the turns."""
EXACT = ("calls", "path")
"""What is no matter of chance: compared as it is, without a test."""


def turns_of(turns: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Return the turns with another quantity in place of the time of an epoch, for the functions that compare these."""
    return turns.assign(epoch_s=turns[QUANTITIES[quantity]].astype(float))


def controls(turns: pd.DataFrame) -> pd.DataFrame:
    """Compare each control with the cell that it repeats: the ratio should be 1.

    Returns:
        `KEY`, processes, ratio (control / cell) with its interval, level and range, and consistent: whether the
        interval holds 1, NA without an interval.
    """
    cells, timed = number_cells(turns[turns["counted"]])
    pairs = cells[KEY].assign(cell_x=cells["cell"], cell_y=cells["cell"])
    is_control = timed["is_control"]
    figures = _ratios_of(pairs, timed[is_control], timed[~is_control])
    return figures.assign(consistent=consistent(figures))


def consistent(figures: pd.DataFrame) -> "pd.Series[bool]":
    """Tell which intervals of ratios hold 1; NA where there is none."""
    holds = (figures["ratio_low"] <= 1) & (figures["ratio_high"] >= 1)
    return holds.astype("boolean").mask(figures["ratio_low"].isna())


def half_width(figures: pd.DataFrame, figure: str = "ratio") -> "pd.Series[float]":
    """Return how far intervals reach to their wider side, as a share of the figure."""
    low, value, high = (figures[name] for name in (f"{figure}_low", figure, f"{figure}_high"))
    return (high / value).combine(value / low, max) - 1


def widest_interval(turns: pd.DataFrame) -> float:
    """Return the half-width of the widest interval of a block, as a share of its figure.

    Intervals are of the ratios between environments and of the controls; of the epoch times where there is nothing to
    compare. Infinite with too few processes, NaN without any.
    """
    widths = pd.concat([half_width(ratios(turns, "environment")), half_width(controls(turns))])
    if not len(widths):
        widths = half_width(epoch_times(turns), "epoch_s")
    return float(widths.fillna(inf).max()) if len(widths) else nan


def fastest(turns: pd.DataFrame) -> pd.DataFrame:
    """Return `KEY` of the cells that are faster than every other environment, by the verdicts on their ratios.

    Cells of different runs have no ratio, so that none of them is the fastest.
    """
    rest = [name for name in CELL if name != "environment"]
    figures = ratios(turns, "environment")
    slower = pd.concat([
        figures[figures["verdict"] == "faster"].rename(columns={"first": "environment"}),
        figures[figures["verdict"] == "slower"].rename(columns={"second": "environment"}),
    ])  # fmt: skip
    won = slower.groupby(KEY, sort=False).size().rename("won").reset_index()
    timed = counted(turns).groupby(rest, sort=False)["environment"].nunique().rename("timed").reset_index()
    won = won.merge(timed, on=rest)
    return won.loc[won["won"] == won["timed"] - 1, KEY].reset_index(drop=True)


def start_times(turns: pd.DataFrame) -> pd.DataFrame:
    """Return what each cell costs from starting its process to the end of the first epoch, validation and memory.

    Returns:
        `KEY`, processes, start_s (all of it) with its interval, level and range, and medians over processes: the
        parts (`PARTS`), epoch_s, validation_s, compilations, padding_share, peak_rss_bytes, peak_device_bytes, ...
    """
    by_process = processes(turns)
    others = [name for name in ("epoch_s", *OF_PROCESS) if name != "start_s"]
    by_process[others] = by_process[others].astype(float)
    cells = by_process.groupby(KEY, sort=False)[others].median().reset_index()
    return medians(by_process, KEY, "start_s").merge(cells, on=KEY)


def break_even(turns: pd.DataFrame) -> pd.DataFrame:
    """Return for every two environments from which epoch on the one with the faster epochs is ahead.

    Charged are the start and the epochs of each process, validation is not. Processes of the same number, which
    started after each other, are pairs.

    Returns:
        run, the other columns of a cell, faster, other (environments), faster_start_s, other_start_s (medians),
        processes, epoch with its interval, level and range: the first one, from 1, at whose end the faster one has
        done as many in less time; infinite if it never has.
    """
    on = _without("environment")
    by_process = processes(turns)[[*KEY, "process", "start_s", "epoch_s"]]
    cells = by_process.groupby(KEY, sort=False)[["start_s", "epoch_s"]].median().reset_index()
    pairs = cells.merge(cells, on=on, suffixes=("", "_other"))
    is_faster = pairs["epoch_s"] < pairs["epoch_s_other"]
    first_of_tie = (pairs["epoch_s"] == pairs["epoch_s_other"]) & (pairs["environment"] < pairs["environment_other"])
    names = {"environment": "faster", "environment_other": "other"}
    names |= {"start_s": "faster_start_s", "start_s_other": "other_start_s"}
    pairs = pairs[is_faster | first_of_tie].rename(columns=names)
    pairs = pairs[[*on, "faster", "other", "faster_start_s", "other_start_s"]]
    both = pairs.merge(by_process.rename(columns={"environment": "faster"}), on=[*on, "faster"])
    others = by_process.rename(columns={"environment": "other"})
    both = both.merge(others, on=[*on, "other", "process"], suffixes=("", "_other"))
    lag_s, gain_s = both["start_s"] - both["start_s_other"], both["epoch_s_other"] - both["epoch_s"]
    later = lag_s // gain_s.where(gain_s > 0) + 2  # the start has the first epoch in it
    both["epoch"] = later.fillna(inf).mask(lag_s < 0, 1.0)
    key = [*on, "faster", "other"]
    figures = medians(both, key, "epoch")
    figures["epoch"] = np.ceil(figures["epoch"])  # the median of an even number may lie between two epochs
    return pairs.merge(figures, on=key)


def tax(turns: pd.DataFrame) -> pd.DataFrame:
    """Compare Keras with its ceiling, the same training written in the framework itself.

    Returns:
        `KEY` of the cell with Keras, processes, ratio (Keras / ceiling) with its interval, level and range, first_s
        and second_s (epochs of both), and the other figures of `ratios`.
    """
    cells, timed = number_cells(counted(turns))
    pairs = _pairs(cells, cells["implementation"] == "ceiling", ONLY_KERAS)
    figures = _ratios_of(pairs[[*KEY, "cell_x", "cell_y"]], timed, timed)
    return figures.assign(verdict=verdicts(figures))


def _pairs(cells: pd.DataFrame, is_second: "pd.Series[bool]", differing: Sequence[str]) -> pd.DataFrame:
    """Pair cells with the second ones that are equal in all but some settings."""
    shared = [*_without("variant"), *(name for name in SETTINGS if name not in differing)]
    return cells[~is_second].merge(cells.loc[is_second, [*shared, "cell"]], on=shared)


def device_efficiency(turns: pd.DataFrame) -> pd.DataFrame:
    """Return `KEY` of the cells with several devices, and efficiency: speed-up over one device / devices."""
    cells, timed = number_cells(counted(turns))
    pairs = _pairs(cells, cells["devices"] == 1, ["devices"])
    figures = _ratios_of(pairs[[*KEY, "devices", "cell_x", "cell_y"]], timed, timed)
    return figures[KEY].assign(efficiency=1 / (figures["ratio"] * figures["devices"]))


def growth(turns: pd.DataFrame) -> pd.DataFrame:
    """Return how fast the time of an epoch grows between neighbouring lengths.

    Returns:
        run, the other columns of a cell, length and next_length, epoch_s and next_epoch_s at these, processes,
        exponent: log(next_epoch_s / epoch_s) / log(next_length / length), with its interval, level and range. An
        exponent of 1: in proportion to the length; of 0: not at all.
    """
    rest = _without("length")
    by_process = processes(turns)[[*KEY, "process", "epoch_s"]]
    cells = by_process.groupby(KEY, sort=False)["epoch_s"].median().reset_index().sort_values("length", kind="stable")
    following = cells.groupby(rest, sort=False)[["length", "epoch_s"]].shift(-1)
    cells = cells.assign(next_length=following["length"], next_epoch_s=following["epoch_s"]).dropna()
    cells["next_length"] = cells["next_length"].astype(int)
    steps = by_process.merge(cells[[*KEY, "next_length"]], on=KEY)
    later = by_process.rename(columns={"length": "next_length", "epoch_s": "next_epoch_s"})
    steps = steps.merge(later, on=[*rest, "next_length", "process"])
    longer = np.log(steps["next_length"] / steps["length"])
    steps["exponent"] = np.log(steps["next_epoch_s"] / steps["epoch_s"]) / longer
    return cells.merge(medians(steps, [*KEY, "next_length"], "exponent"), on=[*KEY, "next_length"])


def changes_of_order(turns: pd.DataFrame) -> pd.DataFrame:
    """Return the neighbouring lengths between which two environments change places.

    Returns:
        run, the other columns of a cell, first, second (environments), length and next_length, ratio and next_ratio
        (first / second) at these, and decided: whether neither interval holds 1, or neither range where there is none.
    """
    rest = _without("environment", "length")
    figures = ratios(turns, "environment").sort_values("length", kind="stable")
    low = figures["ratio_low"].fillna(figures["ratio_least"])
    high = figures["ratio_high"].fillna(figures["ratio_greatest"])
    figures["certain"] = (low > 1) | (high < 1)
    following = figures.groupby([*rest, "first", "second"], sort=False)[["length", "ratio", "certain"]].shift(-1)
    figures = figures.assign(next_length=following["length"], next_ratio=following["ratio"])
    figures["decided"] = figures["certain"] & following["certain"].eq(True)
    changed = (figures["ratio"] - 1) * (figures["next_ratio"] - 1) < 0
    names = [*rest, "first", "second", "length", "next_length", "ratio", "next_ratio", "decided"]
    changes = figures[changed][names].reset_index(drop=True)
    return changes.assign(next_length=changes["next_length"].astype(int))


def execution_paths(turns: pd.DataFrame) -> pd.DataFrame:
    """Return `KEY` and path, what the recurrent layers ran on: "scan, XLA"; those of several processes with " or "."""
    known = turns[turns["recurrence"].notna()]
    xla = known["xla"].map({True: ", XLA", False: ""})
    paths = known[KEY].assign(path=known["recurrence"].astype(str) + xla).drop_duplicates().groupby(KEY, sort=False)
    return pd.DataFrame(paths["path"].agg(" or ".join).reset_index())


def noise(turns: pd.DataFrame) -> pd.DataFrame:
    """Return what was unsteady while each cell was timed: all turns, also those that were measured again.

    Returns:
        `KEY`, spread and round_spread as `epoch_times`, turns, disturbed (counts), others_cores and steal_cores (CPU
        that others and the hypervisor used, in cores), switches_per_s, device_lag_share (of a turn's seconds, median).
    """
    timed = turns[~turns["is_control"]]
    timed = timed.assign(device_lag_share=timed["device_lag_s"].astype(float) / timed["seconds"])
    cells = timed.groupby(KEY, sort=False)
    sums = cells[["others_cpu_s", "steal_s", "involuntary_switches", "seconds", "disturbed"]].sum()
    figures = pd.DataFrame({
        "turns": cells.size(),
        "disturbed": sums["disturbed"].astype(int),
        "others_cores": sums["others_cpu_s"] / sums["seconds"],
        "steal_cores": sums["steal_s"] / sums["seconds"],
        "switches_per_s": sums["involuntary_switches"] / sums["seconds"],
        "device_lag_share": cells["device_lag_share"].median(),
    })  # fmt: skip
    return epoch_times(turns)[[*KEY, "spread", "round_spread"]].merge(figures.reset_index(), on=KEY)
