"""The cells as pytest-benchmark cases: `pytest --benchmark-only`."""
