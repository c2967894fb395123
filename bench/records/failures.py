"""What went wrong with a worker: told apart by what it left, and written down as a failure of its trial."""

import signal
from collections.abc import Sequence
from contextlib import suppress

from bench.errors import NotAvailableError
from bench.plan.cells import Trial
from bench.records.schema import Failure, Fault

OUT_OF_MEMORY = (
    *("memoryerror", "bad_alloc", "resource_exhausted", "resourceexhausted"),
    *("out of memory", "outofmemory", "cannot allocate memory"),
)
"""What Python, C++, XLA, TensorFlow, PyTorch and Linux print when there is no memory left; lower case."""
KEPT_LINES, KEPT_CHARACTERS = 20, 300


class WorkerError(Exception):
    """A worker did not do what it was asked.

    Args:
        reason: what happened, in a line.
        fault: what kind of end it was.
        phase: what the worker was doing.
        exit_code: of its process, or the negative number of the signal that ended it; None while it lives.
        printed: what it wrote on stderr, of which the last lines are kept.
    """

    def __init__(
        self, reason: str, fault: Fault, *, phase: str = "", exit_code: int | None = None, printed: Sequence[str] = ()
    ) -> None:
        super().__init__(reason)
        self.fault, self.phase, self.exit_code = fault, phase, exit_code
        self.printed = last_lines(printed)


def last_lines(printed: Sequence[str]) -> tuple[str, ...]:
    """Return what a failure keeps of the lines that a worker wrote on stderr."""
    return tuple(line.strip()[:KEPT_CHARACTERS] for line in printed if line.strip())[-KEPT_LINES:]


def ended(exit_code: int, printed: Sequence[str], *, phase: str = "") -> WorkerError:
    """Describe how a process ended that nobody asked to end, by its exit code and the lines it wrote on stderr."""
    name = ""
    if exit_code < 0:
        with suppress(ValueError):
            name = f" ({signal.Signals(-exit_code).name})"
    fault: Fault = "killed" if exit_code in (-signal.SIGKILL, -signal.SIGTERM) else "crashed"
    lines = last_lines(printed)
    in_python = any(line.startswith("Traceback") for line in lines)  # a traceback quotes code, whatever it mentions
    if any(is_out_of_memory(line) for line in (lines[-1:] if in_python else lines)):
        fault = "out of memory"
    reason = f"ended with exit code {exit_code}{name}" + "".join(f": {line}" for line in lines[-1:])
    return WorkerError(reason, fault, phase=phase, exit_code=exit_code, printed=lines)


def raised(error: Exception) -> WorkerError:
    """Describe an error that a request ended in, and that its worker survived."""
    first_line = str(error).strip().partition("\n")[0]
    if isinstance(error, NotAvailableError):
        return WorkerError(first_line, "not available")
    reason = ": ".join(filter(None, (type(error).__name__, first_line)))[:500]
    if is_out_of_memory(reason):
        return WorkerError(reason, "out of memory")
    return WorkerError(reason, "not finite" if type(error) is ArithmeticError else "raised")


def is_out_of_memory(text: str) -> bool:
    """Tell whether a text has words of a process without memory."""
    return any(word in text.lower() for word in OUT_OF_MEMORY)


def failure(trial: Trial, error: WorkerError) -> Failure:
    """Record that a trial left no numbers."""
    return Failure(
        trial=trial.kind,
        cell=trial.cell,
        index=trial.index,
        is_control=trial.is_control,
        phase=error.phase,
        fault=error.fault,
        reason=str(error),
        exit_code=error.exit_code,
        printed=error.printed,
    )
