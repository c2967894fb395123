"""What went wrong with a worker: told apart by what it left, and written down as a failure of its trial."""

import os
import re
import signal
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench.errors import NotAvailableError
from bench.plan.cells import Trial
from bench.records.schema import Failure, Fault

OUT_OF_MEMORY = (
    *("memoryerror", "bad_alloc", "resource_exhausted", "resourceexhausted"),
    *("out of memory", "outofmemory", "cannot allocate memory"),
)
"""What Python, C++, XLA, TensorFlow, PyTorch and Linux print when there is no memory left; lower case."""
KEPT_LINES, KEPT_CHARACTERS, KEPT_REASON = 20, 300, 500
KILLED = ("SIGKILL", "SIGTERM")
"""Signals by which others end a process; by their names, since Windows does not have all of them."""
IN_PACKAGES = re.compile(r'(?<=File ")[^"]*[/\\](?:site|dist)-packages[/\\]')
PROJECT = Path(__file__).parents[2]
QUOTED = re.compile(r"[\w.]*(Error|Exception|Failure)\b")
"""How a line begins that names an error."""


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
    """Return what a failure keeps of the lines that a worker wrote on stderr: no folders of its machine."""
    shortened = (_without_folders(line.strip()) for line in printed if line.strip())
    return tuple(line[:KEPT_CHARACTERS] for line in shortened)[-KEPT_LINES:]


def _without_folders(line: str) -> str:
    """Name files by their place in the installed packages, in this project, or in the home of the user."""
    line = IN_PACKAGES.sub("", line).replace(f"{PROJECT}{os.sep}", "")
    home = os.path.expanduser("~")  # noqa: PTH111 - as it stands where there is none
    return line.replace(f"{home}{os.sep}", f"~{os.sep}") if len(home) > 1 else line


def ended(exit_code: int, printed: Sequence[str], *, phase: str = "", by_limit: bool = False) -> WorkerError:
    """Describe how a process ended that nobody asked to end.

    Args:
        exit_code: of the process, or the negative number of the signal.
        printed: the lines it wrote on stderr.
        phase: what it was doing.
        by_limit: whether the memory limit of a control group ended a process meanwhile.
    """
    name = ""
    if exit_code < 0:
        with suppress(ValueError):
            name = signal.Signals(-exit_code).name
    note = f" ({name})" if name else ""
    fault: Fault = "killed" if name in KILLED else "crashed"
    lines = last_lines(printed)
    in_python = any(line.startswith("Traceback") for line in lines)  # a traceback quotes code, whatever it mentions
    if any(is_out_of_memory(line) for line in (lines[-1:] if in_python else lines)):
        fault = "out of memory"
    if by_limit and fault == "killed":
        fault, note = "out of memory", f"{note}, by the memory limit of a control group"
    reason = f"ended with exit code {exit_code}{note}" + "".join(f": {line}" for line in lines[-1:])
    return WorkerError(reason, fault, phase=phase, exit_code=exit_code, printed=lines)


def raised(error: Exception) -> WorkerError:
    """Describe an error that a request ended in, and that its worker survived."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first_line, cause = lines[0] if lines else "", root_cause(error, lines)
    if isinstance(error, NotAvailableError):
        return WorkerError(first_line, "not available")
    reason = ": ".join(filter(None, (type(error).__name__, first_line)))[:KEPT_REASON]
    reason += f" (cause: {cause[:KEPT_REASON]})" if cause else ""
    fault: Fault = "not finite" if type(error) is ArithmeticError else "raised"
    printed = "".join(traceback.format_exception(error)).splitlines()
    return WorkerError(reason, "out of memory" if is_out_of_memory(reason) else fault, printed=printed)


def root_cause(error: BaseException, lines: Sequence[str]) -> str:
    """Return what an error came from, in a line, where its first line does not say so; else nothing.

    That is the error at the end of the chain of causes, or the last line of its message that begins with an error's
    name, as frameworks quote errors in their own.
    """
    last = error
    while (earlier := last.__cause__ or (None if last.__suppress_context__ else last.__context__)) is not None:
        last = earlier
    if last is not error:
        message = str(last).strip().partition("\n")[0]
        cause = f"{type(last).__name__}: {message}" if message else type(last).__name__
        return "" if message and message in lines[:1] else cause
    quoted = [line for line in lines[1:] if QUOTED.match(line)]
    return quoted[-1] if quoted else ""


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
