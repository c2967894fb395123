"""A user's own models and tasks, inside a backend's process: what runs, what is refused, and where it starts."""

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import make_cell

from bench.measure.parity import OWN_LIMITS, compare
from bench.plan.cells import Group, Settings
from bench.plan.timing import Timing
from bench.records.schema import Accuracy
from bench.worker import messages
from bench.worker.__main__ import Server
from seqsum_core.parity_case import TrainingCase
from seqsum_core.settings import TaskSettings, TrainingSettings, VariantSettings
from seqsum_core.tasks import fresh_rows

pytestmark = pytest.mark.backend

GOOD = [
    *("uncompiled", "any_length", "embedding_mask", "own_cell", "stacked_cells", "conv_lstm", "no_recurrence"),
    "unrolled_dropout",
]
TRAINED = [
    *("compiled", "without_input", "Subclassed", "own_step", "dropout_and_norm", "schedule", "penalties"),
    *("half_precision", "stateful"),
]
"""Good ones that have weights, states or steps of another kind."""
SUM = TaskSettings(source="generated", sequences=180, test_share=0.11, validation_share=0.125)
"""140 fitted, 20 validation and 20 test rows."""
LENGTH = 4


@pytest.fixture(scope="module", autouse=True)
def backend() -> Any:
    return pytest.importorskip("keras", exc_type=ImportError).backend.backend()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """Return a server that judges trainings on 100 fresh rows: in batches of 20 all of them take long."""
    monkeypatch.setattr("bench.worker.accuracy.fresh_rows", partial(fresh_rows, rows=100))
    return Server(io.StringIO(), process_start_s=0.0, import_s=0.0)


def group(model: str, task: TaskSettings = SUM, seeds: tuple[int, ...] = (0,), **variant: Any) -> Group:
    training = TrainingSettings(batch_size=20, epochs=1, patience=-1)
    timing = Timing(warmup_epochs=0, turn_s=0.0, warmup_s=0.0, control="none")
    settings = Settings(task=task, training=training, timing=timing)
    return Group(cell=make_cell(model=model, length=LENGTH, **variant), seeds=seeds, settings=settings)


def check(server: Server, asked: Any, folder: Path | None = None, **fields: Any) -> Any:
    trial = asked.trials[0]
    return server.reply(messages.Check(trial=trial, seeds=asked.seeds, starts=folder, **fields))


def train(server: Server, asked: Any, folder: Path | None) -> Accuracy:
    reply = server.reply(messages.Train(group=asked, starts=folder))
    assert isinstance(reply, messages.Trained), reply
    (record,) = reply.records
    assert isinstance(record, Accuracy), record
    return record


@pytest.mark.parametrize("name", [*GOOD, *TRAINED])
def test_models(server: Server, tmp_path: Path, name: str, backend: str) -> None:
    """They run from the start that was drawn once, and say what they are trained with."""
    asked = group(f"own_models:{name}")
    checked = check(server, asked, tmp_path)
    if (name, backend) == ("stateful", "torch"):  # Keras 3.15.1 changes the states of such a layer in place
        assert isinstance(checked, messages.Error) and "must train on a batch" in checked.reason
        assert "modified by an inplace operation" in checked.reason
        return
    assert isinstance(checked, messages.Checked), checked
    with np.load(next(tmp_path.glob("*.npz"))) as start:
        assert tuple(start[f"0/{place}"].shape for place in range(len(checked.shapes))) == checked.shapes
    losses = {"schedule": "huber_loss", "penalties": "mean_squared_error + penalties"}
    assert checked.loss_name == losses.get(name, "mean_squared_error")
    assert checked.compiled == (name in ("compiled", "schedule"))
    if name in TRAINED:
        record = train(server, asked, tmp_path)
        assert record.start == "shared" and len(record.start_hash) == 12
        assert record.loss_name == checked.loss_name


