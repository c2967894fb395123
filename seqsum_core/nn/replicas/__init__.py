"""Train many seeds side by side as ONE Keras model, each exactly as if it were alone.

A step of so small a model is mostly overhead, so S of them cost little more than one. Every weight gets a leading
replica axis, and the loss is the SUM of the replicas' losses: the gradient with respect to a replica's weights is then
that of its own loss. RMSprop, Adam and SGD, the optimizers of `TrainingSettings`, treat each number on its own, so
every replica moves as if alone. An optimizer that uses a norm, or clipping by a norm, would mix replicas.
docs/methodology.md has figures.
"""

from seqsum_core.nn.replicas.training import fit_replicas, predict_replicas

__all__ = ["fit_replicas", "predict_replicas"]
