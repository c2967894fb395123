"""Look at what can be measured here and what would spoil the figures. Imports no framework."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import sleep

import psutil

from bench.analysis.gate import Sensitivity, sensitivity
from bench.errors import UserError
from bench.frozen import Frozen
from bench.host import (
    CAN_PIN,
    Machine,
    Watch,
    available_bytes,
    describe_machine,
    load_average,
    other_gpu_users,
    usable_cores,
)
from bench.measure.environments import add_named, check_keras_backend, find_interpreter, say_left_out
from bench.measure.pool import machine_lock
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import BACKENDS, Cell, Device
from bench.plan.timing import Limits, Runtime
from bench.records.failures import WorkerError
from bench.records.frame import Frames
from bench.records.schema import Worker
from bench.records.store import load_runs

WATCHED_S = 1.0
START_LIMIT_S = 120.0


class Diagnosis(Frozen):
    """The state of the machine, and the environments that start on it.

    Args:
        machine: hardware and system.
        available_bytes: memory that is free now.
        load_average: mean number of running processes over the last minute.
        others_cores: cores that other processes used during one second, without the hypervisor's steal.
        steal_cores: cores that the hypervisor gave to other machines meanwhile.
        busiest: the processes that used most of them, "name (pid)"; at most three.
        gpu_processes: other processes that compute on the GPU that would be measured.
        workers: the environments that start here.
        interpreters: the Python of each of them.
        missing: by environment, why it does not start.
        can_pin: whether a worker can be kept on a core.
        refusals: why a run would not begin here, and which variables of the shell would not reach its workers.
        sensitivity: of the newest run that has ratios, if there is any.
    """

    machine: Machine
    available_bytes: int
    load_average: float
    others_cores: float
    steal_cores: float
    busiest: tuple[str, ...]
    gpu_processes: tuple[int, ...]
    workers: tuple[Worker, ...]
    interpreters: dict[str, str]
    missing: dict[str, str]
    can_pin: bool
    refusals: tuple[str, ...]
    sensitivity: Sensitivity | None = None


def examine(*, device: Device, pythons: Mapping[str, str], results: Path | None = None) -> Diagnosis:
    """Watch the machine for a second, then start every environment once, `pythons` as named on the command line.

    What could be found here is told by the newest run of `results`, a folder of runs.
    """
    load = load_average()
    watch = Watch()
    busiest = _busiest_processes()
    noise = watch.noise()
    workers: list[Worker] = []
    interpreters: dict[str, str] = {}
    missing: dict[str, str] = {}

    def start(environment: str) -> tuple[str, Worker]:
        python = find_interpreter(environment, device=device, pythons=pythons)
        with WorkerProcess(
            python,
            environment=environment,
            device=device,
            threads="default",
            cores=usable_cores(),
            limits=Limits.all_phases(START_LIMIT_S),
            runtime=Runtime(),
        ) as worker:
            return python, worker.ready()

    with ThreadPoolExecutor(len(usable_cores())) as pool:
        started = {environment: pool.submit(start, environment) for environment in add_named(BACKENDS, pythons)}
    for environment, future in started.items():
        try:
            interpreters[environment], worker = future.result()
            workers.append(worker)
        except (UserError, WorkerError) as error:
            missing[environment] = str(error)
    return Diagnosis(
        machine=describe_machine(),
        available_bytes=available_bytes(),
        load_average=load,
        others_cores=max(0.0, noise.others_cpu_s - noise.steal_s) / WATCHED_S,
        steal_cores=noise.steal_s / WATCHED_S,
        busiest=busiest,
        gpu_processes=tuple(other_gpu_users()) if device == "gpu" else (),
        workers=tuple(workers),
        interpreters=interpreters,
        missing=missing,
        can_pin=CAN_PIN,
        refusals=tuple(_refusals(device)),
        sensitivity=None if results is None else newest_sensitivity(results),
    )


def _refusals(device: Device) -> list[str]:
    """Ask what a run asks of the shell and of the machine before it begins."""
    lines: list[str] = []
    say_left_out(Cell(environment=BACKENDS[0], device=device, model="lstm", length=1), Runtime(), lines.append)
    try:
        check_keras_backend(BACKENDS)
        with machine_lock():
            pass
    except UserError as error:
        lines.append(str(error))
    return lines


def newest_sensitivity(results: Path) -> Sensitivity | None:
    """Return what the newest run of a folder could show that can be read and has ratios."""
    with suppress(UserError):
        for run in reversed(load_runs(results)[0]):
            if found := sensitivity(Frames([run]).turns):
                return found
    return None


def _busiest_processes() -> tuple[str, ...]:
    """Return the other processes that use a tenth of a core or more while we wait, the busiest first."""
    processes = [process for process in psutil.process_iter(["name"]) if process.pid != psutil.Process().pid]
    for process in processes:
        _cpu_percent(process)  # the first call starts counting
    sleep(WATCHED_S)
    shares = [(_cpu_percent(process), f"{process.info['name']} ({process.pid})") for process in processes]
    return tuple(name for percent, name in sorted(shares, reverse=True)[:3] if percent >= 10)


def _cpu_percent(process: psutil.Process) -> float:
    try:
        return float(process.cpu_percent())
    except psutil.Error:  # it has ended, or is not ours to ask
        return 0.0
