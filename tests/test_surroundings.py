"""Other people's machines, shells and files: what they change is refused, said or recorded, never silent."""

import errno
import io
import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from factories import make_cell, make_header, make_processes, make_sweep, select_all
from fake_worker import fake_python

from bench import host
from bench.analysis.compare import compare
from bench.errors import NotAvailableError, UserError
from bench.measure import environments
from bench.measure.pool import WorkerPool, machine_lock
from bench.output.comparison import heading, judge
from bench.output.doctor import obstacles
from bench.plan.gate import parse_gate
from bench.plan.timing import SETTINGS_OF, Runtime
from bench.records.failures import ended, raised
from bench.records.schema import Turn
from bench.worker import __main__ as worker
from bench.worker.messages import Error, Start

# ---- variables of the shell


def test_variables_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNITS", "512")
    assert environments.parse_variables(["UNITS", "MODE=a=b", "EMPTY="]) == {"UNITS": "512", "MODE": "a=b", "EMPTY": ""}
    monkeypatch.delenv("UNITS")
    with pytest.raises(UserError, match=r"must name a variable that is set\. Received: UNITS\. Write UNITS=VALUE"):
        environments.parse_variables(["UNITS"])


def test_named_variables_reach_a_worker() -> None:
    pairs = (("UNITS", "512"), ("HOME", "elsewhere"))
    reached = environments.worker_environment("jax", "cpu", 1, Runtime(variables=pairs))
    assert (reached["UNITS"], reached["HOME"], reached["KERAS_BACKEND"]) == ("512", "elsewhere", "jax")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("KERAS_BACKEND", "Use --backend."),
        ("XLA_FLAGS", "Use runtime.xla_flags in a sweep file."),
        ("OMP_NUM_THREADS", "Use threads in a sweep file."),
        ("MKL_NUM_THREADS", "Use threads in a sweep file."),
        ("JAX_PLATFORMS", "Use --device."),
        ("A=B", "Correct it."),
    ],
)
def test_what_seqsum_sets_is_refused(name: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=f"`variables` .* Received: .*{name}.*{remedy}"):
        Runtime.model_validate({"variables": {name: "1"}})


def left_out(**variables: str) -> str:
    said: list[str] = []
    environments.say_left_out(make_cell("jax"), Runtime(variables=tuple(variables.items())), said.append)
    return " ".join(said)


@pytest.mark.parametrize(
    "name",
    ["XLA_FLAGS", "OMP_NUM_THREADS", "TF_DETERMINISTIC_OPS", "KMP_AFFINITY", "LD_PRELOAD", "TF_ENABLE_ONEDNN_OPTS"],
)
def test_what_stays_behind_is_said(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "7")
    assert name in left_out()
    if name not in SETTINGS_OF:
        assert name not in left_out(**{name: "7"})
        assert environments.worker_environment("jax", "cpu", 1, Runtime(variables=((name, "7"),)))[name] == "7"


