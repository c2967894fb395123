"""One backend's process: the only folder of `bench` that imports Keras or a framework."""
