"""Sweeps: profiles, sweep files, and the one line that says what is wrong with a file."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.errors import UserError
from bench.plan.files import PROFILES, parse_share, read_profile, read_sweep
from bench.plan.sweep import Sweep
from bench.plan.timing import Timing

COMPLETE = """\
backends = ["jax", "tf"]
models = ["gru"]
lengths = [4, 12]
seeds = 2

[task]
source = "generated"
sequences = 500
digits = [0, 9]

[training]
batch_size = 50
learning_rate = 0.01

[timing]
processes = 3

[variant]
unroll = true
jit_compile = false
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


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_can_be_read(name: str) -> None:
    sweep = read_profile(name, {})
    assert sweep.backends == ("jax", "torch", "tensorflow")
    assert sweep.speed_trials() and sweep.accuracy_trials()


def test_profiles_grow_from_smoke_to_full() -> None:
    smoke, standard, full = (read_profile(name, {}) for name in PROFILES)
    assert len(smoke.speed_trials()) < len(standard.speed_trials()) < len(full.speed_trials())
    assert len(smoke.accuracy_trials()) < len(standard.accuracy_trials()) < len(full.accuracy_trials())


def test_unknown_profile_suggests_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"^`profile` must be one of .* Received: 'smok'\. Did you mean smoke\?$"):
        read_profile("smok", {})


def test_every_part_of_a_file_reaches_the_sweep(file: Path) -> None:
    file.write_text(COMPLETE, "utf-8")
    sweep = read_sweep(file, {})
    assert (sweep.backends, sweep.models, sweep.lengths, sweep.seeds) == (("jax", "tensorflow"), ("gru",), (4, 12), 2)
    assert (sweep.task.sequences, sweep.task.digits) == (500, (0, 9))
    assert (sweep.training.batch_size, sweep.training.learning_rate) == (50, 0.01)
    assert (sweep.timing.processes, sweep.variant.unroll, sweep.variant.jit_compile) == (3, True, False)


def test_command_line_wins_over_the_file(file: Path) -> None:
    file.write_text(COMPLETE, "utf-8")
    sweep = read_sweep(file, {"lengths": [25], "seeds": 9, "backends": ["torch"]})
    assert (sweep.lengths, sweep.seeds, sweep.backends, sweep.models) == ((25,), 9, ("torch",), ("gru",))


def test_command_line_wins_over_a_profile() -> None:
    assert read_profile("smoke", {"models": ["gru"]}).models == ("gru",)


def test_command_line_can_mend_a_value_of_the_file(file: Path) -> None:
    file.write_text("lengths = [4]\nseeds = -1\n[timing]\nrounds = 0\n", "utf-8")
    assert read_sweep(file, {"seeds": 2, "timing": {"rounds": 2}}).seeds == 2


def test_command_line_changes_only_the_keys_of_a_table_that_it_names(file: Path) -> None:
    file.write_text("lengths = [4]\n[timing]\nprocesses = 3\nslice_s = 2.5\n", "utf-8")
    timing = read_sweep(file, {"timing": {"processes": 9, "rounds": 7}}).timing
    assert (timing.processes, timing.rounds, timing.slice_s) == (9, 7, 2.5)


def test_command_line_makes_a_table_that_the_file_lacks(file: Path) -> None:
    file.write_text("lengths = [4]\n", "utf-8")
    assert read_sweep(file, {"timing": {"precision": 0.05}}).timing.precision == 0.05


def test_no_changes_leave_the_timing_of_a_profile(file: Path) -> None:
    assert read_profile("smoke", {"timing": {}}) == read_profile("smoke", {})
    assert (
        read_profile("smoke", {"timing": {"rounds": 9}}).timing.processes == read_profile("smoke", {}).timing.processes
    )


