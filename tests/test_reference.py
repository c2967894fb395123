"""The package's references are what 2017 left, and a user's file is read or refused in one clear line."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqsum_core.article import reference
from seqsum_core.article.reference import CASES, FLOAT64_CASES, last_epoch

STOPS = {"rnn-4": 23, "lstm-4": 24, "rnn-12": 63, "lstm-12": 61, "rnn-25": 69, "lstm-25": None}
VAL_LOSS = {
    "rnn-4": 0.1111268,
    "lstm-4": 0.0506038,
    "rnn-12": 3.2896626,
    "lstm-12": 0.8675534,
    "rnn-25": 128.4228618,
    "lstm-25": 9.5767369,
}


def _arrays(gates: Any = 4, units: Any = 3, length: Any = 5, dtype: Any = np.float32) -> Any:
    """Return a small file's arrays: 12 rows, 8 for training of which 6 are fitted, 3 epochs."""
    random = np.random.default_rng(0)
    inputs = random.integers(0, 4, (12, length), dtype=np.int8)

    def weights(*shape: Any) -> Any:
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
def folder(tmp_path_factory: Any) -> Any:
    return tmp_path_factory.mktemp("references")


def _load(folder: Path, arrays: Any) -> Any:
    path = folder / "some.npz"
    np.savez(path, **arrays)
    return reference.load(path)


def _refusal(path: Path) -> Any:
    """Return the one line that a file is refused with."""
    with pytest.raises(ValueError) as caught:
        reference.load(path)
    message = str(caught.value)
    assert message.startswith("`reference`") and "Received: " in message and "\n" not in message
    return message


@pytest.mark.parametrize("name", CASES)
def test_a_case_stops_where_the_reference_stopped_at_its_val_loss(name: str) -> None:
    case = reference.case(name)
    assert case.stop_epoch == STOPS[name]
    assert case.stopped_early == (name != "lstm-25")
    assert case.val_loss[-1] == pytest.approx(VAL_LOSS[name], abs=1e-7)
    assert case.order.shape == (len(case.loss), 1620) and case.units == 16 and case.dtype == "float32"
    assert case.model == ("lstm" if name.startswith("lstm") else "simple_rnn")


@pytest.mark.parametrize("name", FLOAT64_CASES)
def test_a_float64_case_goes_on_past_the_same_stop_from_the_same_weights(name: str) -> None:
    double, single = reference.case(name, "float64"), reference.case(name)
    assert double.stop_epoch == STOPS[name] and not double.stopped_early and double.epochs == 100
    assert double.dtype == "float64" and double.test_predictions.dtype == np.float64
    assert all(np.array_equal(a, b) for a, b in zip(double.weights, single.weights, strict=True))
    assert np.array_equal(double.order[: single.epochs], single.order)


@pytest.mark.parametrize("name", ["rnn-4", "rnn-12"])
def test_the_article_printed_what_the_reference_predicts(name: str) -> None:
    case = reference.case(name)
    assert len(case.printed) == 6
    np.testing.assert_allclose(case.printed, case.test_predictions[:6], atol=1.8e-5, rtol=0)


def test_cases_holds_six_runs_in_float32_and_four_in_float64() -> None:
    assert tuple(reference.cases()) == CASES
    assert tuple(reference.cases("float64")) == FLOAT64_CASES


def test_an_unknown_case_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"rnn-4, lstm-4.*Received: 'rnn-5'"):
        reference.case("rnn-5")
    with pytest.raises(ValueError, match="in float64"):
        reference.case("rnn-25", "float64")


def test_the_first_worse_epoch_is_compared_with_the_best_before_it() -> None:
    assert last_epoch(np.array([3.0, 2.0, 1.0])) is None
    assert last_epoch(np.array([3.0, 2.0, 2.0, 1.0])) == 2
    assert last_epoch(np.array([1.0, 2.0, 0.5])) == 1
    assert last_epoch(np.array([1.0])) is None


