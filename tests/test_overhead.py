"""Overhead: its table by hand, and what it refuses before anything is started."""

from math import isnan
from typing import Any

import pandas as pd
import pytest
from factories import MACHINE, make_cell

from bench.analysis.statistics import median_ratio
from bench.errors import UserError
from bench.measure.overhead import Overhead, Weighed, measure_overhead, overhead_table


def make_overhead(*weighed: Weighed) -> Overhead:
    return Overhead(commit="0123456789ab", command="seqsum overhead", machine=MACHINE, weighed=weighed)


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def weighed(*adds: float, bare_s: float = 0.010, **cell: Any) -> Weighed:
    """Make processes of three pairs each, in which timing adds such shares."""
    return Weighed(
        cell=make_cell(**cell),
        bare_s=((bare_s,) * 3,) * len(adds),
        timed_s=tuple((bare_s * (1 + share),) * 3 for share in adds),
        inside_s=tuple((bare_s * (1 + share) / 1000,) * 3 for share in adds),
    )


def refusal(**changes: Any) -> str:
    known: dict[str, Any] = {
        "models": ["lstm"],
        "lengths": [4],
        "processes": 8,
        "pairs": 8,
        "pythons": {"jax": "/no/such/python"},
        "command": "seqsum overhead",
        "say": lambda line: pytest.fail(f"nothing may be measured: {line}"),
    }
    with pytest.raises(UserError) as raised:
        measure_overhead(["jax"], **(known | changes))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_figures_are_those_counted_by_hand() -> None:
    """In the first process ratios of 1.1, 1.2 and 3: their median; in the second 1.3."""
    one = Weighed(
        cell=make_cell(),
        bare_s=((0.010, 0.020, 0.010), (0.030, 0.030, 0.030)),
        timed_s=((0.011, 0.024, 0.030), (0.039, 0.039, 0.039)),
        inside_s=((0.000011, 0.000048, 0.000030), (0.000117, 0.000117, 0.000117)),
    )
    (row,) = rows(overhead_table(make_overhead(one)).frame)
    for end in ("low %", "high %", "epochs low %", "epochs high %"):
        assert isnan(row.pop(end)), "of two processes there is no interval"
    assert row == {
        "model": "lstm",
        "length": 12,
        "backend": "jax",
        "processes": 2,
        "bare epoch ms": pytest.approx(20),
        "in the callback %": pytest.approx(0.2),
        "timing adds %": pytest.approx(100 * ((1.2 * 1.3) ** 0.5 - 1)),
        "to epochs %": pytest.approx(100 * ((1.1976 * 1.2961) ** 0.5 - 1)),
    }


def test_a_pair_is_one_fit_beside_the_next_not_a_whole_process() -> None:
    """A drift over the pairs cancels: each timed epoch is a tenth longer than the bare one beside it."""
    bare_s = (0.010, 0.020, 0.040)
    timed_s, inside_s = (tuple(share * seconds for seconds in bare_s) for share in (1.1, 0.02))
    one = Weighed(cell=make_cell(), bare_s=(bare_s,), timed_s=(timed_s,), inside_s=(inside_s,))
    (row,) = rows(overhead_table(make_overhead(one)).frame)
    assert (row["timing adds %"], row["to epochs %"]) == (pytest.approx(10), pytest.approx(8))


def test_the_interval_is_that_of_the_ratio_over_processes() -> None:
    adds = (0.01, 0.02, 0.03, 0.015, 0.025)
    (row,) = rows(overhead_table(make_overhead(weighed(*adds))).frame)
    interval = median_ratio([1 + share for share in adds]).interval
    assert row["low %"] == pytest.approx(100 * (interval.low - 1))
    assert row["high %"] == pytest.approx(100 * (interval.high - 1))
    assert 0 < row["low %"] < row["timing adds %"] < row["high %"] < 4


def test_timing_that_costs_nothing_adds_nothing() -> None:
    (row,) = rows(overhead_table(make_overhead(weighed(0.0, 0.0, 0.0, 0.0, 0.0))).frame)
    assert (row["timing adds %"], row["low %"], row["high %"]) == (0, 0, 0)


def test_rows_are_sorted_by_length_model_and_backend() -> None:
    found = [
        weighed(0.0, backend=backend, model=model, length=length)
        for length in (50, 4)
        for model in ("lstm", "gru")
        for backend in ("torch", "jax")
    ]
    frame = overhead_table(make_overhead(*found)).frame
    keys = list(frame[["length", "model", "backend"]].itertuples(index=False, name=None))
    assert keys == sorted(keys) and len(keys) == 8


def test_a_cell_whose_process_failed_stays_visible_with_what_it_has() -> None:
    lost = Weighed(cell=make_cell("torch"), failed="ended with exit code -9")
    half = weighed(0.1).model_copy(update={"failed": "was silent for 600 s"})
    table = overhead_table(make_overhead(lost, half))
    found = {row["backend"]: row for row in rows(table.frame)}
    assert found["torch"]["processes"] == 0
    assert isnan(found["torch"]["timing adds %"]) and isnan(found["torch"]["bare epoch ms"])
    assert (found["jax"]["processes"], found["jax"]["timing adds %"]) == (1, pytest.approx(10))
    assert table.notes[2:] == (
        "torch lstm 12: a process failed: ended with exit code -9.",
        "jax lstm 12: a process failed: was silent for 600 s.",
    )


def test_nothing_weighed_is_a_table_without_rows() -> None:
    assert overhead_table(make_overhead()).frame.empty


def test_what_was_weighed_is_read_back_equal() -> None:
    found = make_overhead(weighed(0.1, 0.2), Weighed(cell=make_cell("torch"), failed="gone"))
    assert Overhead.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"processes": 0}, "`--processes` must be at least 1. Received: 0. Use 8, say."),
        ({"processes": -3}, "`--processes` must be at least 1. Received: -3. Use 8, say."),
        ({"lengths": [4, 1]}, "`min_length`, which is 2. Received: 1."),
        ({}, "/no/such/python cannot run jax"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_started(changes: dict[str, Any], said: str) -> None:
    assert said in refusal(**changes)
