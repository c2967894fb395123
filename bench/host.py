"""What both sides of the process boundary read of the machine: cores, memory, GPUs, CPU that others use.

Times are CPU seconds. Imports no framework. Where a GPU or a system does not tell something, it is left out.
Source: NVML API Reference Guide, "Device Queries".
"""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from time import process_time
from typing import Any

import psutil
import pynvml

from bench.errors import UserError
from bench.frozen import Frozen

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]


class Machine(Frozen):
    """Where it was measured.

    Args:
        cores: logical cores this process may use.
        memory_bytes: of the machine, or what a control group leaves of it.
        system: operating system, its release and the architecture.
        governor: CPU frequency governor, or "unknown".
        gpus: name, driver, CUDA version, highest clock and power limit of each GPU.
        cpu_quota: cores that a control group allows; None: all.
    """

    cpu: str
    cores: int
    memory_bytes: int
    system: str
    governor: str
    gpus: tuple[str, ...] = ()
    cpu_quota: float | None = None


def describe_machine() -> Machine:
    """Describe the hardware and the system."""
    governor = "unknown"
    with suppress(OSError):
        governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    return Machine(
        cpu=_cpu_name(),
        cores=len(usable_cores()),
        memory_bytes=min([psutil.virtual_memory().total, *_memory_limits()]),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        governor=governor,
        gpus=tuple(describe_gpus()),
        cpu_quota=min(_cpu_quotas(), default=None),
    )


@cache
def _cpu_name() -> str:
    import cpuinfo  # takes half a second, which only those who ask must pay, and once

    return str(cpuinfo.get_cpu_info().get("brand_raw", platform.processor() or "unknown"))


def home_folder() -> Path:
    """Return the home of the user; a UserError in a container whose user has no name and no HOME."""
    try:
        return Path.home()
    except RuntimeError:
        raise UserError("`HOME` must name a folder, since this user has none. Received: none. Set HOME.") from None


CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
UNLIMITED = 2**60
"""Bytes from which on version 1 of control groups means no limit."""


