"""Measure a sweep on the nodes of a Ray cluster. Only `bench.cluster.ray_cluster` knows Ray."""
