"""What a backend answers to `seqsum parity`. Imports Keras, and no framework by name.

Gradients are read without a framework's gradient code, from what training does with them: a step of plain gradient
descent with learning rate 1 changes each weight by minus its gradient.
"""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from seqsum_core.nn import models, own
from seqsum_core.nn.training import fit_for_accuracy
from seqsum_core.parity_case import (
    Case,
    ModelCase,
    OptimizerCase,
    Quantity,
    TrainingCase,
    batches,
    case_rows,
    optimizer_batch,
    quantity,
    weight_quantities,
)
from seqsum_core.tasks import batch_order, draw, split

Build = Callable[..., keras.Model]


def compute(case: Case, *, build: Build = models.build) -> list[Quantity]:
    """Compute on this process' backend what `parity_case.reference` computes in float64, or a user's own training.

    Args:
        case: what to compute.
        build: called as `models.build`; the tests pass wrong ones.

    Raises:
        ArithmeticError: if a value is not finite.
    """
    keras.utils.clear_session()
    if isinstance(case, TrainingCase):
        return _training(case)
    if isinstance(case, OptimizerCase):
        return _optimizer_updates(case, build)
    first_step = _first_step(case, build)
    (trained,) = fit_for_accuracy(_started(case, build), case_rows(case), case.training, seed=case.seed)
    return [
        *first_step,
        quantity("curve", "loss", trained.loss),
        quantity("curve", "val_loss", trained.val_loss),
        quantity("output", "test rows", trained.predictions),
    ]


def _started(case: ModelCase, build: Build) -> keras.Model:
    model = build(case.model, length=case.length, network=case.network, training=case.training)
    models.set_start(model, seed=case.seed)
    return model


def _first_step(case: ModelCase, build: Build) -> list[Quantity]:
    """Return the weights, the first batch's loss and its gradients, as weights before minus weights after."""
    model = _started(case, build)
    model.compile(optimizer=keras.optimizers.SGD(learning_rate=1.0), loss="mean_squared_error")
    first = batches(case, case_rows(case).fitted)[0][0]
    before = [weight.astype(np.float64) for weight in model.get_weights()]
    loss = model.train_on_batch(first.inputs(), first.targets())
    gradients = [old - new for old, new in zip(before, model.get_weights(), strict=True)]
    return [
        *weight_quantities("start", before),
        quantity("loss", "first step", [loss]),
        *weight_quantities("gradient", gradients),
    ]


def _training(case: TrainingCase) -> list[Quantity]:
    """Return the start, the loss and gradients of the first step, and the losses and outputs of some epochs."""
    data = split(draw(case.task, length=case.length), case.task)

    def started() -> keras.Model:
        keras.utils.set_random_seed(0)
        model = models.build(case.model, length=case.length, task=data.task, training=case.training)
        if case.start is None:
            models.set_start(model, seed=0)
        else:
            own.set_start(model, own.load_start(Path(case.start), 0), data)
        return model

    model = started()
    model.compile(optimizer=keras.optimizers.SGD(learning_rate=1.0), loss=model.loss)
    before = model.get_weights()
    order = batch_order(len(data.fitted), epochs=1, seed=0)[0][: case.training.batch_size]
    first = data.fitted.take(order)
    loss = model.train_on_batch(first.inputs(), first.targets())
    steps = [old - new for old, new in zip(before, model.get_weights(), strict=True)]
    (trained,) = fit_for_accuracy(started(), data, case.training, seed=0)
    return [
        *(quantity("start", f"weight {place}", array) for place, array in enumerate(before)),
        quantity("loss", "first step", np.ravel(loss)[:1]),
        *(quantity("gradient", f"weight {place}", array) for place, array in enumerate(steps)),
        quantity("curve", "loss", trained.loss),
        quantity("curve", "val_loss", trained.val_loss),
        quantity("output", "test rows", trained.predictions),
    ]


def _optimizer_updates(case: OptimizerCase, build: Build) -> list[Quantity]:
    """Train a linear row with the optimizer that the models are compiled with."""
    inputs, targets = optimizer_batch()
    used = build("simple_rnn", length=2, training=case.training).optimizer
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((inputs.size,)), dense])
    model.compile(optimizer=type(used).from_config(used.get_config()), loss="mean_squared_error")
    updates = []
    for step in range(1, case.steps + 1):
        model.train_on_batch(inputs, targets)
        updates.append(quantity("update", f"step {step}", model.get_weights()[0]))
    return updates
