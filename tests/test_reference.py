"""The runs of 2017: their random stream, the package's references, and users' files, read or refused in a line."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqsum_core.article import reference
from seqsum_core.article.draw import batch_order, draw_rows
from seqsum_core.article.reference import CASES, FLOAT64_CASES, RULES

# First 16 hex digits of SHA-256 of the first epoch's order as uint16, SimpleRNN(16), by length.
FIRST_ORDER_HASHES = {4: "1d26ed4a8662e38a", 12: "8798bab952a3b0ca", 25: "1c16d296a4a3b593"}
RNN, LSTM = (16, 16), (16, 64)

# Epochs counted from 0, and val_loss at the last one.
STOPS = {"rnn-4": 23, "lstm-4": 24, "rnn-12": 63, "lstm-12": 61, "rnn-25": 69, "lstm-25": None}
VAL_LOSS = {
    "rnn-4": 0.1111268,
    "lstm-4": 0.0506038,
    "rnn-12": 3.2896626,
    "lstm-12": 0.8675534,
    "rnn-25": 128.4228618,
    "lstm-25": 9.5767369,
}


@pytest.mark.parametrize("length", FIRST_ORDER_HASHES)
def test_first_order_to_the_bit(length: int) -> None:
    (order,) = batch_order(length, epochs=1, rows=1620, recurrent_shape=RNN)
    assert hashlib.sha256(order.astype(np.uint16).tobytes()).hexdigest()[:16] == FIRST_ORDER_HASHES[length]


def test_shuffles_accumulate_in_one_stream() -> None:
    """The second order is a shuffle of the first, from where the stream then is; more epochs begin alike."""
    first, second = batch_order(4, epochs=2, rows=1620, recurrent_shape=RNN)
    stream = np.random.RandomState(14)
    for _ in range(2000):
        stream.randint(0, 4, stream.randint(2, 5))
    stream.randint(1, 10_000_000)
    stream.normal(0, 1, RNN)
    stream.randint(1, 10_000_000)
    index = np.arange(1620)
    for order in (first, second):
        stream.shuffle(index)
        assert np.array_equal(index, order)
    assert np.array_equal(batch_order(4, epochs=4, rows=1620, recurrent_shape=RNN)[:2], [first, second])
    assert not np.array_equal(batch_order(4, epochs=1, rows=1620, recurrent_shape=LSTM)[0], first)


def test_article_rows() -> None:
    rows = draw_rows(12)
    assert len(rows) == 2000 and {len(row) for row in rows} == set(range(2, 13))
    assert set(np.concatenate(rows).tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    case = reference.case(name)
    assert case.stop_epoch == STOPS[name] and case.stopped_early == (name != "lstm-25")
    assert case.val_loss[-1] == pytest.approx(VAL_LOSS[name], abs=1e-7)
    assert case.order.shape == (len(case.loss), 1620) and case.units == 16 and case.dtype == "float32"
    assert case.model == ("lstm" if name.startswith("lstm") else "simple_rnn")
    if case.printed:
        np.testing.assert_allclose(case.printed, case.test_predictions[:6], atol=1.8e-5, rtol=0)


@pytest.mark.parametrize("name", FLOAT64_CASES)
def test_float64_case_goes_on_past_the_same_stop(name: str) -> None:
    double, single = reference.case(name, "float64"), reference.case(name)
    assert double.stop_epoch == STOPS[name] and not double.stopped_early and double.epochs == 100
    assert double.dtype == "float64" and double.test_predictions.dtype == np.float64
    assert all(np.array_equal(a, b) for a, b in zip(double.weights, single.weights, strict=True))
    assert np.array_equal(double.order[: single.epochs], single.order)


def test_unknown_case_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rnn-4, lstm-4.*Received: 'rnn-5'"):
        reference.case("rnn-5")
    with pytest.raises(ValueError, match="in float64"):
        reference.case("rnn-25", "float64")


def arrays_of_a_file(gates: int = 4, units: int = 3, dtype: Any = np.float32) -> dict[str, Any]:
    """Return a small file's arrays: 12 rows, 8 for training of which 6 are fitted, 3 epochs."""
    random = np.random.default_rng(0)
    inputs = random.integers(0, 4, (12, 5), dtype=np.int8)

    def weights(*shape: int) -> Any:
        return random.normal(size=shape).astype(dtype)

    return {
        "X_pad": inputs,
        "y": inputs.sum(axis=1).astype(np.int16),
        "train_idx": np.arange(8, dtype=np.int16),
        "test_idx": np.arange(8, 12, dtype=np.int16),
        "perms": np.array([random.permutation(6) for _ in range(3)], np.uint16),
        "init_kernel": weights(1, gates * units),
        "init_recurrent_kernel": weights(units, gates * units),
        "init_bias": weights(gates * units),
        "init_dense_kernel": weights(units, 1),
        "init_dense_bias": weights(1),
        "loss": np.array([3.0, 2.0, 1.0]),
        "val_loss": np.array([3.0, 2.0, 2.5]),
        "stopped_epoch": np.array(2),
        "test_pred": weights(4),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("references")


def load(folder: Path, arrays: dict[str, Any]) -> reference.Reference:
    np.savez(folder / "some.npz", **arrays)
    return reference.load(folder / "some.npz")


def refusal(path: Path) -> str:
    """Return the line that a file is refused with."""
    with pytest.raises(ValueError) as caught:
        reference.load(path)
    message = str(caught.value)
    assert message.startswith("`reference`") and "Received: " in message and "\n" not in message
    return message


@pytest.mark.parametrize(("gates", "model"), [(1, "simple_rnn"), (4, "lstm")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_file_brings_its_own_rows_order_units_and_length(folder: Path, gates: int, model: str, dtype: str) -> None:
    arrays = arrays_of_a_file(gates=gates, dtype=dtype)
    run = load(folder, arrays | {"wall_s": np.zeros(3), "unknown": np.array(["text"])})
    assert (run.model, run.units, run.length, run.epochs, run.dtype) == (model, 3, 5, 3, dtype)
    assert run.stopped_early and run.stop_epoch == 2
    assert np.array_equal(run.order, arrays["perms"]) and np.array_equal(run.inputs, arrays["X_pad"])


@pytest.mark.parametrize("name", RULES)
def test_wrong_array_is_named(folder: Path, name: str) -> None:
    """An array that is missing, has another axis, is too short, of another dtype, or not finite."""
    arrays = arrays_of_a_file()
    others = {other: array for other, array in arrays.items() if other != name}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, rf"missing. Received: \['{name}'\]"),
        ({name: arrays[name][..., np.newaxis]}, rf"`{name}` must have the shape \(.*Received: \("),
    ]
    if arrays[name].ndim:
        wrong.append(({name: arrays[name][:-1]}, "Received: "))
    for dtype in ("U3", "complex128", "float16"):
        wrong.append(({name: arrays[name].astype(dtype)}, rf"`{name}` must hold .*Received: "))
    if arrays[name].dtype.kind == "f":
        for value in (np.nan, np.inf):
            bad = arrays[name].copy()
            bad.flat[0] = value
            wrong.append(({name: bad}, f"`{name}` must be finite. Received: '1 values"))
    for change, message in wrong:
        with pytest.raises(ValueError, match=message):
            load(folder, others | change)


@pytest.mark.parametrize(
    ("name", "position", "value", "rule"),
    [
        ("perms", (1, 0), 6, "visit each row from 0 to 5 once"),
        ("train_idx", 0, 12, "each row from 0 to 11 once"),
        ("train_idx", 0, -1, "each row from 0 to 11 once"),
        ("test_idx", 0, 0, "each row from 0 to 11 once"),
        ("stopped_epoch", (), 1, "the last epoch"),
    ],
)
def test_rows_and_epochs_that_do_not_exist(folder: Path, name: str, position: Any, value: int, rule: str) -> None:
    arrays = arrays_of_a_file()
    arrays[name][position] = value
    with pytest.raises(ValueError, match=rule):
        load(folder, arrays)


def test_arrays_that_do_not_fit_together(folder: Path) -> None:
    arrays = arrays_of_a_file()
    with pytest.raises(ValueError, match="one dtype"):
        load(folder, arrays | {"init_bias": arrays["init_bias"].astype(np.float64)})
    with pytest.raises(ValueError, match="for validation"):
        load(folder, arrays | {"train_idx": arrays["train_idx"][:6]})
    with pytest.raises(ValueError, match=r"SimpleRNN or .* LSTM"):
        load(folder, arrays_of_a_file(gates=3))


def test_pickle_is_refused_and_never_run(folder: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (pytest.fail, ("a pickle was run",))

    np.savez(folder / "pickled.npz", **(arrays_of_a_file() | {"loss": np.array([Bomb()], object)}), allow_pickle=True)
    assert "needs pickle" in refusal(folder / "pickled.npz")


def test_what_is_no_npz_is_refused(folder: Path) -> None:
    (folder / "empty.npz").write_bytes(b"")
    (folder / "text.npz").write_bytes(b"not an npz")
    np.save(folder / "lone.npy", np.zeros(3))
    for path in (folder / "empty.npz", folder / "text.npz", folder / "lone.npy", folder, folder / "nothing.npz"):
        assert "must be an .npz file" in refusal(path)
    with zipfile.ZipFile(folder / "zip.npz", "w") as archive:
        for name in RULES:
            archive.writestr(name, "no array")
    assert "must hold" in refusal(folder / "zip.npz")


def whole_file() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays_of_a_file())
    return buffer.getvalue()


WHOLE = whole_file()


@pytest.mark.parsers
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, len(WHOLE)),
    changes=st.dictionaries(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), max_size=8),
)
def test_damaged_file_is_read_or_refused(folder: Path, cut: int, changes: dict[int, int]) -> None:
    """Bytes changed and the end cut off: either the arrays still hold together, or a line says why not."""
    damaged = bytearray(WHOLE)
    for position, value in changes.items():
        damaged[position] = value
    path = folder / "damaged.npz"
    path.write_bytes(bytes(damaged[:cut] if cut % 2 else damaged))
    try:
        run = reference.load(path)
    except ValueError as error:
        assert str(error).startswith("`reference`") and "\n" not in str(error)
    else:
        assert run.epochs == len(run.loss) == len(run.val_loss)
