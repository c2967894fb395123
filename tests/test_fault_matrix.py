"""A slice of the fault matrix: some kinds of faults in some phases; tests/fault_matrix.py has them all."""

import sys
from pathlib import Path

import pytest
from fake_worker import FAULTS
from fault_matrix import RECORDED, break_coordinator, break_workers

pytestmark = pytest.mark.usefixtures("own_lock")


@pytest.mark.parametrize(("kind", "phase"), [("segfaults", "import"), ("hangs", "turn"), ("allocates", "fit")])
def test_worker_costs_its_own_trial(tmp_path: Path, kind: str, phase: str) -> None:
    damage = break_workers(tmp_path, kind, phase)
    assert damage.harmless and damage.injected == 3, damage


@pytest.mark.parametrize(("kind", "moment"), [("SIGKILL", 0.4), ("SIGINT", 0.4), ("full disk", 0.5)])
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_coordinator_loses_nothing(tmp_path: Path, kind: str, moment: float) -> None:
    damage = break_coordinator(tmp_path, kind, moment=moment)
    assert damage.harmless, damage


def test_every_fault_has_a_name_in_the_records() -> None:
    assert set(RECORDED) == set(FAULTS)
