"""Time to accuracy: a miss is never better than a hit, and nothing depends on the order of the seeds."""

from math import inf, nan
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import make_accuracy, make_cell, make_processes, make_turns, select_all
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.statistics import order_interval
from bench.analysis.targets import agreement, parse_target, target_epochs, time_to_target
from bench.errors import UserError
from bench.output.tables.accuracy import TABLES
from bench.records.schema import Accuracy

CELL = {"environment": "jax", "device": "cpu", "model": "lstm", "length": 12, "threads": "1", "variant": "default"}
EPOCHS = st.lists(st.one_of(st.integers(1, 12).map(float), st.just(inf)), min_size=1, max_size=20)


def losses(val_loss: list[float], **fields: Any) -> pd.DataFrame:
    """Make the epochs of a training."""
    frame = pd.DataFrame({"epoch": range(1, len(val_loss) + 1), "val_loss": val_loss})
    return frame.assign(**{**CELL, "seed": 0, "patience": -1, **fields})


def reached(*epochs: float, of: int = 12, **fields: Any) -> pd.DataFrame:
    """Make a training of each seed that gets to 0.2 in an epoch, or never."""
    return pd.concat(
        [
            losses([0.2 if number >= epoch else 2.0 for number in range(1, of + 1)], seed=seed, **fields)
            for seed, epoch in enumerate(epochs)
        ]
    )


NOT_TIMED = make_turns({})


@pytest.mark.parametrize(
    ("val_loss", "epoch"),
    [([3.0, 0.26, 0.25, 0.1], 3), ([0.1, 9.0], 1), ([3.0, 0.26], inf), ([nan, nan], inf)],
    ids=["at the target", "getting worse later takes nothing back", "a miss", "no number"],
)
def test_first_epoch_counts(val_loss: list[float], epoch: float) -> None:
    assert target_epochs(losses(val_loss), 0.25)["epoch"].tolist() == [epoch]


@pytest.mark.parametrize("value", [0.0, -0.25, nan, inf, -inf])
def test_unreachable_target(value: float) -> None:
    with pytest.raises(UserError, match=r"^`--target` must be .* Received: \S+\. Use 0\.25, say\.$"):
        parse_target(value)
    assert parse_target(0.5) == 0.5


def test_longest_training_counts() -> None:
    frame = pd.concat([losses([1.0] * (patience + 1), patience=patience) for patience in (20, 0, 3)])
    assert target_epochs(frame, 0.25)[["patience", "epochs"]].to_numpy().tolist() == [[20, 21]]
    frame = pd.concat([frame, losses([1.0], patience=-1)])
    assert target_epochs(frame, 0.25)["patience"].tolist() == [-1], "never stopping is the longest"


def test_misses_stay_in_the_median() -> None:
    figures = time_to_target(NOT_TIMED, target_epochs(reached(2, inf, 3, 4, inf, 5), 0.25)).iloc[0]
    assert (figures["seeds"], figures["reached"], figures["epochs"]) == (6, 4, 4.5)
    assert (figures["epochs_low"], figures["epochs_high"]) == (2, inf)
    assert figures["level"] == pytest.approx(1 - 2 / 2**6)
    assert np.isnan(figures["train_s"]) and np.isnan(figures["total_s"]), "the cell was not timed"
    assert time_to_target(NOT_TIMED, target_epochs(reached(2, inf, inf, 4), 0.25))["epochs"].tolist() == [inf]


@settings(deadline=None)
@given(epochs=EPOCHS, data=st.data())
def test_a_miss_never_improves_a_figure(epochs: list[float], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(epochs) - 1))
    worse = [*epochs[:place], inf, *epochs[place + 1 :]]
    assert np.median(worse) >= np.median(epochs)
    before, after = order_interval(epochs), order_interval(data.draw(st.permutations(worse)))
    assert np.isnan(before.low) or (after.low >= before.low and after.high >= before.high)


def test_seconds() -> None:
    """Medians of rounds, then of processes; a control, a turn that does not count and other threads are left out."""
    cell = make_cell()
    rounds = [[0.1, 0.1, 9.0], [0.2, 0.2, 0.2], [0.9, 0.9, 0.9]]
    turns = make_turns({cell: rounds, make_cell(threads=4): [[7.0]] * 3}, controls={cell: [[7.0] * 3] * 3})
    turns = pd.concat([turns, turns.assign(counted=False, epoch_s=7.0)], ignore_index=True)
    figures = time_to_target(turns, target_epochs(reached(3, 3, 3), 0.25)).iloc[0]
    start_s, validation_s = turns["start_s"][0], turns["validation_s"][0]
    assert figures["train_s"] == pytest.approx(3 * 0.2)
    assert figures["total_s"] == pytest.approx(start_s + 2 * 0.2 + 3 * validation_s), "three validations are paid"


def environments(*epochs: tuple[float, ...]) -> pd.DataFrame:
    names = ("jax", "torch", "tensorflow")
    frames = [reached(*of, environment=name) for name, of in zip(names, epochs, strict=False)]
    return agreement(target_epochs(pd.concat(frames), 0.25))


def test_agreement() -> None:
    """The seed that missed everywhere tells nothing; one got there in torch only."""
    same = environments((2, 3, inf, inf, 5), (2, 5, inf, 4, 5), (2, 4, inf, inf, 5)).iloc[0]
    assert (same["seeds"], same["same"], same["most_apart"], same["some_only"]) == (4, 2, 2, 1)


def test_common_seeds() -> None:
    assert environments((2, 3, 4), (2,))["seeds"].tolist() == [1]
    assert environments((2, 3)).empty, "one environment has nothing to be compared with"


def train(*epochs: float, backend: Any = "jax", stopped: bool = False) -> list[Accuracy]:
    return [
        make_accuracy(
            make_cell(backend),
            seed=seed,
            patience=-1,
            val_loss=[0.2 if number >= epoch else 2.0 for number in range(1, 41)],
        ).model_copy(update={"stopped_early": stopped})
        for seed, epoch in enumerate(epochs)
    ]


def test_table() -> None:
    timed = make_processes(make_cell(), seconds=(0.1,) * 6)
    jax, torch = (
        TABLES["target"](select_all(*train(*range(10, 20)), *train(5, *[inf] * 9, backend="torch"), *timed))
        .frame.set_index("environment")
        .to_dict("index")
        .values()
    )
    assert (jax["reached_of"], jax["epochs"], jax["same_of"]) == ("10 of 10", 14.5, "0 of 10")
    assert jax["train_s"] == pytest.approx(1.45)
    assert (torch["reached_of"], torch["epochs"]) == ("1 of 10", inf) and np.isnan(torch["train_s"])


def test_notes() -> None:
    text = " ".join(TABLES["target"](select_all(*train(*[5] * 8, inf, inf))).notes)
    assert "2 of 10 trainings did not reach it within 40 epochs." in text
    assert "not timed" in text and "validation after every epoch" in text and "too few" not in text
    text = " ".join(TABLES["target"](select_all(*train(5, inf, stopped=True))).notes)
    assert "1 of them stopped early" in text and "2 seeds are too few: train at least 10." in text
    pairs = select_all(*train(5, 6, 7, inf), *train(5, 6, 9, 8, backend="torch"))
    text = " ".join(TABLES["target"](pairs).notes)
    assert "2 of 4. Others are at most 2 epochs apart. 1 seed reached it on some backends only." in text
