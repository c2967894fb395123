"""What went wrong with a worker: told apart by what it left, and written down as a failure of its trial."""

import signal
from collections.abc import Sequence
from contextlib import suppress

from bench.errors import NotAvailableError, UserError
from bench.plan.cells import Trial
from bench.records.schema import Failure, Fault

OUT_OF_MEMORY = (
    "memoryerror",
    "bad_alloc",
    "resource_exhausted",
    "resourceexhausted",
    "out of memory",
    "outofmemory",
    "cannot allocate memory",
)
"""What Python, C++, XLA, TensorFlow, PyTorch and Linux say when there is no memory left; lower case."""
KEPT_LINES, KEPT_CHARACTERS = 20, 300


class WorkerLostError(Exception):
    """A worker did not do what it was asked.

    Args:
        reason: what happened, in a line.
        fault: what kind of end it was.
        exit_code: of its process, or the negative number of the signal that ended it; None while it lives.
        printed: the last lines it wrote on stderr.
    """

    def __init__(self, reason: str, fault: Fault, *, exit_code: int | None = None, printed: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.fault, self.exit_code, self.printed = fault, exit_code, tuple(printed)


def ended(exit_code: int, printed: Sequence[str]) -> WorkerLostError:
    """Say how a process ended that nobody asked to.

    Args:
        exit_code: the negative number of a signal, if one ended it.
        printed: everything it wrote on stderr, line by line.
    """
    printed = [line.strip()[:KEPT_CHARACTERS] for line in printed if line.strip()][-KEPT_LINES:]
    name = ""
    if exit_code < 0:
        with suppress(ValueError):
            name = f" ({signal.Signals(-exit_code).name})"
    fault: Fault = "killed" if exit_code in (-signal.SIGKILL, -signal.SIGTERM) else "crashed"
    in_python = any(line.startswith("Traceback") for line in printed)  # which quotes code, whatever it speaks of
    if any(_tells_memory(line) for line in (printed[-1:] if in_python else printed)):
        fault = "out of memory"
    last = f": {printed[-1]}" if printed else ""
    return WorkerLostError(f"ended with exit code {exit_code}{name}{last}", fault, exit_code=exit_code, printed=printed)


def raised(reason: str) -> WorkerLostError:
    """Say that a request ended in an error, which the worker has survived."""
    if _tells_memory(reason):
        return WorkerLostError(reason, "out of memory")
    if (words := reason.removeprefix(f"{NotAvailableError.__name__}: ")) != reason:
        return WorkerLostError(words, "not available")
    return WorkerLostError(reason, "not finite" if reason.startswith("ArithmeticError") else "raised")


def _tells_memory(text: str) -> bool:
    return any(word in text.lower() for word in OUT_OF_MEMORY)


def failure(trial: Trial, phase: str, error: WorkerLostError | UserError) -> Failure:
    """Record that a trial left no numbers."""
    if not isinstance(error, WorkerLostError):
        error = raised(str(error))
    return Failure(
        trial=trial.kind,
        cell=trial.cell,
        index=trial.index,
        twin=trial.twin,
        phase=phase,
        fault=error.fault,
        reason=str(error),
        exit_code=error.exit_code,
        printed=error.printed,
    )
