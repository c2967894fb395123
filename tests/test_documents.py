"""The documents say what is: their commands parse, their links lead somewhere, their sweep files are valid."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from runpy import run_path

import pytest
import typer

from bench.cli import app
from bench.plan.files import read_sweep

PROJECT = Path(__file__).parent.parent
DOCUMENTS = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text("utf-8")):
        assert target.startswith("https://") or (document.parent / target).exists(), target


def commands_of(document: Path) -> list[list[str]]:
    """Return the arguments of every `seqsum` that stands in a code block, without what the shell adds."""
    blocks = re.findall(r"```\w*\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
    if document.suffix == ".yml":
        blocks = [document.read_text("utf-8")]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    matches = [re.search(r"(?:^|[\s/])seqsum ((?:[a-z]|--).*)$", line.partition(" #")[0]) for line in lines]
    texts = [re.split(r"&&|[|;>]", match[1])[0] for match in matches if match and "[--" not in match[1]]
    return [shlex.split(text) for text in texts]


PUBLISH = PROJECT / "docs" / "scripts" / "publish.py"
COMMANDS = [
    pytest.param(words, id=f"{document.name}: {' '.join(words)}")
    for document in [*DOCUMENTS, *sorted((PROJECT / "docs").rglob("*.yml"))]
    for words in commands_of(document)
]
COMMANDS += [
    pytest.param(command.split(), id=f"publish.py: {command}")
    for commands in run_path(str(PUBLISH))["MEASURE"].values()
    for command in commands
]


@pytest.mark.parametrize("words", COMMANDS)
def test_commands(words: list[str]) -> None:
    """The command is there, knows its options, and takes their values; the files it reads exist; nothing is run."""
    group = typer.main.get_command(app)
    context = group.make_context("seqsum", list(words))
    name, command, rest = group.resolve_command(context, words)  # type: ignore[attr-defined]
    command.make_context(name, rest, parent=context)
    for word in words:
        if word.startswith(("docs/", "results/reference/")) and "$" not in word:
            assert (PROJECT / word).exists(), word


def test_commands_are_recognised() -> None:
    names = {words.values[0][0] for words in COMMANDS}  # type: ignore[index]
    assert {"run", "table", "compare", "export", "doctor"} <= names


def test_sweep_file_of_extending(tmp_path: Path) -> None:
    parts = re.findall(r"```toml\n(.*?)```", (PROJECT / "docs" / "extending.md").read_text("utf-8"), re.DOTALL)
    file = tmp_path / "long.toml"
    file.write_text("\n".join(parts))
    assert read_sweep(file, {}).cells()


def test_generated_parts_are_fresh() -> None:
    """What the documents show of published results is what the records say."""
    answer = subprocess.run([sys.executable, str(PUBLISH), "check"], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
