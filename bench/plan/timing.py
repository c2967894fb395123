"""How a number is made: what a sweep may set of the measuring itself. Times are seconds.

docs/methodology.md gives the reason for each.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from bench.frozen import Frozen
from bench.plan.gate import Gate

Threads = Annotated[int, Field(ge=1)] | Literal["default"]
"""Cores and threads of a worker; "default": both as the framework and the system choose."""


class Timing(Frozen):
    """How the speed of a cell is measured.

    Args:
        processes: fresh processes a cell is timed in.
        rounds: turns of each process.
        warmup_epochs: first epochs of a turn that are recorded and not counted, at least, and
        warmup_s: at least so long together.
        turn_epochs: counted epochs of a turn, at least, and
        turn_s: at least so long together.
        validations: timed calls of `evaluate`, the first of which compiles.
        repeats: how often a disturbed turn is measured again.
        control: time a cell of every block twice, as if it were two: "one" cell, each model and environment in its
            turn; "each" environment of the first model; or "none".
        precision: add processes until no interval of a block reaches further than this share to either side of its
            figure; None: measure `processes` of them.
        gates: compare every environment with the first one of its backend, and add processes until each is decided.
        budget_s: seconds for the added processes.
    """

    processes: Annotated[int, Field(ge=1)] = 9
    rounds: Annotated[int, Field(ge=1)] = 3
    warmup_epochs: Annotated[int, Field(ge=0)] = 2
    warmup_s: Annotated[float, Field(ge=0)] = 0.1
    turn_epochs: Annotated[int, Field(ge=1)] = 2
    turn_s: Annotated[float, Field(ge=0)] = 1.0
    validations: Annotated[int, Field(ge=2)] = 6
    repeats: Annotated[int, Field(ge=0)] = 2
    control: Literal["one", "each", "none"] = "one"
    precision: Annotated[float, Field(gt=0, lt=1)] | None = None
    gates: tuple[Gate, ...] = ()
    budget_s: Annotated[float, Field(ge=0)] = 600.0


Seconds = Annotated[float, Field(gt=0)]


class Limits(Frozen):
    """What a worker may take; a worker that takes more is ended, and its trial has failed.

    Args:
        import_s: seconds until its backend is imported and checked.
        build_s: seconds for building a model.
        first_epoch_s: seconds for tracing, compiling and warming up.
        turn_s: seconds for a turn.
        other_s: seconds of silence in any other phase: validation, execution path, a training for accuracy.
        memory_gib: memory that a worker may allocate, in GiB; None: no limit.
    """

    import_s: Seconds = 300.0
    build_s: Seconds = 300.0
    first_epoch_s: Seconds = 600.0
    turn_s: Seconds = 600.0
    other_s: Seconds = 600.0
    memory_gib: Seconds | None = None

    @classmethod
    def all_phases(cls, seconds: float) -> "Limits":
        """Return the same limit for every phase."""
        return cls(import_s=seconds, build_s=seconds, first_epoch_s=seconds, turn_s=seconds, other_s=seconds)

    def silence_s(self, phase: str) -> float:
        """Return how long a worker may be silent in a phase that it has reported."""
        limit: float = getattr(self, f"{phase.replace(' ', '_')}_s", self.other_s)
        return limit


DECISIVE = (
    *("KERAS_", "TF_", "XLA_", "JAX_", "TORCH_", "PYTORCH_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "CUBLAS_"),
    *("CUDA_", "NVIDIA_", "MALLOC_", "LD_PRELOAD", "PYTHONHASHSEED"),
)
"""How the names of environment variables begin that decide how a backend computes; a worker records them."""
SETTINGS_OF = {
    "KERAS_BACKEND": "--backend",
    "XLA_FLAGS": "runtime.xla_flags in a sweep file",
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "threads in a sweep file"),
    **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "threads in a sweep file"),
    **dict.fromkeys(("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS"), "--device"),
    "NVIDIA_TF32_OVERRIDE": "runtime.tf32 in a sweep file",
}
"""Variables that seqsum sets in every worker, and what they are set with."""


def _pairs(variables: object) -> object:
    return tuple(sorted(variables.items())) if isinstance(variables, dict) else variables


def _check_variables(variables: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    for name, value in variables:
        if name in SETTINGS_OF:
            raise ValueError(f"`variables` cannot hold what seqsum sets. Received: {name}. Use {SETTINGS_OF[name]}.")
        if not name or "=" in name or "\0" in name + value:
            raise ValueError(f"`variables` must be names of environment variables. Received: {name!r}. Correct it.")
    return variables


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
        variables: environment variables that workers get besides those of seqsum; a table in a sweep file.
    """

    tf32: bool = False
    deterministic: bool = False
    xla_flags: Annotated[str, AfterValidator(_check_xla_flags)] = ""
    variables: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_pairs), AfterValidator(_check_variables)] = ()
