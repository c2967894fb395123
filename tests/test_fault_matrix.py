"""A short form of the fault matrix: some kinds of faults in some phases; tests/fault_matrix.py has them all."""

import sys
from pathlib import Path

import pytest
from fake_worker import FAULTS
from fault_matrix import RECORDED, break_coordinator, break_workers

pytestmark = pytest.mark.usefixtures("own_lock")


@pytest.mark.parametrize(
    ("kind", "phase"),
    [("segfaults", "import"), ("allocates", "build"), ("hangs", "turns"), ("babbles", "witness"), ("diverges", "fit")],
)
def test_a_worker_that_breaks_costs_its_own_trial_only(tmp_path: Path, kind: str, phase: str) -> None:
    found = break_workers(tmp_path, kind, phase)
    assert found.survived == found.injected == 3, found
    assert (found.records_lost, found.not_resumed, found.orphans) == (0, 0, 0), found


@pytest.mark.parametrize(("kind", "moment"), [("SIGKILL", 0.4), ("SIGTERM", 0.1), ("full disk", 0.5)])
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_coordinator_that_ends_loses_nothing_and_its_run_goes_on(tmp_path: Path, kind: str, moment: float) -> None:
    found = break_coordinator(tmp_path, kind, moment=moment)
    assert found.survived == found.injected, found
    assert (found.records_lost, found.not_resumed, found.orphans) == (0, 0, 0), found


def test_every_fault_has_a_name_in_the_records() -> None:
    assert set(RECORDED) == set(FAULTS)
