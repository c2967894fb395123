"""Ask every backend for its side of the parity certificate. Imports no framework.

Nothing is timed, so the workers share the cores, one on each with one thread; the float64
reference takes a core like a backend.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from time import monotonic

from bench.errors import UserError
from bench.host import usable_cores
from bench.measure.certificate import REFERENCE, Certificate, Side, all_cases, certify
from bench.measure.environments import check_keras_backend, find_interpreters
from bench.measure.local import machine_lock
from bench.measure.worker_process import WorkerProcess
from bench.plan.cells import BackendName, Cell
from bench.plan.timing import Limits
from bench.records.failures import WorkerLostError
from bench.records.schema import Worker
from seqsum_core.parity_case import Case, reference

SILENT_LIMIT_S = 300.0

Say = Callable[[str], None]


def certify_backends(
    asked: Sequence[BackendName], *, pythons: Mapping[str, str], say: Say, cases: Sequence[Case] | None = None
) -> Certificate:
    """Let every backend compute all cases and compare what they say.

    Args:
        asked: the backends; none means all that are here.
        pythons: interpreters named on the command line, by backend.
        say: told in a line what happens.
        cases: what to compute; all cases if not given.

    Returns:
        The certificate. A backend that is asked for, or whose interpreter is named, and does not
        answer stands in `missing`.

    Raises:
        UserError: if no backend is here, or another run measures on this machine.
    """
    cases = cases or all_cases()
    interpreters, absent = find_interpreters(list(asked), device="cpu", pythons=pythons)
    missing = {str(backend): reason for backend, reason in absent.items()}
    if not interpreters:
        return certify(cases, {}, [], missing=missing)
    check_keras_backend(list(interpreters))
    with machine_lock():
        answered, right = _Gathering(cases, say).gather(interpreters)
    computed = {backend: answer for backend, answer in answered.items() if not isinstance(answer, str)}
    return certify(
        cases,
        {backend: side for backend, (_, side) in computed.items()},
        right,
        workers=[worker for worker, _ in computed.values()],
        missing=missing | {backend: answer for backend, answer in answered.items() if isinstance(answer, str)},
    )


class _Gathering:
    """The sides being computed, as many at once as there are cores."""

    def __init__(self, cases: Sequence[Case], say: Say) -> None:
        self._cases, self._say = cases, say
        self._running: list[WorkerProcess] = []
        self._cores: SimpleQueue[int] = SimpleQueue()
        for core in usable_cores():
            self._cores.put(core)

    def gather(
        self, interpreters: Mapping[BackendName, str]
    ) -> tuple[dict[BackendName, tuple[Worker, Side] | str], Side]:
        """Return what each backend computes, or why it does not, and the reference; Ctrl-C ends the workers."""
        with ThreadPoolExecutor(len(usable_cores())) as pool:
            answers = {backend: pool.submit(self._ask, backend, python) for backend, python in interpreters.items()}
            right = pool.submit(self._refer)
            try:
                return {backend: answer.result() for backend, answer in answers.items()}, right.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for worker in list(self._running):
                    worker.end()
                raise

    def _ask(self, backend: BackendName, python: str) -> tuple[Worker, Side] | str:
        cell = Cell(backend=backend, device="cpu", model="simple_rnn", length=4)
        asked, side = "its start", []
        try:
            with (
                self._core(backend) as core,
                WorkerProcess(python, cell, cores=[core], limits=Limits.all_phases(SILENT_LIMIT_S)) as worker,
            ):
                self._running.append(worker)
                proved = worker.ready()
                for case in self._cases:
                    asked = str(case)
                    side.append(worker.compute(case))
        except (UserError, WorkerLostError) as error:
            return f"lost at {asked}: {error}"
        return proved, side

    def _refer(self) -> Side:
        with self._core(REFERENCE):
            return [reference(case) for case in self._cases]

    @contextmanager
    def _core(self, name: str) -> Iterator[int]:
        """Take a core, and say afterwards how long it was taken."""
        core, begin_s = self._cores.get(), monotonic()
        try:
            yield core
        except (UserError, WorkerLostError) as error:
            self._say(f"{name}: FAILED after {monotonic() - begin_s:.0f} s: {error}")
            raise
        else:
            self._say(f"{name}: {len(self._cases)} cases in {monotonic() - begin_s:.0f} s")
        finally:
            self._cores.put(core)
