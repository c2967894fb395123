"""What the commands print, write and exit with: on runs made by hand, and measuring with played workers."""

import json
import sys
from pathlib import Path
from shutil import copytree

import pytest
from calling import Caller, write_run
from factories import make_accuracy, make_cell, make_failure, make_header, make_processes, make_worker
from fake_worker import fake_python

import bench
from bench.commands.app import screen
from bench.measure.doctor import newest_sensitivity
from bench.plan.cells import BACKENDS
from bench.records.schema import Record

SECONDS = (0.0100, 0.0101, 0.0099, 0.0102, 0.0098, 0.0100)
CELLS = [make_cell(backend, length=length) for backend in ("jax", "torch") for length in (4, 12)]
RECORDS: list[Record] = [
    *[
        record
        for factor, cell in enumerate(CELLS, 1)
        for record in make_processes(cell, seconds=[factor * epoch_s for epoch_s in SECONDS], rounds=2)
    ],
    *[make_accuracy(cell, seed=seed) for cell in CELLS for seed in range(5)],
    make_failure(make_cell("tensorflow"), reason="\x1b[2Jkilled\x07"),
]
WORKERS = tuple(make_worker(backend) for backend in BACKENDS)


@pytest.fixture
def seqsum(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Caller:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # its lock is not the machine's
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return Caller(monkeypatch, capsys)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a folder with a run made by hand."""
    return write_run(tmp_path / "results", make_header(workers=WORKERS), RECORDS).parent


def damage(results: Path) -> None:
    """Append half a record to the run."""
    (trials,) = results.glob("*/trials.jsonl")
    trials.write_text(trials.read_text() + '{"kind": "speed", "cell"\n')


@pytest.mark.usefixtures("results")
class TestReading:
    """`table`, `plot`, `report`, `export`, `verify` on the run made by hand."""

    def test_table(self, seqsum: Caller) -> None:
        answer = seqsum("table", "--show", "speed", "--show", "failures")
        assert answer.code == 0 and answer.err == ""
        assert "\nSpeed\n" in answer.out and "killed" in answer.out and "\x1b" not in answer.out
        assert max(map(len, answer.out.splitlines())) <= 80

    def test_table_of_some_rows_and_columns(self, seqsum: Caller) -> None:
        options = "--show speed --backend torch --length 12 --columns backend,length --format csv"
        assert seqsum("table", *options.split()).out.splitlines() == ["backend,length", "torch,12"]

    def test_table_as_json(self, seqsum: Caller) -> None:
        document = json.loads(seqsum("table", "--show", "speed", "--backend", "tf", "--format", "json").out)
        assert document["tables"][0]["rows"]

    def test_near_name(self, seqsum: Caller) -> None:
        answer = seqsum("table", "--columns", "lenght")
        assert (answer.code, answer.out) == (2, "")
        assert "Did you mean length?" in answer.err and len(answer.err.splitlines()) == 1

    def test_target(self, seqsum: Caller) -> None:
        usual, other = (seqsum("table", "--show", "target", *more).out for more in ((), ("--target", "1.5")))
        assert usual != other and "1.5" in other

    def test_plot(self, seqsum: Caller, tmp_path: Path) -> None:
        answer = seqsum("plot", "--out", "charts", "--format", "svg", "--show", "speed", "--show", "tax")
        assert (answer.code, answer.out) == (0, "charts/speed.svg\n") and "Not drawn: tax: needs" in answer.err
        assert "<svg" in (tmp_path / "charts" / "speed.svg").read_text("utf-8")
        assert seqsum("plot", "--show", "tax").code == 1, "nothing was drawn"
        (tmp_path / "a-file").touch()
        wrong = seqsum("plot", "--out", "a-file")
        assert wrong.code == 2 and "`--out` must be a folder that can be written. Received: a-file" in wrong.err

    def test_report(self, seqsum: Caller, tmp_path: Path) -> None:
        answer = seqsum("report", "--out", "page.html")
        assert (answer.code, answer.out, answer.err) == (0, "page.html\n", "")
        assert "</html>" in (tmp_path / "page.html").read_text("utf-8")
        assert seqsum("report", "--out", "absent/page.html").code == 2

    def test_export(self, seqsum: Caller, tmp_path: Path) -> None:
        rows = seqsum("export", "--format", "csv").out.splitlines()
        assert len(rows) == 1 + len(bench.load(tmp_path / "results"))
        answer = seqsum("export", "--format", "github-action", "--out", "benchmark.json")
        assert (answer.out, answer.err) == ("", "Wrote benchmark.json\n")
        assert json.loads((tmp_path / "benchmark.json").read_text())
        assert seqsum("export", "--format", "csv", "--kind", "turn").code == 2

    def test_verify(self, seqsum: Caller, results: Path) -> None:
        """The run made by hand is not what its sweep plans."""
        (run,) = results.iterdir()
        answer = seqsum("verify", run)
        assert answer.code == 1 and answer.out.startswith(f"{run}: {len(RECORDS)} ")

    @pytest.mark.parametrize("command", ["table", "report", "export --format csv", "plot --show speed"])
    def test_damaged_record(self, seqsum: Caller, results: Path, command: str) -> None:
        """It is named and left out, the rest is shown."""
        damage(results)
        answer = seqsum(*command.split())
        assert answer.code == 1 and f"line {len(RECORDS) + 1}: left out" in answer.err and answer.out

    def test_unreadable_run(self, seqsum: Caller, results: Path, tmp_path: Path) -> None:
        (header,) = results.glob("*/run.json")
        header.write_text("{")
        answer = seqsum("report")
        assert answer.code == 1 and "run.json" in answer.err and not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("factor", "options", "code", "expected"),
    [
        (1.5, "", 0, "slower"),
        (1.5, "--fail-on slower:5%", 1, "slower"),
        (0.9, "--fail-on slower:5%", 0, "faster"),
        (1.05, "--fail-on slower:5%", 3, ""),
        (1.5, "--fail-on slower:5% --format json", 1, '"verdict": "slower"'),
    ],
)
def test_compare(seqsum: Caller, tmp_path: Path, factor: float, options: str, code: int, expected: str) -> None:
    """Exit code 1: beyond the gate; 3: the intervals cannot decide."""
    for name, scale in (("old", 1.0), ("new", factor)):
        records = make_processes(make_cell(), seconds=[scale * epoch_s for epoch_s in SECONDS], rounds=2)
        write_run(tmp_path / name, make_header(), records)
    answer = seqsum("compare", "old", "new", *options.split())
    assert answer.code == code, answer.err
    assert expected in answer.out
    if code:
        assert "jax lstm 12" in answer.err


def test_newest_run_started_last(seqsum: Caller, tmp_path: Path) -> None:
    """Folders named before and after: by name, before would be the newest."""
    for name, day in (("before", 2), ("after", 3)):
        header = make_header(name, started_at=f"2030-01-0{day}T00:00:00+00:00")
        write_run(tmp_path / "runs", header, make_processes(make_cell(), seconds=SECONDS))
    assert "NEW: after" in seqsum("compare", "runs/before", "runs").out
    answer = seqsum("compare", "runs/after", "runs")
    assert answer.code == 2
    assert "must be two runs" in answer.err


@pytest.mark.parametrize("command", ["table", "table --show speed", "export --format csv", "table {run} results/copy"])
def test_run_that_stands_twice(seqsum: Caller, results: Path, command: str) -> None:
    """A copy is named and left out: it would pass for more processes."""
    (run,) = results.iterdir()
    words = command.format(run=run).split()
    before = seqsum(*words[:2] if "copy" in command else words).out
    copytree(run, results / "copy")
    answer = seqsum(*words)
    assert (answer.code, answer.out) == (1, before) and f"{run.name}: stands twice" in answer.err
    assert seqsum("compare", run, "results/copy").code == 2


def test_doctor_looks_at_the_newest_run(tmp_path: Path) -> None:
    for name, day in (("before", 2), ("after", 3)):
        header = make_header(name, started_at=f"2030-01-0{day}T00:00:00+00:00", workers=WORKERS)
        write_run(tmp_path, header, RECORDS)
    found = newest_sensitivity(tmp_path)
    assert found and found.run == "after"


def pythons(folder: Path, behaviour: str = "good") -> list[str]:
    """Return options that let played workers run every backend."""
    python = fake_python(folder, behaviour)
    return [f"--python={backend}={python}" for backend in BACKENDS]


SMALL = ["run", "--profile=smoke", "--model=lstm", "--length=12"]


def test_run(seqsum: Caller, tmp_path: Path) -> None:
    """A summary goes to stdout, progress to stderr: 2 processes of a cell on 3 backends are timed, each is trained."""
    answer = seqsum(*SMALL, *pythons(tmp_path))
    assert answer.code == 0, answer.err
    assert "Milliseconds of a steady epoch" in answer.out and "Records: results/" in answer.out
    assert "[9/9]" in answer.err and "[9/9]" not in answer.out
    assert answer.out.splitlines()[-1] == "More: seqsum table | seqsum report | seqsum plot"
    assert set(bench.load(tmp_path / "results")["environment"]) == set(BACKENDS)


def test_options_reach_the_run(seqsum: Caller, tmp_path: Path) -> None:
    """What is named wins over --rigorous; where files lie is not recorded."""
    options = "--rigorous --processes=1 --rounds=2 --precision=5% --budget=0 --seeds=0 --backend=jax --ceilings"
    old = f"--python=jax@old={fake_python(tmp_path)}"
    answer = seqsum(*SMALL, *options.split(), *pythons(tmp_path)[:1], old)
    assert answer.code == 0, answer.err
    (file,) = (tmp_path / "results").glob("*/run.json")
    header = json.loads(file.read_text())
    sweep, timing = header["sweep"], header["sweep"]["timing"]
    assert (timing["processes"], timing["rounds"], timing["control"]) == (1, 2, "each")
    assert (timing["precision"], timing["budget_s"], timing["turn_s"]) == (0.05, 0.0, 0.3)
    assert (sweep["backends"], sweep["models"], sweep["seeds"]) == (["jax", "jax@old"], ["lstm"], 0)
    assert sweep["axes"]["implementation"] == ["keras", "ceiling"]
    assert str(tmp_path) not in header["command"] and "--rigorous" in header["command"]
    turns = bench.load(tmp_path / "results")
    assert set(turns["environment"]) == {"jax", "jax@old"} and set(turns["round"]) == {0, 1}
    assert "Precision 5.0% at length 12: too few processes" in answer.err


@pytest.mark.parametrize("command", ["run --profile=smoke --model=lstm --seeds=0", "advise --budget=30"])
def test_variables_that_stay_behind(
    seqsum: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_own=1")
    answer = seqsum(*command.split(), "--length=12", "--backend=jax", *pythons(tmp_path))
    assert answer.code == 0 and "not for the workers: XLA_FLAGS" in answer.err


def test_failed_trial(seqsum: Caller, tmp_path: Path) -> None:
    """It ends with 1 and stands in the tables; `--retry` measures it again."""
    answer = seqsum(*SMALL, "--backend=torch", "--seeds=0", *pythons(tmp_path, "crashes at 12"))
    assert answer.code == 1 and "Failures" in answer.out
    (run,) = (tmp_path / "results").iterdir()
    for retry, failures in (([], 2), (["--retry"], 0)):
        seqsum("run", "--resume", run, *retry, *pythons(tmp_path))
        assert len(bench.load(run, kind="failures")) == failures


@pytest.mark.parametrize("command", ["doctor", "parity", "replay --case rnn-4", "advise --length 4 --budget 30"])
def test_json_document(seqsum: Caller, tmp_path: Path, command: str) -> None:
    backend = [] if command == "doctor" else ["--backend", "jax"]
    answer = seqsum(*command.split(), *backend, "--json", *pythons(tmp_path))
    assert isinstance(json.loads(answer.out), dict), answer.err
    assert answer.code == 0 or command == "parity", "the played numbers are not what NumPy computes"


def test_doctor_without_a_backend(seqsum: Caller, tmp_path: Path) -> None:
    assert seqsum("doctor", *pythons(tmp_path)).code == 0
    answer = seqsum("doctor", *pythons(tmp_path, "dies at import"))
    assert answer.code == 1 and "exit code 3" in answer.out


def test_colour(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """NO_COLOR is honoured."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    for forbidden, coloured in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", forbidden)
        screen().print("red", style="red")
        assert ("\x1b[31m" in capsys.readouterr().out) == coloured
