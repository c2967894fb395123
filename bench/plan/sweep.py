"""The plan of a run: a sweep, the cells it holds and the trials they make, in order.

Pure: reads nothing, starts nothing. A sweep is what a sweep file says (`bench.plan.files` reads it).
"""

from dataclasses import replace
from itertools import product
from typing import Self

from pydantic import Field, model_validator

from bench.plan.cells import (
    BACKENDS,
    Cell,
    Device,
    EnvironmentName,
    Group,
    ModelName,
    Recurrence,
    Settings,
    Trial,
)
from bench.plan.timing import Limits, Threads
from bench.plan.variants import Axes
from seqsum_core.settings import VariantSettings
from seqsum_core.task import check_length


class Sweep(Settings):
    """All cells of a run."""

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
                    environment=environment,
                    device=self.device,
                    model=model,
                    length=length,
                    variant=variant,
                    threads=threads,
                )
                for model, environment, threads, variant in product(
                    dict.fromkeys(self.models),
                    dict.fromkeys(self.backends),
                    dict.fromkeys(self.threads),
                    self.variants,
                )
            ]
            for length in sorted(set(self.lengths))
        ]

    def cells(self) -> list[Cell]:
        """Return the cells of all blocks."""
        return [cell for block in self.blocks() for cell in block]

    def turns(self, block: list[Cell], *, process: int) -> list[Trial]:
        """Return what one fresh process of each cell measures in turns: a trial of each cell, and the controls.

        Args:
            block: cells that are measured together.
            process: number of the fresh process, from 0.
        """
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
        candidates = [cell for cell in block if cell.variant == block[0].variant and cell.is_default_installation]
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
        """Return the trials of every block, once for each process; a wave of all blocks comes before the next.

        Args:
            blocks: the blocks, if they are not those of `blocks()`.
        """
        return [
            trial
            for process in range(self.timing.processes)
            for block in blocks or self.blocks()
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
            if cell.is_default_installation
        )
        return list(dict.fromkeys(cells)) if self.seeds else []

    def accuracy_trials(self) -> list[Trial]:
        """Return the accuracy trials of all groups."""
        return [trial for group in self.accuracy_groups() for trial in group.trials]
