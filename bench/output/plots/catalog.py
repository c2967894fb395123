"""All pictures by name, and writing those for which there are records."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from bench.analysis.selection import Selection
from bench.errors import UserError
from bench.output.plots.accuracy import draw_accuracy
from bench.output.plots.figures import NothingToDrawError, save
from bench.output.plots.learning import draw_errors, draw_losses, draw_predictions
from bench.output.plots.lengths import draw_length_cost
from bench.output.plots.memory import draw_gradients, draw_memory
from bench.output.plots.samples import draw_samples
from bench.output.plots.speed import draw_ratios, draw_speed
from bench.output.plots.start import draw_start
from bench.output.plots.targets import draw_target
from bench.output.plots.tax import draw_taxes

PICTURES: dict[str, Callable[[Selection], Figure]] = {
    "speed": draw_speed,
    "ratios": draw_ratios,
    "tax": draw_taxes,
    "length-cost": draw_length_cost,
    "start": draw_start,
    "samples": draw_samples,
    "accuracy": draw_accuracy,
    "target": draw_target,
    "loss": draw_losses,
    "errors": draw_errors,
    "predictions": draw_predictions,
    "memory": draw_memory,
    "gradients": draw_gradients,
}


def write_plots(chosen: Selection, folder: Path, form: str, names: Sequence[str] = ()) -> tuple[list[Path], list[str]]:
    """Draw every picture for which there are records.

    Args:
        chosen: records that may stand together.
        folder: where the pictures are written; made if it is not there.
        form: "png" or "svg".
        names: which pictures; none means all.

    Returns:
        The files, and which pictures could not be drawn and why.

    Raises:
        UserError: if a name is unknown, or the folder or a file cannot be written.
    """
    for name in names:
        if name not in PICTURES:
            raise UserError(f"`--show` must be one of {', '.join(PICTURES)}. Received: {name!r}. Choose one.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"`--out` must be a folder that can be written. Received: {folder} ({error.strerror}). Name another."
        ) from None
    written, missing = [], []
    for name, draw in PICTURES.items():
        if names and name not in names:
            continue
        path = folder / f"{name}.{form}"
        try:
            save(draw(chosen), path)
            written.append(path)
        except NothingToDrawError as reason:
            missing.append(f"{name}: {reason}")
    return written, missing
