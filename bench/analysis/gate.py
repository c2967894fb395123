"""Is an environment slower than a gate allows, or less accurate?

Times and bytes are judged while a run grows, with an error that holds at every look. Calls and paths are no matter of
chance. Accuracy is judged once, by pairs of seeds.
"""

import numpy as np
import pandas as pd

from bench.analysis import accuracy, speed
from bench.analysis.history import RATIO
from bench.analysis.statistics import anytime_p_values, holm, medians, processes_for, smallest_effect
from bench.frozen import Frozen
from bench.plan.cells import backend_of
from bench.plan.gate import Gate
from bench.plan.sweep import Sweep
from bench.records.frame import CELL, Frames

NOTABLE = 0.05
"""The share for which a run says how many processes would find it."""
BEYOND = {"memory": "more", "calls": "more", "path": "changed"}
"""What a verdict calls a cell that a gate does not let through; "slower" where nothing else is said."""
OF_RATIO = ["processes", *RATIO, "level", "spread", "limit"]


def pairs_of(sweep: Sweep) -> dict[str, str]:
    """Return the environments that a gate judges, each with the first one of its backend."""
    first: dict[str, str] = {}
    for environment in sweep.backends:
        first.setdefault(backend_of(environment), environment)
    judged = [environment for environment in dict.fromkeys(sweep.backends) if environment not in first.values()]
    return {environment: first[backend_of(environment)] for environment in judged}


def judge_all(frames: Frames, sweep: Sweep) -> pd.DataFrame:
    """Judge the environments of a run by all of its gates: what `add_power` returns, then `judge_accuracy`."""
    parts = [add_power(judge(frames.turns, sweep)), judge_accuracy(frames.trainings, sweep)]
    return pd.concat(parts, ignore_index=True)


def judge(turns: pd.DataFrame, sweep: Sweep) -> pd.DataFrame:
    """Judge the environments of a run by its gates but that of accuracy.

    The chance that any verdict of a run is wrong is the error of its gates, 5 %, however often it is judged meanwhile.

    Returns:
        gate, quantity, `KEY`, second (the environment that it is compared with), processes, ratio with its interval
        and range, spread (of its logarithms), limit, p_value (anytime valid, of the ratio being the limit; 0 of what is
        exact), verdict: "slower" ("more", "changed") beyond the limit, "within", or "undecided".
    """
    gates = [gate for gate in sweep.timing.gates if gate.quantity != "accuracy"]
    if not gates:
        return pd.DataFrame(columns=["gate", "quantity", *speed.KEY, "verdict", *OF_RATIO])
    figures = pd.concat([_compare(turns, gate, sweep) for gate in gates], ignore_index=True)
    figures = figures.reindex(columns=figures.columns.union(OF_RATIO, sort=False))  # a path has none of them
    decided = holm(figures["p_value"]) < figures["error"]
    beyond = figures["quantity"].map(BEYOND).fillna("slower")
    figures["verdict"] = beyond.where(figures["median"] > 0, "within").where(decided, "undecided")
    return figures.drop(columns=["median", "error"])


def add_power(figures: pd.DataFrame) -> pd.DataFrame:
    """Add to what `judge` returns what such runs could show, which takes simulations.

    Returns:
        The same, and found (the least ratio that 80 % of such runs would show to be beyond the limit) and needed
        (processes after which 80 % would show an unchanged cell to be within; NaN: more than 200, or the limit is 1).
    """
    known = figures[~figures["quantity"].isin(speed.EXACT)]
    effects = known["processes"].map(lambda count: smallest_effect(int(count), len(known))) * known["spread"]
    allowed = zip(np.log(known["limit"]), known["spread"], strict=True)
    needed = [processes_for(float(effect), float(spread), len(known)) for effect, spread in allowed]
    return figures.assign(found=known["limit"] * np.exp(effects), needed=pd.Series(needed, known.index, float))


def _compare(turns: pd.DataFrame, gate: Gate, sweep: Sweep) -> pd.DataFrame:
    parts = []
    for environment, second in pairs_of(sweep).items():
        both = turns[turns["environment"].isin([environment, second])]
        compare = _compare_paths if gate.quantity == "path" else _compare_ratios
        parts.append(
            compare(both, gate, second).assign(gate=str(gate), quantity=gate.quantity, second=second, error=gate.error)
        )
    return pd.concat(parts, ignore_index=True)


def _compare_ratios(turns: pd.DataFrame, gate: Gate, second: str) -> pd.DataFrame:
    logs = speed.process_ratios(speed.turns_of(turns, gate.quantity), second).dropna(subset="log_ratio")
    logs["beyond"] = logs["log_ratio"] - np.log1p(gate.share)
    samples = logs.groupby(speed.KEY, sort=False)["beyond"].agg(["median", "std", list]).reset_index()
    figures = medians(logs, speed.KEY, "log_ratio").merge(samples, on=speed.KEY).rename(columns={"std": "spread"})
    for name in RATIO:
        figures[name] = np.exp(figures.pop(f"log_{name}"))
    p_values = [float(anytime_p_values(sample)) for sample in figures.pop("list")]
    return figures.assign(limit=1 + gate.share, p_value=0.0 if gate.quantity in speed.EXACT else p_values)


def _compare_paths(turns: pd.DataFrame, gate: Gate, second: str) -> pd.DataFrame:
    """Compare execution paths."""
    paths = speed.execution_paths(turns)
    on = [name for name in speed.KEY if name != "environment"]
    both = paths[paths["environment"] != second].merge(paths[paths["environment"] == second], on=on)
    both = both.rename(columns={"environment_x": "environment"})[[*speed.KEY, "path_x", "path_y"]]
    changed = np.where(both["path_x"] != both["path_y"], 1.0, -1.0)
    return both.assign(median=changed, p_value=0.0, path=both["path_y"] + " -> " + both["path_x"])


def judge_accuracy(trainings: pd.DataFrame, sweep: Sweep) -> pd.DataFrame:
    """Judge the longest trainings of environments by the verdicts of `accuracy.contrasts`.

    Returns:
        gate, quantity, `KEY` without run, second, ratio of test errors with its interval, and verdict: "worse" is shown
        to differ and has larger errors or fewer right rows, "within" is shown to be equal or better.
    """
    pairs = pairs_of(sweep)
    columns = ["gate", "quantity", *CELL, "second", "ratio", "ratio_low", "ratio_high", "verdict"]
    if not any(gate.quantity == "accuracy" for gate in sweep.timing.gates):
        return pd.DataFrame(columns=columns)
    longest = accuracy.longest(trainings)
    places = longest["environment"].map(lambda name: f"{name in pairs:d}{name}")  # contrasts are later / earlier name
    rows = accuracy.contrasts(longest.assign(environment=places), by="environment")
    rows["environment"], rows["second"] = rows["first"].str[1:], rows["second"].str[1:]
    rows = rows[rows["environment"].map(pairs) == rows["second"]]
    rows = rows.rename(columns=lambda name: name.removeprefix("error_"))
    is_worse = (rows["verdict"] == "different") & ((rows["ratio"] > 1) | (rows["right_difference"] < 0))
    verdict = (
        rows["verdict"].map({"equal": "within", "open": "undecided", "different": "within"}).mask(is_worse, "worse")
    )
    return rows.assign(gate="accuracy", quantity="accuracy", verdict=verdict)[columns]


def open_places(turns: pd.DataFrame, sweep: Sweep) -> set[tuple[str, int]]:
    """Return the models and lengths of which a cell is undecided; of what has no figures, none."""
    figures = judge(turns, sweep)
    undecided = figures[figures["verdict"] == "undecided"]
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