def _cgroup_folders(controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups this process is in, its own first: of version 2 and of version 1.

    Source: Linux kernel documentation, "Control Group v2" and "Control Groups version 1".
    """
    lines = []
    with suppress(OSError):
        lines = OWN_CGROUPS.read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = CGROUPS / controller if controllers else CGROUPS
        folder = root / path.lstrip("/")
        yield from (place for place in (folder, *folder.parents) if place.is_relative_to(root))


def _cgroup_numbers(controller: str, name: str) -> Iterator[dict[str, str]]:
    """Yield the words of a file of each control group: a key and its value in each line, or a line without a key."""
    for folder in _cgroup_folders(controller):
        with suppress(OSError):
            lines = (folder / name).read_text().splitlines()
            yield {key: value for key, _, value in (line.rpartition(" ") for line in lines)}


def _cpu_quotas() -> Iterator[float]:
    for folder in _cgroup_folders("cpu"):
        with suppress(OSError, ValueError):
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            if float(quota) > 0:
                yield float(quota) / float(period)


def _memory_limits(*, used: bool = False) -> Iterator[int]:
    """Yield the bytes that each control group allows; with `used` without those that its processes hold."""
    for folder in _cgroup_folders("memory"):
        for limit, usage in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            with suppress(OSError, ValueError):
                if (most := int((folder / limit).read_text())) < UNLIMITED:
                    yield most - int((folder / usage).read_text()) if used else most


def available_bytes() -> int:
    """Return the memory that is free, and that a control group lets this process have."""
    return max(0, min([int(psutil.virtual_memory().available), *_memory_limits(used=True)]))


def _throttled_s() -> float:
    """Return the seconds for which a control group kept its processes from running since it was made."""
    units = {"throttled_usec": 1e-6, "throttled_time": 1e-9}  # of version 2 and of version 1
    counts = _cgroup_numbers("cpu", "cpu.stat")
    return max((scale * float(each.get(name, 0)) for each in counts for name, scale in units.items()), default=0.0)


def out_of_memory_kills() -> int:
    """Count the processes that the memory limits of control groups have ended."""
    files = ("memory.events", "memory.oom_control")  # of version 2 and of version 1
    return max((int(each.get("oom_kill", 0)) for name in files for each in _cgroup_numbers("memory", name)), default=0)


CAN_PIN = hasattr(os, "sched_setaffinity")
"""Whether this system keeps a process on the cores that it is given: Linux does."""


def usable_cores() -> list[int]:
    """List the logical cores this process may run on."""
    if CAN_PIN:
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin(cores: list[int]) -> None:
    """Keep this process on the given cores, where the system can do that."""
    if CAN_PIN:
        os.sched_setaffinity(0, cores)


@contextmanager
def pinned(cores: list[int]) -> Iterator[None]:
    """Keep this process on some cores for a while."""
    before = usable_cores()
    pin(cores)
    try:
        yield
    finally:
        pin(before)


BUSY_LOAD = 0.5
"""Running processes, on average over a minute, from which on a machine is busy."""


def load_average() -> float:
    """Return the mean number of running processes over the last minute."""
    return float(psutil.getloadavg()[0])


def code_commit() -> str:
    """Name the code that measures by its commit; by a hash of its files, too, where they are edited or in no checkout.

    "0123456789ab", "0123456789ab+changes-89abcdef" or "unknown-89abcdef".
    """
    source = Path(__file__).parent
    commit = _git(source, "rev-parse", "--short=12", "HEAD")
    if not commit or not _git(source, "ls-files", "--error-unmatch", __file__):
        return f"unknown-{_code_hash(source.parent)}"
    edited = _git(source, "status", "--porcelain", "--untracked-files=no", "--", source.parent.as_posix())
    return commit + (f"+changes-{_code_hash(source.parent)}" if edited else "")


def _code_hash(root: Path) -> str:
    files = sorted(path for package in ("bench", "seqsum_core") for path in (root / package).rglob("*.py"))
    return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]


PLACES = ("--results", "--resume", "--python", "--address", "-c")
"""Options that say where things lie on this machine."""


def typed_command(program: str) -> str:
    """Return what was typed after a program, but not where files and interpreters lie: records are read elsewhere."""
    words = iter(sys.argv[1:])
    kept = [program]
    for word in words:
        if word in PLACES:
            next(words, None)
        elif word.partition("=")[0] not in PLACES:
            option, sign, value = word.rpartition("=")
            kept.append(option + sign + (Path(value).name if Path(value).is_absolute() else value))
    return shlex.join(kept)


def _git(folder: Path, *arguments: str) -> str:
    try:
        safe = ("-c", "safe.directory=*")  # a checkout of another user, whose code runs already
        answer = subprocess.run(["git", *safe, "-C", folder, *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


@dataclass(frozen=True)
class Noise:
    """What happened on the machine meanwhile.

    Args:
        others_cpu_s: CPU seconds that other processes took, the hypervisor's steal included.
        steal_s: CPU seconds that the hypervisor gave to other machines.
        involuntary_switches: how often this process had to make room on its core.
        throttled_s: seconds for which a control group kept its processes from running.
        energy_j: joules that the GPU used; None without one, or where it does not count them.
    """

    others_cpu_s: float
    steal_s: float
    involuntary_switches: int
    throttled_s: float = 0.0
    energy_j: float | None = None


class Watch:
    """Count what everybody else does from its making on, and what a GPU uses if one is measured."""

    def __init__(self, *, gpu: bool = False) -> None:
        self._energy_j = gpu_energy_j() if gpu else None
        self._start = _readings()

    def noise(self) -> Noise:
        """Return what has happened since."""
        changes = (now - before for now, before in zip(_readings(), self._start, strict=True))
        busy, own, steal, switches, throttled = changes
        now_j = None if self._energy_j is None else gpu_energy_j()
        used_j = None if now_j is None or self._energy_j is None else now_j - self._energy_j
        return Noise(max(0.0, busy - own), steal, int(switches), throttled, used_j)


def _readings() -> tuple[float, float, float, int, float]:
    """Read how long the system was busy, this process, and the hypervisor elsewhere; switches; how long throttled."""
    system = psutil.cpu_times()
    guests = getattr(system, "guest", 0.0) + getattr(system, "guest_nice", 0.0)  # counted in user already
    busy = sum(system) - system.idle - getattr(system, "iowait", 0.0) - guests
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource else 0
    return busy, process_time(), getattr(system, "steal", 0.0), switches, _throttled_s()


STATUS = Path("/proc/self/status")


def peak_rss_bytes() -> int:
    """Return the most memory this process has held since it started or since `reset_peak_rss`."""
    with suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM"):  # gVisor has none
                return int(line.split()[1]) * 1024
    return int(psutil.Process().memory_info().rss)


def reset_peak_rss() -> None:
    """Start the count of `peak_rss_bytes` again, where the system can do that."""
    with suppress(OSError):  # in a hardened container /proc cannot be written
        Path("/proc/self/clear_refs").write_text("5")


VISIBLE = "CUDA_VISIBLE_DEVICES"


@contextmanager
def _nvml() -> Iterator[bool]:
    """Open the library for a moment, and say whether it is there."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield False
        return
    try:
        yield True
    finally:
        pynvml.nvmlShutdown()


def describe_gpus() -> list[str]:
    """Return name, driver, CUDA version, highest clock and power limit of each GPU of this machine."""
    with _nvml() as there:
        if not there:
            return []
        driver = _read(pynvml.nvmlSystemGetDriverVersion)
        cuda = _read(pynvml.nvmlSystemGetCudaDriverVersion)
        shared = [f"driver {driver}"] if driver else []
        shared += [f"CUDA {cuda // 1000}.{cuda % 1000 // 10}"] if cuda else []
        gpus = []
        for handle in map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount())):
            clock = _read(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM)
            power = _read(pynvml.nvmlDeviceGetPowerManagementLimit, handle)
            limits = [f"up to {clock} MHz"] if clock else []
            limits += [f"at most {power / 1000:.0f} W"] if power else []
            gpus.append(", ".join([pynvml.nvmlDeviceGetName(handle), *shared, *limits]))
        return gpus


def other_gpu_users() -> list[int]:
    """Return the processes that compute on the GPU that would be measured."""
    with _nvml() as there:
        handle = _used_gpu() if there else None
        running = _read(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) if handle is not None else None
        return [process.pid for process in running or [] if process.pid != os.getpid()]


def gpu_energy_j() -> float | None:
    """Return the joules that the GPU that is measured has used since its driver was loaded, if it counts them."""
    with _nvml() as there:
        handle = _used_gpu() if there else None
        millijoules = _read(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle) if handle is not None else None
        return None if millijoules is None else millijoules / 1000


def _used_gpu() -> Any:
    """Return the first GPU that CUDA_VISIBLE_DEVICES leaves, or None. Workers count GPUs as NVML does, by their bus."""
    first = os.environ.get(VISIBLE, "0").partition(",")[0].strip()
    if first.isdecimal():
        return _read(pynvml.nvmlDeviceGetHandleByIndex, int(first))
    return _read(pynvml.nvmlDeviceGetHandleByUUID, first)


def _read(ask: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return ask(*arguments)
    except pynvml.NVMLError:
        return None
