"""Searches: the version that made a difference is found by halving, or it is said why not; and the files of it."""

import json
import sys
from pathlib import Path

import pytest
from calling import Answer, Caller
from packaging.version import Version
from test_overlays import make_wheel
from watched import play_versions

from bench.errors import UserError
from bench.measure.overlays import overlay_python
from bench.plan.cells import Trial
from bench.records.store import HEADER
from bench.watch import changes
from bench.watch.bisect import nightlies_between
from bench.watch.versions import day_of, installed_versions, parse_versions, sample_nightlies

pytestmark = pytest.mark.usefixtures("own_lock")
RELEASES = [f"1.{number}" for number in range(12)]
NIGHTLIES = [f"1.{number}.dev20250{number - 4}{day:02}04" for number in range(5, 9) for day in (1, 2, 9)]


class Searching:
    """Calls `seqsum bisect` with played versions, and counts what is measured."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.results = folder / "results"
        self._folder, self._monkeypatch = folder, monkeypatch
        self._call = Caller(monkeypatch, capsys)
        monkeypatch.setattr("bench.watch.versions.known_versions", lambda name, **_: _known(name))
        monkeypatch.setattr("bench.watch.bisect.installed_versions", lambda *_: {"keras": "0"})
        monkeypatch.setattr("bench.commands.watch.plan_versions", _plan)
        monkeypatch.setattr(changes, "find_changes", lambda *_: [CHANGE])

    def __call__(
        self, behaviour: object, *more: str, good: str = "1.0", bad: str = "1.11", form: str = "--json"
    ) -> Answer:
        play_versions(self._monkeypatch, self._folder, behaviour)  # type: ignore[arg-type]
        arguments = ("--good", f"keras=={good}", "--bad", f"keras=={bad}", "--results", str(self.results))
        return self._call("bisect", *arguments, *filter(None, [form]), *more)

    @property
    def runs(self) -> int:
        return len(list(self.results.glob(f"*/{HEADER}")))


CHANGE = changes.Change(
    path="keras/a.py", step_calls=3, start_calls=9, added=1, removed=1, diff=("--- a", "+++ b", "-old", "+new")
)


def _known(name: str) -> list[str]:
    return NIGHTLIES if name.endswith("-nightly") else RELEASES


def _plan(backends: list[str], models: list[str], lengths: list[int], device: str, **timing: float) -> object:
    from watched import LIMITS, QUICK

    from bench.plan.sweep import Sweep

    quick = QUICK.model_copy(update=timing | {"rounds": 1})
    return Sweep(  # type: ignore[call-arg]
        backends=("torch",), models=("lstm",), lengths=(4,), seeds=0, timing=quick, limits=LIMITS
    )


@pytest.fixture
def bisect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Searching:
    return Searching(tmp_path, monkeypatch, capsys)


def slower_from(first: str, factor: float = 1.1) -> object:
    return lambda version: f"takes {factor if Version(version) >= Version(first) else 1.0}"


def test_planted_slow_down(bisect: Searching) -> None:
    """One of 10 % among ten versions; asked again, nothing is measured anew."""
    answer = bisect(slower_from("1.7"))
    found = json.loads(answer.out)
    assert answer.code == 0, answer.err
    assert (found["last_good"], found["first_bad"], found["verdict"]) == ("keras==1.6", "keras==1.7", "found")
    assert found["step"]["low"] < 1.1 < found["step"]["high"] and found["files"][0]["path"] == "keras/a.py"
    assert len(found["candidates"]) <= 4
    runs = bisect.runs
    assert bisect(slower_from("1.7")).out == answer.out and bisect.runs == runs


def test_improvement_and_nightly_versions(bisect: Searching) -> None:
    """An improvement is found like a slow-down; then its day, and that there is none of the days before."""
    answer = bisect(slower_from("1.7.dev2025030904", 0.7), "--nightly", "--processes", "5", bad="1.8", good="1.6")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["first_bad"] == "keras-nightly==1.7.dev2025030904"
    assert found["days"] == ["2025-03-02", "2025-03-09"]


@pytest.mark.parametrize(("factor", "code"), [(1.01, 0), (0.5, 0), (1.0, 3)])
def test_exact_count(bisect: Searching, factor: float, code: int) -> None:
    """Calls are no matter of chance: one process of a version decides, of 1 % too."""
    answer = bisect(slower_from("1.7", factor), "--quantity", "calls")
    found = json.loads(answer.out)
    assert answer.code == code, answer.err
    assert found["ends"]["ratio"] == pytest.approx(factor) and found["ends"]["processes"] == 1
    assert (found["first_bad"] == "keras==1.7") == (code == 0)


@pytest.mark.parametrize(("factor", "shown"), [(1.3, "1.30"), (0.643, "0.643"), (1.001, "1.001")])
def test_counts_are_told_from_1(bisect: Searching, factor: float, shown: str) -> None:
    """However few calls there are more."""
    answer = bisect(slower_from("1.7", factor), "--quantity", "calls", form="")
    assert f"Calls / that of keras==1.6: {shown}, an exact count." in answer.out
    rows = [line.split() for line in answer.out.splitlines()]
    assert ["keras==1.6", "1.00", "good"] in rows and ["keras==1.9", shown, "bad"] in rows


def test_accuracy(bisect: Searching) -> None:
    """Larger errors from one version on, seed by seed; only the good end is trained beside a candidate."""
    answer = bisect(lambda version: f"errs {1.3 if Version(version) >= Version('1.7') else 1}", "--quantity=accuracy")
    found = json.loads(answer.out)
    assert answer.code == 0, answer.err
    assert found["first_bad"] == "keras==1.7" and found["step"]["processes"] == 10
    assert found["step"]["low"] < 1.3 < found["step"]["high"]
    same = bisect(lambda _: "errs 1", "--quantity=accuracy", good="1.1", form="")
    said = " ".join(same.out.split())
    assert same.code == 3 and "Test error of keras==1.11 / that of keras==1.1: " in said, said


@pytest.mark.parametrize(
    ("behaviour", "quantity", "words"),
    [
        (slower_from("9"), "epoch", "no difference"),
        (slower_from("1.7"), "path", "no difference"),
        (
            lambda version: "takes 1.0488" if version == "1.6" else f"takes {1.1 if version == '1.11' else 1.0}",
            "epoch",
            "undecided",
        ),
    ],
)
def test_nothing_decided(bisect: Searching, behaviour: object, quantity: str, words: str) -> None:
    budget = ("--budget", "60") if quantity == "epoch" else ()
    answer = bisect(behaviour, "--quantity", quantity, *budget)
    assert answer.code == 3 and json.loads(answer.out)["verdict"] == words


def test_version_that_cannot_be_imported(bisect: Searching) -> None:
    answer = bisect(
        lambda version: "dies at import" if version == "1.6" else f"takes {1 + (Version(version) > Version('1.4'))}"
    )
    found = json.loads(answer.out)
    assert found["first_bad"] == "keras==1.5" and found["candidates"][0]["side"] == "not available"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--good keras==2 --bad keras==1", "`--good` must be older than `--bad`. Received: 2 and 1. Exchange them"),
        ("--good keras==1 --bad jax==2", "`--good` and `--bad` must be of one package. Received: keras and jax."),
        ("--good keras=1 --bad keras==2", "`--good` must be PACKAGE==VERSION. Received: 'keras=1'."),
        (
            "--good keras==1 --bad keras==2 --quantity path --rounds 3",
            "`--rounds` is for times. Received: --quantity path, which is exact. Leave it out.",
        ),
        (
            "--good keras==1 --bad keras==2 --quantity accuracy --budget 9",
            "`--budget` is for times. Received: --quantity accuracy, which takes 10 seeds. Leave it out.",
        ),
        ("--good keras==1 --bad keras==2 --length 4 --length 5", "`bisect` searches on one backend, model and length."),
    ],
)
def test_wrong_input(
    arguments: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    play_versions(monkeypatch, tmp_path, lambda _: "takes 1")
    answer = Caller(monkeypatch, capsys)("bisect", *arguments.split())
    assert answer.code == 2 and message in answer.err and len(answer.err.splitlines()) == 1


def test_nightly_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.watch.versions.known_versions", lambda name, **_: [*_known(name), "1.9"])
    between = nightlies_between("keras", "keras==1.5.2", "keras==1.6", base="")
    assert [name[-10:-2] for name in between] == ["20250109", "20250201", "20250202", "20250209"]
    assert str(day_of("1.6.dev2025020904")) == "2025-02-09" and day_of("1.6") is None
    weekly = sample_nightlies("keras", "weekly", "2025-02", base="")
    assert weekly[0] == "keras-nightly==1.6.dev2025020104" and len(weekly) == 6
    assert len(sample_nightlies("keras", "monthly", "2025-02", base="")) == 3
    for since, message in (("2030-01", "newest nightly version, 2025-04-09"), ("soon", "`--since` must be YYYY-MM")):
        with pytest.raises(UserError, match=message):
            sample_nightlies("keras", "daily", since, base="")


def test_versions_are_read() -> None:
    assert parse_versions("keras=3.9.2, 3.10.0,3.9.2") == ["keras==3.9.2", "keras==3.10.0"]
    assert installed_versions(sys.executable, ["numpy", "no-such-package"]).keys() == {"numpy"}


def test_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that differ between two versions, those first that a step executes."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for version in ("91.0", "91.1"):
        files = {"keras/step.py": f"x = {version!r}\n", "keras/a_never.py": f"y = {version!r}\n", "keras/same.py": ""}
        make_wheel(tmp_path, version, files=files)
        overlay_python(sys.executable, {"keras": version})
    monkeypatch.setattr(changes, "trace", lambda *_: {"keras/step.py": (5, 2), "keras/same.py": (9, 9)})
    trials = [_trial(f"torch@keras=={version}") for version in ("91.0", "91.1")]
    found = changes.find_changes(trials[0], trials[1], sys.executable)
    assert [(change.path, change.step_calls, change.is_executed) for change in found] == [
        ("keras/step.py", 2, True),
        ("keras/a_never.py", 0, False),
    ]
    assert found[0].diff[-2:] == ("-x = '91.0'", "+x = '91.1'") and (found[0].added, found[0].removed) == (1, 1)


def _trial(environment: str) -> Trial:
    from factories import make_cell, make_trial

    return make_trial(make_cell(environment))


@pytest.mark.backend
def test_trace(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A training executes the LSTM of Keras, at least when it is traced, and not its image preprocessing."""
    import keras
    from factories import make_cell, make_trial

    from bench.worker import trace

    trial = make_trial(make_cell(keras.backend.backend(), length=4))
    root = Path(str(keras.__file__)).parents[1]
    monkeypatch.setattr(sys, "argv", ["trace", trial.model_dump_json(), str(root)])
    trace.main()
    calls = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert calls["keras/src/layers/rnn/lstm.py"][0] > 0
    assert not any("layers/preprocessing/image" in path for path in calls)


@pytest.mark.backend
def test_count_is_exact() -> None:
    """A steady epoch calls as many functions every time, in another model as well."""
    import keras
    from factories import make_cell, make_trial

    from bench.worker import models, trace

    trial = make_trial(make_cell(keras.backend.backend(), length=4))
    built = [models.build(trial, models.draw_rows(trial)) for _ in range(2)]
    counts = [trace.count_calls(model)[1].total() for model in (*built, *built)]
    assert counts[0] > 0 and len(set(counts)) == 1
