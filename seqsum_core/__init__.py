"""The task, the models and the training that seqsum measures.

Knows nothing of how they are measured: `bench` imports this package, never the reverse. Keras is imported in `nn` and
in `article.keras2`, `article.precision` and `article.replay`; every other module needs NumPy only, `baselines` also
scikit-learn.
"""

__version__ = "0.1.0"
