"""Failures: how a worker ended follows from its exit code and from what it printed."""

import signal
from pathlib import Path

import pytest
from factories import make_trial

from bench.errors import NotAvailableError
from bench.records import failures
from bench.records.failures import KEPT_LINES, WorkerError, ended, failure, raised


@pytest.mark.parametrize(
    ("exit_code", "printed", "fault", "reason"),
    [
        (-signal.SIGSEGV, [], "crashed", "ended with exit code -11 (SIGSEGV)"),
        (-signal.SIGABRT, ["double free\n"], "crashed", "ended with exit code -6 (SIGABRT): double free"),
        (-signal.SIGKILL, [], "killed", "ended with exit code -9 (SIGKILL)"),
        (3, ["ImportError: no such library", ""], "crashed", "ended with exit code 3: ImportError: no such library"),
        (1, ["MemoryError"], "out of memory", "ended with exit code 1: MemoryError"),
        (-6, ["terminate called after std::bad_alloc", "Aborted"], "out of memory", "ended with exit code -6"),
        (1, ["Traceback (most recent call last):", "raise MemoryError", "KeyError: 3"], "crashed", ""),
        (-250, [], "crashed", "ended with exit code -250"),
    ],
)  # fmt: skip
def test_end_of_a_process(exit_code: int, printed: list[str], fault: str, reason: str) -> None:
    error = ended(exit_code, printed)
    assert (error.fault, error.exit_code) == (fault, exit_code) and str(error).startswith(reason)


def test_only_the_last_lines_are_kept() -> None:
    error = ended(1, [f"line {number}\n" for number in range(10_000)])
    assert len(error.printed) == KEPT_LINES and error.printed[-1] == "line 9999"
    assert max(map(len, ended(1, ["x" * 10**6]).printed)) == 300


@pytest.mark.parametrize(
    ("error", "fault", "reason"),
    [
        (ValueError("wrong shape\nsecond line"), "raised", "ValueError: wrong shape"),
        (ArithmeticError("the loss is not finite"), "not finite", "ArithmeticError: the loss is not finite"),
        (ZeroDivisionError("division by zero"), "raised", "ZeroDivisionError: division by zero"),
        (MemoryError(), "out of memory", "MemoryError"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes"), "out of memory", "RuntimeError: RES"),
        (NotAvailableError("`layers` must be 1."), "not available", "`layers` must be 1."),
    ],
)
def test_error_that_a_worker_survived(error: Exception, fault: str, reason: str) -> None:
    described = raised(error)
    assert described.fault == fault and str(described).startswith(reason) and "\n" not in str(described)


def test_failure() -> None:
    lost = WorkerError("gone", "killed", phase="build", exit_code=-9, printed=["last words"])
    record = failure(make_trial(index=3, is_control=True), lost)
    assert (record.trial, record.index, record.is_control, record.phase) == ("speed", 3, True, "build")
    assert (record.fault, record.reason, record.exit_code, record.printed) == ("killed", "gone", -9, ("last words",))


def test_folders_of_the_machine_are_not_kept() -> None:
    """A record travels: it names files by their place in packages, in the project or below a home."""
    printed = [
        'File "/somewhere/lib/python3.11/site-packages/keras/src/layer.py", line 3, in call',
        f'File "{Path(failures.__file__)}", line 4, in ended',
        f"no such file: {Path.home() / 'data' / 'rows.npz'}",
    ]
    assert ended(1, printed).printed == (
        'File "keras/src/layer.py", line 3, in call',
        'File "bench/records/failures.py", line 4, in ended',
        "no such file: ~/data/rows.npz",
    )