@pytest.mark.parametrize(
    "name", ["TF_CLI_CONFIG_FILE", "TF_VAR_region", "KMP_INIT_AT_FORK", "EDITOR", "OMP_NUM_THREADS", "PYTHONHASHSEED"]
)
def test_what_changes_nothing_is_not_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What is not meant for a worker, and what it has anyway."""
    monkeypatch.setenv(name, "1")
    assert name not in left_out()


@pytest.mark.parametrize(
    ("source", "is_refused"),
    [
        ('import os\nUNITS = int(os.environ["SEQSUM_UNITS"])', True),
        ("import os\nUNITS = os.getenv('SEQSUM_UNITS', 16)", True),
        ('UNITS = 16  # "SEQSUM_UNITS" is read nowhere', False),
        ('import os\nUNITS = os.environ.get("OTHER_UNITS")', False),
        ("import os\nHOME = os.environ['HOME']", False),
        ("\ufeffimport os\nUNITS = os.environ['SEQSUM_UNITS']", True),
        ("# coding: latin-1\nimport os\nUNITS = os.environ['SEQSUM_UNITS']  # Länge", True),
    ],
)
def test_own_models_do_not_miss_a_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, is_refused: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEQSUM_UNITS", "512")
    Path("sized_model.py").write_text(source, "latin-1" if "latin-1" in source else "utf-8")
    if is_refused:
        with pytest.raises(UserError, match=r"Received: SEQSUM_UNITS\. Add --env SEQSUM_UNITS, or unset it\."):
            environments.check_own_variables(["lstm", "sized_model:build"], [])
    else:
        environments.check_own_variables(["sized_model:build"], [])
    environments.check_own_variables(["sized_model:build", "absent_model:build"], ["SEQSUM_UNITS"])


# ---- limits of a container


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Put this process into a control group of version 2, two levels deep, without limits."""
    monkeypatch.setattr(host, "CGROUPS", tmp_path)
    monkeypatch.setattr(host, "OWN_CGROUPS", tmp_path / "own")
    (tmp_path / "own").write_text("0::/pod/container\n")
    (tmp_path / "pod" / "container").mkdir(parents=True)
    for folder in (tmp_path / "pod", tmp_path / "pod" / "container"):
        (folder / "cpu.max").write_text("max 100000\n")
        (folder / "memory.max").write_text("max\n")
    return tmp_path


def test_no_limits(groups: Path) -> None:
    machine = host.describe_machine()
    assert machine.cpu_quota is None and machine.memory_bytes > 2**28
    assert host.out_of_memory_kills() == 0


@pytest.mark.parametrize(
    ("own", "level"), [("/pod/container", "pod"), ("/pod/container", "pod/container"), ("/", ""), ("/of/the/host", "")]
)
def test_limits_of_any_level(groups: Path, own: str, level: str) -> None:
    """In a container the group may be named as the host sees it: then the limits are those of the root."""
    (groups / "own").write_text(f"0::{own}\n")
    (groups / level / "cpu.max").write_text("50000 100000\n")
    (groups / level / "memory.max").write_text("268435456\n")
    (groups / level / "memory.current").write_text("268430000\n")
    machine = host.describe_machine()
    assert (machine.cpu_quota, machine.memory_bytes, host.available_bytes()) == (0.5, 2**28, 2**28 - 268430000)


def test_limits_of_version_1(groups: Path) -> None:
    (groups / "own").write_text("3:cpu,cpuacct:/job\n2:memory:/job\n1:name=systemd:/\n")
    for controller in ("cpu", "memory"):
        (groups / controller / "job").mkdir(parents=True)
    (groups / "cpu" / "job" / "cpu.cfs_quota_us").write_text("150000\n")
    (groups / "cpu" / "job" / "cpu.cfs_period_us").write_text("100000\n")
    (groups / "cpu" / "job" / "cpu.stat").write_text("nr_throttled 3\nthrottled_time 2500000000\n")
    (groups / "memory" / "job" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (groups / "memory" / "memory.limit_in_bytes").write_text("268435456\n")
    (groups / "memory" / "memory.usage_in_bytes").write_text("268440000\n")
    (groups / "memory" / "job" / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")
    machine = host.describe_machine()
    assert (machine.cpu_quota, machine.memory_bytes, host.available_bytes()) == (1.5, 2**28, 0)
    assert host.out_of_memory_kills() == 4
    watch = host.Watch()
    (groups / "cpu" / "job" / "cpu.stat").write_text("nr_throttled 9\nthrottled_time 4000000000\n")
    assert watch.noise().throttled_s == 1.5


def test_throttled_turns_are_disturbed(groups: Path) -> None:
    (groups / "pod" / "cpu.stat").write_text("usage_usec 9\nthrottled_usec 1000000\n")
    watch = host.Watch()
    (groups / "pod" / "cpu.stat").write_text("usage_usec 9\nthrottled_usec 1250000\n")
    throttled_s = watch.noise().throttled_s
    assert throttled_s == 0.25

    def turn(seconds: float) -> Turn:
        quiet: dict[str, Any] = {"others_cpu_s": 0.0, "steal_s": 0.0, "involuntary_switches": 0}
        epochs: dict[str, Any] = {"epochs_s": (seconds,), "warmup_epochs": 0}
        return Turn(round=0, started_after_s=0.0, throttled_s=throttled_s, **epochs, **quiet)

    assert turn(2.0).disturbed and not turn(3.0).disturbed


def test_doctor_names_a_quota() -> None:
    from test_doctor import MACHINE, make_diagnosis

    def found(quota: float) -> list[str]:
        return obstacles(make_diagnosis(machine=MACHINE.model_copy(update={"cpu_quota": quota})))

    assert found(0.5) == [
        "A control group allows 0.500 cores and stops what takes more: raise its quota to the 2 cores of this machine."
    ]
    assert found(2.0) == []


@pytest.mark.parametrize(
    ("exit_code", "by_limit", "fault"),
    [(-9, True, "out of memory"), (-9, False, "killed"), (-11, True, "crashed"), (3, True, "crashed")],
)
def test_killed_by_a_limit(exit_code: int, by_limit: bool, fault: str) -> None:
    error = ended(exit_code, [], phase="turn", by_limit=by_limit)
    assert error.fault == fault and ("memory limit of a control group" in str(error)) == (fault == "out of memory")


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT])
@pytest.mark.parametrize("method", ["write_text", "read_text"])
def test_hardened_container(monkeypatch: pytest.MonkeyPatch, method: str, error: int) -> None:
    """/proc and /sys cannot be written: memory is counted from the start of the process; or read: no limit is known."""

    def refuse(path: Path, *_: str) -> str:
        raise OSError(error, os.strerror(error), str(path))

    monkeypatch.setattr(Path, method, refuse)
    host.reset_peak_rss()
    assert host.peak_rss_bytes() > 0 and host.available_bytes() > 0
    machine = host.describe_machine()
    assert method == "write_text" or (machine.governor, machine.cpu_quota) == ("unknown", None)


