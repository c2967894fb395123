"""What is measured: a sweep, the cells it holds and the trials they make, in order.

Pure: reads nothing, starts nothing. A sweep is what a sweep file says (`bench.sweeps` reads it).
"""

import random
from dataclasses import replace
from itertools import product
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from bench.frozen import Frozen
from bench.names import check_choice
from bench.protocol import Limits, Runtime, Threads, Timing
from bench.variants import Axes
from seqsum_core.settings import MODELS, RECURRENCES, NetworkSettings, TaskSettings, TrainingSettings, VariantSettings
from seqsum_core.start import GATES
from seqsum_core.task import check_length

BackendName = Literal["jax", "torch", "tensorflow"]
Backend = Annotated[BackendName, BeforeValidator(lambda name: "tensorflow" if name == "tf" else name)]
Device = Literal["cpu", "gpu"]
BACKENDS: tuple[BackendName, ...] = ("jax", "torch", "tensorflow")


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
Recurrence = Annotated[str, AfterValidator(lambda name: check_choice(name, RECURRENCES, "expect"))]


DEFAULT = "default"
Rival = Annotated[str, Field(pattern=r"^(jax|torch|tensorflow)@[\w.+-]+$")]
"""A second installation of a backend, which is timed in turns with the first one: BACKEND@NAME."""


def side_of(backend: str, installation: str) -> str:
    """Return the backend, and the name of the installation unless it is the default one."""
    return backend if installation == DEFAULT else f"{backend}@{installation}"


class Cell(Frozen):
    """One thing that is measured: a model at a length on a backend.

    Args:
        installation: which of several interpreters with this backend; the others are timed only.
    """

    backend: Backend
    device: Device
    model: str
    length: int
    variant: VariantSettings = VariantSettings()
    threads: Threads = 1
    installation: str = DEFAULT

    @property
    def side(self) -> str:
        """Return the name under which this installation of a backend is compared."""
        return side_of(self.backend, self.installation)

    def __str__(self) -> str:
        threads = {1: "", "default": " default threads"}.get(self.threads, f" {self.threads} threads")
        variant = "" if self.variant == VariantSettings() else f" ({self.variant})"
        return f"{self.side} {self.model} {self.length}{threads}{variant}"


class Settings(Frozen):
    """Everything but the axes: equal settings make records of two runs comparable."""

    task: TaskSettings = TaskSettings()
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    timing: Timing = Timing()
    runtime: Runtime = Runtime()

    def of(self, variant: VariantSettings) -> "Settings":
        """Return these settings with those that a variant sets for itself."""
        network, training = self.network, self.training
        units = network.units if variant.units is None else variant.units
        mask = network.mask if variant.mask is None else variant.mask
        batch_size = training.batch_size if variant.batch_size is None else variant.batch_size
        changed = {
            "network": replace(network, units=units, mask=mask),
            "training": replace(training, batch_size=batch_size),
        }
        return self.model_copy(update=changed)