@pytest.mark.parametrize(
    ("text", "line", "key", "received"),
    [
        ("lengths = [4]\n\nseeds = -2\n", 3, "seeds", "-2"),
        ('lengths = [4]\nseeds = "3"\n', 2, "seeds", "'3'"),
        ("lengths = [4]\nseeds = 2030-01-01\n", 2, "seeds", "'2030-01-01'"),
        ("# how long\nlengths = 4\n", 2, "lengths", "4"),
        ("lengths = [4, true]\n", 1, "lengths", "True"),
        ("lengths = []\n", 1, "lengths", "[]"),
        ("models = ['gru']\nlengths = [0]\n", 2, "length", "0"),
        ("lengths = [4]\nbackends = ['theano']\n", 2, "backends", "'theano'"),
        ("lengths = [4]\nmodels = ['lstn']\n", 2, "models", "'lstn'"),
        ("lengths = [4]\ndevice = 'tpu'\n", 2, "device", "'tpu'"),
        ("lengths = [4]\nlenght = 3\n", 2, "lenght", "3"),
        ("lengths = [4]\ntask = 3\n", 2, "task", "3"),
        ("lengths = [4]\n[training]\nepochs = 2\nbatch_size = 9999\n", 4, "batch_size", "9999"),
        ("lengths = [4]\ntiming = 3\n", 2, "timing", "3"),
        ("lengths = [4]\nthreads = ['two']\n", 2, "threads", "'two'"),
        ("lengths = [4]\nthreads = [0]\n", 2, "threads", "0"),
        ("lengths = [4]\nthreads = []\n", 2, "threads", "[]"),
        ("lengths = [4]\nseeds = -1\n", 2, "seeds", "-1"),
        ("lengths = [4]\nexpect = 'cudn'\n", 2, "expect", "'cudn'"),
        ("lengths = [4]\n\nexpect = 'cudnn'\n", 3, "expect", "'cudnn'"),
        ("lengths = [4]\n[timing]\nprocesses = 0\n", 3, "timing.processes", "0"),
        ("lengths = [4]\n[timing]\nrounds = 0\n", 3, "timing.rounds", "0"),
        ("lengths = [4]\n[timing]\nslice_epochs = 0\n", 3, "timing.slice_epochs", "0"),
        ("lengths = [4]\n[timing]\nslice_s = -1.0\n", 3, "timing.slice_s", "-1.0"),
        ("lengths = [4]\n[timing]\ncontrol = 'two'\n", 3, "timing.control", "'two'"),
        ("lengths = [4]\n[timing]\nprecision = 0.0\n", 3, "timing.precision", "0.0"),
        ("lengths = [4]\n[timing]\nprecision = 5\n", 3, "timing.precision", "5"),
        ("lengths = [4]\n[timing]\nprocesses = 2\nmost_epochs = 3\n", 4, "timing.most_epochs", "3"),
        ("lengths = [4]\n[runtime]\ntf32 = 'yes'\n", 3, "runtime.tf32", "'yes'"),
        ("lengths = [4]\n[runtime]\nxla_flags = 'foo'\n", 3, "xla_flags", "'foo'"),
        ("lengths = [4]\n[variant]\nunrol = true\n", 3, "variant.unrol", "True"),
        ("lengths = [4]\n[variant]\njit_compile = 3\n", 3, "variant.jit_compile", "3"),
        ("lengths = [4]\ntask.source = 'drawn'\n", 2, "task.source", "'drawn'"),
        ("lengths = [4]\n[task]\nsource = 'generated'\nsequences = 1\n", 4, "sequences", "1"),
        ("lengths = [4]\n[task]\nsource = 'generated'\ndigits = [3, 0]\n", 4, "digits", "(3, 0)"),
        ("lengths = [4]\n[task]\nsource = 'generated'\ndigits = [3]\n", 4, "task.digits", "[3]"),
        ("lengths = [4]\nseeds = 3\n[task]\nsource = 'generated'\nseed = -1\n", 5, "seed", "-1"),
        ("lengths = [4]\n[network]\nlayers = 2\nunits = 0\n", 4, "units", "0"),
    ],
)
def test_a_wrong_value_is_told_with_file_line_and_key(
    file: Path, text: str, line: int, key: str, received: str
) -> None:
    message = refusal(file, text)
    assert message.startswith(f"{file}, line {line}: ")
    assert f"`{key}`" in message
    assert f"Received: {received}." in message


@pytest.mark.parametrize(("text", "line"), [("lengths = [4]\nseeds = \n", 2), ("lengths = [4]\n\n[task\n", 3)])
def test_broken_toml_is_told_with_file_and_line(file: Path, text: str, line: int) -> None:
    message = refusal(file, text)
    assert message.startswith(f"{file}: not valid TOML")
    assert f"line {line}," in message


@pytest.mark.parametrize("changes", [{}, {"backends": ["jax"]}])
def test_missing_lengths_are_told_with_the_file(file: Path, changes: dict[str, Any]) -> None:
    message = refusal(file, "seeds = 1\n", changes)
    assert message.startswith(f"{file}: `lengths`: this key is missing")


@pytest.mark.parametrize(
    ("changes", "key", "received"),
    [
        ({"seeds": -1}, "seeds", "-1"),
        ({"expect": "cudn"}, "expect", "'cudn'"),
        ({"expect": "cudnn"}, "expect", "'cudnn'"),
        ({"timing": {"processes": 0}}, "timing.processes", "0"),
        ({"timing": {"rounds": 0}}, "timing.rounds", "0"),
        ({"timing": {"budget_s": -1.0}}, "timing.budget_s", "-1.0"),
    ],
)
def test_a_wrong_value_of_the_command_line_is_not_blamed_on_the_file(
    file: Path, changes: dict[str, Any], key: str, received: str
) -> None:
    message = refusal(file, "lengths = [4]\nseeds = 2\n[timing]\nprocesses = 3\nrounds = 3\n", changes)
    assert f"`{key}`" in message and f"Received: {received}." in message
    assert "line" not in message and file.name not in message


