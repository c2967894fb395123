"""How a number is made: what a sweep may set of the measuring itself. Pure; times are seconds.

Why each of them is as it is: docs/methodology.md.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bench.frozen import Frozen

Threads = Annotated[int, Field(ge=1)] | Literal["default"]
"""So many cores and threads for a worker, or both as the frameworks and the system choose."""


class Timing(Frozen):
    """How the speed of a cell is measured.

    Args:
        processes: fresh processes a cell is timed in.
        rounds: turns of each process.
        warmup_epochs: epochs at the beginning of a turn that are kept but not counted, at least, and
        warmup_s: at least so long together.
        slice_epochs: epochs of a turn that are counted, at least, and
        slice_s: at least so long together.
        validations: timed calls of `evaluate`, the first of which compiles.
        repeats: how often a disturbed turn is measured again.
        calm_s: how many seconds of epochs that the host slows a run may add, all in all, to find others; on a
            cluster, each unit.
        control: time a cell of every block twice, as if it were two cells: "one" of the first model, on
            each length another backend; "each" backend of that model; or "none".
        precision: go on with more processes until no interval of a block is wider than this share to
            either side of its figure; None: measure what `processes` says.
        budget_s: how long that may take beyond the first processes.
    """

    processes: Annotated[int, Field(ge=1)] = 8
    rounds: Annotated[int, Field(ge=1)] = 3
    warmup_epochs: Annotated[int, Field(ge=0)] = 2
    warmup_s: Annotated[float, Field(ge=0)] = 0.1
    slice_epochs: Annotated[int, Field(ge=1)] = 5
    slice_s: Annotated[float, Field(ge=0)] = 0.5
    validations: Annotated[int, Field(ge=2)] = 6
    repeats: Annotated[int, Field(ge=0)] = 2
    calm_s: Annotated[float, Field(ge=0)] = 0.0
    control: Literal["one", "each", "none"] = "one"
    precision: Annotated[float, Field(gt=0, lt=1)] | None = None
    budget_s: Annotated[float, Field(ge=0)] = 600.0


Patience = Annotated[float, Field(gt=0)]


class Limits(Frozen):
    """What a worker may take; one that takes more is ended, and its trial has failed.

    Args:
        import_s: seconds until its backend is imported and proved.
        build_s: seconds for building a model.
        first_epoch_s: seconds for tracing, compiling and warming up.
        turn_s: seconds for a turn.
        rest_s: seconds of silence in anything else: validation, witness, a training for accuracy.
        memory_gib: memory that a worker may allocate, in GiB; None: as much as the machine gives.
    """

    import_s: Patience = 300.0
    build_s: Patience = 300.0
    first_epoch_s: Patience = 600.0
    turn_s: Patience = 600.0
    rest_s: Patience = 600.0
    memory_gib: Annotated[float, Field(gt=0)] | None = None

    @classmethod
    def all_phases(cls, seconds: float) -> "Limits":
        """Return the same patience for every phase."""
        return cls(import_s=seconds, build_s=seconds, first_epoch_s=seconds, turn_s=seconds, rest_s=seconds)

    def patience_s(self, phase: str) -> float:
        """Return how long a worker may be silent in a phase that it has told."""
        by_phase = {
            "import": self.import_s,
            "build": self.build_s,
            "first epoch": self.first_epoch_s,
            "turns": self.turn_s,
        }
        return by_phase.get(phase, self.rest_s)


def _check_xla_flags(flags: str) -> str:
    if wrong := [flag for flag in flags.split() if not flag.startswith("--xla_")]:
        raise ValueError(f"`xla_flags` must hold flags of XLA. Received: {wrong[0]!r}. Begin each with --xla_.")
    return flags


class Runtime(Frozen):
    """What a framework is set to before it computes.

    Args:
        tf32: let a GPU multiply float32 in TF32, on every backend.
        deterministic: ask for deterministic operations, on every backend.
        xla_flags: more flags for XLA, each beginning with `--xla_`.
    """

    tf32: bool = False
    deterministic: bool = False
    xla_flags: Annotated[str, AfterValidator(_check_xla_flags)] = ""
