"""The plan of a run: a sweep, the cells it holds and the trials they make, in order.

Pure: reads nothing, starts nothing. `bench.plan.files` reads a sweep from a file.
"""

from dataclasses import replace
from itertools import product
from typing import Literal, Self

from pydantic import Field, model_validator

from bench.frozen import Frozen
from bench.plan.cells import BACKENDS, Cell, Device, EnvironmentName, Group, ModelName, Recurrence, Settings, Trial
from bench.plan.timing import Limits, Threads
from seqsum_core.settings import MODELS, Batching, NetworkSettings, VariantSettings
from seqsum_core.tasks import check_length


class Axes(Frozen):
    """Values of each variant setting, every combination of which is timed.

    A setting without values stays as the sweep's `variant` has it. `VariantSettings` describes each.
    """

    implementation: tuple[Literal["keras", "fused", "ceiling"], ...] = ()
    unroll: tuple[bool, ...] = ()
    jit_compile: tuple[bool | Literal["auto"], ...] = ()
    steps_per_execution: tuple[int, ...] = ()
    dtype: tuple[Literal["float32", "mixed_bfloat16", "mixed_float16"], ...] = ()
    batch_size: tuple[int, ...] = ()
    units: tuple[int, ...] = ()
    mask: tuple[bool, ...] = ()
    batching: tuple[Batching, ...] = ()
    devices: tuple[int, ...] = ()

    def variants(self, base: VariantSettings) -> tuple[VariantSettings, ...]:
        """Return every combination, each once; `base` has the settings without an axis."""
        axes = {name: values for name, values in self if values}
        variants: dict[VariantSettings, None] = {}
        for values in product(*axes.values()):
            variant = replace(base, **dict(zip(axes, values, strict=True)))
            # two variants that differ only in what Keras is set to have the same ceiling
            variants[ceiling_of(variant) if variant.implementation == "ceiling" else variant] = None
        return tuple(variants)


def ceiling_of(variant: VariantSettings) -> VariantSettings:
    """Return the ceiling of a variant: the same sizes without Keras, and without what only Keras is set to."""
    return replace(variant, implementation="ceiling", unroll=False, jit_compile="auto", steps_per_execution=1)


