"""All tables by name; each is made of a selection of runs."""

from bench.output.tables.table import Column, Table, with_interval

__all__ = ["Column", "Table", "with_interval"]
