"""Say what can be measured here and what would spoil the numbers. Imports no framework."""

from concurrent.futures import ThreadPoolExecutor
from time import sleep

from rich.console import Console
from rich.table import Table

from bench.errors import UserError
from bench.frozen import Frozen
from bench.host import BUSY_LOAD, Noise, Watch, describe_machine, load_average, pinned, usable_cores
from bench.measure.environments import check_keras_backend, find_interpreter
from bench.measure.turns import timing_cores
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import BACKENDS, BackendName, Cell, Device
from bench.plan.timing import Limits
from bench.records.failures import WorkerLostError
from bench.records.schema import Machine, Worker
from bench.records.speed import SLOW_HOST
from bench.worker.pace import work_s

WATCHED_S = 1.0
PROBES = 40
BETWEEN_PROBES_S = 0.05


class Diagnosis(Frozen):
    """What was found.

    Args:
        machine: hardware and system.
        load_average: mean number of running processes over the last minute.
        others_cpu_share: cores that other processes used during one second just now.
        steal_share: cores that the hypervisor gave to other machines meanwhile.
        slowed_share: how many of some probes of a worker's core, in the two seconds after, found it slowed by the host.
        workers: the backends that start here, proved.
        interpreters: the Python of each of them.
        missing: why the others do not.
        obstacles: what would spoil a measurement.
    """

    machine: Machine
    load_average: float
    others_cpu_share: float
    steal_share: float
    slowed_share: float
    workers: tuple[Worker, ...]
    interpreters: dict[str, str]
    missing: dict[str, str]
    obstacles: tuple[str, ...]


def diagnose(*, device: Device, pythons: dict[str, str]) -> Diagnosis:
    """Watch the machine for a second, probe it for two, then start every backend once."""
    watch = Watch()
    sleep(WATCHED_S)
    noise = watch.noise()
    load, slowed = load_average(), round(_slowed_share(), 2)
    with ThreadPoolExecutor(len(usable_cores())) as pool:
        answers = list(pool.map(lambda backend: _try_backend(backend, device, pythons), BACKENDS))
    found = dict(zip(BACKENDS, answers, strict=True))
    return Diagnosis(
        machine=describe_machine(),
        load_average=load,
        others_cpu_share=round(noise.others_cpu_s / WATCHED_S, 2),
        steal_share=round(noise.steal_s / WATCHED_S, 2),
        slowed_share=slowed,
        workers=tuple(answer[0] for answer in answers if isinstance(answer, tuple)),
        interpreters={name: answer[1] for name, answer in found.items() if isinstance(answer, tuple)},
        missing={name: answer for name, answer in found.items() if isinstance(answer, str)},
        obstacles=tuple(_obstacles(noise, load, slowed)),
    )


def _try_backend(backend: BackendName, device: Device, pythons: dict[str, str]) -> tuple[Worker, str] | str:
    """Return the proved worker and its interpreter, or why there is none."""
    try:
        python = find_interpreter(backend, device=device, pythons=pythons)
        cell = Cell(backend=backend, device=device, model="simple_rnn", length=4, threads="default")
        with WorkerProcess(python, cell, cores=usable_cores(), limits=Limits.all_phases(120)) as worker:
            return worker.ready(), python
    except (UserError, WorkerLostError) as error:
        return str(error)


def _slowed_share() -> float:
    probes_s = []
    with pinned(timing_cores(1, usable_cores())[0]):
        for _ in range(PROBES):
            probes_s.append(work_s())
            sleep(BETWEEN_PROBES_S)
    return sum(seconds > SLOW_HOST * min(probes_s) for seconds in probes_s) / PROBES


def _obstacles(noise: Noise, load: float, slowed: float) -> list[str]:
    obstacles = []
    share, steal = noise.others_cpu_s / WATCHED_S, noise.steal_s / WATCHED_S
    if steal > 0.02:
        obstacles.append(f"The hypervisor takes {steal:.2f} cores away: measure when its other machines rest.")
    if share - steal > 0.1:
        obstacles.append(f"Other processes use {share - steal:.1f} cores right now: end them before measuring.")
    elif slowed > 0.1:  # a core that others use is slow because of them
        obstacles.append(
            f"The host slows the workers' core {slowed:.0%} of the time: measure later, or with a longer calm_s."
        )
    if load > BUSY_LOAD:
        obstacles.append(f"The load of the last minute was {load:.1f}: wait until it is below {BUSY_LOAD}.")
    if len(usable_cores()) < 2:
        obstacles.append("There is one core only: the coordinator disturbs what it measures.")
    governor = describe_machine().governor
    if governor not in ("performance", "unknown"):
        obstacles.append(f"The CPU frequency governor is {governor}: set it to performance.")
    try:
        check_keras_backend(list(BACKENDS))
    except UserError as error:
        obstacles.append(str(error))
    return obstacles


def show(diagnosis: Diagnosis, console: Console) -> None:
    """Print a diagnosis for a person."""
    machine = diagnosis.machine
    console.print(
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB, {machine.system}",
        markup=False,
    )
    for gpu in machine.gpus:
        console.print(gpu, markup=False)
    console.print(
        f"load {diagnosis.load_average:.2f}, others use {diagnosis.others_cpu_share:.2f} cores, "
        f"the hypervisor takes {diagnosis.steal_share:.2f};\n"
        f"the host slowed the core of the workers in {diagnosis.slowed_share:.0%} of {PROBES} probes\n"
    )
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("backend", "version", "keras", "device", "threads", "python"):
        shown.add_column(heading)
    for worker in diagnosis.workers:
        versions = worker.versions
        threads = str(worker.threads) if worker.threads else "not told"
        shown.add_row(
            worker.backend, versions[worker.backend], versions["keras"], worker.device, threads, worker.python
        )
    if diagnosis.workers:
        console.print(shown)
    for reason in diagnosis.missing.values():
        console.print(f"missing: {reason}", markup=False)
    console.print()
    for obstacle in diagnosis.obstacles:
        console.print(f"in the way: {obstacle}", markup=False)
    if not diagnosis.obstacles:
        console.print("Nothing is in the way of measuring.")