@pytest.mark.parametrize("status", ["VmRSS:\t1 kB\n", ""])
def test_kernel_that_counts_no_peak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: str) -> None:
    """That of gVisor: the memory that is held now stands for the most."""
    monkeypatch.setattr(host, "STATUS", tmp_path / "status")
    host.STATUS.write_text(status)
    assert host.peak_rss_bytes() > 2**20


# ---- another user, and names in the way


def test_lock_is_everybodys(own_lock: None, tmp_path: Path) -> None:
    with machine_lock():
        folder = tmp_path / "seqsum-lock"
        assert folder.stat().st_mode & 0o777 == 0o777
        with pytest.raises(UserError, match="Another run measures on this machine"), machine_lock():
            pass
    (folder / "holder").write_text("of another user")
    with machine_lock():
        assert f"process {os.getpid()}" in (folder / "holder").read_text()
        assert (folder / "holder").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"\x1b[2Jgone", b"two\nlines", b""], ids=str)
def test_holder_that_says_nothing(own_lock: None, tmp_path: Path, content: bytes | None) -> None:
    """It is of another user, or is being written."""
    with machine_lock():
        holder = tmp_path / "seqsum-lock" / "holder"
        holder.unlink()
        if content is None:
            holder.mkdir()
        else:
            holder.write_bytes(content)
        with pytest.raises(UserError, match=r"Another run measures .*\(process unknown\)"), machine_lock():
            pass


