"""Every number of the experiment that a user may change, with its rule and its default.

The defaults are those of the 2017 article. Plain frozen dataclasses: the coordinator reads them
without importing Keras, and `bench` validates files against them.
"""

from dataclasses import dataclass, fields
from math import inf
from typing import Literal, NamedTuple

ARTICLE_SEED = 14
ARTICLE_SEQUENCES = 2000
ARTICLE_DIGITS = (0, 3)
ARTICLE_MIN_LENGTH = 2

MODELS = ("simple_rnn", "lstm", "gru")
TASKS = ("sum", "adding", "digits")
DIGIT_IMAGES = 1797
RECURRENCES = ("scan", "while_loop", "python_loop", "unrolled", "fused", "cudnn", "none")
"""The paths that a recurrent layer can run on: `seqsum_core.nn.execution_path` tells them apart."""

Batching = Literal["padded", "bucketed", "exact"]
Padding = Literal["pre", "post"]


def require(holds: bool, rule: str, received: object, remedy: str) -> None:
    """Raise a ValueError of one line, the rule, what was received and the remedy, unless `holds`."""
    if not holds:
        raise ValueError(f"{rule} Received: {received!r}. {remedy}")


class Sizes(NamedTuple):
    """How many rows are fitted, validated on and tested on."""

    fitted: int
    validation: int
    test: int


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """Which task is trained, which sequences are drawn and how they are split.

    Args:
        name: "sum", "adding", "digits", or "package.module:function": see `seqsum_core.tasks`.
        source: of the sum: "article" draws the 2017 data set bit for bit, "generated" one of any size and range.
        sequences: how many rows are drawn.
        min_length: of the sum: length of the shortest sequence.
        digits: of the sum: smallest and largest digit, both included.
        padding: of the sum: zeros "pre" (before the digits, as Keras' `pad_sequences` does) or "post".
        seed: seed of the data (not of the weights).
        redraw: draw other generated data for each seed of the weights, so that intervals are over data sets, too.
        test_share: share of all rows kept for the test.
        validation_share: share of the remaining rows for validation: the last ones, as Keras' `validation_split`.
    """

    name: str = "sum"
    source: Literal["article", "generated"] = "article"
    sequences: int = ARTICLE_SEQUENCES
    min_length: int = ARTICLE_MIN_LENGTH
    digits: tuple[int, int] = ARTICLE_DIGITS
    padding: Padding = "pre"
    seed: int = ARTICLE_SEED
    redraw: bool = False
    test_share: float = 0.1
    validation_share: float = 0.1

    def __post_init__(self) -> None:
        low, high = self.digits
        sizes = "`sequences` must lie between 3 and a thousand million."
        require(3 <= self.sequences <= 10**9, sizes, self.sequences, "Draw 2000, say.")
        require(self.seed >= 0, "`seed` must not be negative.", self.seed, "Use 0 or more.")
        require(self.min_length >= 1, "`min_length` must be at least 1.", self.min_length, "Use 1 or more.")
        require(low <= high, "`digits` must be a range from low to high.", self.digits, "Swap the two.")
        fits = low >= -(2**15) and high < 2**15
        require(fits, "`digits` must fit in 16 bits.", self.digits, "Use digits from -32768 to 32767.")
        for name in ("test_share", "validation_share"):
            share = getattr(self, name)
            require(0 < share < 1, f"`{name}` must lie between 0 and 1.", share, "Use 0.1, say.")
        known = self.name in TASKS or ":" in self.name
        rule = f"`task` must be one of {', '.join(TASKS)}, or package.module:function."
        require(known, rule, self.name, "Correct the name.")
        if self.name != "sum":
            return self._check_unused()
        fixed = (self.sequences, self.min_length, self.digits, self.seed, self.redraw)
        article = (ARTICLE_SEQUENCES, ARTICLE_MIN_LENGTH, ARTICLE_DIGITS, ARTICLE_SEED, False)
        require(
            self.source == "generated" or fixed == article,
            "The article's data set has fixed `sequences`, `min_length`, `digits`, `seed` and `redraw`.",
            fixed,
            'Set `source = "generated"` to draw other data.',
        )

    def _check_unused(self) -> None:
        """Refuse what another task than the sum does not read."""
        unused = ["source", "min_length", "digits", "padding"]
        unused += [] if self.name == "adding" else ["sequences", "seed", "redraw"]
        changed = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
        ignored = [name for name in changed if name in unused]
        require(not ignored, f"Task {self.name} does not have these settings.", ", ".join(ignored), "Leave them out.")

    @property
    def rows(self) -> int | None:
        """Return how many rows there are in all, or None: a user's own task decides that itself."""
        return {"digits": DIGIT_IMAGES}.get(self.name, None if ":" in self.name else self.sequences)

    def sizes(self, rows: int) -> Sizes:
        """Return what so many rows are split into: the test rows rounded up as scikit-learn does, the rest as Keras."""
        test = -int(-rows * self.test_share // 1)
        fitted = int((rows - test) * (1 - self.validation_share))
        return Sizes(fitted, rows - test - fitted, test)


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """The shape of the network between input and `Dense(1)`.

    Args:
        units: width of every recurrent layer.
        layers: how many recurrent layers are stacked.
        mask: hide timesteps that are zero: padding, and digits that leave the sum as it is.
    """

    units: int = 16
    layers: int = 1
    mask: bool = False

    def __post_init__(self) -> None:
        require(self.units >= 1, "`units` must be at least 1.", self.units, "Use 16, as the article does.")
        require(self.layers >= 1, "`layers` must be at least 1.", self.layers, "Use 1, as the article does.")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The training protocol. Defaults: the article's.

    Args:
        optimizer: name of a Keras optimizer, with Keras' own defaults.
        learning_rate: its learning rate.
        batch_size: rows a step; the last batch of an epoch may be smaller.
        epochs: the most epochs an accuracy trial runs.
        patience: epochs without a better val_loss that are endured before stopping; the article
            stops at the first one, 0. A negative number means: never stop early. Several of them
            are judged in one training, which ends when all have stopped.
        replicas: the most seeds that are trained side by side as one Keras model; 1 trains each
            alone, "auto" takes as many as were fastest when it was tried. It changes the time, not the training.
    """

    optimizer: Literal["rmsprop", "adam", "sgd"] = "rmsprop"
    learning_rate: float = 0.001
    batch_size: int = 100
    epochs: int = 100
    patience: int | tuple[int, ...] = 0
    replicas: int | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        rate = self.learning_rate
        require(0 < rate < inf, "`learning_rate` must be positive and finite.", rate, "Use 0.001.")
        require(self.batch_size >= 1, "`batch_size` must be at least 1.", self.batch_size, "Use 100.")
        require(self.epochs >= 1, "`epochs` must be at least 1.", self.epochs, "Use 100.")
        known = self.replicas == "auto" or self.replicas >= 1
        require(known, '`replicas` must be at least 1, or "auto".', self.replicas, "Use 1 to train each seed alone.")
        distinct = 0 < len(set(self.patiences)) == len(self.patiences)
        require(distinct, "`patience` must be a number or several different ones.", self.patience, "Use 0 or [0, 20].")

    @property
    def patiences(self) -> tuple[int, ...]:
        """Return the patience, or all of them."""
        return (self.patience,) if isinstance(self.patience, int) else self.patience


@dataclass(frozen=True, kw_only=True)
class VariantSettings:
    """What a cell is set to besides its axes: how the training is run, and where it departs from the other settings.

    Args:
        implementation: "keras" trains with Keras' own layers, "fused" with those of `seqsum_core.nn.fused`,
            "ceiling" without Keras: the same training written in the framework itself.
        unroll: unroll the recurrent loop at trace time.
        jit_compile: passed to `compile`: "auto" is Keras' default.
        steps_per_execution: passed to `compile`.
        dtype: Keras' dtype policy.
        batch_size: rows a step; None: as `TrainingSettings` says.
        units: width of every recurrent layer; None: as `NetworkSettings` says.
        mask: hide padded timesteps; None: as `NetworkSettings` says.
        batching: "padded": every row has as many timesteps as the longest; "bucketed", "exact": as many as the
            longest of its bucket, or its own, see `seqsum_core.batching`.
        devices: how many share the rows of each step, see `seqsum_core.nn.backend.share_rows`.
    """

    implementation: Literal["keras", "fused", "ceiling"] = "keras"
    unroll: bool = False
    jit_compile: bool | Literal["auto"] = "auto"
    steps_per_execution: int = 1
    dtype: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    batch_size: int | None = None
    units: int | None = None
    mask: bool | None = None
    batching: Batching = "padded"
    devices: int = 1

    def __post_init__(self) -> None:
        for name in ("steps_per_execution", "batch_size", "units", "devices"):
            value = getattr(self, name)
            if value is not None and value < 1:  # no message is made for each of 100,000 records that are read
                require(False, f"`{name}` must be at least 1.", value, "Use 1 or more.")

    def __str__(self) -> str:
        """Name what differs from the defaults, or say "default"."""
        values = ((field, getattr(self, field.name)) for field in fields(self))
        changed = {field.name: value for field, value in values if value != field.default}
        words = (
            value if name in ("implementation", "dtype", "batching") else f"{name} {value}".lower()
            for name, value in changed.items()
        )
        return ", ".join(words) or "default"
