"""Runs of versions in turns: their history, the change that made one slower, and the files that it touched."""