@pytest.mark.parametrize("place", ["bench.measure.pool.FileLock.acquire", "tempfile.gettempdir"])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errno.EACCES, r"Received: measuring\.lock, .* set TMPDIR to one of yours"),
        (errno.EROFS, r"cannot be written \(Read-only file system\)\. Set TMPDIR to a folder"),
        (errno.ENOSPC, r"cannot be written \(No space left on device\)"),
        (errno.ENOENT, r"cannot be written \(No such file or directory\)"),
    ],
)
def test_lock_that_cannot_be_had(
    own_lock: None, monkeypatch: pytest.MonkeyPatch, place: str, error: int, message: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(error, os.strerror(error), "measuring.lock")

    monkeypatch.setattr(place, refuse)
    with pytest.raises(UserError, match=message), machine_lock():
        pass


def test_errors_of_the_command_are_not_the_locks(own_lock: None) -> None:
    with pytest.raises(PermissionError), machine_lock():
        raise PermissionError(13, "Permission denied", "results")


@pytest.mark.parametrize("name", ["bench/__init__.py", "statistics.py", "keras/__init__.py", "json.py", "numpy.py"])
def test_names_in_the_way(own_lock: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What lies in the current folder is not taken for a module of ours, of Python, or of a library."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('raise RuntimeError("in the way")')
    environment = environments.worker_environment("jax", "cpu", 1)
    module = name.partition("/")[0].removesuffix(".py")
    code = f"import importlib.util as u; print(u.find_spec({module!r}).origin)"
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert str(tmp_path) not in answer.stdout and "in the way" not in answer.stderr
    with WorkerPool({"jax": fake_python(tmp_path)}) as pool, pool.start(make_cell("jax")) as process:
        assert process.worker.backend == "jax"


# ---- gates between machines and settings


MACHINE = make_header().machine


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"machine": MACHINE.model_copy(update={"cpu": "Other CPU"})}, "machine"),
        ({"machine": MACHINE.model_copy(update={"cpu_quota": 0.5})}, "machine"),
        ({"sweep": make_sweep(timing={"warmup_epochs": 9})}, "timing.warmup_epochs"),
        ({"sweep": make_sweep(runtime={"variables": {"UNITS": "512"}})}, "runtime.variables"),
        ({"sweep": make_sweep(training={"batch_size": 7})}, "training.batch_size"),
    ],
)
def test_gate_does_not_judge_what_is_not_the_code(change: dict[str, Any], named: str) -> None:
    before, after = [make_processes(seconds=[factor * (1 + n / 1000) for n in range(9)]) for factor in (0.01, 0.03)]
    comparison = compare(select_all(*before, run="base"), select_all(*after, run="new", **change))
    judgement = judge(comparison, parse_gate("slower:5%"))
    assert (judgement.verdict, judgement.exit_code) == ("undecided", 3)
    assert named in judgement.lines[0] and named in heading(comparison)[-1]
    assert judge(comparison, parse_gate("slower:5%"), anyway=True).exit_code == 1


# ---- causes below the first line


def chained() -> Exception:
    try:
        try:
            raise FileNotFoundError("no C++ compiler: g++")
        except FileNotFoundError as cause:
            raise RuntimeError("compilation failed\n\nSet TORCHDYNAMO_VERBOSE=1") from cause
    except RuntimeError as error:
        return error


QUOTING = "backend='inductor' raised:\nInvalidCxxCompiler: No working C++ compiler found\nLookupError: g++\n\nHint: no"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (chained(), "RuntimeError: compilation failed (cause: FileNotFoundError: no C++ compiler: g++)"),
        (RuntimeError(QUOTING), "RuntimeError: backend='inductor' raised: (cause: LookupError: g++)"),
        (ValueError("one line"), "ValueError: one line"),
        (KeyError("loss"), "KeyError: 'loss'"),
        (NotAvailableError("not here\nmore"), "not here"),
        (RuntimeError(""), "RuntimeError"),
    ],
)
def test_causes(error: Exception, reason: str) -> None:
    lost = raised(error)
    assert str(lost) == reason
    if not isinstance(error, NotAvailableError):
        assert set(filter(None, str(error).splitlines()[1:])) <= set(lost.printed), "the whole is kept"


# ---- terminals and what is typed


@pytest.mark.parametrize("encoding", ["cp1252", "ascii:strict"])
def test_output_of_any_encoding(tmp_path: Path, encoding: str) -> None:
    """A character that a terminal does not know is escaped."""
    variables = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    command = command_of("run", "--backend", "naïve→")
    answer = subprocess.run(command, env=variables, capture_output=True, cwd=tmp_path)
    assert answer.returncode == 2 and b"Traceback" not in answer.stderr and b"`backend` must be" in answer.stderr


@pytest.mark.parametrize(
    ("word", "expected"),
    [("~/runs", True), ("--results=~/runs", True), ("jax=~/bin/python", True), ("a~/b", False), ("~x", False)],
)
def test_home_folders(word: str, expected: bool) -> None:
    from bench.cli import HOME

    assert (HOME.sub("HOME", word) != word) == expected