def test_start_is_the_models_own(server: Server, tmp_path: Path) -> None:
    """An identity and a bias of zero are not drawn over."""
    for name, place, value in (("identity_start", 1, np.eye(3)), ("no_forget_bias", 2, np.zeros(12))):
        assert isinstance(check(server, group(f"own_models:{name}"), tmp_path), messages.Checked)
        with np.load(tmp_path / f"own_models.{name}-{LENGTH}.npz") as start:
            np.testing.assert_array_equal(start[f"0/{place}"], value)


def test_seeds_start_apart(server: Server, tmp_path: Path) -> None:
    """From what the file has for each: if its seeds change places, the starts do."""
    asked = group("own_models:uncompiled", seeds=(0, 1))
    assert isinstance(check(server, asked, tmp_path), messages.Checked)
    alone = [asked.model_copy(update={"seeds": (seed,)}) for seed in (0, 1)]
    first, second = (train(server, each, tmp_path).start_hash for each in alone)
    (file,) = tmp_path.glob("*.npz")
    with np.load(file) as starts:
        np.savez(file, **{f"{1 - int(name[0])}{name[1:]}": starts[name] for name in starts.files})
    assert first != second and [train(server, each, tmp_path).start_hash for each in alone] == [second, first]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("no_model", "must return a keras.Model. Received: 'str'"),
        ("wrong_output", "must output shape (batch, 1). Received: ('batch', 2). End it with Dense(1)."),
        ("two_outputs", "must have one output. Received: '2 in a list'"),
        ("wrong_input", "must read the task's inputs: shape (batch, 4, 1)."),
        ("other_name", "must log \"loss\": its test_step is its own. Received: 'loss, val_objective'"),
        ("not_finite", "must have a finite loss on its first batch"),
        ("broken", "failed for length 4: RuntimeError: the user's own mistake (own_models.py, line "),
        ("exits", "failed for length 4: SystemExit: usage: mine.py FILE"),
        ("shared", "must return a new model with each call"),
        ("shared_optimizer", "its optimizer shared by two calls"),
        ("equal_starts", "must start elsewhere for each seed. Received: 'equal weights for seeds 0 to 1'"),
        ("nothing", "has no function `nothing`"),
    ],
)
def test_refused_models(server: Server, tmp_path: Path, name: str, rule: str) -> None:
    reply = check(server, group(f"own_models:{name}", seeds=(0, 1)), tmp_path)
    assert isinstance(reply, messages.Error) and reply.fault == "user" and rule in reply.reason
    assert "\n" not in reply.reason and f"own_models:{name}" in reply.reason


@pytest.mark.parametrize(
    ("variant", "name", "rule"),
    [
        ({"jit_compile": True}, "compiled", "`jit_compile` does not reach"),
        ({"dtype": "mixed_bfloat16"}, "half_precision", ""),
        ({"implementation": "fused"}, "no_recurrence", "no layer that can be fused"),
        ({"implementation": "fused"}, "stack", ""),
    ],
)
def test_settings_reach_the_model_or_are_refused(server: Server, variant: Any, name: str, rule: str) -> None:
    reply = check(server, group(f"own_models:{name}"), variants=(VariantSettings(**variant),))
    assert rule in reply.reason if rule else isinstance(reply, messages.Checked)


def test_fixed_batch_size(server: Server) -> None:
    """Rows that would be left over are refused with their numbers."""
    odd = TaskSettings(source="generated", sequences=185)
    reply = check(server, group("own_models:stateful", odd))
    assert reply.fault == "user" and "fixed batch size of 20" in reply.reason and "'test': 19" in reply.reason


@pytest.mark.parametrize(
    ("model", "task", "judge"),
    [
        ("two_inputs", "two_arrays", "error"),
        ("tokens", "token_rows", "error"),
        ("classes_compiled", "three_classes", "class"),
    ],
)
def test_own_tasks(server: Server, tmp_path: Path, model: str, task: str, judge: str) -> None:
    asked = group(f"own_models:{model}", TaskSettings(name=f"own_models:{task}"))
    checked = check(server, asked, tmp_path)
    assert isinstance(checked, messages.Checked) and checked.task, checked
    record = train(server, asked, tmp_path)
    assert record.judge == judge and record.test.rows == 9 and record.split_test is None
    assert (record.test.mae is None) == (judge == "class") == (record.test.right_rate is not None)
    judged = server.reply(messages.Judge(task=TaskSettings(name=f"own_models:{task}"), length=LENGTH))
    assert isinstance(judged, messages.Judged) and len(judged.baselines) == 2


