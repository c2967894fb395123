"""Memory over seeds: what a point rests on stays visible."""

from math import nan
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import make_accuracy, make_memory, select_all

from bench.analysis.memory import LEAST_ROWS, curves
from bench.analysis.statistics import mean_interval
from bench.output.tables.accuracy import TABLES

CELL = {"environment": "jax", "device": "cpu", "model": "lstm", "length": 12, "threads": "1", "variant": "default"}


def memory(moved: list[float], *, rows: list[int] | None = None, **fields: Any) -> pd.DataFrame:
    """Make the memory of a training, a row for each step back."""
    known = {"seed": 0, "patience": 20, "gradient_start_h": 1.0, "gradient_h": 1.0}
    known |= {"gradient_start_c": nan, "gradient_c": nan}
    frame = pd.DataFrame({"steps_back": range(len(moved)), "moved": moved, "rows": rows or [200] * len(moved)})
    return frame.assign(**{**CELL, **known, **fields})


def test_means_over_seeds() -> None:
    seeds = [1.0, 0.9, 0.8, 0.7, 0.2]
    trainings = [memory([value, 0.5], seed=seed) for seed, value in enumerate(seeds)]
    curve = curves(pd.concat([*trainings, memory([9.0, 9.0], patience=0)]))
    interval = mean_interval(seeds)
    assert curve["moved"].tolist() == pytest.approx([0.72, 0.5]) and curve["seeds"].tolist() == [5, 5]
    assert (curve["moved_low"][0], curve["moved_high"][0]) == (interval.low, interval.high)


def test_few_rows() -> None:
    curve = curves(memory([1.0, 0.5, 0.1], rows=[200, LEAST_ROWS, LEAST_ROWS - 1]))
    assert curve["few_rows"].tolist() == [False, False, True]


def test_relative_gradients() -> None:
    """Medians of 1/2, 1/4 and 1/10, of which no training has the absolute size of another."""
    trainings = [
        memory([1.0, 1.0], seed=seed, gradient_h=[size, size * share], gradient_c=[0.0, 3 * size])
        for seed, (size, share) in enumerate([(1.0, 0.5), (100.0, 0.25), (1e-3, 0.1)])
    ]
    curve = curves(pd.concat(trainings)[::-1])
    assert curve.set_index("steps_back")["gradient_h"].to_dict() == pytest.approx({0: 1.0, 1: 0.25})
    assert curve.set_index("steps_back")["gradient_c"].to_dict() == pytest.approx({0: 0.0, 1: 3.0})
    assert curve["gradient_start_c"].isna().all()


def test_vanished_gradient() -> None:
    assert np.isnan(curves(memory([1.0], gradient_h=0.0))["gradient_h"][0])


def test_table() -> None:
    rows = (200, 150, 100, 80, LEAST_ROWS - 1)
    memory = make_memory((1.0, 0.9, 0.8, 0.7, 0.6)).model_copy(update={"rows": rows})
    trial = make_accuracy(memory=memory)
    table = TABLES["memory"](select_all(trial))
    assert table.frame["steps_back"].tolist() == [0, 1, 2, 4]
    assert table.frame["rows"].tolist() == [200, 150, 100, LEAST_ROWS - 1]
    assert table.frame["moved"].tolist()[:3] == [1.0, 0.9, 0.8] and np.isnan(table.frame["moved"][3])
    assert f"below {LEAST_ROWS} rows" in " ".join(table.notes)
