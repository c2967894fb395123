"""Settings: every rule names its argument, what was received and a remedy."""

import re
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from seqsum_core.settings import NetworkSettings, TaskSettings, TrainingSettings, VariantSettings

GENERATED = TaskSettings(source="generated")


@pytest.mark.parametrize(
    ("settings", "argument", "value"),
    [
        (GENERATED, "sequences", 2),
        (GENERATED, "min_length", 0),
        (GENERATED, "digits", (3, 2)),
        (GENERATED, "digits", (0, 32768)),
        (GENERATED, "digits", (-32769, 0)),
        (GENERATED, "seed", -1),
        (GENERATED, "test_share", 0.0),
        (GENERATED, "test_share", 1.0),
        (GENERATED, "test_share", float("nan")),
        (GENERATED, "validation_share", 0.0),
        (GENERATED, "validation_share", 1.0),
        (TaskSettings(), "sequences", 100),
        (TaskSettings(), "min_length", 3),
        (TaskSettings(), "digits", (0, 9)),
        (TaskSettings(), "seed", 15),
        (NetworkSettings(), "units", 0),
        (NetworkSettings(), "layers", 0),
        (TrainingSettings(), "learning_rate", 0.0),
        (TrainingSettings(), "learning_rate", -0.1),
        (TrainingSettings(), "learning_rate", float("nan")),
        (TrainingSettings(), "learning_rate", float("inf")),
        (TrainingSettings(), "batch_size", 0),
        (TrainingSettings(), "epochs", 0),
        (VariantSettings(), "steps_per_execution", 0),
    ],
)
def test_broken_rule_names_argument_received_and_remedy(settings: Any, argument: str, value: object) -> None:
    with pytest.raises(ValueError) as raised:
        replace(settings, **{argument: value})
    message = str(raised.value)
    assert f"`{argument}`" in message
    assert re.search(r"[a-z0-9`]\. Received: \S.*\. [A-Z].*\.$", message), message
    assert repr(value) in message.partition("Received: ")[2]
    assert "\n" not in message


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        (GENERATED, {"sequences": 3}),
        (GENERATED, {"min_length": 1}),
        (GENERATED, {"digits": (5, 5)}),
        (GENERATED, {"digits": (-32768, 32767)}),
        (GENERATED, {"seed": 0}),
        (TaskSettings(), {"padding": "post", "test_share": 0.5, "validation_share": 0.25}),
        (NetworkSettings(), {"units": 1, "layers": 1, "mask": True}),
        (TrainingSettings(), {"batch_size": 1, "epochs": 1, "patience": -1}),
        (VariantSettings(), {"steps_per_execution": 1, "jit_compile": False}),
    ],
)
def test_values_at_the_edge_of_a_rule_are_accepted(settings: Any, changes: dict[str, object]) -> None:
    changed = replace(settings, **changes)
    assert {name: getattr(changed, name) for name in changes} == changes


def test_defaults_are_the_articles() -> None:
    task, training = TaskSettings(), TrainingSettings()
    assert (task.sequences, task.min_length, task.digits, task.seed) == (2000, 2, (0, 3), 14)
    assert (task.test_rows, task.validation_rows, task.fitted_rows) == (200, 180, 1620)
    assert (training.optimizer, training.batch_size, training.epochs, training.patience) == ("rmsprop", 100, 100, 0)
    assert (NetworkSettings().units, NetworkSettings().layers) == (16, 1)


def test_test_rows_are_rounded_up() -> None:
    assert TaskSettings(source="generated", sequences=11, test_share=0.1).test_rows == 2


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        TrainingSettings().epochs = 3  # type: ignore[misc]
