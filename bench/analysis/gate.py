"""Is an environment slower than a gate allows, or less accurate?

Times and bytes are judged while a run grows, with an error that holds at every look. Calls and paths are no matter of
chance. Accuracy is judged by pairs of seeds, which do not grow.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis import accuracy, speed
from bench.analysis.history import RATIO
from bench.analysis.statistics import anytime_p_values, holm, medians, processes_for, smallest_effect
from bench.frozen import Frozen
from bench.plan.cells import backend_of
from bench.plan.gate import Gate
from bench.plan.sweep import Sweep
from bench.records.frame import Frames

NOTABLE = 0.05
"""The share for which a run says how many processes would find it."""
BEYOND = {"memory": "more", "calls": "more", "accuracy": "worse", "path": "changed"}
"""What a verdict calls a cell that a gate does not let through; "slower" where nothing else is said."""
OF_RATIO = ["processes", *RATIO, "level", "spread", "limit"]


def pairs_of(sweep: Sweep) -> dict[str, str]:
    """Return the environments that a gate judges, each with the first one of its backend."""
    first: dict[str, str] = {}
    for environment in sweep.backends:
        first.setdefault(backend_of(environment), environment)
    judged = [environment for environment in dict.fromkeys(sweep.backends) if environment not in first.values()]
    return {environment: first[backend_of(environment)] for environment in judged}


def judge(frames: Frames, sweep: Sweep) -> pd.DataFrame:
    """Judge the environments of a run by its gates.

    The chance that any verdict on a quantity of timed processes is wrong is the error of its gates, 5 %, however often
    the run is judged meanwhile; that of any wrong verdict on accuracy is as large.

    Returns:
        gate, quantity, `KEY`, second (the environment that it is compared with), processes (of accuracy: seeds), ratio
        with its interval and range, spread (of its logarithms), limit, p_value (anytime valid, of the ratio being the
        limit; 0 of what is exact), verdict: "slower" ("more", "worse", "changed") beyond the limit, "within", or
        "undecided".
    """
    timed = [gate for gate in sweep.timing.gates if gate.quantity != "accuracy"]
    trained = [gate for gate in sweep.timing.gates if gate.quantity == "accuracy"]
    parts = [_judge(frames, sweep, gates) for gates in (timed, trained) if gates]
    if not parts:
        return pd.DataFrame(columns=["gate", "quantity", *speed.KEY, "second", "verdict", *OF_RATIO])
    return pd.concat(parts, ignore_index=True)


def _judge(frames: Frames, sweep: Sweep, gates: Sequence[Gate]) -> pd.DataFrame:
    figures = pd.concat([_compare(frames, gate, sweep) for gate in gates], ignore_index=True)
    figures = figures.reindex(columns=figures.columns.union(OF_RATIO, sort=False))  # a path has none of them
    decided = holm(figures["p_value"]) < figures["error"]
    beyond = figures["quantity"].map(BEYOND).fillna("slower")
    figures["verdict"] = beyond.where(figures["median"] > 0, "within").where(decided, "undecided")
    return figures.drop(columns=["median", "error"])


def add_power(figures: pd.DataFrame) -> pd.DataFrame:
    """Add to what `judge` returns what such runs could show, which takes simulations.

    Returns:
        The same, and found (the least ratio that 80 % of such runs would show to be beyond the limit) and needed
        (processes, or seeds, after which 80 % would show an unchanged cell to be within; NaN: more than 200, or the
        limit is 1).
    """
    known = figures[~figures["quantity"].isin(speed.EXACT)]
    effects = known["processes"].map(lambda count: smallest_effect(int(count), len(known))) * known["spread"]
    allowed = zip(np.log(known["limit"]), known["spread"], strict=True)
    needed = [processes_for(float(effect), float(spread), len(known)) for effect, spread in allowed]
    return figures.assign(found=known["limit"] * np.exp(effects), needed=pd.Series(needed, known.index, float))


def _compare(frames: Frames, gate: Gate, sweep: Sweep) -> pd.DataFrame:
    parts = []
    for environment, second in pairs_of(sweep).items():
        measured = frames.trainings if gate.quantity == "accuracy" else frames.turns
        both = measured[measured["environment"].isin([environment, second])]
        if gate.quantity == "path":
            figures = _compare_paths(both, second)
        elif gate.quantity == "accuracy":
            figures = _compare_ratios(accuracy.seed_ratios(both, second), gate)
        else:
            figures = _compare_ratios(speed.process_ratios(speed.turns_of(both, gate.quantity), second), gate)
        parts.append(figures.assign(gate=str(gate), quantity=gate.quantity, second=second, error=gate.error))
    return pd.concat(parts, ignore_index=True)


def _compare_ratios(logs: pd.DataFrame, gate: Gate) -> pd.DataFrame:
    logs = logs.dropna(subset="log_ratio")
    logs = logs.assign(beyond=logs["log_ratio"] - np.log1p(gate.share))
    samples = logs.groupby(speed.KEY, sort=False)["beyond"].agg(["median", "std", list]).reset_index()
    figures = medians(logs, speed.KEY, "log_ratio").merge(samples, on=speed.KEY).rename(columns={"std": "spread"})
    for name in RATIO:
        figures[name] = np.exp(figures.pop(f"log_{name}"))
    p_values = [float(anytime_p_values(sample)) for sample in figures.pop("list")]
    return figures.assign(limit=1 + gate.share, p_value=0.0 if gate.quantity in speed.EXACT else p_values)


def _compare_paths(turns: pd.DataFrame, second: str) -> pd.DataFrame:
    paths = speed.execution_paths(turns)
    on = [name for name in speed.KEY if name != "environment"]
    both = paths[paths["environment"] != second].merge(paths[paths["environment"] == second], on=on)
    both = both.rename(columns={"environment_x": "environment"})[[*speed.KEY, "path_x", "path_y"]]
    changed = np.where(both["path_x"] != both["path_y"], 1.0, -1.0)
    return both.assign(median=changed, p_value=0.0, path=both["path_y"] + " -> " + both["path_x"])


def open_places(frames: Frames, sweep: Sweep) -> set[tuple[str, int]]:
    """Return the models and lengths of which a timed cell is undecided; of what has no figures, none."""
    figures = judge(frames, sweep)
    undecided = figures[(figures["verdict"] == "undecided") & (figures["quantity"] != "accuracy")]
    return set(zip(undecided["model"], undecided["length"].astype(int), strict=True))


class Sensitivity(Frozen):
    """What a run could show of a cell by a gate, at the spread of its ratios.

    Args:
        run: its name.
        processes: it has of a cell.
        found: the least slow-down, as a share, that 80 % of such runs would show; None if such a run can show none.
        needed: processes for a slow-down of 5 %; None: more than 200.
    """

    run: str
    processes: int
    found: float | None
    needed: int | None


def sensitivity(turns: pd.DataFrame) -> Sensitivity | None:
    """Return what a run could show; None if it has no ratio of two processes, between environments or of a control."""
    spreads = speed.log_spreads(turns)
    if spreads.empty:
        return None
    count, spread = int(spreads["processes"].median()), float(spreads["spread"].median())
    found = float(np.expm1(smallest_effect(count) * spread))
    needed = processes_for(float(np.log1p(NOTABLE)), spread)
    return Sensitivity(
        run=str(turns["run"].iloc[0]), processes=count, found=found if np.isfinite(found) else None, needed=needed
    )
