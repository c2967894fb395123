"""Faults: how a worker ended is told apart by its exit code and what it printed."""

import signal

import pytest
from factories import make_trial

from bench.errors import UserError
from bench.records.failures import KEPT_LINES, WorkerLostError, ended, failure, raised


@pytest.mark.parametrize(
    ("exit_code", "printed", "fault", "reason"),
    [
        (-signal.SIGSEGV, [], "crashed", "ended with exit code -11 (SIGSEGV)"),
        (-signal.SIGABRT, ["double free\n"], "crashed", "ended with exit code -6 (SIGABRT): double free"),
        (-signal.SIGKILL, [], "killed", "ended with exit code -9 (SIGKILL)"),
        (3, ["ImportError: no such library", ""], "crashed", "ended with exit code 3: ImportError: no such library"),
        (1, ["MemoryError"], "out of memory", "ended with exit code 1: MemoryError"),
        (-6, ["terminate called after std::bad_alloc", "Aborted"], "out of memory", "ended with exit code -6"),
        (
            1,
            ["Traceback (most recent call last):", "raise MemoryError if full else KeyError", "KeyError: 3"],
            "crashed",
            "",
        ),
        (-250, [], "crashed", "ended with exit code -250"),
    ],
)
def test_an_end_is_told_by_code_and_last_words(exit_code: int, printed: list[str], fault: str, reason: str) -> None:
    found = ended(exit_code, printed)
    assert (found.fault, found.exit_code) == (fault, exit_code) and str(found).startswith(reason)


def test_only_the_last_lines_are_kept() -> None:
    found = ended(1, [f"line {number}\n" for number in range(10_000)])
    assert len(found.printed) == KEPT_LINES and found.printed[-1] == "line 9999"
    assert max(map(len, ended(1, ["x" * 10**6]).printed)) == 300


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        ("ValueError: wrong shape", "raised"),
        ("ArithmeticError: the loss of epoch 3 is not finite", "not finite"),
        ("MemoryError", "out of memory"),
        ("XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes", "out of memory"),
        ("ResourceExhaustedError: OOM when allocating", "out of memory"),
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "out of memory"),
    ],
)
def test_an_error_is_told_by_its_words(reason: str, fault: str) -> None:
    assert raised(reason).fault == fault


def test_a_failure_says_which_trial_in_which_phase_and_all_that_is_known() -> None:
    lost = WorkerLostError("gone", "killed", exit_code=-9, printed=["last words"])
    found = failure(make_trial(index=3, twin=True), "build", lost)
    assert (found.trial, found.index, found.twin, found.phase) == ("speed", 3, True, "build")
    assert (found.fault, found.reason, found.exit_code, found.printed) == ("killed", "gone", -9, ("last words",))
    mended = failure(make_trial(), "import", UserError("`device` gpu was asked for."))
    assert (mended.fault, mended.exit_code) == ("raised", None)