@pytest.mark.parametrize(("gates", "model"), [(1, "simple_rnn"), (4, "lstm")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_users_file_brings_its_own_rows_order_units_and_length(
    folder: Path, gates: Any, model: Any, dtype: str
) -> None:
    arrays = _arrays(gates=gates, dtype=dtype)
    loaded = _load(folder, arrays | {"wall_s": np.zeros(3), "unknown": np.array(["text"])})
    assert (loaded.model, loaded.units, loaded.length, loaded.epochs) == (model, 3, 5, 3)
    assert loaded.dtype == dtype and loaded.stopped_early and loaded.stop_epoch == 2
    assert np.array_equal(loaded.order, arrays["perms"]) and np.array_equal(loaded.inputs, arrays["X_pad"])


@pytest.mark.parametrize("name", reference.RULES)
def test_a_missing_array_is_named(folder: Path, name: str) -> None:
    arrays = _arrays()
    del arrays[name]
    with pytest.raises(ValueError, match=rf"missing. Received: \['{name}'\]"):
        _load(folder, arrays)


@pytest.mark.parametrize("name", reference.RULES)
def test_an_array_with_another_axis_is_named(folder: Path, name: str) -> None:
    arrays = _arrays()
    with pytest.raises(ValueError, match=rf"`{name}` must have the shape \(.*Received: \("):
        _load(folder, arrays | {name: arrays[name][..., np.newaxis]})


@pytest.mark.parametrize("name", sorted(set(reference.RULES) - {"stopped_epoch"}))
def test_an_array_that_is_too_short_is_refused(folder: Path, name: str) -> None:
    arrays = _arrays()
    with pytest.raises(ValueError, match="Received: "):
        _load(folder, arrays | {name: arrays[name][:-1]})


@pytest.mark.parametrize("name", reference.RULES)
@pytest.mark.parametrize("dtype", ["U3", "complex128", "float16"])
def test_an_array_of_another_dtype_is_named(folder: Path, name: str, dtype: str) -> None:
    arrays = _arrays()
    with pytest.raises(ValueError, match=rf"`{name}` must hold .*Received: "):
        _load(folder, arrays | {name: arrays[name].astype(dtype)})


def test_weights_of_two_precisions_are_refused(folder: Path) -> None:
    arrays = _arrays()
    with pytest.raises(ValueError, match="one dtype"):
        _load(folder, arrays | {"init_bias": arrays["init_bias"].astype(np.float64)})


@pytest.mark.parametrize("name", [name for name, rule in reference.RULES.items() if rule.kind != "integers"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_refused(folder: Path, name: str, bad: Any) -> None:
    arrays = _arrays()
    arrays[name].flat[0] = bad
    with pytest.raises(ValueError, match=f"`{name}` must be finite. Received: '1 values"):
        _load(folder, arrays)


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
def test_rows_and_epochs_that_do_not_exist_are_refused(
    folder: Path, name: str, position: Any, value: Any, rule: Any
) -> None:
    arrays = _arrays()
    arrays[name][position] = value
    with pytest.raises(ValueError, match=rule):
        _load(folder, arrays)


def test_a_layer_that_is_neither_simple_rnn_nor_lstm_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"SimpleRNN or .* LSTM"):
        _load(folder, _arrays(gates=3))


def test_a_file_without_validation_rows_is_refused(folder: Path) -> None:
    arrays = _arrays()
    with pytest.raises(ValueError, match="for validation"):
        _load(folder, arrays | {"train_idx": arrays["train_idx"][:6]})


def test_an_array_that_needs_pickle_is_refused_and_never_run(folder: Path) -> None:
    path = folder / "pickled.npz"
    np.savez(path, **(_arrays() | {"loss": np.array([_Bomb()], object)}), allow_pickle=True)
    assert "needs pickle" in _refusal(path)


class _Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was run",))


@pytest.mark.parametrize("content", [b"", b"not an npz", pickle.dumps([1, 2, 3])])
def test_what_is_no_npz_is_refused(folder: Path, content: Any) -> None:
    path = folder / "no.npz"
    path.write_bytes(content)
    assert "must be an .npz file" in _refusal(path)


def test_a_lone_array_a_folder_and_a_path_that_is_not_there_are_refused(folder: Path) -> None:
    np.save(folder / "lone.npy", np.zeros(3))
    for path in (folder / "lone.npy", folder, folder / "nothing.npz"):
        assert "must be an .npz file" in _refusal(path)


def test_a_zip_of_something_else_is_refused(folder: Path) -> None:
    path = folder / "text.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in reference.RULES:
            archive.writestr(name, "no array")
    assert "must hold" in _refusal(path)


def _whole_file() -> Any:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **_arrays())
    return buffer.getvalue()


WHOLE = _whole_file()


@pytest.mark.parsers
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, len(WHOLE)),
    changes=st.dictionaries(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), max_size=8),
)
def test_a_damaged_file_is_read_or_refused_but_never_a_crash(folder: Path, cut: Any, changes: Any) -> None:
    """Bytes changed and the end cut off: either the arrays still hold together, or one line says why not."""
    damaged = bytearray(WHOLE)
    for position, value in changes.items():
        damaged[position] = value
    path = folder / "damaged.npz"
    path.write_bytes(bytes(damaged[:cut] if cut % 2 else damaged))
    try:
        loaded = reference.load(path)
    except ValueError as error:
        assert str(error).startswith("`reference`") and "\n" not in str(error)
    else:
        assert loaded.epochs == len(loaded.loss) == len(loaded.val_loss)
