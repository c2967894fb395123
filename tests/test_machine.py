"""Machine: CPU time of others, memory at its most, cores, and the commit."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from bench.host import (
    Noise,
    Watch,
    code_commit,
    describe_machine,
    load_average,
    peak_rss_bytes,
    pin,
    reset_peak_rss,
    typed_command,
    usable_cores,
)

ROOT = Path(__file__).parents[1]
WATCH_S = 0.2
MIB = 2**20


@contextmanager
def busy_child() -> Iterator[psutil.Process]:
    """Run a process that does nothing but work, and wait until it has begun."""
    command = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            yield psutil.Process(child.pid)
        finally:
            child.kill()


def sleep() -> None:
    time.sleep(WATCH_S)


def not_idle_s() -> float:
    """Return how long all cores have not been idle, up to a constant: from the wall clock, not from busy time."""
    times = psutil.cpu_times()
    return float(psutil.cpu_count() * time.perf_counter() - times.idle - getattr(times, "iowait", 0.0))


def miscounted_share() -> float:
    """Work for a while; return by how much of this work the watch is wrong about others."""
    not_idle, own = not_idle_s(), time.process_time()
    watch = Watch()
    while time.process_time() - own < WATCH_S:
        pass
    others_s = watch.noise().others_cpu_s
    own_s = time.process_time() - own
    return abs(not_idle_s() - not_idle - own_s - others_s) / own_s


def test_a_busy_child_is_seen() -> None:
    with busy_child() as child:
        before = child.cpu_times()
        watch = Watch()
        sleep()
        seen_s = watch.noise().others_cpu_s
        after = child.cpu_times()
    assert seen_s > 0.5 * (after.user + after.system - before.user - before.system) - 0.02  # clocks tick at 10 ms
    assert seen_s > 0.05 * WATCH_S


def test_work_of_this_process_is_not_counted() -> None:
    """Clocks that tick at 10 ms disturb single tries, hence several; own work counted would be a share of 1."""
    assert min(miscounted_share() for _ in range(3)) < 0.5


def test_a_watch_counts_from_its_making_on() -> None:
    with busy_child():
        first = Watch()
        sleep()
        first_s = first.noise().others_cpu_s
        assert Watch().noise().others_cpu_s < 0.5 * first_s
        assert first.noise().others_cpu_s > 0.5 * first_s, "asking does not start it again"


def test_noise_is_never_negative() -> None:
    for _ in range(20):
        noise = Watch().noise()
        assert noise.others_cpu_s >= 0 and noise.steal_s >= 0
        assert isinstance(noise.involuntary_switches, int) and noise.involuntary_switches >= 0


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((10.0, 1.0, 0.5, 7), (15.0, 3.0, 0.75, 9), Noise(3.0, 0.25, 2)),
        ((10.0, 1.0, 0.0, 0), (10.99, 2.0, 0.0, 0), Noise(0.0, 0.0, 0)),
    ],
)
def test_others_are_busy_time_without_this_process(
    before: tuple[float, ...], after: tuple[float, ...], expected: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clocks of the system tick, that of the process does not: what comes out below nothing is nothing."""
    readings = iter([before, after])
    monkeypatch.setattr("bench.host._readings", lambda: next(readings))
    assert Watch().noise() == expected


@pytest.mark.skipif(sys.platform != "linux", reason="this system does not pin")
def test_making_room_on_a_shared_core_is_counted() -> None:
    """A process that has to share its core with another one is switched away again and again."""
    before = usable_cores()
    try:
        pin(before[:1])
        with busy_child():
            watch, own = Watch(), time.process_time()
            while time.process_time() - own < WATCH_S:
                pass
            noise = watch.noise()
    finally:
        pin(before)
    assert noise.involuntary_switches > 0


def test_the_typed_command_keeps_no_more_of_an_absolute_path_than_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = [
        "seqsum",
        "run",
        "--sweep",
        "/home/me/own.toml",
        "--sweep=/home/me/own.toml",
        "--sweep",
        "docs/sweeps/units.toml",
    ]
    monkeypatch.setattr("sys.argv", typed)
    assert typed_command("seqsum") == "seqsum run --sweep own.toml --sweep=own.toml --sweep docs/sweeps/units.toml"


def test_the_typed_command_leaves_out_where_files_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [
        "x",
        "-c",
        "/here/pyproject.toml",
        "run",
        "--results",
        "/r",
        "--python=jax=/p",
        "--seeds",
        "3",
        "--results=r",
    ]
    monkeypatch.setattr("sys.argv", words)
    assert typed_command("seqsum") == "seqsum run --seeds 3"
    monkeypatch.setattr("sys.argv", ["x", "--model", "my models:wide", "--results"])
    assert typed_command("seqsum") == "seqsum --model 'my models:wide'"


def test_peak_memory_grows_by_what_is_allocated_and_stays() -> None:
    reset_peak_rss()
    before = peak_rss_bytes()
    block = np.ones(64 * MIB, np.uint8)
    grown = peak_rss_bytes() - before
    assert grown > 0.9 * block.nbytes
    del block
    assert peak_rss_bytes() - before > 0.9 * 64 * MIB


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system cannot reset the peak")
def test_peak_memory_falls_after_a_reset() -> None:
    block = np.ones(64 * MIB, np.uint8)
    high = peak_rss_bytes()
    del block
    reset_peak_rss()
    assert peak_rss_bytes() < high - 32 * MIB


def test_peak_memory_is_at_least_what_is_held_now() -> None:
    now = psutil.Process().memory_info().rss
    assert peak_rss_bytes() > 0.9 * now


@pytest.mark.skipif(sys.platform != "linux", reason="this system does not pin")
def test_pinning_changes_the_usable_cores_and_back() -> None:
    before = usable_cores()
    try:
        pin(before[:1])
        assert usable_cores() == before[:1]
    finally:
        pin(before)
    assert usable_cores() == before


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this copy of the code is not a git checkout")
def test_the_commit_of_this_code_is_a_hash() -> None:
    commit = code_commit()
    assert re.fullmatch(r"[0-9a-f]{12}(\+changes)?", commit)
    head = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert head.stdout.startswith(commit[:12])


def test_the_commit_is_unknown_where_git_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_commit() == "unknown"


def test_the_machine_is_described() -> None:
    machine = describe_machine()
    assert machine.cpu.strip() and machine.system.strip()
    assert machine.cores == len(usable_cores()) >= 1
    assert machine.memory_bytes == psutil.virtual_memory().total
    assert load_average() >= 0
