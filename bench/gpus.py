"""What NVIDIA's management library (NVML) tells of GPUs: what they are, who uses them, and the energy they have used.

Where there is no NVML, or a GPU does not tell something, that is left out.
Source: NVML API Reference Guide, "Device Queries".
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pynvml

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
        driver = _told(pynvml.nvmlSystemGetDriverVersion)
        cuda = _told(pynvml.nvmlSystemGetCudaDriverVersion)
        shared = [f"driver {driver}"] if driver else []
        shared += [f"CUDA {cuda // 1000}.{cuda % 1000 // 10}"] if cuda else []
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [", ".join([pynvml.nvmlDeviceGetName(handle), *shared, *_limits(handle)]) for handle in handles]


def _limits(handle: Any) -> list[str]:
    clock = _told(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM)
    power = _told(pynvml.nvmlDeviceGetPowerManagementLimit, handle)
    return [*([f"up to {clock} MHz"] if clock else []), *([f"at most {power / 1000:.0f} W"] if power else [])]


def other_users() -> list[int]:
    """Return the processes that compute on the GPU that would be measured."""
    with _nvml() as there:
        handle = _used_gpu() if there else None
        running = _asked_of(handle, pynvml.nvmlDeviceGetComputeRunningProcesses)
        return [process.pid for process in running or [] if process.pid != os.getpid()]


def energy_j() -> float | None:
    """Return the joules that the GPU that is measured has used since its driver was loaded, if it counts them."""
    with _nvml() as there:
        handle = _used_gpu() if there else None
        millijoules = _asked_of(handle, pynvml.nvmlDeviceGetTotalEnergyConsumption)
        return None if millijoules is None else millijoules / 1000


def _used_gpu() -> Any:
    """Return the first GPU that CUDA_VISIBLE_DEVICES leaves, or None. Workers count GPUs as NVML does, by their bus."""
    first = os.environ.get(VISIBLE, "0").partition(",")[0].strip()
    if first.isdecimal():
        return _told(pynvml.nvmlDeviceGetHandleByIndex, int(first))
    return _told(pynvml.nvmlDeviceGetHandleByUUID, first)


def _asked_of(handle: Any, ask: Callable[..., Any]) -> Any:
    return None if handle is None else _told(ask, handle)


def _told(ask: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return ask(*arguments)
    except pynvml.NVMLError:
        return None
