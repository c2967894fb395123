"""Everything of the core that imports Keras: models, training, replicas, fused layers, execution path, memory."""
