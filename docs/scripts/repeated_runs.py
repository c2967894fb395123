"""Compare two runs of the same cells: how many intervals of their ratios lie apart, and how many would by chance?

    python docs/scripts/repeated_runs.py > results/repeated-runs.md
    python docs/scripts/repeated_runs.py results/RUN results/OTHER_RUN

Two intervals by order of two samples of one distribution lie apart with a probability that only the numbers of
processes decide, whatever the distribution. It is counted here over many random pairs.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from bench.analysis import speed
from bench.analysis.statistics import order_rank
from bench.records.frame import load

SAMPLES = 200_000
ON = ["device", "model", "length", "threads", "variant", "first", "second"]
RESULTS = Path("results")
PUBLISHED = (
    ("repeat/2026-11-26T11-45-52-standard", "repeat/2026-11-26T12-23-12-repeat"),
    ("repeat/2026-11-26T12-23-12-repeat", "reference/2026-11-28T17-18-26-standard"),
    ("epyc/2026-11-27T05-47-44-standard", "reference/2026-11-28T17-18-26-standard"),
)
"""Half an hour apart, two days apart, and on two processors."""


def chance_apart(processes: tuple[int, int]) -> float:
    """Return the probability that the intervals of two samples of one distribution do not meet."""
    random = np.random.default_rng(0)
    first, second = (np.sort(random.random((SAMPLES, count)), axis=1) for count in processes)
    ranks = [order_rank(count)[0] for count in processes]
    above = first[:, ranks[0] - 1] > second[:, -ranks[1]]
    below = first[:, -ranks[0]] < second[:, ranks[1] - 1]
    return float(np.mean(above | below))


def compare(runs: tuple[Path, Path]) -> pd.DataFrame:
    """Return a row for each pair of backends."""
    first, second = (speed.ratios(load(run), "environment") for run in runs)
    both = first.merge(second, on=ON, suffixes=("", "_again"))
    both["apart"] = (both["ratio_low"] > both["ratio_high_again"]) | (both["ratio_high"] < both["ratio_low_again"])
    counts = both[["processes", "processes_again"]].itertuples(index=False, name=None)
    both["chance"] = [chance_apart(pair) for pair in counts]
    both["change"] = np.exp(np.abs(np.log(both["ratio"] / both["ratio_again"])))
    both["ratio of"] = both["first"] + " / " + both["second"]
    groups = both.groupby("ratio of")
    columns = {"ratios": ("apart", "size"), "apart": ("apart", "sum"), "by chance": ("chance", "sum")}
    return groups.agg(**columns, **{"largest change": ("change", "max")}).reset_index()


def main(arguments: list[str]) -> None:
    """Print a table for each pair of runs."""
    print("# Runs repeated\n\nWritten by `python docs/scripts/repeated_runs.py`.")
    print("Apart: intervals of a ratio that do not meet.")
    pairs = [tuple(map(Path, arguments))] if arguments else [(RESULTS / a, RESULTS / b) for a, b in PUBLISHED]
    for first, second in pairs:
        print(f"\n## {first.name} and {second.name}\n")
        print(compare((first, second)).to_markdown(index=False, floatfmt=".3g"))


if __name__ == "__main__":
    main(sys.argv[1:])
