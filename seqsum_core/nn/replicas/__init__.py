"""Many seeds trained side by side as one Keras model, each exactly as if it were alone."""

from seqsum_core.nn.replicas.model import fit_replicas

__all__ = ["fit_replicas"]