@pytest.mark.parametrize("words", [["table", "--results=~/runs"], ["environments"]])
def test_no_home_folder(tmp_path: Path, words: list[str]) -> None:
    """A container's user may have neither a name nor HOME."""
    (tmp_path / "sitecustomize.py").write_text(
        "import pathlib\ndef home(): raise RuntimeError\npathlib.Path.home = home"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    answer = called(tmp_path, *words, PYTHONPATH=path, XDG_CACHE_HOME="")
    assert answer.returncode == 2 and answer.stderr.startswith("seqsum: `HOME` must name a folder")


@pytest.mark.parametrize("code", ["print('hello'); print('[1, 2]')", "import os; os.write(1, b'no end')"])
def test_printing_before_the_worker(own_lock: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """A sitecustomize that prints is no answer."""
    (tmp_path / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with WorkerPool({"jax": fake_python(tmp_path)}) as pool, pool.start(make_cell("jax")) as process:
        assert process.worker.backend == "jax"
    monkeypatch.setenv("SEQSUM_PYTHON_JAX", fake_python(tmp_path, "good again"))
    assert environments.find_interpreter("jax", device="cpu", pythons={}).endswith("good again")


PUBLISHED = Path(__file__).parents[1] / "results" / "history"
WORDS = ["table", "--results", str(PUBLISHED), "--show", "speed"]


def called(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Call the command in a folder, in a shell with these variables."""
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | variables
    return subprocess.run(command_of(*words), env=environment, capture_output=True, text=True, cwd=folder)


def command_of(*words: str) -> list[str]:
    return [sys.executable, "-c", f"from bench.cli import main; import sys; sys.argv = ['seqsum', *{words!r}]; main()"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a table as it is printed where nobody has set anything."""
    return called(tmp_path_factory.mktemp("plain"), *WORDS).stdout


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONWARNINGS": "error", "LC_ALL": "C", "TERM": "dumb", "MPLBACKEND": "none", "MATPLOTLIBRC": "/nowhere"},
        {"PYTHONOPTIMIZE": "2", "LC_ALL": "tr_TR.UTF-8", "LANG": "de_DE.UTF-8", "NO_COLOR": "1", "PYTHONHASHSEED": "7"},
    ],
    ids=str,
)
def test_settings_of_a_user_change_no_table(plain: str, tmp_path: Path, variables: dict[str, str]) -> None:
    answer = called(tmp_path, *WORDS, **variables)
    assert "lstm" in plain and answer.stdout == plain, answer.stderr


def test_help_without_docstrings(tmp_path: Path) -> None:
    answer = called(tmp_path, "table", "--help", PYTHONOPTIMIZE="2")
    assert "speed-by-backend" in answer.stdout and "None" not in answer.stdout


def on_terminal(folder: Path, columns: int, **variables: str) -> str:
    """Return what the words print on a terminal."""
    pty = pytest.importorskip("pty", reason="this system has no terminals of that kind")
    reader, terminal = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm"} | variables
    shown = b""
    with subprocess.Popen(command_of(*WORDS), env=environment, stdout=terminal, cwd=folder) as running:
        os.close(terminal)
        with suppress(OSError):  # Linux' word for the end
            while part := os.read(reader, 65536):
                shown += part
    os.close(reader)
    assert running.returncode == 0
    return shown.decode()


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_any_width(plain: str, tmp_path: Path, columns: int) -> None:
    """A table in more or fewer parts has the same figures."""
    shown = re.sub(r"\x1b\[[\d;]*m", "", on_terminal(tmp_path, columns))
    figures = {word for word in plain.split() if word.replace(",", "").isdigit()}
    assert len(figures) > 15 and figures <= set(shown.split())
    assert max(map(len, shown.splitlines())) <= columns


@pytest.mark.parametrize(("term", "styled"), [("xterm", True), ("dumb", False), ("unknown", False)])
def test_styles_of_a_terminal(plain: str, tmp_path: Path, term: str, styled: bool) -> None:
    assert ("\x1b[" in on_terminal(tmp_path, 80, TERM=term)) == styled and "\x1b" not in plain


def test_pipe_that_closes(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    answer = subprocess.run(command_of("--help"), stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path)
    os.close(writer)
    assert answer.returncode == 1 and answer.stderr == b""


def test_escaping_survives_a_string_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stdout is no real stream, as in a notebook, nothing is set."""
    from bench import cli

    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "argv", ["seqsum", "--version"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()


# ---- settings from files outside the project


@pytest.mark.parametrize(
    ("file", "error", "reason"),
    [
        (
            "keras/src/backend/config.py",
            "ValueError('Invalid `floatx`')",
            r"keras\.json.* Received: ValueError: Invalid",
        ),
        ("keras/src/backend/config.py", "AttributeError('a list')", r"keras\.json.* Received: AttributeError: a list"),
        ("keras/src/backend/config.py", "PermissionError(13, 'no')", r"keras\.json.* Correct or remove it\."),
        ("bench/own.py", "ValueError('`floatx` is wrong')", r"^`floatx` is wrong$"),
    ],
)
def test_settings_file_that_keras_refuses(monkeypatch: pytest.MonkeyPatch, file: str, error: str, reason: str) -> None:
    code = compile(f"raise {error}", f"/site-packages/{file}", "exec")
    monkeypatch.setattr(worker, "import_backend", lambda _: exec(code))
    answer = worker.check_in(Start(environment="jax", device="cpu", cores=(0,), started_at_s=0.0))
    assert isinstance(answer, Error) and answer.fault == "user" and re.search(reason, answer.reason)


def call_backend(code: str, **variables: str) -> str:
    code = f"import keras; from seqsum_core.nn.backend import check_backend\n{code}"
    answer = subprocess.run([sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr[-2000:]
    return answer.stdout.splitlines()[-1]


@pytest.mark.backend
def test_settings_file_of_keras(tmp_path: Path) -> None:
    """None of its settings reaches what is measured."""
    settings = {"floatx": "float64", "epsilon": 1e-3, "image_data_format": "channels_first", "backend": "numpy"}
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(settings))
    code = "check_backend(backend=keras.backend.backend(), device='cpu'); c = keras.config\n"
    code += "print(keras.layers.Dense(1).dtype_policy.name, c.floatx(), c.epsilon(), c.image_data_format())"
    assert call_backend(code, HOME=str(tmp_path)) == "float32 float32 1e-07 channels_last"


@pytest.mark.backend
def test_deterministic_training() -> None:
    """Built-in models, two layers, fused ones, noise and dropout: they run, shuffled, and repeat to the bit."""
    code = """
check_backend(backend=keras.backend.backend(), device="cpu", deterministic=True)
from seqsum_core.nn import models
from seqsum_core.tasks import draw
from seqsum_core.settings import NetworkSettings, TaskSettings, VariantSettings
rows, L = draw(TaskSettings(), length=4), keras.layers
def own(*layers):
    model = keras.Sequential([keras.Input((4, 1)), *layers, L.Dense(1)])
    model.compile(loss="mse")
    return model
cases = {
    "lstm": lambda: models.build("lstm", length=4),
    "unrolled": lambda: models.build("gru", length=4, variant=VariantSettings(unroll=True)),
    "layers": lambda: models.build("simple_rnn", length=4, network=NetworkSettings(layers=2)),
    "fused": lambda: models.build("lstm", length=4, variant=VariantSettings(implementation="fused")),
    "dropout": lambda: own(L.GRU(3, dropout=0.2, recurrent_dropout=0.2)),
    "noise": lambda: own(L.GaussianNoise(0.1), L.LSTM(3), L.Dropout(0.5)),
}
def loss(build):
    keras.utils.clear_session()
    keras.utils.set_random_seed(3)
    fitted = build().fit(rows.inputs(), rows.targets(), batch_size=100, epochs=1, verbose=0)
    return fitted.history["loss"][-1]
print([name for name, build in cases.items() if loss(build) != loss(build)])
"""
    assert call_backend(code) == "[]"
