"""Where a run is measured: this machine, or equal nodes of a cluster. What `bench.measure.run` needs of such a site."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from bench.measure.progress import Progress
from bench.plan.sweep import Sweep
from bench.records.schema import Header, Machine, Node, Worker
from bench.records.store import RunWriter


@dataclass(frozen=True)
class Proved:
    """What a site has shown to be true before anything is measured.

    Args:
        workers: what each backend's process said of itself.
        machine: what it runs on; each one, if there are several.
        commit: of the code there.
        load_average: of the minute before; the highest, if there are several machines.
        nodes: the machines, if they are not this one.
    """

    workers: tuple[Worker, ...]
    machine: Machine
    commit: str
    load_average: float
    nodes: tuple[Node, ...] = ()


class Site(AbstractContextManager["Site"], Protocol):
    """A place to measure in. Use it in a `with` statement: when that is left, nothing of it runs any more."""

    def prove(self, sweep: Sweep, progress: Progress, *, like: Header | None = None) -> Proved:
        """Prove that a sweep can be measured here.

        Args:
            sweep: what shall be measured.
            progress: told what happens.
            like: of the run that shall go on, if one shall; prefer machines that are like its own.

        Raises:
            UserError: if a backend, a device or a model is not there or not usable, or somebody else measures.
        """

    def measure(self, sweep: Sweep, writer: RunWriter, progress: Progress, *, begun_s: float) -> None:
        """Measure what a run lacks: all of it if it is new.

        Args:
            sweep: what `prove` has proved.
            writer: the run.
            progress: told what happens.
            begun_s: when the run began, by the monotonic clock.
        """
