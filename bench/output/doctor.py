"""Show a diagnosis: the machine, the environments that start on it, and what to do before measuring."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.analysis.gate import Sensitivity
from bench.host import BUSY_LOAD
from bench.measure.doctor import Diagnosis
from bench.output.text import number

LEAST_GIB = 2
"""TensorFlow and its model take about 1 GiB, and the coordinator a part of the rest."""


def obstacles(diagnosis: Diagnosis) -> list[str]:
    """Return what would spoil a measurement, each with what to do about it."""
    machine, load, gib = diagnosis.machine, diagnosis.load_average, diagnosis.available_bytes / 2**30
    names = f" ({', '.join(diagnosis.busiest)})" if diagnosis.busiest else ""
    users = ", ".join(map(str, diagnosis.gpu_processes))
    steal, others = number(diagnosis.steal_cores), number(diagnosis.others_cores)
    is_single, is_slow = machine.cores < 2, machine.governor not in ("performance", "unknown")
    known = {
        f"The hypervisor takes {steal} cores: measure when its other machines are idle.": diagnosis.steal_cores > 0.02,
        f"Other processes use {others} cores{names}: end them before measuring.": diagnosis.others_cores > 0.1,
        f"The load of the last minute was {number(load)}: wait until it is below {BUSY_LOAD}.": load > BUSY_LOAD,
        f"Other processes compute on the GPU ({users}): end them before measuring.": bool(users),
        f"Only {number(gib)} GiB of memory are free: end what holds it.": gib < LEAST_GIB,
        "There is one core only, so the coordinator disturbs what it measures: use a machine with two.": is_single,
        f"A control group allows {number(machine.cpu_quota)} cores and stops what takes more: raise its quota to the "
        f"{machine.cores} cores of this machine.": machine.cpu_quota is not None and machine.cpu_quota < machine.cores,
        f"{machine.system.partition(' ')[0]} cannot keep a process on a core, and does not tell what the hypervisor "
        "takes: measure on Linux, or trust ratios only.": not diagnosis.can_pin,
        f"The CPU frequency governor is {machine.governor}: set it to performance.": is_slow,
        **dict.fromkeys(diagnosis.refusals, True),
    }
    return [obstacle for obstacle, holds in known.items() if holds]


def document(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return everything, for JSON."""
    return diagnosis.model_dump(mode="json", exclude={"refusals"}) | {"obstacles": obstacles(diagnosis)}


def print_diagnosis(diagnosis: Diagnosis, console: Console) -> None:
    """Print a diagnosis for a person."""
    machine = diagnosis.machine
    memory, free = (number(size / 2**30) for size in (machine.memory_bytes, diagnosis.available_bytes))
    lines = [
        f"{machine.cpu}, {machine.cores} cores, {memory} GiB ({free} free), {machine.system}",
        *machine.gpus,
        f"load {number(diagnosis.load_average)}, other processes use {number(diagnosis.others_cores)} cores, "
        f"the hypervisor takes {number(diagnosis.steal_cores)}, governor {machine.governor}",
    ]
    console.print(*lines, sep="\n", end="\n\n", markup=False, highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("backend", "version", "keras", "device", "threads", "python", "interpreter"):
        table.add_column(heading, overflow="fold")
    for worker in diagnosis.workers:
        versions, name = worker.versions, worker.environment
        threads, interpreter = str(worker.threads or "unknown"), Path(diagnosis.interpreters[name])
        if interpreter.is_relative_to(Path.cwd()):
            interpreter = interpreter.relative_to(Path.cwd())
        row = [name, versions.get(worker.backend, "?"), versions["keras"], worker.device, threads, worker.python]
        table.add_row(*row, str(interpreter))
    if diagnosis.workers:
        console.print(table)
    for reason in diagnosis.missing.values():
        console.print(f"missing: {reason}", markup=False, highlight=False)
    console.print()
    found = obstacles(diagnosis)
    for obstacle in found:
        console.print(f"fix: {obstacle}", markup=False, highlight=False)
    if not found:
        console.print("Nothing is in the way of measuring.")
    if diagnosis.sensitivity:
        console.print(sensitivity_line(diagnosis.sensitivity), markup=False, highlight=False)


def sensitivity_line(sensitivity: Sensitivity) -> str:
    """Say which slow-down a gate would find here, and what 5 % takes."""
    share = "no slow-down" if sensitivity.found is None else f"a slow-down of {number(100 * sensitivity.found)} %"
    needed = "more than 200" if sensitivity.needed is None else number(sensitivity.needed)
    return (
        f"Of runs like {sensitivity.run}, with {sensitivity.processes} processes, 80 % would show {share} of a cell "
        f"in turns; 5 % takes {needed} processes."
    )
