"""Trials that are not timed: what a backend's process trains, and how it answers requests."""

import io
import json
import re
from typing import Any

import pytest

from bench.plan.cells import Cell, Group, Settings, Trial
from bench.records.schema import Accuracy
from bench.worker.__main__ import Server
from bench.worker.messages import CheckRequest, Failed, GroupDone, TrainRequest, Wrong
from seqsum_core.settings import TaskSettings, TrainingSettings
from seqsum_core.task import draw, split

pytestmark = pytest.mark.backend


@pytest.fixture
def trials() -> Any:
    return pytest.importorskip("bench.worker.accuracy", exc_type=ImportError)


def make_trial(*, model: str = "simple_rnn", training: TrainingSettings | None = None) -> Trial:
    import keras

    cell = Cell(backend=keras.backend.backend(), device="cpu", model=model, length=4)
    settings = Settings(training=training or TrainingSettings(epochs=2))
    return Trial(kind="accuracy", cell=cell, index=0, settings=settings)


def make_group(
    *, model: str = "simple_rnn", seeds: tuple[int, ...] = (0,), training: TrainingSettings | None = None
) -> Group:
    trial = make_trial(model=model, training=training)
    return Group(cell=trial.cell, seeds=seeds, settings=trial.settings)


def test_accuracy_record_holds_losses_errors_and_predictions(trials: Any) -> None:
    (record,) = trials.measure_group(make_group(), report=lambda _: None)
    assert record.way == "alone" and record.memory.steps_back == (0, 1, 2, 3)
    assert record.start == "numpy" and record.epochs == 2 and len(record.val_loss) == 2
    assert record.sums == (4, 0, 8, 0, 7, 5) and len(record.predictions) == 6
    assert sum(errors.rows for errors in record.test_by_length.values()) == record.test.rows == 200
    weighted = sum(errors.rows * errors.mse for errors in record.test_by_length.values()) / 200
    assert weighted == pytest.approx(record.test.mse)


def test_own_model_of_other_layers_is_marked_as_started_by_keras(trials: Any) -> None:
    (record,) = trials.measure_group(make_group(model="own_models:uncompiled"), report=lambda _: None)
    assert record.start == "keras" and record.memory is None


def test_seeds_trained_together_leave_the_records_of_seeds_trained_alone(trials: Any) -> None:
    training = TrainingSettings(epochs=3, patience=(0, -1))
    together = trials.measure_group(make_group(seeds=(0, 1), training=training), report=lambda _: None)
    assert [(record.seed, record.patience) for record in together] == [(0, 0), (0, -1), (1, 0), (1, -1)]
    for seed in (0, 1):
        alone = trials.measure_group(make_group(seeds=(seed,), training=training), report=lambda _: None)
        for one, other in zip(alone, together[2 * seed :], strict=False):
            assert (one.way, other.way) == ("alone", "replica")
            assert one.val_loss == pytest.approx(other.val_loss, rel=1e-5)
            assert one.test.mse == pytest.approx(other.test.mse, rel=1e-5)
            assert one.memory.moved == pytest.approx(other.memory.moved, rel=1e-3, abs=1e-4)


def test_diverging_training_is_a_failure_that_names_the_epoch(trials: Any) -> None:
    training = TrainingSettings(optimizer="sgd", learning_rate=1e30, epochs=3, patience=-1)
    for seeds in ((0,), (0, 1)):
        failures = trials.measure_group(make_group(seeds=seeds, training=training), report=lambda _: None)
        assert [failure.index for failure in failures] == list(seeds)
        assert all(re.match(r"ArithmeticError: the loss of epoch \d is not finite", one.reason) for one in failures)


def _server(said: io.StringIO) -> Server:
    return Server(said, process_start_s=0.0, import_s=0.0)


def test_worker_answers_a_request_with_phases_and_a_record(trials: Any) -> None:
    said = io.StringIO()
    answer = _server(said).serve(TrainRequest(group=make_group(seeds=(0, 1))))
    phases = [json.loads(line)["phase"] for line in said.getvalue().splitlines()]
    assert phases == ["build", "fit", "fit, epoch 1", "fit, epoch 2", "judge"]
    assert isinstance(answer, GroupDone) and all(isinstance(record, Accuracy) for record in answer.records)


def test_worker_calls_a_wrong_model_wrong_only_when_asked_to_check(trials: Any) -> None:
    trial = make_trial(model="own_models:wrong_output")
    server = _server(io.StringIO())
    assert isinstance(server.serve(CheckRequest(trial=trial)), Wrong)
    group = Group(cell=trial.cell, seeds=(0,), settings=trial.settings)
    failed = server.serve(TrainRequest(group=group))
    assert isinstance(failed, Failed) and "must output shape" in failed.reason


def test_every_way_trains_all_seeds_and_keras_ways_alike(trials: Any) -> None:
    group = make_group(seeds=(0, 1, 2), training=TrainingSettings(epochs=2, patience=-1, replicas=2))
    (replica_s, replica), (alone_s, alone) = (
        trials.time_seeds(group, way, report=lambda _: None) for way in ("replica", "alone")
    )
    assert replica == pytest.approx(alone, rel=1e-5) and len(set(replica)) == 3
    assert replica_s > 0 and alone_s > 0


@pytest.mark.parametrize("model", ["simple_rnn", "lstm", "gru"])
def test_plain_pytorch_learns_the_sums(trials: Any, model: str) -> None:
    import keras

    if keras.backend.backend() != "torch":
        pytest.skip("plain PyTorch is timed where PyTorch is")
    group = make_group(model=model, seeds=(0, 1), training=TrainingSettings(epochs=12, learning_rate=0.01))
    _, val_losses = trials.time_seeds(group, "plain", report=lambda _: None)
    of_the_mean = split(draw(TaskSettings(), length=4), TaskSettings()).validation.sums.var()
    assert len(set(val_losses)) == 2 and max(val_losses) < of_the_mean / 3
