"""The machine: CPU that others use, memory at its most, cores, GPUs by a played NVML, commit and command."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from bench import host
from bench.host import Noise, Watch, peak_rss_bytes, pin, pinned, reset_peak_rss, typed_command, usable_cores

WATCH_S = 0.2
MIB = 2**20
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="this system does not pin")


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


def work() -> None:
    own = time.process_time()
    while time.process_time() - own < WATCH_S:
        pass


def test_a_busy_child_counts_as_others() -> None:
    with busy_child() as child:
        before = child.cpu_times()
        watch = Watch()
        time.sleep(WATCH_S)
        others_s = watch.noise().others_cpu_s
        after = child.cpu_times()
    assert others_s > 0.5 * (after.user + after.system - before.user - before.system) - 0.02  # clocks tick at 10 ms
    assert others_s > 0.05 * WATCH_S


def test_work_of_this_process_is_not_counted() -> None:
    """Against the idle time of all cores, which is another reading; clocks that tick disturb single tries."""

    def busy_s() -> float:
        times = psutil.cpu_times()
        return float(psutil.cpu_count() * time.perf_counter() - times.idle - getattr(times, "iowait", 0.0))

    def miscounted_share() -> float:
        before, own, watch = busy_s(), time.process_time(), Watch()
        work()
        others_s, own_s = watch.noise().others_cpu_s, time.process_time() - own
        return abs(busy_s() - before - own_s - others_s) / own_s

    assert min(miscounted_share() for _ in range(3)) < 0.5


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((10.0, 1.0, 0.5, 7, 1.0), (15.0, 3.0, 0.75, 9, 1.5), Noise(3.0, 0.25, 2, 0.5)),
        ((10.0, 1.0, 0.0, 0, 0.0), (10.99, 2.0, 0.0, 0, 0.0), Noise(0.0, 0.0, 0)),  # clocks tick: never below nothing
    ],
)
def test_others(
    before: tuple[float, ...], after: tuple[float, ...], expected: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = iter([before, after])
    monkeypatch.setattr("bench.host._readings", lambda: next(readings))
    assert Watch().noise() == expected


@linux_only
def test_shared_core() -> None:
    with pinned(usable_cores()[:1]), busy_child():
        watch = Watch()
        work()
        assert watch.noise().involuntary_switches > 0


@linux_only
def test_pinning() -> None:
    before = usable_cores()
    with pinned(before[:1]):
        assert usable_cores() == before[:1]
    assert usable_cores() == before
    pin(before)


def test_peak_memory() -> None:
    reset_peak_rss()
    before = peak_rss_bytes()
    block = np.ones(64 * MIB, np.uint8)
    assert peak_rss_bytes() - before > 0.9 * block.nbytes
    del block
    assert peak_rss_bytes() - before > 0.9 * 64 * MIB
    if Path("/proc/self/clear_refs").exists():
        reset_peak_rss()
        assert peak_rss_bytes() - before < 32 * MIB


def test_typed_command(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["seqsum", "run", "--sweep", "/home/me/own.toml", "--sweep=/home/me/own.toml", "--seeds", "3"]
    monkeypatch.setattr("sys.argv", [*typed, "--results", "/r", "--python=jax=/p", "-c", "/here/pyproject.toml"])
    assert typed_command("seqsum") == "seqsum run --sweep own.toml --sweep=own.toml --seeds 3"
    monkeypatch.setattr("sys.argv", ["x", "--model", "my models:wide", "--results"])
    assert typed_command("seqsum") == "seqsum --model 'my models:wide'"


def test_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a checkout, also another user's; each edit, and code in no checkout, has a name of its own."""
    file = tmp_path / "bench" / "host.py"
    monkeypatch.setattr(host, "__file__", str(file))
    file.parent.mkdir()
    names = []

    def name_after(text: str) -> str:
        file.write_text(text)
        names.append(host.code_commit())
        return names[-1]

    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=tmp_path, check=True)

    assert re.fullmatch(r"unknown-[0-9a-f]{8}", name_after("1"))
    git("init", "--quiet")
    assert name_after("2").startswith("unknown-"), "nothing is committed"
    git("add", ".")
    git("commit", "--quiet", "-m", "code")
    commit = name_after("2")
    assert re.fullmatch(r"[0-9a-f]{12}", commit)
    assert all(re.fullmatch(rf"{commit}\+changes-[0-9a-f]{{8}}", name_after(text)) for text in ("3", "4"))
    assert len(set(names)) == 5
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert name_after("2") == commit
    monkeypatch.setenv("PATH", str(tmp_path))
    assert host.code_commit().startswith("unknown-")


