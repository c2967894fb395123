"""Every command of the documents that reads results is run, on the published ones or a run made by hand."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from calling import Caller, write_run
from factories import make_header, make_worker
from test_docs import COMMANDS, PROJECT
from whole_runs import BACKENDS, ceilings, whole_records

READING = ("table", "plot", "report", "export", "compare", "verify")
NAMED = ("results/RUN", "results/2026-11-24T10-00-00-standard", "results/2026-11-25T10-00-00-standard")
ANYWHERE = ("before", "after", "measured/base", "measured/new")
"""What the documents call runs and folders of runs that a reader has measured."""

CALLED: list[tuple[str, ...]] = list(dict.fromkeys(tuple(words.values[0]) for words in COMMANDS))  # type: ignore[arg-type]
READ = [words for words in CALLED if words[0] in READING]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make a folder as a reader has it: published results, runs of their own, and place for pictures."""
    folder = tmp_path_factory.mktemp("reader")
    for published in (PROJECT / "results").iterdir():
        if published.is_dir():
            shutil.copytree(published, folder / "results" / published.name)
    records = [*whole_records(), *ceilings()]
    workers = tuple(make_worker(backend) for backend in BACKENDS)
    for name in NAMED:
        write_run(folder / "results", make_header(Path(name).name, workers=workers), records)
    for name in ANYWHERE:
        write_run(folder / name, make_header(workers=workers), records)
    (folder / "docs").mkdir()
    yield folder


@pytest.fixture
def seqsum(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Path) -> Caller:
    monkeypatch.chdir(place)
    return Caller(monkeypatch, capsys)


@pytest.mark.parametrize("words", READ, ids=" ".join)
def test_commands_of_the_documents_that_read_results_run(words: tuple[str, ...], seqsum: Caller) -> None:
    if "results/gpu" in words:
        pytest.skip("nobody has measured on a GPU yet")
    answer = seqsum(*words)
    right = 1 if words[0] == "verify" else 0  # the run made by hand is not what its sweep plans
    assert answer.code == right, answer.err
    assert answer.out.strip() or answer.err.strip()


def test_most_commands_of_the_documents_are_run_here() -> None:
    assert len(READ) > 35
