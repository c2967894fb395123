"""Models and tasks as users would bring them, good and bad ones. Imported by name, never at the top."""

import sys
from typing import Any

import keras
import numpy as np

L = keras.layers


def head(*layers: Any, length: int | None = None, features: int = 1) -> Any:
    """Return a Sequential of some layers and Dense(1)."""
    return keras.Sequential([keras.Input((length, features)), *layers, L.Dense(1)])


# Good ones


def uncompiled(length: int) -> Any:
    return head(L.Bidirectional(L.GRU(3)), length=length)


def compiled(length: int) -> Any:
    model = uncompiled(length)
    model.compile(optimizer="adam", loss="mean_squared_error")
    return model


def without_input(length: int) -> Any:
    return keras.Sequential([L.LSTM(3), L.Dense(1)])


class Subclassed(keras.Model):  # type: ignore[misc]
    def __init__(self, length: int) -> None:
        super().__init__()
        self.rnn, self.head = L.GRU(3), L.Dense(1)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.head(self.rnn(inputs, training=training))


class OwnStep(keras.Model):  # type: ignore[misc]
    """Its own training step, as Keras' guides write one around that of the backend."""

    def train_step(self, *arguments: Any) -> Any:
        return super().train_step(*arguments)


def own_step(length: int) -> Any:
    inputs = keras.Input((length, 1))
    return OwnStep(inputs, L.Dense(1)(L.GRU(3)(inputs)))


def any_length(length: int) -> Any:
    return head(L.SimpleRNN(3))


def stack(length: int) -> Any:
    return head(L.LSTM(3, return_sequences=True), L.LSTM(3), length=length)


def embedding_mask(length: int) -> Any:
    return head(L.Reshape((length,)), L.Embedding(4, 3, mask_zero=True), L.LSTM(3), length=length)


def tokens(length: int) -> Any:
    return keras.Sequential([keras.Input((length,), dtype="int32"), L.Embedding(4, 3), L.LSTM(3), L.Dense(1)])


class Leaky(keras.layers.Layer):  # type: ignore[misc]
    """A cell of one's own."""

    def __init__(self, units: int, **more: Any) -> None:
        super().__init__(**more)
        self.units = self.state_size = self.output_size = units

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")

    def call(self, inputs: Any, states: Any, training: bool | None = None) -> Any:
        after = 0.9 * states[0] + 0.1 * keras.ops.tanh(inputs @ self.kernel)
        return after, [after]


def own_cell(length: int) -> Any:
    return head(L.RNN(Leaky(3)), length=length)


def stacked_cells(length: int) -> Any:
    return head(L.RNN(L.StackedRNNCells([L.LSTMCell(3), L.GRUCell(3)])), length=length)


def dropout_and_norm(length: int) -> Any:
    layers = [L.Masking(0.0), L.LSTM(3, return_sequences=True, dropout=0.1, recurrent_dropout=0.1)]
    return head(*layers, L.LayerNormalization(), L.GRU(3, go_backwards=True), length=length)


def schedule(length: int) -> Any:
    model = head(L.LSTM(3), length=length)
    rate = keras.optimizers.schedules.CosineDecay(0.01, 1000)
    model.compile(keras.optimizers.AdamW(rate, global_clipnorm=1.0), keras.losses.Huber(), metrics=["mae"])
    return model


def penalties(length: int) -> Any:
    return head(L.LSTM(3, kernel_regularizer="l2"), length=length)


def identity_start(length: int) -> Any:
    return head(L.SimpleRNN(3, recurrent_initializer="identity", activation="relu"), length=length)


def no_forget_bias(length: int) -> Any:
    return head(L.LSTM(3, unit_forget_bias=False), length=length)


def half_precision(length: int) -> Any:
    return head(L.LSTM(3, dtype="mixed_bfloat16"), length=length)


def conv_lstm(length: int) -> Any:
    return head(L.Reshape((length, 1, 1, 1)), L.ConvLSTM2D(2, 1), L.Flatten(), length=length)


def no_recurrence(length: int) -> Any:
    return head(L.Flatten(), L.Dense(3, "relu"), L.Dropout(0.2), length=length)


def unrolled_dropout(length: int) -> Any:
    return head(L.LSTM(3, unroll=True), L.Dropout(0.2), length=length)


