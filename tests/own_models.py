"""Models as a user would bring them, good and bad ones. Imported by name, never at the top."""

from typing import Any


def uncompiled(length: int) -> Any:
    import keras

    return keras.Sequential(
        [keras.Input((length, 1)), keras.layers.Bidirectional(keras.layers.GRU(3)), keras.layers.Dense(1)]
    )


def compiled(length: int) -> Any:
    model = uncompiled(length)
    model.compile(optimizer="adam", loss="mean_squared_error")
    return model


def no_model(length: int) -> Any:
    return f"a model for length {length}"


def wrong_output(length: int) -> Any:
    import keras

    return keras.Sequential([keras.Input((length, 1)), keras.layers.LSTM(2), keras.layers.Dense(2)])


def wrong_input(length: int) -> Any:
    import keras

    return keras.Sequential([keras.Input((length, 7)), keras.layers.LSTM(2), keras.layers.Dense(1)])


def broken(length: int) -> Any:
    raise RuntimeError("the user's own mistake")