def test_the_machine_is_described() -> None:
    machine = host.describe_machine()
    assert machine.cpu.strip() and machine.system.strip()
    assert machine.cores == len(usable_cores()) >= 1
    assert machine.memory_bytes == psutil.virtual_memory().total


class FakeNvml:
    """Two GPUs; questions named in `refused` are not answered."""

    NVML_CLOCK_SM = 1

    class NVMLError(Exception):
        """What NVML raises."""

    def __init__(self, *refused: str) -> None:
        self.refused, self.open, self.used_mj = refused, 0, 5000.0

    def __getattr__(self, name: str) -> Any:
        if name in self.refused:
            return self._refuse
        answers = {
            "nvmlInit": lambda: self._count(1),
            "nvmlShutdown": lambda: self._count(-1),
            "nvmlSystemGetDriverVersion": lambda: "600.1",
            "nvmlSystemGetCudaDriverVersion": lambda: 13010,
            "nvmlDeviceGetCount": lambda: 2,
            "nvmlDeviceGetHandleByUUID": lambda uuid: {"GPU-b": 1}[uuid],
            "nvmlDeviceGetHandleByIndex": lambda index: index if index < 2 else self._refuse(),
            "nvmlDeviceGetName": lambda handle: f"Fake {handle}",
            "nvmlDeviceGetMaxClockInfo": lambda handle, kind: 1980,
            "nvmlDeviceGetPowerManagementLimit": lambda handle: 700_000,
            "nvmlDeviceGetComputeRunningProcesses": lambda handle: [SimpleNamespace(pid=p) for p in (os.getpid(), 7)],
            "nvmlDeviceGetTotalEnergyConsumption": self._use,
        }
        return answers[name]

    def _refuse(self, *_: Any) -> None:
        raise self.NVMLError

    def _count(self, opened: int) -> None:
        self.open += opened

    def _use(self, handle: int) -> float:
        self.used_mj += 1000 * (handle + 1)
        return self.used_mj


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[FakeNvml]:
    fake = FakeNvml(*getattr(request, "param", ()))
    monkeypatch.setattr(host, "pynvml", fake)
    monkeypatch.delenv(host.VISIBLE, raising=False)
    yield fake
    assert fake.open == 0, "left open"


def test_gpus_are_described_with_their_limits(nvml: FakeNvml) -> None:
    limits = "driver 600.1, CUDA 13.1, up to 1980 MHz, at most 700 W"
    assert host.describe_gpus() == [f"Fake 0, {limits}", f"Fake 1, {limits}"]


@pytest.mark.parametrize(
    "nvml", [("nvmlSystemGetCudaDriverVersion", "nvmlDeviceGetPowerManagementLimit")], indirect=True
)
def test_an_unknown_limit_of_a_gpu_is_left_out(nvml: FakeNvml) -> None:
    assert host.describe_gpus()[0] == "Fake 0, driver 600.1, up to 1980 MHz"


@pytest.mark.parametrize("nvml", [("nvmlInit",)], indirect=True)
def test_without_nvml_there_is_nothing(nvml: FakeNvml) -> None:
    assert (host.describe_gpus(), host.other_gpu_users(), host.gpu_energy_j()) == ([], [], None)
    assert Watch(gpu=True).noise().energy_j is None


@pytest.mark.parametrize(("visible", "joules"), [("0", 6.0), ("1", 7.0), ("1,0", 7.0), ("GPU-b", 7.0), ("5", None)])
def test_the_first_visible_gpu_is_read(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, visible: str, joules: float | None
) -> None:
    monkeypatch.setenv(host.VISIBLE, visible)
    assert host.other_gpu_users() == ([] if joules is None else [7])
    assert host.gpu_energy_j() == joules


def test_energy(nvml: FakeNvml) -> None:
    assert Watch().noise().energy_j is None
    watch = Watch(gpu=True)
    assert watch.noise().energy_j == pytest.approx(1.0)
    nvml.refused = ("nvmlDeviceGetTotalEnergyConsumption",)
    assert watch.noise().energy_j is None
