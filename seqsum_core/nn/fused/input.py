"""Let TensorFlow's input pipelines go without the thread that tunes them: Keras waits for it once an epoch.

The tuner wakes 10, 30, 70 and 150 ms after a pipeline was made, and the pipeline does not end before it does, so that
an epoch or a validation of a few milliseconds takes 60 or 140. docs/methodology.md shows it.
"""

from typing import Any


class Untuned:
    """A distribution strategy of TensorFlow that turns the tuning of every data set off.

    It is where Keras lets every data set of `fit`, `evaluate` and `predict` through; the batches stay Keras' own.

    Args:
        strategy: does everything else.
    """

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)

    def experimental_distribute_dataset(self, dataset: Any) -> Any:
        """Return the data set as the strategy does, without tuning."""
        import tensorflow

        options = tensorflow.data.Options()
        options.autotune.enabled = False
        return self._strategy.experimental_distribute_dataset(dataset.with_options(options))
