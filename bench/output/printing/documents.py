"""Tables as one JSON document: every digit, and where the figures are from."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.selection import Selection, Table, provenance

Document = dict[str, Any]


def tables_document(tables: Sequence[Table], chosen: Selection) -> Document:
    """Return tables with the headers of the runs they are made of."""
    return {
        "tables": [table_document(table) for table in tables],
        "provenance": {
            "lines": provenance(chosen),
            "runs": [run.header.model_dump(mode="json") for run in chosen.runs],
            "left_out": [run.header.run for run in chosen.left_out],
        },
    }


def table_document(table: Table) -> Document:
    """Return a table: title, columns, rows in the order of the columns, notes. What is missing is null.

    `best` holds the marked figures, each as its row, from 0, and its column.
    """
    frame = table.frame[table.shown].astype(object)
    return {
        "title": table.title,
        "columns": table.shown,
        "rows": [[_plain(value) for value in row] for row in frame.itertuples(index=False, name=None)],
        "best": [
            [place, name] for place, row in enumerate(frame.index) for name in table.shown if (row, name) in table.best
        ],
        "notes": list(table.notes),
    }


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it; it knows neither NaN nor infinity, which become null."""
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    return value if not isinstance(value, float) or isfinite(value) else None
