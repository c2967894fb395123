"""All pictures by name, and writing those for which there are records."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from bench.accuracy_plot import draw_accuracy
from bench.errors import UserError
from bench.figures import NothingToDrawError, save
from bench.memory_plots import draw_gradients, draw_memory
from bench.selection import Selection

PICTURES: dict[str, Callable[[Selection], Figure]] = {
    "memory": draw_memory,
    "gradients": draw_gradients,
    "accuracy": draw_accuracy,
}


def write_plots(chosen: Selection, folder: Path, form: str) -> tuple[list[Path], list[str]]:
    """Draw every picture for which there are records.

    Args:
        chosen: records that may stand together.
        folder: where the pictures are written; made if it is not there.
        form: "png" or "svg".

    Returns:
        The files, and which pictures could not be drawn and why.

    Raises:
        UserError: if the folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"`--out` must be a folder that can be written. Received: {folder} ({error.strerror}). Name another."
        ) from None
    written, missing = [], []
    for name, draw in PICTURES.items():
        path = folder / f"{name}.{form}"
        try:
            save(draw(chosen), path)
            written.append(path)
        except NothingToDrawError as reason:
            missing.append(f"{name}: {reason}")
    return written, missing
