"""Sweep files and profiles, and the one line that says what is wrong with a file."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.errors import UserError
from bench.plan.files import PROFILES, read_profile, read_sweep
from bench.plan.sweep import Sweep
from bench.plan.timing import Timing

PROJECT = Path(__file__).parent.parent
COMPLETE = """\
backends = ["jax", "tf", "torch@old"]
models = ["gru"]
lengths = [4, 12]
seeds = 2

[task]
source = "generated"
sequences = 500
digits = [0, 9]

[training]
batch_size = 50

[timing]
processes = 3
turn_s = 2.5

[variant]
unroll = true
jit_compile = false

[axes]
units = [8, 16]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


def refusal(file: Path, text: str, changes: dict[str, Any] | None = None) -> str:
    """Return the one line that a user reads about a file."""
    file.write_text(text, "utf-8")
    with pytest.raises(UserError) as raised:
        read_sweep(file, changes or {})
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_profiles() -> None:
    """They grow from smoke to full; an unknown one suggests the nearest."""
    sweeps = [read_profile(name, {}) for name in PROFILES]
    for trials in ([sweep.speed_trials() for sweep in sweeps], [sweep.accuracy_trials() for sweep in sweeps]):
        smoke, standard, full = map(len, trials)
        assert 0 < smoke < standard < full
    assert {sweep.backends for sweep in sweeps} == {("jax", "torch", "tensorflow")}
    with pytest.raises(UserError, match=r"^`profile` must be one of .* Received: 'smok'\. Did you mean smoke\?$"):
        read_profile("smok", {})


def test_every_part_of_a_file_reaches_the_sweep(file: Path) -> None:
    file.write_text(COMPLETE, "utf-8-sig", newline="\r\n")  # as Windows' editors write it
    sweep = read_sweep(file, {})
    assert sweep.backends == ("jax", "tensorflow", "torch@old")
    assert (sweep.models, sweep.lengths, sweep.seeds) == (("gru",), (4, 12), 2)
    assert (sweep.task.sequences, sweep.task.digits, sweep.training.batch_size) == (500, (0, 9), 50)
    assert (sweep.timing.processes, sweep.timing.turn_s) == (3, 2.5)
    assert [str(variant) for variant in sweep.variants] == [
        f"unroll true, jit_compile false, units {units}" for units in (8, 16)
    ]


@pytest.mark.parametrize("path", sorted((PROJECT / "docs" / "sweeps").glob("*.toml")), ids=lambda path: path.stem)
def test_published_sweep_files_are_valid(path: Path) -> None:
    assert read_sweep(path, {}).cells()


def test_command_line_wins(file: Path) -> None:
    """Over a profile and over a file; of a table only the keys that it names."""
    assert read_profile("smoke", {"models": ["gru"]}).models == ("gru",)
    assert read_profile("smoke", {"timing": {}, "axes": {}}) == read_profile("smoke", {})
    file.write_text(COMPLETE + "\n[network]\nunits = 0\n", "utf-8")
    changes = {"lengths": [25], "backends": ["torch"], "timing": {"processes": 9}, "network": {"units": 3}}
    sweep = read_sweep(file, changes)
    assert (sweep.lengths, sweep.backends, sweep.models, sweep.seeds) == ((25,), ("torch",), ("gru",), 2)
    assert (sweep.timing.processes, sweep.timing.turn_s, sweep.network.units) == (9, 2.5, 3)


@pytest.mark.parametrize(
    ("text", "key", "received"),
    [
        ("seeds = -2", "seeds", "-2"),
        ("lengths = 4", "lengths", "4"),
        ("lengths = [4, true]", "lengths", "True"),
        ("lengths = [0]", "length", "0"),
        ("lenght = 3", "lenght", "3"),
        ("task = 3", "task", "3"),
        ("timing.rounds = 0", "timing.rounds", "0"),
        ("runtime.xla_flags = 'foo'", "xla_flags", "'foo'"),
        ("variant.unrol = true", "variant.unrol", "True"),
        ("axes.unrol = [true]", "axes.unrol", "[True]"),
        ("task = {source = 'generated', digits = [3, 0]}", "digits", "(3, 0)"),
        ("task = {source = 'generated', digits = [3]}", "task.digits", "[3]"),
        ("network.units = 0", "units", "0"),
        ("limits.turn_s = inf", "limits.turn_s", "inf"),
    ],
)
def test_wrong_value(file: Path, text: str, key: str, received: str) -> None:
    """The line names file, key, rule and value."""
    lengths = "" if text.startswith("lengths") else "lengths = [4]\n"
    message = refusal(file, lengths + text)
    assert message.startswith(f"{file}: `") and f"`{key}`" in message
    assert f"Received: {received}." in message


@pytest.mark.parametrize(
    ("changes", "key", "received"),
    [
        ({"seeds": -1}, "seeds", "-1"),
        ({"lengths": [1]}, "length", "1"),
        ({"timing": {"rounds": 0}}, "timing.rounds", "0"),
        ({"axes": {"batch_size": [100_000]}}, "batch_size", "100000"),
    ],
)
def test_wrong_value_of_the_command_line(file: Path, changes: dict[str, Any], key: str, received: str) -> None:
    """The file is not blamed."""
    message = refusal(file, "lengths = [4]\nseeds = 2\n[timing]\nprocesses = 3\n", changes)
    assert f"`{key}`" in message and f"Received: {received}." in message and file.name not in message


