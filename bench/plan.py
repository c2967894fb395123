"""What is measured: a sweep, the cells it holds and the trials they make, in order.

Pure: reads nothing, starts nothing. A sweep is what a sweep file says (`bench.sweeps` reads it).
"""

import random
from difflib import get_close_matches
from itertools import product
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from seqsum_core.settings import MODELS, NetworkSettings, TaskSettings, TrainingSettings, VariantSettings
from seqsum_core.start import GATES
from seqsum_core.task import check_length

BackendName = Literal["jax", "torch", "tensorflow"]
Backend = Annotated[BackendName, BeforeValidator(lambda name: "tensorflow" if name == "tf" else name)]
Device = Literal["cpu", "gpu"]
BACKENDS: tuple[BackendName, ...] = ("jax", "torch", "tensorflow")


def check_choice(value: str, choices: tuple[str, ...], what: str) -> str:
    """Return the value, or name the rule and the nearest choice.

    Raises:
        ValueError: if the value is not among the choices.
    """
    if value in choices:
        return value
    near = get_close_matches(value, choices, n=1)
    hint = f"Did you mean {near[0]}?" if near else "Choose one of them."
    raise ValueError(f"`{what}` must be one of {', '.join(choices)}. Received: {value!r}. {hint}")


def check_model(name: str) -> str:
    """Accept a known model or `package.module:function`.

    Raises:
        ValueError: for any other name.
    """
    if ":" in name:
        return name
    try:
        return check_choice(name, MODELS, "model")
    except ValueError as error:
        raise ValueError(f"{error} A model of your own is written package.module:function.") from None


ModelName = Annotated[str, AfterValidator(check_model)]


class Frozen(BaseModel):
    """A value that cannot change and knows no other fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class Timing(Frozen):
    """How the speed of a cell is measured.

    Args:
        processes: fresh processes a cell is timed in.
        warmup_epochs: epochs after the first one that are kept but not counted.
        steady_epochs: the fewest counted epochs.
        steady_s: seconds the counted epochs shall last together, at least.
        most_epochs: where the timed fit ends at the latest.
        validations: timed calls of `evaluate`, the first of which compiles.
        repeats: how often a disturbed trial is measured again.
        threads: "one" pins a worker to one core with one thread; "default" leaves both alone.
        limit_s: a worker that is silent for so long is ended, and its trial has failed.
    """

    processes: Annotated[int, Field(ge=1)] = 1
    warmup_epochs: Annotated[int, Field(ge=0)] = 2
    steady_epochs: Annotated[int, Field(ge=1)] = 10
    steady_s: Annotated[float, Field(gt=0)] = 2.0
    most_epochs: Annotated[int, Field(ge=1)] = 1000
    validations: Annotated[int, Field(ge=2)] = 6
    repeats: Annotated[int, Field(ge=0)] = 1
    threads: Literal["one", "default"] = "one"
    limit_s: Annotated[float, Field(gt=0)] = 600.0

    @model_validator(mode="after")
    def _epochs_must_fit(self) -> Self:
        least = 1 + self.warmup_epochs + self.steady_epochs
        if self.most_epochs < least:
            raise ValueError(
                f"`most_epochs` must hold the first epoch, the warm-up and the steady epochs, {least}. "
                f"Received: {self.most_epochs}. Raise it."
            )
        return self


class Cell(Frozen):
    """One thing that is measured: a model at a length on a backend."""

    backend: Backend
    device: Device
    model: str
    length: int
    variant: VariantSettings = VariantSettings()

    def __str__(self) -> str:
        return f"{self.backend} {self.model} {self.length}"


class Settings(Frozen):
    """Everything but the axes: equal settings make records of two runs comparable."""

    task: TaskSettings = TaskSettings()
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    timing: Timing = Timing()


class Trial(Frozen):
    """One cell, measured once in one process.

    Args:
        kind: what is measured; the two are never measured in one fit.
        cell: where.
        index: the seed of an accuracy trial, the number of the process of a speed trial.
        settings: how.
    """

    kind: Literal["speed", "accuracy"]
    cell: Cell
    index: int
    settings: Settings

    def __str__(self) -> str:
        index = f"seed {self.index}" if self.kind == "accuracy" else f"process {self.index + 1}"
        return f"{self.kind} {self.cell} {index}"


REPLICAS: dict[Device, int] = {"cpu": 50, "gpu": 1024}
REPLICA_BYTES: dict[Device, float] = {"cpu": 1.5e9, "gpu": 2e10}
"""How many seeds are trained at once, and the memory that they may take: docs/replicas.md says why."""


def replica_bytes(cell: Cell, settings: Settings) -> float:
    """Guess the memory one replica takes in training: what each timestep keeps for the gradient, and the weights.

    Source: peaks of whole processes on three backends, docs/replicas.md; the largest, rounded up.
    """
    network, training = settings.network, settings.training
    kept = {"simple_rnn": 6, "lstm": 30, "gru": 30}[cell.model] * training.batch_size * cell.length
    weights_and_optimizer = 4 * GATES[cell.model] * network.units
    return 4.0 * network.layers * network.units * (kept + weights_and_optimizer)


class Group(Frozen):
    """Accuracy trials that differ in their seed only, for one worker to train together.

    Args:
        cell: where.
        seeds: which.
        settings: how.
    """

    cell: Cell
    seeds: tuple[int, ...]
    settings: Settings

    @property
    def trials(self) -> list[Trial]:
        """Return the trials."""
        return [Trial(kind="accuracy", cell=self.cell, index=seed, settings=self.settings) for seed in self.seeds]

    @property
    def at_once(self) -> int:
        """Return how many seeds are trained as one Keras model; 1 for a model of the user's own."""
        if self.cell.model not in MODELS:
            return 1
        wanted = self.settings.training.replicas
        fitting = int(REPLICA_BYTES[self.cell.device] / replica_bytes(self.cell, self.settings))
        return max(1, min(REPLICAS[self.cell.device] if wanted == "auto" else wanted, fitting))

    @property
    def together(self) -> bool:
        """Tell whether these seeds are trained as one Keras model."""
        return min(len(self.seeds), self.at_once) > 1

    def split(self) -> list["Group"]:
        """Return groups of seeds that are trained at once."""
        size = self.at_once
        parts = [self.seeds[first : first + size] for first in range(0, len(self.seeds), size)]
        return [self.model_copy(update={"seeds": part}) for part in parts]

    def __str__(self) -> str:
        if len(self.seeds) == 1:
            return str(self.trials[0])
        return f"accuracy {self.cell} seeds {self.seeds[0]} to {self.seeds[-1]}"


