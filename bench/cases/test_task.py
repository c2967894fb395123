"""Time the drawing of data that is larger than any cell needs, and show what memory it takes."""

import tracemalloc
from typing import Any

from seqsum_core.settings import TaskSettings
from seqsum_core.task import draw

LENGTH = 100
MILLION = TaskSettings(source="generated", sequences=1_000_000)


def test_draw_a_million_sequences(benchmark: Any) -> None:
    """A million sequences of up to 100 digits; the peak of a separate call stands in extra_info."""
    benchmark.group = "drawing the task"
    data = benchmark.pedantic(draw, (MILLION,), {"length": LENGTH}, rounds=5, warmup_rounds=1)
    tracemalloc.start()
    draw(MILLION, length=LENGTH)
    benchmark.extra_info["peak_bytes"] = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.digits.shape == (1_000_000, LENGTH)
    assert (data.sums == data.digits.sum(axis=1, dtype="int64")).all()
