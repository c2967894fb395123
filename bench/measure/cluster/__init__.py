"""Measure a sweep on the nodes of a Ray cluster. Only `bench.measure.cluster.ray_cluster` knows Ray."""
