"""All tables by name; each is made of a selection of runs."""

from collections.abc import Callable

from bench.analysis.select import Selection
from bench.output.tables import accuracy, speed, watch
from bench.output.tables.table import Column, Table, with_interval

TABLES: dict[str, Callable[[Selection], Table]] = {
    **speed.TABLES,
    **watch.TABLES,
    **accuracy.TABLES,
    "failures": speed.failures,
}

__all__ = ["TABLES", "Column", "Table", "with_interval"]
