"""The task, the models and the training that seqsum measures.

Knows nothing of how they are measured: `bench` imports this package, never the reverse.
Only `backend`, `models` and `training` import Keras; every other module is plain NumPy.
"""

__version__ = "0.1.0"