@pytest.mark.parametrize(
    ("text", "changes", "key"),
    [
        ("lengths = [4]\nseeds = -1\n", {"lengths": [12]}, "seeds"),
        ("lengths = [4]\n[timing]\nrounds = 0\n", {"timing": {"processes": 2}}, "timing.rounds"),
        ("lengths = [4]\ntiming = 3\n", {"timing": {"rounds": 2}}, "timing"),
        ("lengths = [4]\n[task]\nsource = 'generated'\nseed = -1\n", {"seeds": 2}, "task"),
        ("seeds = 1\n", {"backends": ["jax"]}, "lengths"),
    ],
)
def test_wrong_file_beside_a_command_line(file: Path, text: str, changes: dict[str, Any], key: str) -> None:
    assert refusal(file, text, changes).startswith(f"{file}: `{key}`")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"lengths = [4]\nseeds = \n", "not valid TOML: .* line 2,"),
        (b"\xff\xfel\x00", r"must be text in UTF-8\. Received: UTF-16 or UTF-32\. Save it as UTF-8\."),
        ("lengths = [4]".encode("utf-16-be"), r"must be text in UTF-8\. Received: UTF-16 or UTF-32\."),
        ("lengths = [4]".encode("utf-32"), r"must be text in UTF-8\. Received: UTF-16 or UTF-32\."),
        (b"lengths = [4]\rseeds = 1\r", "not valid TOML: .* line 1,"),  # line ends of 1999
        (b"", "`lengths`: this key is missing; add it"),
        (b"# \xe4\nlengths = [4]", r"must be text in UTF-8\. Received: another encoding\."),
        (None, "cannot be read .No such file or directory.. Give the path of a TOML file"),
    ],
)
def test_unreadable_file(file: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError) as raised:
        read_sweep(file, {})
    assert re.match(f"{re.escape(str(file))}: {message}", str(raised.value))


KEYS = {
    None: ("backends", "device", "models", "lengths", "threads", "seeds", "expect", "other"),
    "task": ("source", "sequences", "min_length", "digits", "padding", "seed", "test_share", "validation_share"),
    "network": ("units", "layers", "mask"),
    "training": ("optimizer", "learning_rate", "batch_size", "epochs", "patience"),
    "timing": (*Timing.model_fields, "most_epochs"),
    "runtime": ("tf32", "deterministic", "xla_flags"),
    "variant": ("unroll", "jit_compile", "steps_per_execution"),
}
SCALARS = st.one_of(
    st.integers(-3, 3000).map(str),
    st.integers(-(10**400), 10**400).map(str),
    st.sampled_from(["inf", "-inf", "nan", "0.1", "1e300", "true", "false", "2030-01-01", "{}", "{a = 1}", "''"]),
    st.sampled_from(["jax", "tf", "cpu", "gpu", "lstm", "a:b", "article", "generated", "pre", "one", "auto"]).map(repr),
    st.sampled_from(["default", "each", "none", "scan", "cudnn", "--xla_a=1", "--xla_a foo"]).map(repr),
)
TOML_CHARACTERS = "abeflnorstux0123_+-:TZ.,=#[]{}\"'\\ \t\r\n\x00äλ😀\ufeff"
VALUES = SCALARS | st.lists(SCALARS, max_size=3).map(lambda items: f"[{', '.join(items)}]")


@st.composite
def sweep_files(draw_value: st.DrawFn) -> str:
    """Write files with right keys and any values, most of which hold a usable `lengths`."""
    lines = ["lengths = [4, 12]"] if draw_value(st.integers(0, 9)) else []
    for table, keys in KEYS.items():
        drawn = draw_value(st.lists(st.sampled_from(keys), unique=True, max_size=2))
        if drawn and table:
            lines.append(f"[{table}]")
        lines += [f"{key} = {draw_value(VALUES)}" for key in drawn if table or key != "lengths"]
    return "\n".join(lines)


@pytest.fixture(scope="session")
def any_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweeps") / "any.toml"


@pytest.mark.parsers
@settings(deadline=None)  # a busy machine is no failure
@given(text=sweep_files() | st.text(TOML_CHARACTERS))
@example(text="lengths = [4]\ntimeing = 3")
@example(text="lengths = [4]\n[training]\nlearning_rate = inf")
@example(text=f"lengths = [4]\n[task]\nsource = 'generated'\nsequences = 1{400 * '0'}")
@example(text=f"lengths = [1{5000 * '0'}]")
@example(text="lengths = " + 5000 * "[")
@example(text='"" = 1')
def test_any_file_is_a_sweep_or_a_users_error(any_file: Path, text: str) -> None:
    """What is accepted can be written down and read back."""
    any_file.write_text(text, "utf-8")
    try:
        sweep = read_sweep(any_file, {})
    except UserError as error:
        assert any_file.name in str(error) and "\n" not in str(error)
    else:
        assert Sweep.model_validate_json(sweep.model_dump_json()) == sweep