def test_built_in_models_on_other_tasks(server: Server) -> None:
    for task, length, outputs in (("adding", 4, 1), ("digits", 8, 10), ("own_models:three_classes", 4, 3)):
        cell = make_cell(model="gru", length=length)
        settings = group("gru").settings.model_copy(update={"task": TaskSettings(name=task)})
        record = train(server, Group(cell=cell, seeds=(0,), settings=settings), None)
        assert record.start == "numpy" and record.test.error > 0
        assert all(0 <= value < outputs for value in record.predictions) or outputs == 1


@pytest.mark.parametrize(
    ("task", "rule"),
    [
        ("ragged", "must return inputs as an array of numbers. Received: 'rows of unequal length'"),
        ("unequal", "must return equally many rows of everything. Received: {'inputs': 90, 'targets': 80}"),
        ("other_length", "must return 4 timesteps for length 4"),
        ("words", "must return inputs as an array of numbers"),
        ("holes", "must return finite inputs"),
        ("negative_classes", "whole numbers are classes"),
        ("one_array", "must return inputs and targets. Received: 'ndarray'"),
        ("few", "must have at least 20 fitted rows"),
        ("broken", "failed for length 4"),
    ],
)
def test_refused_tasks(server: Server, task: str, rule: str) -> None:
    reply = check(server, group("lstm", TaskSettings(name=f"own_models:{task}")))
    assert isinstance(reply, messages.Error) and reply.fault == "user" and rule in reply.reason
    assert "\n" not in reply.reason and f"own_models:{task}" in reply.reason


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a file that can be imported as `written`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "written.py"
    import sys

    sys.modules.pop("written", None)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("import argparse\nargparse.ArgumentParser().parse_args(['--no'])", "fails when it is imported: SystemExit: 2"),
        ("import no_such_package", "No module named 'no_such_package' (written.py, line 1)"),
        ("def build(length:\n", "SyntaxError: "),
    ],
)
def test_modules_that_fail(server: Server, module: Path, text: str, rule: str) -> None:
    """A module inside the user's that is missing is told from one that is misspelt."""
    module.write_text(text)
    reply = check(server, group("written:build"))
    assert reply.fault == "user" and rule in reply.reason and "\n" not in reply.reason


def test_module_that_reads_the_command_line_and_prints(server: Server, module: Path) -> None:
    module.write_text(
        "import argparse\nargparse.ArgumentParser().parse_args()\nprint('hello')\nfrom own_models import uncompiled\n"
    )
    assert isinstance(check(server, group("written:uncompiled")), messages.Checked)


def test_wrapped_module_of_torch(server: Server, tmp_path: Path, backend: str) -> None:
    if backend != "torch":
        pytest.skip("PyTorch's modules run on PyTorch")
    asked = group("own_models:wrapped_torch")
    assert isinstance(check(server, asked, tmp_path), messages.Checked)
    assert train(server, asked, tmp_path).start == "shared"


def test_parity_of_a_training(server: Server, tmp_path: Path) -> None:
    """The first step and the curve of a training start from the weights that were drawn once."""
    asked = group("own_models:stack", seeds=(0,))
    assert isinstance(check(server, asked, tmp_path), messages.Checked)
    start = str(tmp_path / f"own_models.stack-{LENGTH}.npz")
    settings = asked.settings
    case = TrainingCase(model="own_models:stack", task=SUM, length=LENGTH, training=settings.training, start=start)
    first, again = (server.reply(messages.Parity(case=case)) for _ in range(2))
    assert isinstance(first, messages.ParityDone) and isinstance(again, messages.ParityDone), first
    assert [each.check for each in first.quantities].count("gradient") == 8
    assert all(row["passed"] for row in compare("b", "c", again.quantities, first.quantities, OWN_LIMITS))
    with np.load(start) as arrays:
        np.testing.assert_array_equal(first.quantities[0].array(), arrays["0/0"])