class Sweep(Settings):
    """All cells of a run."""

    backends: tuple[Backend, ...] = Field(BACKENDS, min_length=1)
    device: Device = "cpu"
    models: tuple[ModelName, ...] = Field(("simple_rnn", "lstm"), min_length=1)
    lengths: tuple[int, ...] = Field(min_length=1)
    seeds: int = Field(3, ge=1)
    variant: VariantSettings = VariantSettings()

    @model_validator(mode="after")
    def _parts_must_fit(self) -> Self:
        for length in self.lengths:
            check_length(self.task, length)
        if not (self.task.fitted_rows and self.task.validation_rows):
            raise ValueError(
                "`sequences` must leave rows to fit and to validate. "
                f"Received: {self.task.sequences}. Draw more, or change the shares."
            )
        if self.training.batch_size > self.task.fitted_rows:
            raise ValueError(
                f"`batch_size` must be at most the number of fitted rows, {self.task.fitted_rows}. "
                f"Received: {self.training.batch_size}. Lower it, or draw more `sequences`."
            )
        return self

    @property
    def settings(self) -> Settings:
        """Return the sweep without its axes."""
        return Settings(task=self.task, network=self.network, training=self.training, timing=self.timing)

    def blocks(self) -> list[list[Cell]]:
        """Group the cells that differ in backend only, shortest first."""
        return [
            [
                Cell(backend=backend, device=self.device, model=model, length=length, variant=self.variant)
                for backend in dict.fromkeys(self.backends)
            ]
            for length, model in product(sorted(set(self.lengths)), dict.fromkeys(self.models))
        ]

    def speed_trials(self) -> list[Trial]:
        """Order the speed trials: every block once per process, its backends shuffled each time."""
        order = random.Random(0)
        return [
            Trial(kind="speed", cell=cell, index=process, settings=self.settings)
            for process in range(self.timing.processes)
            for block in self.blocks()
            for cell in order.sample(block, len(block))
        ]

    def accuracy_groups(self) -> list[Group]:
        """Order the accuracy trials: the long ones first, so that no worker is left with one.

        A group holds as many seeds as are trained as one model; a model of the user's own cannot be.
        """
        return [
            group
            for block in reversed(self.blocks())
            for cell in block
            for group in Group(cell=cell, seeds=tuple(range(self.seeds)), settings=self.settings).split()
        ]

    def accuracy_trials(self) -> list[Trial]:
        """Return the accuracy trials of all groups."""
        return [trial for group in self.accuracy_groups() for trial in group.trials]
