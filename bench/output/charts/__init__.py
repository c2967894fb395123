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
from bench.output.charts import learning, speed, watch
from bench.output.charts.theme import LIGHT, config
from bench.output.files import write_atomically
from bench.records.frame import Kind

PictureForm = Literal["png", "svg", "pdf"]
PIXELS_PER_POINT = 2


@dataclass(frozen=True)
class ChartMaker:
    """Makes a chart of a selection, or None if rows of a kind or what else it needs are missing."""

    draw: Callable[[Selection], alt.FacetChart | None]
    kind: Kind
    needs: str

    def __call__(self, selection: Selection) -> alt.FacetChart | None:
        """Return the chart, or None."""
        return self.draw(selection) if len(selection.frames.of(self.kind)) else None


TIMED, TRAINED = "a timed cell", "trainings for accuracy"
CHARTS: dict[str, ChartMaker] = {
    "speed": ChartMaker(speed.draw_speed, "turns", TIMED),
    "ratios": ChartMaker(speed.draw_ratios, "turns", "two environments, or a control, timed in the same run"),
    "start": ChartMaker(speed.draw_start, "turns", TIMED),
    "total-time": ChartMaker(speed.draw_total_time, "turns", "two environments timed in the same run"),
    "turns": ChartMaker(speed.draw_turns, "turns", TIMED),
    "tax": ChartMaker(speed.draw_tax, "turns", "a cell timed with Keras and without it (implementation ceiling)"),
    "variants": ChartMaker(speed.draw_variants, "turns", "a cell timed in two variants in the same run"),
    "history": ChartMaker(watch.draw_history, "turns", "versions (torch@keras==3.13.2) timed beside their backend"),
    "accuracy": ChartMaker(learning.draw_accuracy, "trainings", TRAINED),
    "exact-sums": ChartMaker(learning.draw_exact_sums, "trainings", TRAINED),
    "loss": ChartMaker(learning.draw_losses, "losses", TRAINED),
    "target": ChartMaker(learning.draw_target, "losses", "a cell both timed and trained for accuracy"),
    "errors": ChartMaker(learning.draw_errors, "lengths", TRAINED),
    "predictions": ChartMaker(learning.draw_predictions, "predictions", TRAINED),
    "memory": ChartMaker(learning.draw_memory, "memory", "trainings of a built-in model for accuracy"),
    "gradients": ChartMaker(learning.draw_gradients, "memory", "trainings of a built-in model for accuracy"),
}


def write_charts(
    selection: Selection, folder: Path, form: PictureForm = "png", names: Sequence[str] = ()
) -> tuple[list[Path], list[str]]:
    """Write a picture of every chart for which there are records.

    Returns:
        The files, in a folder that is made if it is not there, and for each chart without a file what it needs.

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
