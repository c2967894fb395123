"""One backend's process: the only folder of `bench` that imports Keras or a framework."""

from time import monotonic

FIRST_LINE_S = monotonic()
"""When this package was imported: in a worker, before anything else is."""