def stateful(length: int) -> Any:
    return keras.Sequential([keras.Input(batch_shape=(20, length, 1)), L.LSTM(3, stateful=True), L.Dense(1)])


def two_inputs(length: int) -> Any:
    series, place = keras.Input((length, 2), name="series"), keras.Input((1,), name="place")
    return keras.Model([series, place], L.Dense(1)(L.Concatenate()([L.GRU(3)(series), place])))


def classes(length: int) -> Any:
    return keras.Sequential([keras.Input((length, 1)), L.LSTM(3), L.Dense(3)])  # logits


def classes_compiled(length: int) -> Any:
    model = classes(length)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def wrapped_torch(length: int) -> Any:
    import torch

    return keras.Sequential([keras.Input((length, 1)), L.TorchModuleWrapper(torch.nn.Flatten()), L.Dense(1)])


# Bad ones

SHARED: list[Any] = []


def shared(length: int) -> Any:
    if not SHARED:
        SHARED.append(uncompiled(length))
    return SHARED[0]


ADAM: list[Any] = []


def shared_optimizer(length: int) -> Any:
    ADAM[:] = ADAM or [keras.optimizers.Adam()]
    model = uncompiled(length)
    model.compile(ADAM[0], "mean_squared_error")
    return model


def equal_starts(length: int) -> Any:
    model = uncompiled(length)
    model.set_weights([np.ones_like(weight) for weight in model.get_weights()])
    return model


def no_model(length: int) -> Any:
    return f"a model for length {length}"


def wrong_output(length: int) -> Any:
    return keras.Sequential([keras.Input((length, 1)), L.LSTM(2), L.Dense(2)])


def two_outputs(length: int) -> Any:
    inputs = keras.Input((length, 1))
    hidden = L.LSTM(2)(inputs)
    return keras.Model(inputs, [L.Dense(1)(hidden), L.Dense(1)(hidden)])


def wrong_input(length: int) -> Any:
    return head(L.LSTM(2), length=length, features=7)


class OtherName(keras.Model):  # type: ignore[misc]
    def test_step(self, *arguments: Any) -> Any:
        logs = super().test_step(*arguments)
        if isinstance(logs, tuple):  # JAX: logs and state
            return {"objective": logs[0]["loss"]}, logs[1]
        return {"objective": logs["loss"]}


def other_name(length: int) -> Any:
    inputs = keras.Input((length, 1))
    return OtherName(inputs, L.Dense(1)(L.GRU(2)(inputs)))


def not_finite(length: int) -> Any:
    model = uncompiled(length)
    model.compile("sgd", lambda y, outputs: keras.ops.mean(outputs * float("nan")))
    return model


def broken(length: int) -> Any:
    raise RuntimeError("the user's own mistake")


def exits(length: int) -> Any:
    sys.exit("usage: mine.py FILE")


# Tasks


def two_arrays(length: int) -> Any:
    random = np.random.default_rng(0)
    series, place = random.normal(size=(90, length, 2)), random.normal(size=(90, 1))
    return {"place": place, "series": series}, series.mean(axis=(1, 2)) + place[:, 0]


def three_classes(length: int) -> Any:
    x = np.random.default_rng(0).normal(size=(90, length))
    return x, (x.sum(axis=1) > 0).astype(int) + (x.sum(axis=1) > 1)


def token_rows(length: int) -> Any:
    x = np.random.default_rng(0).integers(0, 4, (90, length))
    return x, x.sum(axis=1).astype(float)


def ragged(length: int) -> Any:
    return [[0.0] * (1 + row % length) for row in range(90)], np.zeros(90)


def unequal(length: int) -> Any:
    return np.zeros((90, length)), np.zeros(80)


def other_length(length: int) -> Any:
    return np.zeros((90, 7)), np.zeros(90)


def words(length: int) -> Any:
    return np.full((90, length), "a"), np.zeros(90)


def holes(length: int) -> Any:
    return np.full((90, length), np.nan), np.zeros(90)


def negative_classes(length: int) -> Any:
    return np.zeros((90, length)), np.full(90, -1)


def one_array(length: int) -> Any:
    return np.zeros((90, length))


def few(length: int) -> Any:
    return np.zeros((9, length)), np.zeros(9)