def test_a_wrong_value_of_a_table_keeps_its_line_beside_a_command_line(file: Path) -> None:
    text = "lengths = [4]\n[timing]\nprocesses = 3\nrounds = 0\n"
    assert refusal(file, text, {"timing": {"processes": 2}}).startswith(f"{file}, line 4: `timing.rounds`")


def test_a_table_that_is_none_keeps_its_line_where_the_command_line_names_nothing_in_it(file: Path) -> None:
    assert refusal(file, "lengths = [4]\ntiming = 3\n", {"timing": {}}).startswith(f"{file}, line 2: `timing`")


def test_what_may_be_expected_is_named(file: Path) -> None:
    assert "Did you mean cudnn?" in refusal(file, "lengths = [4]\nexpect = 'cudn'\n")
    assert "Use --device gpu." in refusal(file, "lengths = [4]\nexpect = 'cudnn'\n")
    file.write_text("lengths = [4]\nexpect = 'cudnn'\ndevice = 'gpu'\n", "utf-8")
    assert read_sweep(file, {}).expect == "cudnn"


@pytest.mark.parametrize(
    ("text", "share"),
    [("5%", 0.05), ("0.05", 0.05), (" 5 % ", 0.05), ("0.5%", 0.005), ("99.9%", 0.999), ("1e-3", 0.001)],
)
def test_a_share_is_read_with_and_without_a_percent_sign(text: str, share: float) -> None:
    assert parse_share(text, "--precision") == pytest.approx(share)


@pytest.mark.parametrize("text", ["0", "0%", "100%", "1", "5", "-5%", "abc%", "%", "", "5%%", "nan", "inf%", "nan%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_share(text, "--precision")
    rule = "`--precision` must be a share above 0 and below 100 %."
    assert str(raised.value) == f"{rule} Received: {text!r}. Write 5%, say."


@given(st.text(max_size=8) | st.floats(0, 1, exclude_min=True, exclude_max=True).map(str))
def test_any_text_is_a_share_or_a_users_error(text: str) -> None:
    try:
        share = parse_share(text, "--precision")
    except UserError as error:
        assert repr(text) in str(error)
    else:
        assert 0 < share < 1


def test_a_wrong_length_of_the_command_line_is_not_blamed_on_the_file(file: Path) -> None:
    message = refusal(file, "lengths = [4]\n", {"lengths": [1]})
    assert "`length`" in message and "Received: 1." in message
    assert "line" not in message


def test_a_wrong_value_of_the_file_keeps_its_line_beside_a_command_line(file: Path) -> None:
    message = refusal(file, "lengths = [4]\nseeds = -1\n", {"lengths": [12]})
    assert message.startswith(f"{file}, line 2: `seeds`")


def test_a_key_named_almost_like_an_option_keeps_its_line_beside_it(file: Path) -> None:
    text = "lengths = [4]\n[task]\nsource = 'generated'\nseed = -1\n"
    assert refusal(file, text, {"seeds": 2}).startswith(f"{file}, line 4: ")


def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.toml: cannot be read"):
        read_sweep(tmp_path / "none.toml", {})


def test_file_that_is_no_text_is_told(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"mine\.toml: cannot be read as text"):
        read_sweep(file, {})


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
        chosen = draw_value(st.lists(st.sampled_from(keys), unique=True, max_size=2))
        if chosen and table:
            lines.append(f"[{table}]")
        lines += [f"{key} = {draw_value(VALUES)}" for key in chosen if table or key != "lengths"]
    return "\n".join(lines)


def read_or_refuse(file: Path, text: str) -> None:
    """Read any text: what is accepted can be written down and read back."""
    file.write_text(text, "utf-8")
    try:
        sweep = read_sweep(file, {})
    except UserError as error:
        assert file.name in str(error) and "\n" not in str(error)
    else:
        assert Sweep.model_validate_json(sweep.model_dump_json()) == sweep


@pytest.fixture(scope="session")
def any_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweeps") / "any.toml"


@pytest.mark.parsers
@settings(deadline=None)  # a busy machine is no failure
@given(text=sweep_files())
@example(text="lengths = [4]\ntimeing = 3")
@example(text="lengths = [4]\n[limits]\nturn_s = inf")
@example(text="lengths = [4]\n[training]\nlearning_rate = inf")
@example(text=f"lengths = [4]\n[task]\nsource = 'generated'\nsequences = 1{400 * '0'}")
def test_a_file_is_a_sweep_that_can_be_recorded_or_a_users_error(any_file: Path, text: str) -> None:
    read_or_refuse(any_file, text)


@pytest.mark.parsers
@settings(deadline=None)
@given(text=st.text(TOML_CHARACTERS))
@example(text=f"lengths = [1{5000 * '0'}]")
@example(text="lengths = " + 5000 * "[")
@example(text="\ufefflengths = [4]")
@example(text='"" = 1')
def test_any_text_is_a_sweep_or_a_users_error(any_file: Path, text: str) -> None:
    read_or_refuse(any_file, text)
