"""Measure a sweep on the nodes of a Ray cluster. Only `bench.measure.ray.cluster` imports Ray."""
