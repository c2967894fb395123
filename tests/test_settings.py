"""Settings: every rule names its argument, what was received and a remedy."""

import re
from dataclasses import replace
from typing import Any

import pytest

from seqsum_core.settings import NetworkSettings, TaskSettings, TrainingSettings, VariantSettings

GENERATED = TaskSettings(source="generated")
NAN, INF = float("nan"), float("inf")

REFUSED: list[tuple[Any, str, list[Any]]] = [
    (GENERATED, "sequences", [2, 10**9 + 1]),
    (GENERATED, "min_length", [0]),
    (GENERATED, "digits", [(3, 2), (0, 32768), (-32769, 0)]),
    (GENERATED, "seed", [-1]),
    (GENERATED, "test_share", [0.0, 1.0, NAN]),
    (GENERATED, "validation_share", [0.0, 1.0, NAN]),
    (TaskSettings(), "sequences", [100]),
    (TaskSettings(), "min_length", [3]),
    (TaskSettings(), "digits", [(0, 9)]),
    (TaskSettings(), "seed", [15]),
    (NetworkSettings(), "units", [0]),
    (NetworkSettings(), "layers", [0]),
    (TrainingSettings(), "learning_rate", [0.0, -0.1, NAN, INF]),
    (TrainingSettings(), "batch_size", [0]),
    (TrainingSettings(), "epochs", [0]),
    (TrainingSettings(), "replicas", [0]),
    (TrainingSettings(), "patience", [(), (0, 0)]),
    (VariantSettings(), "steps_per_execution", [0]),
    (VariantSettings(), "devices", [0]),
    (VariantSettings(), "units", [0]),
]
ACCEPTED: list[tuple[Any, dict[str, Any]]] = [
    (GENERATED, {"sequences": 3, "min_length": 1, "digits": (-32768, 32767), "seed": 0}),
    (GENERATED, {"digits": (5, 5)}),
    (TaskSettings(), {"padding": "post", "test_share": 0.5, "validation_share": 0.25}),
    (NetworkSettings(), {"units": 1, "layers": 1, "mask": True}),
    (TrainingSettings(), {"batch_size": 1, "epochs": 1, "patience": -1, "replicas": 1}),
    (VariantSettings(), {"steps_per_execution": 1, "jit_compile": False}),
]


@pytest.mark.parametrize(("settings", "argument", "values"), REFUSED)
def test_broken_rule(settings: Any, argument: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValueError) as raised:
            replace(settings, **{argument: value})
        message = str(raised.value)
        assert f"`{argument}`" in message and "\n" not in message
        assert re.search(r"[a-z0-9`\"]\. Received: \S.*\. [A-Z].*\.$", message), message
        assert repr(value) in message.partition("Received: ")[2]


@pytest.mark.parametrize(("settings", "changes"), ACCEPTED)
def test_values_at_the_edge_of_a_rule(settings: Any, changes: dict[str, Any]) -> None:
    changed = replace(settings, **changes)
    assert {name: getattr(changed, name) for name in changes} == changes


def test_defaults_are_those_of_the_article() -> None:
    task, training, network = TaskSettings(), TrainingSettings(), NetworkSettings()
    assert (task.sequences, task.min_length, task.digits, task.seed) == (2000, 2, (0, 3), 14)
    assert task.sizes(task.sequences) == (1620, 180, 200)
    assert (training.optimizer, training.batch_size, training.epochs, training.patiences) == ("rmsprop", 100, 100, (0,))
    assert (network.units, network.layers, network.mask) == (16, 1, False)


def test_variant_is_named_by_what_differs() -> None:
    assert str(VariantSettings()) == "default"
    changed = VariantSettings(implementation="fused", jit_compile=False, units=32, batching="exact")
    assert str(changed) == "fused, jit_compile false, units 32, exact"