class Trial(Frozen):
    """One cell, measured once in one process.

    Args:
        kind: what is measured; the two are never measured in one fit.
        cell: where.
        index: the seed of an accuracy trial, the number of the process of a speed trial.
        settings: how.
        twin: whether it is the control: the same cell timed once more, as if it were another.
        expect: the recurrent path that must run, or None; another one is a failure.
    """

    kind: Literal["speed", "accuracy"]
    cell: Cell
    index: int
    settings: Settings
    twin: bool = False
    expect: Recurrence | None = None

    def __str__(self) -> str:
        index = f"seed {self.index}" if self.kind == "accuracy" else f"process {self.index + 1}"
        return f"{self.kind} {self.cell} {index}" + (" (control)" if self.twin else "")


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
        variant = self.cell.variant
        if self.cell.model not in MODELS or (variant.dtype, variant.batching) != ("float32", "padded"):
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
    threads: tuple[Threads, ...] = Field((1,), min_length=1)
    seeds: int = Field(3, ge=0)
    variant: VariantSettings = VariantSettings()
    axes: Axes = Axes()
    rivals: tuple[Rival, ...] = ()
    expect: Recurrence | None = None
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _parts_must_fit(self) -> Self:
        for length in self.lengths:
            check_length(self.task, length)
        if not (self.task.fitted_rows and self.task.validation_rows):
            raise ValueError(
                "`sequences` must leave rows to fit and to validate. "
                f"Received: {self.task.sequences}. Draw more, or change the shares."
            )
        largest = max(self.settings.of(variant).training.batch_size for variant in self.variants)
        if largest > self.task.fitted_rows:
            raise ValueError(
                f"`batch_size` must be at most the number of fitted rows, {self.task.fitted_rows}. "
                f"Received: {largest}. Lower it, or draw more `sequences`."
            )
        if strange := [rival for rival in self.rivals if rival.partition("@")[0] not in self.backends]:
            raise ValueError(
                f"`rivals` must be installations of a backend that is measured. Received: {strange[0]!r}. "
                "Add that backend, or leave it out."
            )
        if self.expect == "cudnn" and self.device == "cpu":
            raise ValueError("`expect` cannot be cudnn on a CPU. Received: 'cudnn'. Use --device gpu.")
        return self

    @property
    def settings(self) -> Settings:
        """Return the sweep without its axes."""
        return Settings(**{name: getattr(self, name) for name in Settings.model_fields})

    @property
    def variants(self) -> tuple[VariantSettings, ...]:
        """Return every way in which a cell is timed; the first one is that which the others are compared with."""
        return self.axes.variants(self.variant)

    @property
    def trained_variants(self) -> tuple[VariantSettings, ...]:
        """Return every way in which a cell is trained for accuracy: by Keras, without the axes but that of batches.

        What the other axes change is mostly the speed; which rows come together changes what is learnt.
        """
        usual = replace(self.variant, implementation="keras", devices=1)
        return tuple(dict.fromkeys(replace(usual, batching=variant.batching) for variant in self.variants))

    def blocks(self) -> list[list[Cell]]:
        """Group the cells that are measured in turns: all of one length, shortest first."""
        return [
            [
                Cell(
                    backend=backend,
                    device=self.device,
                    model=model,
                    length=length,
                    variant=variant,
                    threads=threads,
                    installation=installation,
                )
                for model, backend, threads, variant in product(
                    dict.fromkeys(self.models),
                    dict.fromkeys(self.backends),
                    dict.fromkeys(self.threads),
                    self.variants,
                )
                for installation in self.installations(backend)
            ]
            for length in sorted(set(self.lengths))
        ]

    def installations(self, backend: BackendName) -> list[str]:
        """Return the names of a backend's installations, the default one first."""
        sides = (rival.split("@") for rival in dict.fromkeys(self.rivals))
        return [DEFAULT, *(name for of_backend, name in sides if of_backend == backend)]

    def cells(self) -> list[Cell]:
        """Return the cells of all blocks."""
        return [cell for block in self.blocks() for cell in block]

    def turns(self, block: list[Cell], *, process: int) -> list[Trial]:
        """Return what is measured in turns by one fresh process of each cell, in an order of its own.

        Args:
            block: cells that are measured together.
            process: which of the fresh processes, from 0.

        Returns:
            A trial of each cell, and a second one of those that are controls.
        """
        alike = [
            cell
            for cell in block
            if (cell.model, cell.variant, cell.installation) == (block[0].model, block[0].variant, DEFAULT)
        ]
        twins = alike if self.timing.control != "none" else []
        if self.timing.control == "one":
            twins = [twins[sorted(set(self.lengths)).index(block[0].length) % len(twins)]]
        trials = [
            Trial(
                kind="speed",
                cell=cell,
                index=process,
                settings=self.settings.of(cell.variant),
                twin=twin,
                expect=self.expect,
            )
            for twin, cells in ((False, block), (True, twins))
            for cell in cells
        ]
        return random.Random(f"{process} {block[0]}").sample(trials, len(trials))

    def speed_trials(self) -> list[Trial]:
        """Return the trials of every block, once for each process; a wave of all blocks comes before the next."""
        return [
            trial
            for process in range(self.timing.processes)
            for block in self.blocks()
            for trial in self.turns(block, process=process)
        ]

    def accuracy_groups(self) -> list[Group]:
        """Order the accuracy trials: the long ones first, so that no worker is left with one.

        A group holds as many seeds as are trained as one model; a model of the user's own cannot be.
        """
        return [
            group
            for cell in self.trained_cells()
            for group in Group(
                cell=cell, seeds=tuple(range(self.seeds)), settings=self.settings.of(cell.variant)
            ).split()
        ]

    def trained_cells(self) -> list[Cell]:
        """Return the cells that are trained for accuracy; they are not timed and have one thread."""
        cells = (
            cell.model_copy(update={"threads": 1, "variant": variant})
            for cell in reversed(self.cells())
            for variant in reversed(self.trained_variants)
            if cell.installation == DEFAULT
        )
        return list(dict.fromkeys(cells)) if self.seeds else []

    def accuracy_trials(self) -> list[Trial]:
        """Return the accuracy trials of all groups."""
        return [trial for group in self.accuracy_groups() for trial in group.trials]
