"""The documents say what is: the README's numbers, its commands, its links."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_options_in_the_documents_exist(document: Path) -> None:
    """Every `seqsum COMMAND --option` that is written down is known to that command."""
    blocks = "\n".join(re.findall(r"```\n(.*?)```", document.read_text("utf-8"), re.DOTALL))
    for command, rest in re.findall(r"seqsum (\w+)(.*)$", blocks, re.MULTILINE):
        known = subprocess.run([sys.executable, "-m", "bench", command, "--help"], capture_output=True, text=True)
        assert known.returncode == 0, command
        for option in re.findall(r"--[a-z]+", rest.partition("#")[0]):
            assert option in known.stdout, f"seqsum {command} {option}"


def test_sweep_file_of_the_documents_is_valid(tmp_path: Path) -> None:
    from bench.sweeps import read_sweep

    (toml,) = re.findall(r"```toml\n(.*?)```", (PROJECT / "docs" / "extending.md").read_text("utf-8"), re.DOTALL)
    file = tmp_path / "long.toml"
    file.write_text(toml)
    assert read_sweep(file, {}).lengths == (25, 100)


def test_every_environment_of_tox_has_a_description() -> None:
    answer = subprocess.run([sys.executable, "-m", "tox", "list"], capture_output=True, text=True, cwd=PROJECT)
    if "No module named tox" in answer.stderr:
        pytest.skip("tox is not installed in this environment")
    assert answer.returncode == 0 and "[no description]" not in answer.stdout
    measuring = ("jax", "torch", "tf", "jax-gpu", "torch-gpu", "tf-gpu")
    for name in (*measuring, "lint", "types", "core", "backends", "browser"):
        assert re.search(rf"^{name} +-> \w", answer.stdout, re.MULTILINE), name
