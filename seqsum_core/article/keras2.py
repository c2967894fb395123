"""The two places where Keras 2.0.7 computes what Keras 3 does not, for replaying runs of 2017.

Imports Keras, so only a worker may import it. Both are plain `keras.ops`: they run on every backend.
"""

from typing import Any

import keras
import numpy as np
from keras import ops


def hard_sigmoid(x: Any) -> Any:
    """Compute Keras 2's gate activation, `clip(0.2 * x + 0.5, 0, 1)`.

    Keras 3's function of that name is `relu6(x + 3) / 6`: its slope is a sixth, not a fifth.

    Source: keras 2.0.7, backend/theano_backend.py, hard_sigmoid.
    """
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


class RMSprop(keras.optimizers.Optimizer):  # type: ignore[misc]
    """Keras 2's RMSprop: epsilon is added outside the root.

    `a = rho * a + (1 - rho) * g * g; p = p - learning_rate * g / (sqrt(a) + epsilon)`. Keras 3 adds its epsilon, 1e-7,
    inside the root. Keras 2 held rho in a backend variable, so 1 - rho is rounded from rho as the weights' dtype has
    it: 0.10000002, not 0.1, in float32.

    Source: keras 2.0.7, optimizers.py, RMSprop.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        rho: float = 0.9,
        epsilon: float = 1e-8,
        name: str = "keras2_rmsprop",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.rho = rho
        self.epsilon = epsilon

    def build(self, variables: list[keras.Variable]) -> None:
        """Create the running mean of squared gradients of each weight, zero."""
        if self.built:
            return
        super().build(variables)
        self._squares = self.add_optimizer_variables(variables, "mean_square")

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        """Change a weight by one step."""
        square = self._squares[self._get_variable_index(variable)]
        dtype = keras.backend.standardize_dtype(variable.dtype)
        kept, new = kept_and_new_share(self.rho, dtype)
        self.assign(square, kept * square + new * ops.square(gradient))
        step = ops.cast(learning_rate, dtype) * gradient
        self.assign_sub(variable, step / (ops.sqrt(square) + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds this optimizer."""
        return {**super().get_config(), "rho": self.rho, "epsilon": self.epsilon}


def kept_and_new_share(rho: float, dtype: str) -> tuple[float, float]:
    """Return rho and 1 - rho as weights of `dtype`, "float32" or "float64", hold them."""
    kept = np.asarray(rho, dtype)
    return float(kept), float(np.asarray(1, dtype) - kept)
