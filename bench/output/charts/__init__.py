"""Charts of a selection of runs: pictures for documents, and what the report shows.

write_charts(selection, Path("pictures"), "svg", ["speed", "ratios"])
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import altair as alt

from bench.analysis.select import Selection
from bench.errors import UserError
from bench.names import choose_name
from bench.output.charts import learning, speed
from bench.output.charts.theme import LIGHT, config
from bench.output.files import write_atomically

PictureForm = Literal["png", "svg", "pdf"]
PIXELS_PER_POINT = 2


@dataclass(frozen=True)
class ChartMaker:
    """Makes a chart of a selection, or None if the selection lacks what it needs.

    Args:
        draw: does so.
        needs: what records there must be.
    """

    draw: Callable[[Selection], alt.FacetChart | None]
    needs: str

    def __call__(self, selection: Selection) -> alt.FacetChart | None:
        """Return the chart, or None."""
        return self.draw(selection)


CHARTS: dict[str, ChartMaker] = {
    "speed": ChartMaker(speed.draw_speed, "a timed cell"),
    "ratios": ChartMaker(speed.draw_ratios, "two environments, or a control, timed in the same run"),
    "start": ChartMaker(speed.draw_start, "a timed cell"),
    "total-time": ChartMaker(speed.draw_total_time, "two environments timed in the same run"),
    "turns": ChartMaker(speed.draw_turns, "a timed cell"),
    "tax": ChartMaker(speed.draw_tax, "a cell timed with Keras and without it (implementation ceiling)"),
    "variants": ChartMaker(speed.draw_variants, "a cell timed in two variants in the same run"),
    "accuracy": ChartMaker(learning.draw_accuracy, "trainings for accuracy"),
    "exact-sums": ChartMaker(learning.draw_exact_sums, "trainings for accuracy"),
    "loss": ChartMaker(learning.draw_losses, "trainings for accuracy"),
    "target": ChartMaker(learning.draw_target, "a cell both timed and trained for accuracy"),
    "errors": ChartMaker(learning.draw_errors, "trainings for accuracy"),
    "predictions": ChartMaker(learning.draw_predictions, "trainings for accuracy"),
    "memory": ChartMaker(learning.draw_memory, "trainings of a built-in model for accuracy"),
    "gradients": ChartMaker(learning.draw_gradients, "trainings of a built-in model for accuracy"),
}


def write_charts(
    selection: Selection, folder: Path, form: PictureForm = "png", names: Sequence[str] = ()
) -> tuple[list[Path], list[str]]:
    """Write a picture of every chart for which there are records.

    Args:
        selection: runs that may be shown together.
        folder: of the pictures; made if it is not there.
        form: of the files.
        names: of the charts; none means all.

    Returns:
        The files, and for each chart without a file what it needs.

    Raises:
        UserError: if a name is unknown, or the folder or a file cannot be written.
    """
    for name in names:
        choose_name(name, CHARTS, "--show")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"`--out` must be a folder that can be written. Received: {folder} ({error.strerror}). Name another."
        ) from None
    written, missing = [], []
    for name, maker in CHARTS.items():
        if names and name not in names:
            continue
        if chart := maker(selection):
            path = folder / f"{name}.{form}"
            write_atomically(path, draw_picture(chart, form))
            written.append(path)
        else:
            missing.append(f"{name}: needs {maker.needs}")
    return written, missing


def draw_picture(chart: alt.FacetChart, form: PictureForm) -> bytes:
    """Return a chart as a file for light paper: the same bytes for the same chart."""
    import vl_convert  # holds a whole JavaScript engine, which only those who draw should load

    spec: dict[str, Any] = chart.to_dict() | {"config": config(LIGHT)}
    match form:
        case "svg":
            return str(vl_convert.vegalite_to_svg(spec)).encode()
        case "pdf":
            return bytes(vl_convert.vegalite_to_pdf(spec))
        case "png":
            return bytes(vl_convert.vegalite_to_png(spec, scale=PIXELS_PER_POINT))
