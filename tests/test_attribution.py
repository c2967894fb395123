"""Packages exchanged at once: what each contributes is what was planted, and nothing is said of half a factorial."""

import numpy as np
import pytest
from factories import make_cell, make_processes, select_all

from bench.analysis.attribution import attribution
from bench.analysis.select import Selection
from bench.output.tables import TABLES

KERAS, NUMPY, JAX = "keras==3.14.1", "numpy==2.3.5", "jax==0.9.2"


def timed(**factors: float) -> Selection:
    """Make seven processes of each environment on a machine that drifts by a third within the run."""
    drift = np.geomspace(0.1, 0.133, 7)
    exchanged = {"base": "jax", "k": f"jax@{KERAS}", "n": f"jax@{NUMPY}", "kn": f"jax@{KERAS},{NUMPY}"} | {
        "j": f"jax@{JAX}", "kj": f"jax@{JAX},{KERAS}", "nj": f"jax@{JAX},{NUMPY}", "all": f"jax@{JAX},{KERAS},{NUMPY}"
    }  # fmt: skip
    records = []
    for name, factor in factors.items():
        records += make_processes(make_cell(exchanged[name]), seconds=list(drift * factor))
    return select_all(*records)


def test_two_packages() -> None:
    """Keras costs more where NumPy is exchanged, too: contributions share that, and multiply to the whole."""
    figures = attribution(timed(base=1, k=1.4, n=1.1, kn=1.4 * 1.1 * 1.21).main_turns).set_index("package")
    assert list(figures.index) == ["keras 3.14.1", "numpy 2.3.5", "together"]
    assert list(figures["ratio"]) == pytest.approx([1.4 * 1.1, 1.1 * 1.1, 1.4 * 1.1 * 1.21])
    assert list(figures["alone"]) == pytest.approx([1.4, 1.1, 1.4 * 1.1 * 1.21])
    assert list(figures["last"]) == pytest.approx([1.4 * 1.21, 1.1 * 1.21, 1.4 * 1.1 * 1.21])
    assert (figures["ratio_low"] < figures["ratio"] * 1.001).all() and (figures["processes"] == 7).all()


def test_three_packages() -> None:
    """A factor that only one pair shares is halved between the two."""
    factors = {"k": 2.0, "n": 1.0, "j": 0.5, "kn": 2.0, "kj": 1.44, "nj": 0.5, "all": 1.44}
    figures = attribution(timed(base=1.0, **factors).main_turns).set_index("package")
    assert figures["ratio"].to_dict() == pytest.approx(
        {"jax 0.9.2": 0.6, "keras 3.14.1": 2.4, "numpy 2.3.5": 1.0, "together": 1.44}
    )


def test_half_a_factorial_attributes_nothing() -> None:
    assert attribution(timed(base=1, k=1.4, kn=1.5).main_turns).empty
    assert TABLES["attribution"](timed(base=1, k=1.4)).frame.empty
    assert attribution(timed(k=1.4, n=1.1, kn=1.5).main_turns).empty, "there is no backend's own to compare with"


def test_another_installation_is_not_the_backends_own() -> None:
    old = make_processes(make_cell("jax@old"), seconds=[0.5] * 7)
    turns = timed(base=1, k=1.4, n=1.1, kn=1.54).runs[0].records
    figures = attribution(select_all(*turns, *old).main_turns).set_index("package")
    assert figures.loc["together", "ratio"] == pytest.approx(1.54)


def test_table() -> None:
    table = TABLES["attribution"](timed(base=1, k=1.4, n=1.1, kn=1.54))
    assert table.notes[0].startswith("Epoch ratio: what a package contributes")
    assert [column.heading for column in table.columns][-4:] == ["package", "epoch ratio", "alone", "as the last"]