class Sweep(Settings):
    """All cells of a run.

    Args:
        backends: environments: backends, or BACKEND@NAME for another installation, which is trained for accuracy only
            where a gate asks for it.
        seeds: trainings for accuracy of each cell; 0: time only.
        variant: how every cell is trained, unless an axis says otherwise.
        axes: variants that are timed beside each other; the first one is the baseline.
        expect: the recurrent path that must run; another one is a failure.
    """

    backends: tuple[EnvironmentName, ...] = Field(BACKENDS, min_length=1)
    device: Device = "cpu"
    models: tuple[ModelName, ...] = Field(("simple_rnn", "lstm"), min_length=1)
    lengths: tuple[int, ...] = Field(min_length=1)
    threads: tuple[Threads, ...] = Field((1,), min_length=1)
    seeds: int = Field(3, ge=0)
    variant: VariantSettings = VariantSettings()
    axes: Axes = Axes()
    expect: Recurrence | None = None
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _parts_must_fit(self) -> Self:
        for length in self.lengths:
            check_length(self.task, length)
        if self.task.rows is not None:
            self.check_sizes(self.task.rows)
        if any(":" in model for model in self.models):
            self._check_received()
        if self.expect == "cudnn" and self.device == "cpu":
            raise ValueError("`expect` cannot be cudnn on a CPU. Received: 'cudnn'. Use --device gpu.")
        return self

    def check_sizes(self, rows: int) -> None:
        """Raise a ValueError if so many rows in all leave too few to fit and to validate."""
        sizes = self.task.sizes(rows)
        if not (sizes.fitted and sizes.validation):
            rule = "`sequences` must leave rows to fit and to validate."
            raise ValueError(f"{rule} Received: {rows}. Draw more, or change the shares.")
        largest = max(self.settings.of(variant).training.batch_size for variant in self.variants)
        if largest > sizes.fitted:
            rule = f"`batch_size` must be at most the number of fitted rows, {sizes.fitted}."
            raise ValueError(f"{rule} Received: {largest}. Lower it, or draw more `sequences`.")

    def _check_received(self) -> None:
        """Refuse what a model of a user's own does not receive: it would be timed twice alike under two labels."""
        own = next(model for model in self.models if ":" in model)
        base = VariantSettings()
        for name in ("units", "mask", "unroll", "batching"):
            set_here = any(getattr(variant, name) != getattr(base, name) for variant in self.variants)
            if set_here or getattr(self.axes, name):
                raise ValueError(
                    f"`{name}` does not reach {own}: its function decides that itself. Received: {name} as an axis or "
                    "variant. Leave it out, or pass a number by --env and read it in the function."
                )
        if self.network != NetworkSettings() and not set(self.models) & set(MODELS):
            rule = f"[network] does not reach {own}: its function decides that itself."
            raise ValueError(f"{rule} Received: {self.network}. Leave that table out.")

    @property
    def settings(self) -> Settings:
        """Return the sweep without its axes."""
        return Settings(**{name: getattr(self, name) for name in Settings.model_fields})

    @property
    def variants(self) -> tuple[VariantSettings, ...]:
        """Return every way in which a cell is timed; the first one is the baseline of the others."""
        return self.axes.variants(self.variant)

    @property
    def trained_variants(self) -> tuple[VariantSettings, ...]:
        """Return every way in which a cell is trained for accuracy: by Keras, along the axis `batching` only.

        The other axes change mostly the speed; which rows come together changes what is learned.
        """
        base = replace(self.variant, implementation="keras", devices=1)
        return tuple(dict.fromkeys(replace(base, batching=variant.batching) for variant in self.variants))

    def block(self, length: int) -> list[Cell]:
        """Return the cells of a length, which are measured in turns."""
        environments = dict.fromkeys(self.backends)  # each once
        axes = product(dict.fromkeys(self.models), environments, dict.fromkeys(self.threads), self.variants)
        return [
            Cell(
                environment=environment,
                device=self.device,
                model=model,
                length=length,
                variant=variant,
                threads=threads,
            )
            for model, environment, threads, variant in axes
        ]

    def blocks(self) -> list[list[Cell]]:
        """Group the cells by length, shortest first."""
        return [self.block(length) for length in sorted(set(self.lengths))]

    def cells(self) -> list[Cell]:
        """Return the cells of all blocks."""
        return [cell for block in self.blocks() for cell in block]

    def turns(self, block: list[Cell], *, process: int) -> list[Trial]:
        """Return what fresh processes of one number measure in turns: a trial of each cell of a block, and controls."""
        trials = [(cell, False) for cell in block] + [(cell, True) for cell in self.control_cells(block)]
        return [
            Trial(
                kind="speed",
                cell=cell,
                index=process,
                settings=self.settings.of(cell.variant),
                is_control=is_control,
                expected_path=self.expect,
            )
            for cell, is_control in trials
        ]

    def control_cells(self, block: list[Cell]) -> list[Cell]:
        """Return the cells of a block that are timed twice, as if they were two."""
        baselines = [cell for cell in block if cell.variant == block[0].variant]
        candidates = [cell for cell in baselines if cell.is_default_installation] or baselines
        match self.timing.control:
            case "none":
                return []
            case "each":
                return [cell for cell in candidates if cell.model == block[0].model]
        number = sorted(set(self.lengths)).index(block[0].length)  # another model and environment at each length
        models = list(dict.fromkeys(cell.model for cell in candidates))
        of_model = [cell for cell in candidates if cell.model == models[number % len(models)]]
        return [of_model[number % len(of_model)]]

    def speed_trials(self, blocks: list[list[Cell]] | None = None) -> list[Trial]:
        """Return the trials of all blocks, or of others, once for each process; all blocks before the next process."""
        return [
            trial
            for process in range(self.timing.processes)
            for block in blocks or self.blocks()
            for trial in self.turns(block, process=process)
        ]

    @property
    def judges_accuracy(self) -> bool:
        """Tell whether a gate compares what environments learn."""
        return any(gate.quantity == "accuracy" for gate in self.timing.gates)

    def trained_cells(self) -> list[Cell]:
        """Return the cells that are trained for accuracy, the long ones first; not timed, so with one thread."""
        if not self.seeds:
            return []
        cells = (
            cell.model_copy(update={"threads": 1, "variant": variant})
            for cell in reversed(self.cells())
            for variant in reversed(self.trained_variants)
            if cell.is_default_installation or self.judges_accuracy
        )
        return list(dict.fromkeys(cells))

    def accuracy_groups(self) -> list[Group]:
        """Return the accuracy trials by the seeds that are trained as one model, the long ones first.

        Where a gate compares environments each seed is trained alone, by Keras' own layers, which may be what differs.
        """
        groups: list[Group] = []
        for cell in self.trained_cells():
            settings = self.settings.of(cell.variant)
            group = Group(cell=cell, seeds=tuple(range(self.seeds)), settings=settings)
            groups += group.split(1 if self.judges_accuracy else None)
        return groups

    def accuracy_trials(self) -> list[Trial]:
        """Return the accuracy trials of all groups."""
        return [trial for group in self.accuracy_groups() for trial in group.trials]
