"""The table of variable length: only where there is something to compare, and by hand."""

from typing import Any

import pytest
from factories import make_accuracy, make_cell, make_errors, make_processes, select_all

from bench.output.tables.batching import batching_table
from bench.records.schema import Record
from seqsum_core.settings import Batching

NOISE = (0.98, 1.0, 1.01, 1.02, 0.99)
LEARNT: dict[Batching, float] = {"padded": 2.0, "bucketed": 3.0}


def timed(epoch_s: float, *, padding_share: float | None, steps: int = 17, **cell: Any) -> list[Record]:
    known = {"padding_share": padding_share, "steps_per_epoch": steps}
    return [*make_processes(make_cell(**cell), seconds=[epoch_s * one for one in NOISE], **known)]


def rows(*records: Record) -> list[dict[str, Any]]:
    frame = batching_table(select_all(*records)).frame
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def test_ways_of_one_backend_stand_below_each_other() -> None:
    found = rows(
        *timed(0.020, padding_share=0.5),
        *timed(0.015, padding_share=0.1, steps=20, batching="bucketed"),
        *timed(0.060, padding_share=0.0, steps=90, batching="exact"),
        *timed(0.5, padding_share=0.5, backend="torch"),
    )
    assert [row["batches"] for row in found] == ["padded", "bucketed", "exact"]
    assert {row["backend"] for row in found} == {"jax"}, "torch has nothing to compare"
    padded, bucketed, exact = found
    assert (bucketed["padding %"], bucketed["steps"]) == (pytest.approx(10), 20)
    assert bucketed["times as long"] == pytest.approx(0.75) and exact["times as long"] == pytest.approx(3)
    assert padded["times as long"] != padded["times as long"], "nothing is compared with itself"


def test_without_another_way_there_is_no_table() -> None:
    assert not rows(*timed(0.020, padding_share=0.5))


def test_a_mask_is_compared_with_its_own_padding() -> None:
    found = rows(
        *timed(0.040, padding_share=0.5, mask=True),
        *timed(0.020, padding_share=0.1, mask=True, batching="bucketed"),
        *timed(0.010, padding_share=0.5),
    )
    assert {(row["variant"], row["batches"]) for row in found} == {("mask true", "padded"), ("mask true", "bucketed")}
    assert min(row["times as long"] for row in found if row["batches"] == "bucketed") == pytest.approx(0.5)


def test_what_each_way_learnt_stands_beside_its_speed() -> None:
    learnt = [
        make_accuracy(make_cell(batching=way), seed=seed, test=make_errors(mse))
        for seed in (0, 1)
        for way, mse in LEARNT.items()
    ]
    found = rows(*timed(0.020, padding_share=0.5), *timed(0.015, padding_share=0.1, batching="bucketed"), *learnt)
    assert [(row["batches"], row["seeds"], row["test mse"]) for row in found] == [
        ("padded", 2, pytest.approx(2)),
        ("bucketed", 2, pytest.approx(3)),
    ]


def test_older_records_say_nothing_of_padding() -> None:
    found = rows(*timed(0.020, padding_share=None), *timed(0.010, padding_share=None, batching="exact"))
    assert len(found) == 2 and "padding %" not in found[0]
