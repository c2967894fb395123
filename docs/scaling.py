"""Model how long the full profile takes on many nodes: `python docs/scaling.py` prints the table, `--picture` draws it.

The schedule is the one that a run on a cluster uses; only time is played: each unit takes as long as the progress bar
guesses. No node waits for another's network, and nothing is lost.
"""

import sys
from heapq import heappop, heappush
from pathlib import Path

import pandas as pd

from bench.measure.cluster.units import Place, Schedule, Unit, missing_units
from bench.output.plots.figures import finish, make_panels, plain_log
from bench.output.printing.output import frame_to_markdown
from bench.plan.files import read_profile
from bench.plan.sweep import Sweep

PICTURES = Path(__file__).parent / "pictures"
NODES = (1, 2, 4, 8, 16, 32, 64, 128)
CORES = 2


def wall_time(units: list[Unit], nodes: int) -> float:
    """Return the seconds until every unit has ended.

    Args:
        units: what runs.
        nodes: how many there are, each with `CORES` cores.
    """
    schedule = Schedule(units, {f"node {number}": CORES for number in range(nodes)})
    clock, begun = 0.0, 0
    running: list[tuple[float, int, Unit, Place]] = []
    while True:
        while following := schedule.next():
            unit, place = following
            begun += 1
            heappush(running, (clock + unit.expected_s, begun, unit, place))
        if not running:
            return clock
        clock, _, unit, place = heappop(running)
        schedule.ends(unit, place)


def full_profile() -> tuple[Sweep, list[Unit]]:
    """Return the full profile and its units."""
    sweep = read_profile("full", {})
    return sweep, missing_units(sweep, [], sweep.blocks())


def scaling_frame() -> pd.DataFrame:
    """Return wall time, speed-up and efficiency for each number of nodes."""
    _, units = full_profile()
    alone_s = wall_time(units, 1)
    rows = []
    for nodes in NODES:
        seconds = wall_time(units, nodes)
        rows.append(
            {
                "nodes": nodes,
                "hours": seconds / 3600,
                "speed-up": alone_s / seconds,
                "efficiency %": 100 * alone_s / seconds / nodes,
            }
        )
    return pd.DataFrame(rows)


def scaling_block() -> str:
    """Return the table, and what limits the time, in Markdown."""
    sweep, units = full_profile()
    timed = [unit for unit in units if unit.timed]
    longest = max(units, key=lambda unit: unit.expected_s)
    limit = (
        f"{len(timed)} units are timed ({len(sweep.blocks())} lengths, {sweep.timing.processes} processes), "
        f"{len(units) - len(timed)} train for accuracy. The longest one ({longest}) takes "
        f"{longest.expected_s / 60:.0f} minutes: no number of nodes is faster than that."
    )
    return f"{frame_to_markdown(scaling_frame())}\n\n{limit}"


def draw_scaling(path: Path) -> None:
    """Draw the wall time against the nodes, beside an ideal one and the longest unit."""
    frame = scaling_frame()
    _, units = full_profile()
    longest_h = max(unit.expected_s for unit in units) / 3600
    figure, panels = make_panels(1, 1)
    panel = panels[0, 0]
    panel.plot(frame["nodes"], frame["hours"], marker="o", color="#0072B2")
    panel.plot(frame["nodes"], frame["hours"][0] / frame["nodes"], linestyle=":", color="#333333")
    panel.axhline(longest_h, linestyle="--", color="#D55E00")
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xticks(frame["nodes"], [str(nodes) for nodes in frame["nodes"]])
    plain_log(panel.yaxis)
    panel.set_xlabel("nodes", fontsize=8)
    panel.set_ylabel("hours", fontsize=8)
    panel.annotate(
        "ideal", (NODES[-2], frame["hours"][0] / NODES[-2]), fontsize=8, xytext=(-30, -4), textcoords="offset points"
    )
    panel.annotate(
        "longest unit", (1, longest_h), fontsize=8, color="#D55E00", xytext=(0, 4), textcoords="offset points"
    )
    finish(
        figure,
        [(panel, {})],
        title="The full profile on many nodes",
        note="Played time, the real schedule.\nNodes of two cores.",
    )
    figure.savefig(path, metadata={"Software": None}, dpi=150)


if __name__ == "__main__":
    if sys.argv[1:] == ["--picture"]:
        draw_scaling(PICTURES / "scaling.png")
    else:
        print(scaling_block())
