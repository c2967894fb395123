"""Trials that are not timed, on a real backend: what is trained and judged, and how the worker replies."""

import io
import json
import re
from typing import Any

import pytest

from bench.plan.cells import Cell, Group, Settings
from bench.records.schema import Accuracy
from bench.worker.__main__ import Server
from bench.worker.messages import Check, Checked, Error, Train, Trained
from seqsum_core.settings import TaskSettings, TrainingSettings

pytestmark = pytest.mark.backend


@pytest.fixture
def accuracy() -> Any:
    return pytest.importorskip("bench.worker.accuracy", exc_type=ImportError)


def make_group(
    *, model: str = "simple_rnn", seeds: tuple[int, ...] = (0,), training: TrainingSettings | None = None
) -> Group:
    import keras

    cell = Cell(environment=keras.backend.backend(), device="cpu", model=model, length=4)
    settings = Settings(training=training or TrainingSettings(epochs=2))
    return Group(cell=cell, seeds=seeds, settings=settings)


def train(accuracy: Any, **fields: Any) -> list[Any]:
    records: list[Any] = accuracy.train_group(make_group(**fields), report=lambda _: None)
    return records


def test_record(accuracy: Any) -> None:
    (record,) = train(accuracy)
    assert record.trained_as == "alone" and record.memory.steps_back == (0, 1, 2, 3)
    assert record.start == "numpy" and len(record.loss) == len(record.val_loss) == 2
    assert record.targets == (4, 0, 8, 0, 7, 5) and len(record.predictions) == 6
    assert sum(errors.rows for errors in record.test_by_length.values()) == record.test.rows == 20_000
    weighted = sum(errors.rows * errors.error for errors in record.test_by_length.values()) / 20_000
    assert weighted == pytest.approx(record.test.error)
    assert record.split_test.rows == 200 and record.split_test.error == pytest.approx(record.test.error, rel=0.3)


def test_own_model_is_started_by_keras(accuracy: Any) -> None:
    (record,) = train(accuracy, model="own_models:uncompiled")
    assert record.start == "keras" and record.memory is None


def test_seeds_together_are_as_alone(accuracy: Any) -> None:
    training = TrainingSettings(epochs=3, patience=(0, -1))
    together = train(accuracy, seeds=(0, 1), training=training)
    assert [(record.seed, record.patience) for record in together] == [(0, 0), (0, -1), (1, 0), (1, -1)]
    alone = train(accuracy, seeds=(0,), training=training) + train(accuracy, seeds=(1,), training=training)
    for single, replica in zip(alone, together, strict=True):
        assert (single.trained_as, replica.trained_as) == ("alone", "replica")
        assert single.val_loss == pytest.approx(replica.val_loss, rel=1e-5)
        assert single.test.error == pytest.approx(replica.test.error, rel=1e-5)
        assert single.split_test.error == pytest.approx(replica.split_test.error, rel=1e-5)
        assert single.memory.moved == pytest.approx(replica.memory.moved, rel=1e-3, abs=1e-4)


def test_each_seed_with_its_own_data(accuracy: Any) -> None:
    """Together and alone alike: seed 1 has the same rows and so the same losses."""
    redrawn = Settings(task=TaskSettings(source="generated", redraw=True), training=TrainingSettings(epochs=2))
    pair, one = (
        make_group(seeds=seeds, training=redrawn.training).model_copy(update={"settings": redrawn})
        for seeds in ((0, 1), (1,))
    )
    first, second = accuracy.train_group(pair, report=lambda _: None)
    (alone,) = accuracy.train_group(one, report=lambda _: None)
    assert second.targets == alone.targets != first.targets
    assert second.val_loss == pytest.approx(alone.val_loss, rel=1e-5)
    assert second.test.error == pytest.approx(alone.test.error, rel=1e-5)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_diverging_training_names_its_epoch(accuracy: Any, seeds: tuple[int, ...]) -> None:
    training = TrainingSettings(optimizer="sgd", learning_rate=1e30, epochs=3, patience=-1)
    failures = train(accuracy, seeds=seeds, training=training)
    assert [(failure.index, failure.fault) for failure in failures] == [(seed, "not finite") for seed in seeds]
    assert all(re.match(r"the loss of epoch \d is not finite", failure.reason) for failure in failures)


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ((0, 1), ["build", "fit", "fit, epoch 1", "fit, epoch 2", "predict", "judge"]),
        ((5,), ["build", "fit, seed 5", "fit, seed 5, epoch 1", "fit, seed 5, epoch 2", "judge"]),
    ],
)
def test_server_trains_a_group(accuracy: Any, seeds: tuple[int, ...], expected: list[str]) -> None:
    """It says a word after each epoch, so that no limit of silence ends a long training."""
    printed = io.StringIO()
    reply = Server(printed, process_start_s=0.0, import_s=0.0).reply(Train(group=make_group(seeds=seeds)))
    assert [json.loads(line)["phase"] for line in printed.getvalue().splitlines()] == expected
    assert isinstance(reply, Trained) and all(isinstance(record, Accuracy) for record in reply.records)


def test_wrong_model(accuracy: Any) -> None:
    server = Server(io.StringIO(), process_start_s=0.0, import_s=0.0)
    wrong = make_group(model="own_models:wrong_output")
    checked = [server.reply(Check(trial=group.trials[0])) for group in (make_group(), wrong)]
    assert checked[0] == Checked() and isinstance(checked[1], Error) and checked[1].fault == "user"
    assert "must output shape" in checked[1].reason
