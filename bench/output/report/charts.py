"""The plots of the page, group by group."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.accuracy_lines import Line
from bench.analysis.findings import Findings
from bench.analysis.selection import Selection
from bench.output.report.chart_parts import Chart
from bench.output.report.learning_charts import accuracy_charts, loss_charts, memory_charts
from bench.output.report.limit_charts import target_charts, tax_charts
from bench.output.report.speed_charts import ratio_charts, sample_charts, speed_charts
from bench.output.report.start_charts import break_even_charts, start_charts


@dataclass(frozen=True)
class Learning:
    """Lines of what was learned, with the largest patience; each is computed once, for words and plots.

    Args:
        mse: test errors over the lengths, a line for each model.
        exact: exact sums in %, likewise.
        losses: val_loss over the epochs, a line for each length and model.
        memory: what is kept of earlier digits, likewise.
    """

    mse: Sequence[Line]
    exact: Sequence[Line]
    losses: Sequence[Line]
    memory: Sequence[Line]


def make_charts(chosen: Selection, found: Findings, learning: Learning) -> list[Chart]:
    """Return every plot for which there are records, in the order of the page."""
    return [
        *speed_charts(found),
        *ratio_charts(found),
        *start_charts(found),
        *break_even_charts(found),
        *tax_charts(chosen),
        *target_charts(chosen),
        *accuracy_charts(learning.mse, learning.exact),
        *loss_charts(learning.losses),
        *memory_charts(learning.memory),
        *sample_charts(found),
    ]
