"""What is measured: a cell, its settings, and the trials and groups of trials it is measured in."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, cast

from packaging.version import Version
from pydantic import AfterValidator

from bench.frozen import Frozen
from bench.names import check_choice
from bench.plan.timing import Runtime, Threads, Timing
from seqsum_core.settings import MODELS, RECURRENCES, NetworkSettings, TaskSettings, TrainingSettings, VariantSettings
from seqsum_core.start import GATES

BackendName = Literal["jax", "torch", "tensorflow"]
Device = Literal["cpu", "gpu"]
BACKENDS: tuple[BackendName, ...] = ("jax", "torch", "tensorflow")


def check_model(name: str) -> str:
    """Accept a known model or `package.module:function`; a ValueError for any other name."""
    if ":" in name:
        return name
    try:
        return check_choice(name, MODELS, "model")
    except ValueError as error:
        raise ValueError(f"{error} A model of your own is written package.module:function.") from None


ModelName = Annotated[str, AfterValidator(check_model)]
Recurrence = Annotated[str, AfterValidator(lambda name: check_choice(name, RECURRENCES, "expect"))]
"""A recurrent path that a run may demand."""


ENVIRONMENT = re.compile(r"(jax|torch|tensorflow|tf)(@[\w.+=,!-]+)?")
PACKAGE = re.compile(r"([A-Za-z0-9][\w.-]*)==(\d[\w.+!-]*)")
"""A package with a version, as an environment's name holds it."""


def parse_package(text: str) -> tuple[str, str]:
    """Read PACKAGE==VERSION; a ValueError if it is written otherwise, or the version is none."""
    match = PACKAGE.fullmatch(text.strip())
    if match is None:
        raise ValueError("not PACKAGE==VERSION")
    Version(match[2])
    return match[1], match[2]


def check_environment(name: str) -> str:
    """Return the name of an environment, with tf as tensorflow; a ValueError if it names no backend."""
    backend, at, installation = name.partition("@")
    check_choice(backend, (*BACKENDS, "tf"), "backend")
    if not ENVIRONMENT.fullmatch(name):
        raise ValueError(f"`backend` must be BACKEND or BACKEND@NAME. Received: {name!r}. Write torch@old, say.")
    parts = installation.split(",") if "=" in installation or "," in installation else []
    try:
        names = {parse_package(part)[0] for part in parts}
    except ValueError:
        names = set()
    if len(names) < len(parts):
        rule = "`backend` must exchange packages as BACKEND@PACKAGE==VERSION,PACKAGE==VERSION, each once."
        raise ValueError(f"{rule} Received: {name!r}. Write torch@keras==3.13.2, say.")
    return ("tensorflow" if backend == "tf" else backend) + at + installation


EnvironmentName = Annotated[str, AfterValidator(check_environment)]


NIGHTLY = "-nightly"
"""How the name of the package ends whose wheels are built every night."""


def packages_of(environment: str) -> dict[str, str]:
    """Return the versions of the packages that an environment's name exchanges; none for any other name."""
    return dict(PACKAGE.findall(environment.partition("@")[2]))


def backend_of(environment: str) -> BackendName:
    """Return the backend of an environment: `torch` of `torch@old`."""
    return cast(BackendName, environment.partition("@")[0])


class Cell(Frozen):
    """What is measured: a model at a length in an environment.

    Args:
        environment: an interpreter with its versions: a backend, or BACKEND@NAME for another installation.
        model: a built-in model, or package.module:function.
        length: longest sequence, in timesteps.
        variant: how it is trained where that departs from the settings of the sweep.
        threads: cores and threads of its worker.
    """

    environment: EnvironmentName
    device: Device
    model: str
    length: int
    variant: VariantSettings = VariantSettings()
    threads: Threads = 1

    @property
    def backend(self) -> BackendName:
        """Return the backend of its environment."""
        return backend_of(self.environment)

    @property
    def is_default_installation(self) -> bool:
        """Tell whether its environment is the backend's own, with nothing exchanged and no other interpreter."""
        return "@" not in self.environment

    def __str__(self) -> str:
        threads = {1: "", "default": " default threads"}.get(self.threads, f" {self.threads} threads")
        variant = "" if self.variant == VariantSettings() else f" ({self.variant})"
        return f"{self.environment} {self.model} {self.length}{threads}{variant}"


def start_file(folder: Path, cell: Cell) -> Path:
    """Return where the starting weights of a user's own model are."""
    return folder / f"{cell.model.replace(':', '.')}-{cell.length}.npz"


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
        index: the seed of an accuracy trial, the number of the process of a speed trial.
        is_control: whether it is the same cell timed once more, as if it were another.
        expected_path: the recurrent path that must run, or None; another path is a failure.
    """

    kind: Literal["speed", "accuracy"]
    cell: Cell
    index: int
    settings: Settings
    is_control: bool = False
    expected_path: Recurrence | None = None

    def __str__(self) -> str:
        index = f"seed {self.index}" if self.kind == "accuracy" else f"process {self.index + 1}"
        return f"{self.kind} {self.cell} {index}" + (" (control)" if self.is_control else "")


REPLICAS: dict[Device, int] = {"cpu": 50, "gpu": 1024}
REPLICA_BYTES: dict[Device, float] = {"cpu": 1.5e9, "gpu": 2e10}
"""How many seeds are trained at once, and the memory that they may take: docs/methodology.md says why."""


def replica_bytes(cell: Cell, settings: Settings) -> float:
    """Guess the memory one replica takes in training: what each timestep keeps for the gradient, and the weights.

    Source: peaks of whole processes on three backends, docs/methodology.md; the largest, rounded up.
    """
    network, training = settings.network, settings.training
    kept = {"simple_rnn": 6, "lstm": 30, "gru": 30}[cell.model] * training.batch_size * cell.length
    weights_and_optimizer = 4 * GATES[cell.model] * network.units
    return 4.0 * network.layers * network.units * (kept + weights_and_optimizer)


class Group(Frozen):
    """Accuracy trials that differ in their seed only, for one worker to train together."""

    cell: Cell
    seeds: tuple[int, ...]
    settings: Settings

    @property
    def trials(self) -> list[Trial]:
        """Return the trials."""
        return [Trial(kind="accuracy", cell=self.cell, index=seed, settings=self.settings) for seed in self.seeds]

    @property
    def at_once(self) -> int:
        """Return how many seeds are trained as one Keras model; 1 for a user's own model or task, and for classes."""
        variant = self.cell.variant
        known = self.cell.model in MODELS and self.settings.task.name in ("sum", "adding")
        if not known or (variant.dtype, variant.batching) != ("float32", "padded"):
            return 1
        wanted = self.settings.training.replicas
        fitting = int(REPLICA_BYTES[self.cell.device] / replica_bytes(self.cell, self.settings))
        return max(1, min(REPLICAS[self.cell.device] if wanted == "auto" else wanted, fitting))

    @property
    def together(self) -> bool:
        """Tell whether these seeds are trained as one Keras model."""
        return min(len(self.seeds), self.at_once) > 1

    def split(self, size: int | None = None) -> list["Group"]:
        """Return groups of so many seeds; None: of as many as are trained at once."""
        size = size or self.at_once
        parts = [self.seeds[first : first + size] for first in range(0, len(self.seeds), size)]
        return [self.model_copy(update={"seeds": part}) for part in parts]

    def __str__(self) -> str:
        if len(self.seeds) == 1:
            return str(self.trials[0])
        return f"accuracy {self.cell} seeds {self.seeds[0]} to {self.seeds[-1]}"
