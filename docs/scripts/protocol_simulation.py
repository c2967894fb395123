"""Simulate runs on unsteady hosts: is a ratio unbiased, and how often does its interval miss the truth?

Made-up cells with epochs of 5 and 250 ms take turns on a host that changes its speed, as `seqsum run` lets them: fresh
processes, rounds in drawn order, turns of one second after the warm-up. The true ratio is known. Printed for each kind
of host and number of processes: bias of the ratio, share of intervals that miss it, and how far they reach; beside them
the bias of the median of single epochs, which protocol 2 used. Two minutes on one core:

    python docs/scripts/protocol_simulation.py > results/protocol-simulation.md
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.statistics import order_interval

Array = NDArray[np.float64]
RUNS = 300
PROCESSES = (6, 9, 20)
ROUNDS = 3
TURN_S, WARMUP_S, GAP_S = 1.0, 0.1, 0.05
PROCESS_SPREAD = 0.02
"""Standard deviation of the logarithm of what a fresh process adds: its memory layout, its compiled program."""

Durations = Callable[[float, int, np.random.Generator], Array]
"""Undisturbed seconds of so many epochs of a given length."""


def steady(epoch_s: float, count: int, random: np.random.Generator) -> Array:
    """Return epochs with a spread of 2 %."""
    return epoch_s * random.lognormal(0, 0.02, count)


def heavy_tailed(epoch_s: float, count: int, random: np.random.Generator) -> Array:
    """Return epochs of which a few are many times longer: Pareto with shape 2.5."""
    return epoch_s * (0.8 + 0.2 * random.pareto(2.5, count))


def two_steps(epoch_s: float, count: int, random: np.random.Generator) -> Array:
    """Return epochs that end on one of two ticks of a timer, as TensorFlow's do; a turn mostly stays on its tick."""
    tick = 1.0 if random.random() < 0.5 else 2.3
    return epoch_s * np.where(random.random(count) < 0.9, tick, 3.3 - tick)


HORIZON_S = 2.0 * max(PROCESSES) * ROUNDS * 2 * (TURN_S + WARMUP_S + GAP_S + 1.0)

Speeds = Callable[[np.random.Generator], tuple[Array, Array]]
"""How long a host stays at each speed, in seconds, and the speeds, 1 being all of the core."""


def full_speed(random: np.random.Generator) -> tuple[Array, Array]:
    """Return a host that never changes."""
    return np.array([HORIZON_S]), np.ones(1)


def slower_at_times(dwell_s: float) -> Speeds:
    """Return a host of which all of the core and two thirds of it alternate, each for `dwell_s` in the mean."""

    def speeds(random: np.random.Generator) -> tuple[Array, Array]:
        count = int(1.5 * HORIZON_S / dwell_s) + 10
        return random.exponential(dwell_s, count), np.where(np.arange(count) % 2 == random.integers(2), 1.0, 2 / 3)

    return speeds


