"""GPUs without one: NVML is played, and what it does not tell is left out."""

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from bench import gpus
from bench.host import Watch


class FakeNvml:
    """Two GPUs; those questions named in `refused` are not answered."""

    NVML_CLOCK_SM = 1

    class NVMLError(Exception):
        """What NVML raises."""

    def __init__(self, *refused: str) -> None:
        self.refused, self.open, self.used_mj = refused, 0, 5000.0

    def __getattr__(self, name: str) -> Any:
        if name in self.refused:
            return self._refuse
        answers = {
            "nvmlSystemGetDriverVersion": lambda: "600.1",
            "nvmlSystemGetCudaDriverVersion": lambda: 13010,
            "nvmlDeviceGetCount": lambda: 2,
            "nvmlDeviceGetHandleByUUID": lambda uuid: {"GPU-b": 1}[uuid],
            "nvmlDeviceGetName": lambda handle: f"Fake {handle}",
            "nvmlDeviceGetMaxClockInfo": lambda handle, kind: 1980,
            "nvmlDeviceGetPowerManagementLimit": lambda handle: 700_000,
        }
        return answers[name]

    def _refuse(self, *_: Any) -> None:
        raise self.NVMLError

    def nvmlInit(self) -> None:  # noqa: N802
        if "nvmlInit" in self.refused:
            raise self.NVMLError
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index > 1:
            raise self.NVMLError
        return index

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=os.getpid()), *([SimpleNamespace(pid=7)] if handle == 1 else [])]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> float:  # noqa: N802
        if "nvmlDeviceGetTotalEnergyConsumption" in self.refused:
            raise self.NVMLError
        self.used_mj += 1000 * (handle + 1)
        return self.used_mj


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[FakeNvml]:
    fake = FakeNvml(*getattr(request, "param", ()))
    monkeypatch.setattr(gpus, "pynvml", fake)
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    yield fake
    assert fake.open == 0, "left open"


def test_gpus_are_described_with_their_limits(nvml: FakeNvml) -> None:
    told = "driver 600.1, CUDA 13.1, up to 1980 MHz, at most 700 W"
    assert gpus.describe_gpus() == [f"Fake 0, {told}", f"Fake 1, {told}"]


@pytest.mark.parametrize(
    "nvml", [("nvmlSystemGetCudaDriverVersion", "nvmlDeviceGetPowerManagementLimit")], indirect=True
)
def test_what_a_gpu_does_not_tell_is_left_out(nvml: FakeNvml) -> None:
    assert gpus.describe_gpus()[0] == "Fake 0, driver 600.1, up to 1980 MHz"


@pytest.mark.parametrize("nvml", [("nvmlInit",)], indirect=True)
def test_without_nvml_there_is_nothing(nvml: FakeNvml) -> None:
    assert (gpus.describe_gpus(), gpus.other_users(), gpus.energy_j()) == ([], [], None)
    assert Watch(gpu=True).noise().energy_j is None


@pytest.mark.parametrize(("visible", "users"), [("0", []), ("1", [7]), ("1,0", [7]), ("GPU-b", [7]), ("5", [])])
def test_the_gpu_that_is_left_visible_is_asked(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, visible: str, users: list[int]
) -> None:
    monkeypatch.setenv(gpus.VISIBLE, visible)
    assert gpus.other_users() == users


def test_a_watch_counts_the_energy_of_a_gpu_only_where_one_is_measured(nvml: FakeNvml) -> None:
    assert Watch().noise().energy_j is None
    assert Watch(gpu=True).noise().energy_j == pytest.approx(1.0)


def test_a_counter_that_falls_silent_in_the_middle_makes_no_figure(nvml: FakeNvml) -> None:
    watch = Watch(gpu=True)
    nvml.refused = ("nvmlDeviceGetTotalEnergyConsumption",)
    assert watch.noise().energy_j is None


@pytest.mark.parametrize("nvml", [("nvmlDeviceGetTotalEnergyConsumption",)], indirect=True)
def test_a_gpu_that_counts_no_energy_has_none(nvml: FakeNvml) -> None:
    assert Watch(gpu=True).noise().energy_j is None
