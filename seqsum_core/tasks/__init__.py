"""What is trained: the tasks, their rows, and how a model's outputs are judged. NumPy only.

    data = split(draw(TaskSettings(), length=12), TaskSettings())

`sum` is the article's, `adding` and `digits` are the field's, `package.module:function` is a user's own.
"""

from types import ModuleType

from seqsum_core.settings import TaskSettings, require
from seqsum_core.tasks import adding, digits, own, sums
from seqsum_core.tasks.rows import SUM, Sequences, Split, Task, batch_order, split, split_rows, task_of

__all__ = [
    "FRESH_ROWS",
    "GOALS",
    "SUM",
    "Sequences",
    "Split",
    "Task",
    "batch_order",
    "check_length",
    "draw",
    "fresh_rows",
    "split",
    "split_rows",
    "task_of",
]

FRESH_ROWS = 20_000
"""Rows that every training is judged on: so many that another draw of them changes no published digit by much."""
DRAWN: dict[str, ModuleType] = {"sum": sums, "adding": adding}
"""Tasks that have a law, so that fresh rows can be drawn."""
GOALS = {"sum": 0.25, "adding": 0.01, "digits": 0.25}
"""The val_loss at which a training counts as done; for the sum half a digit, so that rounding mostly gives it."""


def draw(settings: TaskSettings, *, length: int, seed: int = 0) -> Sequences:
    """Return the rows of a task: drawn ones are as many as `settings.sequences`.

        draw(TaskSettings(), length=12).y[:6]

    Args:
        settings: of the task.
        length: timesteps.
        seed: of the weights that are trained on the rows; it matters if `settings.redraw`.

    Raises:
        ValueError: if the task has no such length, or a user's own one is not usable.
    """
    check_length(settings, length)
    if ":" in settings.name:
        return own.draw(settings.name, length)
    return (digits if settings.name == "digits" else DRAWN[settings.name]).draw(settings, length, seed)  # type: ignore[no-any-return]


def fresh_rows(settings: TaskSettings, *, length: int, rows: int = FRESH_ROWS) -> Sequences | None:
    """Draw rows of the same law that no training has seen; None if a task has its rows and no law.

    Raises:
        ValueError: as `draw`.
    """
    check_length(settings, length)
    return DRAWN[settings.name].fresh(settings, length, rows) if settings.name in DRAWN else None


def check_length(settings: TaskSettings, length: int) -> None:
    """Raise a ValueError if a task has no rows of a length."""
    require(length >= 1, "`length` must be at least 1.", length, "Ask for a length such as 12.")
    if settings.name == "sum":
        rule = f"`length` must be at least `min_length`, which is {settings.min_length}."
        remedy = "Ask for a longer one, or lower `min_length` of generated data."
        require(length >= settings.min_length, rule, length, remedy)
    if settings.name == "adding":
        rule = "`length` of adding must be at least 2, for a marker in each half."
        require(length >= 2, rule, length, "Use 50, say.")
    if settings.name == "digits":
        rule = "`length` of digits must be 8 (the rows of an image) or 64 (its pixels)."
        require(length in digits.LENGTHS, rule, length, "Use --length 8.")
