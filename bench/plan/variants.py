"""Axes of a sweep besides backend, model, length and threads: in how many ways a cell is trained. Pure."""

from dataclasses import replace
from itertools import product
from typing import Any, Literal

from bench.errors import UserError
from bench.frozen import Frozen
from bench.names import choose_name
from seqsum_core.settings import Batching, VariantSettings


class Axes(Frozen):
    """Values of each axis, every combination of which is timed; an axis without values is left as `variant` has it.

    What each means is said by `VariantSettings`.
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
        """Return every combination, each once.

        Args:
            base: what the settings without an axis are.

        Raises:
            ValueError: if a value breaks a rule of `VariantSettings`.
        """
        axes = {name: values for name, values in self if values}
        found = (replace(base, **dict(zip(axes, values, strict=True))) for values in product(*axes.values()))
        ceilings = (variant if variant.implementation != "ceiling" else ceiling_of(variant) for variant in found)
        return tuple(dict.fromkeys(ceilings))


def ceiling_of(variant: VariantSettings) -> VariantSettings:
    """Return the ceiling of a variant: the same sizes without Keras, and without what only Keras is set to."""
    return replace(variant, implementation="ceiling", unroll=False, jit_compile="auto", steps_per_execution=1)


def parse_axes(texts: list[str]) -> dict[str, list[Any]]:
    """Read axes as the command line writes them: NAME=VALUE,VALUE. What is given of one axis several times adds up.

    Raises:
        UserError: if one is not written so, or there is no such axis.
    """
    axes: dict[str, list[Any]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        choose_name(name, tuple(Axes.model_fields), "--axis")
        if not values:
            raise UserError(f"`--axis` must be NAME=VALUE,VALUE. Received: {text!r}. Write unroll=false,true, say.")
        axes.setdefault(name, []).extend(_value(value.strip()) for value in values.split(","))
    return axes


def _value(text: str) -> bool | int | str:
    truth = {"true": True, "false": False}
    return truth.get(text, int(text) if text.isdecimal() else text)
