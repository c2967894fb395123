"""The documents say what is: the README's numbers, its commands, its links."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from factories import make_accuracy, make_baseline, make_failure, make_header, make_speed

from bench.cli import app
from bench.records.checksums import seal

PROJECT = Path(__file__).parent.parent
DOCUMENTS = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]


def test_readme_and_reference_tables_are_what_the_records_say() -> None:
    check = [sys.executable, str(PROJECT / "docs" / "update_readme.py"), "--check"]
    answer = subprocess.run(check, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text("utf-8")):
        assert target.startswith("https://") or (document.parent / target).exists(), target


def commands_of(document: Path) -> list[list[str]]:
    """Return the arguments of every `seqsum` that stands in a code block, without what the shell adds."""
    blocks = re.findall(r"```\w*\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
    if document.suffix == ".yml":
        blocks = [document.read_text("utf-8")]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    called = [re.search(r"(?:^|[\s/])seqsum ((?:[a-z]|--).*)$", line.partition(" #")[0]) for line in lines]
    texts = [re.split(r"&&|[|;>]", match[1])[0] for match in called if match and "[--" not in match[1]]
    return [shlex.split(text) for text in texts]


COMMANDS = [
    pytest.param(words, id=f"{document.name}: {' '.join(words)}")
    for document in [*DOCUMENTS, PROJECT / "docs" / "gate.yml"]
    for words in commands_of(document)
]


def test_the_documents_hold_commands() -> None:
    assert len(COMMANDS) > 40
    assert {"run", "table", "compare", "export", "doctor"} <= {words.values[0][0] for words in COMMANDS}  # type: ignore[index]


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_in_the_documents_can_be_parsed(words: list[str]) -> None:
    """The command is there, knows its options, and takes their values; nothing is run."""
    group = typer.main.get_command(app)
    context = group.make_context("seqsum", list(words))
    name, command, rest = group.resolve_command(context, words)  # type: ignore[attr-defined]
    command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("words", COMMANDS)
def test_files_that_commands_in_the_documents_read_are_there(words: list[str]) -> None:
    for word in (word for word in words if word.startswith(("docs/", "results/reference/")) and "$" not in word):
        assert (PROJECT / word).exists(), word


def test_the_published_schemas_describe_what_is_written() -> None:
    """Each record's own fields, all required, and no others."""
    schema = json.loads((PROJECT / "docs" / "schema" / "record.json").read_text("utf-8"))
    for record in (make_speed(), make_accuracy(), make_baseline(), make_failure()):
        written = json.loads(seal(record.model_dump_json(), after=16 * "0")[0])
        definition = schema["$defs"][type(record).__name__]
        assert set(definition["properties"]) == set(definition["required"]) == set(written)
        assert definition["additionalProperties"] is False
        assert definition["properties"]["kind"]["const"] == written["kind"]
    header = json.loads((PROJECT / "docs" / "schema" / "run.json").read_text("utf-8"))
    assert set(header["properties"]) == set(json.loads(make_header().model_dump_json()))


def test_sweep_file_of_the_documents_is_valid(tmp_path: Path) -> None:
    from bench.plan.files import read_sweep

    parts = re.findall(r"```toml\n(.*?)```", (PROJECT / "docs" / "extending.md").read_text("utf-8"), re.DOTALL)
    file = tmp_path / "long.toml"
    file.write_text("\n".join(parts))
    sweep = read_sweep(file, {})
    assert sweep.lengths == (25, 100) and len(sweep.variants) > 100


def test_every_environment_of_tox_has_a_description() -> None:
    answer = subprocess.run([sys.executable, "-m", "tox", "list"], capture_output=True, text=True, cwd=PROJECT)
    if "No module named tox" in answer.stderr:
        pytest.skip("tox is not installed in this environment")
    assert answer.returncode == 0 and "[no description]" not in answer.stdout
    measuring = ("jax", "torch", "tf", "jax-gpu", "torch-gpu", "tf-gpu")
    for name in (*measuring, "lint", "types", "core", "backends", "browser"):
        assert re.search(rf"^{name} +-> \w", answer.stdout, re.MULTILINE), name
