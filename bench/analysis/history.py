"""How versions differ: each in turns with the same environment, its anchor, and each with the version before it.

Figures are ratios to the anchor, taken within a round, so that what the machine did meanwhile is not in them; two
versions of different runs are compared by their ratios to it. All functions take the turns of runs that are comparable,
each with the anchor: the environment without a version, `torch`.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from packaging.version import Version

from bench.analysis import speed
from bench.analysis.statistics import (
    CONFIDENCE,
    equal_means_p_value,
    holm,
    medians,
    order_interval,
    ratio_of_medians,
    zero_mean_p_values,
)
from bench.plan.cells import NIGHTLY, packages_of
from bench.records.frame import CELL

MARGIN = 0.03
"""A step is a ratio of neighbours that is shown to lie further from 1 than this share."""
REST = [*(name for name in CELL if name != "environment"), "backend"]
KEY = ["environment", *REST]
RATIO = ["ratio", "ratio_low", "ratio_high", "ratio_least", "ratio_greatest"]


def version_name(environment: str) -> str:
    """Return what an environment exchanges as it is read: `keras 3.13.2`; the environment itself if that is nothing."""
    return ", ".join(f"{name} {version}" for name, version in packages_of(environment).items()) or environment


def version_key(environment: str) -> tuple[Any, ...]:
    """Return what environments are sorted by: their packages' versions, a nightly one before the release it led to."""
    return tuple((name.removesuffix(NIGHTLY), Version(version)) for name, version in packages_of(environment).items())