def interrupted(random: np.random.Generator) -> tuple[Array, Array]:
    """Return a host that takes the core away four times a second, for a heavy-tailed time of 10 ms in the mean."""
    count = int(8 * HORIZON_S)
    times_s = random.exponential(0.25, count)
    times_s[1::2] = 0.015 * random.pareto(2.5, count // 2)
    return times_s, np.where(np.arange(count) % 2 == 0, 1.0, 1e-9)


class Host:
    """A host from its first second on.

    Args:
        speeds: how its speed changes.
        random: of this host.
    """

    def __init__(self, speeds: Speeds, random: np.random.Generator) -> None:
        self.now_s = 0.0
        times_s, shares = speeds(random)
        self._changes_s = np.concatenate([[0.0], np.cumsum(times_s)])
        self._work_s = np.concatenate([[0.0], np.cumsum(times_s * shares)])

    def run(self, durations_s: Array) -> Array:
        """Return how long epochs of so much work take from now on, one after another."""
        done_s = np.interp(self.now_s, self._changes_s, self._work_s)
        ends_s = np.interp(done_s + np.cumsum(durations_s), self._work_s, self._changes_s)
        epochs_s = np.diff(ends_s, prepend=self.now_s)
        self.now_s = float(ends_s[-1])
        return epochs_s


def turn(host: Host, epoch_s: float, durations: Durations, random: np.random.Generator) -> tuple[float, float]:
    """Return seconds per counted epoch of a turn, and the median of its counted epochs."""
    epochs_s = host.run(durations(epoch_s, int(np.ceil((TURN_S + WARMUP_S) / epoch_s)) + 2, random))
    warm = int(np.searchsorted(np.cumsum(epochs_s), WARMUP_S)) + 1
    counted = epochs_s[warm : warm + max(2, int(np.searchsorted(np.cumsum(epochs_s[warm:]), TURN_S)) + 1)]
    return float(counted.mean()), float(np.median(counted))


def run_ratios(lengths_s: tuple[float, float], speeds: Speeds, durations: Durations, seed: int) -> Array:
    """Return logarithms of the ratio of each process of a run by both figures, shape (processes, 2)."""
    random = np.random.default_rng(seed)
    host = Host(speeds, random)
    ratios = np.empty((max(PROCESSES), 2))
    for process in range(max(PROCESSES)):
        effects = random.lognormal(0, PROCESS_SPREAD, 2)
        rounds = np.empty((ROUNDS, 2))
        for number in range(ROUNDS):
            figures = np.empty((2, 2))
            for cell in random.permutation(2):
                host.now_s += random.exponential(GAP_S)
                figures[cell] = turn(host, lengths_s[cell] * effects[cell], durations, random)
            rounds[number] = np.log(figures[0] / figures[1])
        ratios[process] = np.median(rounds, axis=0)
    return ratios


HOSTS: dict[str, tuple[Speeds, Durations]] = {
    "steady": (full_speed, steady),
    "slower for 0.05 s": (slower_at_times(0.05), steady),
    "slower for 0.3 s": (slower_at_times(0.3), steady),
    "slower for 1 s": (slower_at_times(1.0), steady),
    "slower for 3 s": (slower_at_times(3.0), steady),
    "interrupted": (interrupted, steady),
    "heavy-tailed epochs": (full_speed, heavy_tailed),
    "two-step timer": (full_speed, two_steps),
}


def table(lengths_s: tuple[float, float]) -> pd.DataFrame:
    """Return bias, miss rate and width for every kind of host and number of processes."""
    truth = np.log(lengths_s[0] / lengths_s[1])
    rows = []
    for name, (speeds, durations) in HOSTS.items():
        runs = np.array([run_ratios(lengths_s, speeds, durations, seed) for seed in range(RUNS)]) - truth
        for processes in PROCESSES:
            used = runs[:, :processes]
            intervals = np.array([order_interval(ratios) for ratios in used[:, :, 0]])
            missed = (intervals[:, 0] > 0) | (intervals[:, 1] < 0)
            centres = np.median(used, axis=1)
            rows.append(
                {
                    "host": name,
                    "processes": processes,
                    "level %": 100 * intervals[0, 2],
                    "missed %": 100 * missed.mean(),
                    "reach %": 100 * np.median(np.expm1(np.abs(intervals[:, :2]).max(axis=1))),
                    "bias %": 100 * np.expm1(np.median(centres[:, 0])),
                    "bias of median epochs %": 100 * np.expm1(np.median(centres[:, 1])),
                }
            )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    print("# Protocol 3 on unsteady hosts\n\nWritten by `python docs/scripts/protocol_simulation.py`.")
    for lengths_s in ((0.25, 0.005), (0.005, 0.005)):
        print(f"\nEpochs of {1e3 * lengths_s[0]:g} and {1e3 * lengths_s[1]:g} ms, {RUNS} simulated runs each.\n\n```")
        print(table(lengths_s).to_string(index=False, float_format="{:.2f}".format) + "\n```")
