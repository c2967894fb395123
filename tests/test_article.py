"""Article: the order in which the 2017 fit visited its rows."""

import hashlib

import numpy as np
import pytest

from seqsum_core.article.draw import batch_order, draw_rows

# First 16 hex digits of SHA-256 of the first epoch's order as uint16, SimpleRNN(16), by length.
FIRST_ORDER_HASHES = {4: "1d26ed4a8662e38a", 12: "8798bab952a3b0ca", 25: "1c16d296a4a3b593"}
RNN, LSTM = (16, 16), (16, 64)


@pytest.mark.parametrize("length", FIRST_ORDER_HASHES)
def test_first_order_is_equal_to_the_bit(length: int) -> None:
    (order,) = batch_order(length, epochs=1, rows=1620, recurrent_shape=RNN)
    assert hashlib.sha256(order.astype(np.uint16).tobytes()).hexdigest()[:16] == FIRST_ORDER_HASHES[length]


def test_every_order_visits_every_row_once() -> None:
    orders = batch_order(4, epochs=5, rows=1620, recurrent_shape=RNN)
    assert orders.shape == (5, 1620)
    assert np.array_equal(np.sort(orders, axis=1), np.tile(np.arange(1620), (5, 1)))


def test_orders_differ_from_epoch_to_epoch() -> None:
    orders = batch_order(4, epochs=5, rows=1620, recurrent_shape=RNN)
    assert len({order.tobytes() for order in orders}) == 5


def test_shuffles_accumulate_on_one_index() -> None:
    """A second shuffle of a fresh index would give another order: what the first one left must be shuffled."""
    first, second = batch_order(4, epochs=2, rows=1620, recurrent_shape=RNN)
    stream = np.random.RandomState(14)
    for _ in range(2000):
        stream.randint(0, 4, stream.randint(2, 5))
    stream.randint(1, 10_000_000)
    stream.normal(0, 1, RNN)
    stream.randint(1, 10_000_000)
    index = np.arange(1620)
    stream.shuffle(index)
    assert np.array_equal(index, first)
    state = stream.get_state()
    fresh = np.arange(1620)
    stream.shuffle(fresh)
    stream.set_state(state)
    stream.shuffle(index)
    assert np.array_equal(second, index)
    assert not np.array_equal(second, fresh)


def test_more_epochs_begin_with_the_same_orders() -> None:
    few, many = (batch_order(4, epochs=epochs, rows=1620, recurrent_shape=RNN) for epochs in (2, 4))
    assert np.array_equal(many[:2], few)


def test_a_wider_recurrent_kernel_moves_the_stream_on() -> None:
    rnn, lstm = (batch_order(4, epochs=1, rows=1620, recurrent_shape=shape) for shape in (RNN, LSTM))
    assert not np.array_equal(rnn, lstm)


def test_rows_have_two_to_length_digits_from_0_to_3() -> None:
    rows = draw_rows(12)
    assert len(rows) == 2000
    assert {len(row) for row in rows} == set(range(2, 13))
    assert set(np.concatenate(rows).tolist()) == {0, 1, 2, 3}