def process_logs(turns: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each process of each version and quantity: `KEY`, run, process, quantity and log_ratio.

    Of a version that was measured in several runs, the newest counts.
    """
    parts = []
    for backend, of_backend in turns.groupby("backend", sort=False):
        for quantity in speed.QUANTITIES:
            logs = speed.process_ratios(speed.turns_of(of_backend, quantity), str(backend)).dropna(subset="log_ratio")
            parts.append(logs.assign(backend=backend, quantity=quantity))
    if not parts:
        return pd.DataFrame(columns=[*KEY, "run", "process", "quantity", "log_ratio"])
    logs = pd.concat(parts, ignore_index=True)
    logs = logs[logs["environment"].map(lambda name: bool(packages_of(name))).astype(bool)]
    return logs[logs["run"] == logs.groupby(KEY)["run"].transform("max")]  # names of runs begin with their time


def history(turns: pd.DataFrame, margin: float = MARGIN) -> pd.DataFrame:
    """Return every version of every cell, oldest first.

    Returns:
        `KEY`, version, processes, ratio (epoch / that of the anchor) with its interval and range, epoch_s, for each
        other quantity the same ratio without interval (`first-epoch`, `validation`, `memory`, `calls`), path, and
        steps: what changed from the version before, as a list of (quantity, ratio, low, high), or (path, its name
        before).
    """
    logs = process_logs(turns)
    if logs.empty:
        return pd.DataFrame(columns=[*KEY, "version"])
    of_quantity = medians(logs, [*KEY, "run", "quantity"], "log_ratio")
    for name in RATIO:
        of_quantity[name] = np.exp(of_quantity.pop(f"log_{name}"))
    levels = of_quantity[of_quantity["quantity"] == "epoch"].drop(columns="quantity")
    others = of_quantity.pivot(index=KEY, columns="quantity", values="ratio").drop(columns="epoch", errors="ignore")
    times = speed.epoch_times(turns)[["run", *CELL, "epoch_s"]].merge(
        speed.execution_paths(turns), on=["run", *CELL], how="left"
    )
    figures = levels.merge(others.reset_index(), on=KEY).merge(times, on=["run", *CELL], how="left")
    figures["version"] = figures["environment"].map(version_name)
    order = figures["environment"].map(version_key)
    figures = figures.iloc[sorted(range(len(figures)), key=lambda row: order.iloc[row])]
    figures = figures.sort_values(["model", "length", "backend"], kind="stable", ignore_index=True)
    found = steps(logs, figures, margin)
    return figures.assign(steps=pd.Series([_steps_of(row, found) for row in figures.itertuples()], dtype=object))


def _neighbours(figures: pd.DataFrame) -> Iterator[tuple[Any, Any]]:
    """Yield rows of versions that follow each other."""
    for _, rows in figures.groupby(REST, sort=False):
        yield from pairwise(rows.itertuples())


def steps(logs: pd.DataFrame, figures: pd.DataFrame, margin: float) -> pd.DataFrame:
    """Compare each version with the one before it.

    Returns:
        `KEY`, before (environment), quantity, ratio (version / version before) with its interval, p_value (that it
        lies at the margin; of this row alone), is_step: whether its interval lies beyond the margin and the p-value is
        significant after Holm's correction over all rows. And the paths that changed: quantity path, before_path.
    """
    samples = dict(iter(logs.groupby([*KEY, "quantity"], sort=False)))
    rows = []
    for before, after in _neighbours(figures):
        key = {name: getattr(after, name) for name in KEY} | {"before": before.environment}
        for quantity in speed.QUANTITIES:
            both = [samples.get((*(getattr(version, name) for name in KEY), quantity)) for version in (before, after)]
            if both[0] is not None and both[1] is not None:
                rows.append(key | {"quantity": quantity} | _compare(both[0], both[1], margin))
        if isinstance(before.path, str) and isinstance(after.path, str) and before.path != after.path:
            rows.append(key | {"quantity": "path", "before_path": before.path, "p_value": np.nan})
    names = [*KEY, "before", "quantity", "ratio", "low", "high", "p_value", "before_path"]
    compared = pd.DataFrame(rows, columns=names)
    exact = compared["quantity"].isin(speed.EXACT)
    decided = holm(compared["p_value"]) < 1 - CONFIDENCE
    low, high = (compared[name].astype(float).fillna(compared["ratio"].where(exact)) for name in ("low", "high"))
    beyond = (low > 1 + margin) | (high < 1 / (1 + margin))
    return compared.assign(is_step=(decided | exact) & beyond | (compared["quantity"] == "path"))


def _compare(before: pd.DataFrame, after: pd.DataFrame, margin: float) -> dict[str, float]:
    """Compare two versions: in pairs of processes if one run measured both, else as independent samples."""
    if before["run"].iloc[0] == after["run"].iloc[0]:
        both = after.merge(before, on="process", suffixes=("", "_before"))
        logs = both["log_ratio"] - both["log_ratio_before"]
        ratio, interval = float(np.exp(logs.median())), order_interval(logs)
        beyond = logs - _edge(ratio, margin)
        p_value = float(zero_mean_p_values(beyond, pd.Series(0, beyond.index)).iloc[0])
        return {"ratio": ratio, "low": float(np.exp(interval.low)), "high": float(np.exp(interval.high))} | {
            "p_value": p_value
        }
    first, second = after["log_ratio"], before["log_ratio"]
    ratio, low, high = ratio_of_medians(np.exp(first), np.exp(second))
    p_value = equal_means_p_value(first - _edge(ratio, margin), second)
    return {"ratio": ratio, "low": low, "high": high, "p_value": p_value}


def _edge(ratio: float, margin: float) -> float:
    """Return the logarithm of the margin on a ratio's side of 1; of the ratio itself, which is no step, within it."""
    edge = np.log1p(margin) if ratio > 1 else -np.log1p(margin)
    return float(edge if abs(np.log(ratio)) > abs(edge) else np.log(ratio))


def _steps_of(version: Any, compared: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return what changed with a version."""
    own = compared[compared["is_step"] & (compared["environment"] == version.environment)]
    for name in REST:
        own = own[own[name] == getattr(version, name)]
    return [
        ("path", row.before_path) if row.quantity == "path" else (row.quantity, row.ratio, row.low, row.high)
        for row in own.itertuples()
    ]
